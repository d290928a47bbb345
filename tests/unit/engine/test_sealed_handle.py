"""What a sealed handle carries is what was put in, or nothing."""

from dataclasses import replace

import pytest

from tests.flows.world import a_ring
from wardgate.crypto import new_id
from wardgate.engine.sealed_handle import open_login, seal_login
from wardgate.engine.transaction import Transaction

RING = a_ring()
NOW_MS = 1_800_000_000_000
LOGIN = Transaction(
    id=new_id(),
    reference="ABCDEFGH",
    application="vpn",
    subject_id=new_id(),
    realm="acme",
    directory="staff",
    immutable_id="7",
    user_name="ada",
    name_key="ada",
    language="en",
    steps=(("totp",),),
    rule="everybody",
    step=0,
    factor="totp",
    proved=("password",),
    tries_left=3,
    created_at=NOW_MS,
    expires_at=NOW_MS + 180_000,
    memory={"totp": {}},
)


def test_a_login_comes_back_as_it_was() -> None:
    value = seal_login(RING, LOGIN, "totp", "radius:hq:", "1")
    assert value is not None
    opened = open_login(RING, value, "radius:hq:", "ada", "1", NOW_MS + 1_000)
    assert opened is not None
    assert (opened.transaction, opened.here) == (LOGIN, True)


@pytest.mark.parametrize("column", ["application", "realm", "directory", "immutable_id", "user_name", "language", "rule"])
def test_a_text_that_would_be_read_back_as_another_login_is_not_sealed(column: str) -> None:
    odd = replace(LOGIN, **{column: "x\0y"})
    assert seal_login(RING, odd, "totp", "radius:hq:", "1") is None


def test_a_floor_that_would_be_read_back_as_two_is_not_sealed() -> None:
    assert seal_login(RING, replace(LOGIN, floors=("a\0b",)), "totp", "radius:hq:", "1") is None


@pytest.mark.parametrize("refusal", ["", "password_expired", "must_change"])
def test_what_a_login_will_come_to_is_carried_and_does_not_show_in_the_length(refusal: str) -> None:
    value = seal_login(RING, replace(LOGIN, refusal=refusal), "totp", "radius:hq:", "1")
    plain = seal_login(RING, LOGIN, "totp", "radius:hq:", "1")
    assert value is not None
    assert plain is not None
    opened = open_login(RING, value, "radius:hq:", "ada", "1", NOW_MS)
    assert opened is not None
    assert (opened.transaction.refusal, len(value)) == (refusal, len(plain))


def test_an_unknown_refusal_and_a_login_by_grace_are_not_sealed() -> None:
    assert seal_login(RING, replace(LOGIN, refusal="other"), "totp", "radius:hq:", "1") is None
    assert seal_login(RING, replace(LOGIN, grace="sealed"), "totp", "radius:hq:", "1") is None
