"""Passkeys as a factor: what is asked, what an answer is worth, and what it claims."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flows.world import a_ring
from tests.software_passkey import ORIGIN, RP_ID, SoftPasskey, b64
from wardgate.account.authenticator import Authenticator
from wardgate.account.subject import SubjectId
from wardgate.engine.settings import CodeSettings
from wardgate.factors import BY_KIND, LONGEST_ANSWER, ON_PAGES, QUESTIONING
from wardgate.factors.passkey import COUNTED_BACK, MAX_ASSERTION_BYTES, UNKNOWN, WRONG, PasskeyFactor, handle_of, read_shown
from wardgate.factors.port import MAX_ANSWER_BYTES, Holder, NeedsPage, Right, Site, Task
from wardgate.storage.port import Update, Where

ADA = SubjectId("a" * 32)
SITE = Site(ORIGIN, RP_ID)
FACTOR = PasskeyFactor()


def task(**changes: Any) -> Task:
    plain = Task("t", datetime(2026, 11, 21, 9, tzinfo=UTC), CodeSettings(), a_ring(), SITE)
    return replace(plain, **changes) if changes else plain


def holder(passkey: SoftPasskey, counter: int = 0) -> Holder:
    settings = {"credential": passkey.id, "public_key": b64(passkey.public_key()), "transports": "internal,hybrid"}
    return Holder(ADA, [Authenticator("one", ADA, "passkey", "", settings, counter, None)], None, None)


def asked(passkey: SoftPasskey) -> tuple[dict[str, Any], dict[str, object]]:
    """The browser's options and what is remembered of the question."""
    question = FACTOR.ask(holder(passkey), task(), {})
    options: dict[str, Any] = json.loads(str(question.prompt.values["options"]))
    return options, dict(question.memory)


def test_each_question_is_another_one_and_the_same_one_while_it_is_open() -> None:
    passkey = SoftPasskey()
    (one, kept), (other, _) = asked(passkey), asked(passkey)
    assert one["challenge"] != other["challenge"]
    again = FACTOR.ask(holder(passkey), task(), kept)
    assert json.loads(str(again.prompt.values["options"])) == one
    assert one["allowCredentials"] == [{"type": "public-key", "id": passkey.id, "transports": ["internal", "hybrid"]}]
    assert one["userVerification"] == "preferred"


def test_only_what_needs_a_page_or_asks_much_may_answer_at_length() -> None:
    assert frozenset({"passkey"}) == ON_PAGES
    assert [*QUESTIONING] == ["kba"]
    long = {"passkey": MAX_ASSERTION_BYTES, "kba": QUESTIONING["kba"].longest_answer_bytes}
    assert {kind: long.get(kind, MAX_ANSWER_BYTES) for kind in BY_KIND} == LONGEST_ANSWER
    assert isinstance(FACTOR, NeedsPage)


def test_right_answer_claims_its_count_on_condition_that_it_rises() -> None:
    passkey = SoftPasskey(count=6)
    options, memory = asked(passkey)
    verdict = FACTOR.verify(holder(passkey, 6), task(), memory, passkey.signed(options).encode())
    assert isinstance(verdict, Right)
    assert verdict.twofold
    [claim] = verdict.claim
    assert isinstance(claim, Update)
    assert claim.changes["counter"] == 7
    assert claim.where == (Where("counter", "<", 7), Where("state", "=", "active"))
    assert verdict.refused == COUNTED_BACK


def test_passkey_that_never_counts_must_not_have_counted_before() -> None:
    passkey = SoftPasskey(count=None, verifies=False)
    options, memory = asked(passkey)
    shown = passkey.signed(options).encode()
    verdict = FACTOR.verify(holder(passkey), task(), memory, shown)
    assert isinstance(verdict, Right)
    assert not verdict.twofold
    assert isinstance(verdict.claim[0], Update)
    assert verdict.claim[0].where[0] == Where("counter", "=", 0)
    assert FACTOR.verify(holder(passkey, 1), task(), memory, shown) == COUNTED_BACK


@pytest.mark.parametrize(("seen", "worth"), [(6, Right), (7, COUNTED_BACK), (8, COUNTED_BACK)])
def test_counter_that_stands_or_goes_back_is_refused(seen: int, worth: object) -> None:
    passkey = SoftPasskey(count=6)
    options, memory = asked(passkey)
    verdict = FACTOR.verify(holder(passkey, seen), task(), memory, passkey.signed(options).encode())
    assert verdict == worth or (worth is Right and isinstance(verdict, Right))


def test_nothing_is_right_where_nothing_was_asked_or_no_page_is() -> None:
    passkey = SoftPasskey()
    options, memory = asked(passkey)
    shown = passkey.signed(options).encode()
    assert FACTOR.verify(holder(passkey), task(), {}, shown) == WRONG
    assert FACTOR.verify(holder(passkey), task(), {"challenge": ""}, shown) == WRONG
    assert FACTOR.verify(holder(passkey), task(site=None), memory, shown) == WRONG
    assert FACTOR.verify(holder(passkey), task(), memory, b"123456") == WRONG


def test_another_name_or_port_is_another_site() -> None:
    passkey = SoftPasskey()
    options, memory = asked(passkey)
    shown = passkey.signed(options).encode()
    for site in (Site(ORIGIN, "acme.test"), Site(f"{ORIGIN}:8443", RP_ID), Site("http://login.acme.test", RP_ID)):
        assert FACTOR.verify(holder(passkey), task(site=site), memory, shown) == WRONG


def test_passkey_that_says_it_is_somebody_elses_is_unknown() -> None:
    passkey = SoftPasskey(handle=handle_of(SubjectId("b" * 32)))
    options, memory = asked(passkey)
    assert FACTOR.verify(holder(passkey), task(), memory, passkey.signed(options).encode()) == UNKNOWN
    passkey.handle = handle_of(ADA)
    assert isinstance(FACTOR.verify(holder(passkey), task(), memory, passkey.signed(options).encode()), Right)


@given(
    st.binary(max_size=300) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_what_no_browser_makes_is_nothing(given: bytes) -> None:
    assert read_shown(given) is None


PARTS = ["id", "rawId", "type", "clientDataJSON", "authenticatorData", "signature", "userHandle"]
ODD = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.lists(st.text(max_size=3), max_size=3)


@given(st.sampled_from(PARTS), ODD | st.binary(max_size=200).map(b64))
def test_answer_with_any_part_changed_is_never_right(part: str, instead: object) -> None:
    passkey = SoftPasskey(handle=handle_of(ADA))
    options, memory = asked(passkey)
    body = json.loads(passkey.signed(options))
    place = body if part in body else body["response"]
    before, place[part] = place[part], instead
    verdict = FACTOR.verify(holder(passkey), task(), memory, json.dumps(body).encode())
    # Whose it is, a passkey need not say.
    assert not isinstance(verdict, Right) or instead == before or (part == "userHandle" and not instead)
