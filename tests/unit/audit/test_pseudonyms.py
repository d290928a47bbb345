"""An export with pseudonyms tells what happened and not to whom, whatever stands in the events."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from tests.unit.audit.exports import BEGIN, Trail
from wardgate.audit.cef import cef_line
from wardgate.audit.events import AuditEvent, Kind, commitment, record
from wardgate.audit.pseudonyms import COLUMNS, PASSED_ON, As, Pseudonyms
from wardgate.clock import to_ms
from wardgate.storage.memory import MemoryStorage

KEY = bytes(range(32))
# Everything by which a person could be told, in every form in which events tell such things.
PERSONAL = (
    "Ada Lovelace",
    "ada",
    "ada@acme.test",
    "a***@acme.test",
    "+905321234567",
    "+90*******67",
    "203.0.113.77",
    "2001:db8:7:8::9",
    "s-ada",
    "olga",
    "adas-laptop",
    "Ada asked me to",
)
FIELDS = sorted({name for told in PASSED_ON.values() for name in told})
THINGS = {name for told in PASSED_ON.values() for name, treatment in told.items() if treatment is As.THING}


def a_row(kind: Kind | str, details: dict[str, Any], **more: Any) -> dict[str, Any]:
    payload = json.dumps({"actor": "cli:olga", **details})
    return {
        "type": "event",
        "writer": "adas-laptop.0",
        "epoch": 1,
        "seq": 7,
        "kind": kind.stored if isinstance(kind, Kind) else kind,
        "created_at": to_ms(BEGIN),
        "transaction_id": "t-of-ada",
        "reference": "7H2K9QXA",
        "subject_id": "s-ada",
        "payload": payload,
        "salt": "ab" * 16,
        "commitment": commitment(bytes.fromhex("ab" * 16), payload).hex(),
        "link": "cd" * 32,
        **more,
    }


def told(row: dict[str, Any], pseudonyms: Pseudonyms | None = None) -> dict[str, Any]:
    event = (pseudonyms or Pseudonyms(KEY)).event(row)
    return {**event, "payload": json.loads(event["payload"])}


def leaks(text: str, value: str) -> bool:
    """Whether a value stands in a text; a short one as a word of its own, for hexadecimal text holds it by chance."""
    return value.casefold() in text.casefold() if len(value) > 4 else f'"{value}"' in text or f":{value}" in text


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.stored)
def test_nothing_personal_is_told_by_any_kind_in_any_field(kind: Kind) -> None:
    # A field of ours that tells a word, a count or the name of something configured is told as it is, if it has that shape.
    words = {name for name, each in PASSED_ON.get(kind, {}).items() if each in (As.WORD, As.WORDS, As.COUNTS)}
    unfit = [each for each in PERSONAL if not (each.isalpha() and each.islower())]
    for value in PERSONAL:
        for shape in (value, [value], {value: value}, {value: 1}):
            details = {
                name: shape
                for name in (*FIELDS, "a_field_of_a_later_release", "cut", "names")
                if name not in THINGS and not (name in words and value not in unfit)
            }
            row = a_row(kind, details)
            for text in (json.dumps(Pseudonyms(KEY, False).event(row)), cef_line(Pseudonyms(KEY).event(row), "0.1.0")):
                assert [each for each in PERSONAL if leaks(text, each)] == []


async def test_nothing_personal_of_a_trail_is_in_its_export() -> None:
    trail = Trail(MemoryStorage())
    await trail.write(0, "adas-laptop.0")
    login = {"user": "ada", "application": "vpn", "door": "radius", "nas": "hq", "source": "10.9.8.7", "client": "203.0.113.77"}
    about = {"directory": "local", "user": "ada", "user_id": "u-4711"}
    at_ms = to_ms(BEGIN)
    for event in (
        AuditEvent(Kind.LOGIN_DENIED, at_ms, "engine", "t1", "7H2K9QXA", "s-ada", {**login, "reason": "wrong_password"}),
        AuditEvent(Kind.LOGIN_GRANTED, at_ms, "engine", "t1", "7H2K9QXA", "s-ada", {**login, "factors": ["password", "totp"]}),
        AuditEvent(Kind.USER_ADDED, at_ms, "cli:olga", details=about),
        AuditEvent(
            Kind.CONTACT_ADDED, at_ms, "cli:olga", None, None, "s-ada", {**about, "contact": "phone", "value": "+90*******67"}
        ),
        AuditEvent(
            Kind.CONFIGURATION_APPLIED, at_ms, "cli:olga", details={"reason": "Ada asked me to", "added": ["nas adas-laptop"]}
        ),
        AuditEvent(Kind.PAYLOADS_ERASED, at_ms, "cli:olga", None, None, "s-ada", {"reason": "request 4711", "events": 1}),
    ):
        await trail.storage.commit([record(event)])
    await trail.sign()
    pseudonyms = Pseudonyms(KEY)
    rows = [json.loads(line) for line in await trail.export()]
    text = "\n".join(json.dumps(pseudonyms.event(row)) for row in rows if row["type"] == "event")
    for value in (*PERSONAL, "10.9.8.7", "u-4711", "7H2K9QXA", "request 4711", '"t1"'):
        assert not leaks(text, value), value
    for row in rows:
        for name in ("salt", "commitment", "link", "signature"):
            assert row.get(name) is None or row[name] not in text
    assert "wrong_password" in text
    assert "totp" in text


def test_one_person_keeps_one_pseudonym_under_one_key_and_has_another_under_another() -> None:
    row = a_row(Kind.LOGIN_DENIED, {"user": "ada"})
    other = a_row(Kind.LOGIN_GRANTED, {"user": "ADA"}, seq=9)
    bob = a_row(Kind.LOGIN_GRANTED, {"user": "bob"}, subject_id="s-bob")
    assert told(row)["subject_id"] == told(other)["subject_id"] != told(bob)["subject_id"]
    assert told(row)["payload"]["user"] == told(other)["payload"]["user"] != told(bob)["payload"]["user"]
    elsewhere = told(row, Pseudonyms(bytes(32)))
    assert elsewhere["subject_id"] != told(row)["subject_id"]
    assert Pseudonyms(KEY).key_id == Pseudonyms(KEY, True).key_id != Pseudonyms(bytes(32)).key_id


def test_an_event_keeps_its_place_and_what_happened() -> None:
    details = {
        "user": "ada",
        "application": "vpn",
        "door": "radius",
        "reason": "wrong_password",
        "factors": ["totp"],
        "grace": True,
    }
    event = told(a_row(Kind.LOGIN_DENIED, details))
    assert tuple(event) == COLUMNS
    assert (event["epoch"], event["seq"], event["created_at"], event["kind"]) == (1, 7, to_ms(BEGIN), Kind.LOGIN_DENIED.stored)
    kept = {name: value for name, value in event["payload"].items() if name not in ("user", "actor")}
    assert kept == {name: value for name, value in details.items() if name != "user"}
    assert told(a_row(Kind.LOGIN_DENIED, {"actor": "engine"}))["payload"]["actor"] == "engine"


def test_an_erased_payload_stays_erased() -> None:
    assert Pseudonyms(KEY).event(a_row(Kind.LOGIN_DENIED, {}, payload=None))["payload"] is None


# --- attacks ---------------------------------------------------------------------------------------------------------


def test_a_guessed_name_cannot_be_confirmed_by_its_commitment() -> None:
    """With salt and commitment, whoever guesses the payload knows that he is right."""
    row = a_row(Kind.LOGIN_DENIED, {"user": "ada"})
    text = json.dumps(Pseudonyms(KEY).event(row))
    guessed = commitment(bytes.fromhex(row["salt"]), row["payload"]).hex()
    assert guessed == row["commitment"]
    assert row["commitment"] not in text
    assert row["salt"] not in text
    assert row["link"] not in text


@pytest.mark.parametrize("secret", [b"", bytes(32), b"wardgate-audit-pseudonyms-1"])
def test_a_guessed_name_cannot_be_confirmed_by_its_pseudonym_without_the_key(secret: bytes) -> None:
    pseudonym = told(a_row(Kind.LOGIN_DENIED, {"user": "ada"}))["payload"]["user"].removeprefix("user-")
    for message in (b"ada", b"user\0ada", b"user-ada"):
        assert not hmac.digest(secret, message, "sha256").hex().startswith(pseudonym)
        assert not hashlib.sha256(secret + message).hexdigest().startswith(pseudonym)


def test_a_name_that_is_also_an_id_or_an_address_has_no_pseudonym_that_tells_so() -> None:
    event = told(a_row(Kind.LOGIN_DENIED, {"user": "ada", "client": "ada", "source": "ada"}, subject_id="ada"))
    tails = {event["subject_id"], event["payload"]["user"], event["payload"]["client"]}
    assert len({each.partition("-")[2] for each in tails}) == 3


def test_a_short_key_that_could_be_tried_out_is_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        Pseudonyms(b"short")


def test_a_payload_that_somebody_spoilt_tells_nothing() -> None:
    assert told(a_row(Kind.LOGIN_DENIED, {}, payload='["ada"]'))["payload"] == {}
    assert told(a_row(Kind.LOGIN_DENIED, {}, payload="ada"))["payload"] == {}
    assert told(a_row("of:a:later_release", {"user": "ada"}))["payload"].keys() == {"actor"}


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:7:8::9", "2001:db8:7::/48"),
        ("fe80::1%eth0", "fe80::/48"),
    ],
)
def test_the_network_of_an_address_is_told_only_if_wanted(address: str, network: str) -> None:
    row = a_row(Kind.LOGIN_DENIED, {"client": address})
    plain, kept = told(row)["payload"]["client"], told(row, Pseudonyms(KEY, True))["payload"]["client"]
    assert plain.startswith("address-")
    assert kept == f"{plain}@{network}"


@pytest.mark.parametrize("written", ["00-11-22-33-44-55", "+905321234567", "ada's phone"])
def test_a_calling_station_that_is_no_address_shows_no_network_and_not_itself(written: str) -> None:
    value = told(a_row(Kind.LOGIN_DENIED, {"client": written}), Pseudonyms(KEY, True))["payload"]["client"]
    assert value.startswith("address-")
    assert "@" not in value
