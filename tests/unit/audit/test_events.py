"""The catalogue of events and their rows."""

import json
import re

from wardgate.audit.events import MAX_PAYLOAD_CHARS, AuditEvent, Kind, commitment, record
from wardgate.audit.incidents import IncidentKind
from wardgate.texts import LANGUAGES, catalogue


def test_kinds_follow_their_grammar_and_are_told_apart() -> None:
    stored = [kind.stored for kind in Kind]
    assert len(set(stored)) == len(stored)
    assert all(re.fullmatch(r"[a-z]+:[a-z]+:[a-z_]+", each) for each in stored)
    assert all(kind.help.endswith(".") for kind in Kind)


def test_an_event_says_who_what_and_when() -> None:
    row = record(AuditEvent(Kind.LOGIN_GRANTED, 5, "engine", "t", "REF", "s", {"user": "ada", "factors": ("password", "totp")})).row
    assert (row["kind"], row["created_at"], row["transaction_id"], row["reference"], row["subject_id"]) == (
        "engine:login:granted",
        5,
        "t",
        "REF",
        "s",
    )
    assert json.loads(str(row["payload"])) == {"actor": "engine", "user": "ada", "factors": ["password", "totp"]}
    assert isinstance(row["salt"], bytes)
    assert row["commitment"] == commitment(row["salt"], str(row["payload"]))


def test_details_cannot_forge_the_chain_columns() -> None:
    """What comes from outside stands in the payload only."""
    row = record(
        AuditEvent(Kind.LOGIN_DENIED, 5, "engine", details={"kind": "x", "seq": 1, "user": '","kind":"engine:login:granted'})
    ).row
    assert row["kind"] == "engine:login:denied"
    assert json.loads(str(row["payload"]))["user"] == '","kind":"engine:login:granted'


def test_a_payload_has_an_end_and_stays_json() -> None:
    row = record(AuditEvent(Kind.LOGIN_DENIED, 5, "engine", details={"user": "ü" * 50_000})).row
    assert len(str(row["payload"])) <= MAX_PAYLOAD_CHARS
    assert json.loads(str(row["payload"]))["actor"] == "engine"


def test_every_incident_has_its_text_and_its_cure_in_every_language() -> None:
    for language in LANGUAGES:
        sentences = catalogue(language)
        for kind in IncidentKind:
            assert f"incident.{kind.value}" in sentences
            assert f"cure.{kind.value}" in sentences
