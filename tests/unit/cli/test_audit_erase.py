"""`wardgate audit erase`: what is told afterwards by search, verify and export."""

import json
import sqlite3
from pathlib import Path

from .conftest import Cli


def test_what_is_erased_is_told_by_search_verify_and_export(cli: Cli, tmp_path: Path) -> None:
    cli("user", "add", "zoe", "--no-password")
    cli("user", "add", "bob", "--no-password")
    told = cli("audit", "erase", "--user", "zoe", "--reason", "request 4711", "--json").json("audit-erase")
    assert told["erased"] == 1
    assert "(erased)" in cli("audit", "search").out
    assert [event["kind"] for event in cli("audit", "search", "--text", "4711", "--json").json("audit-search")["events"]] == [
        "account:person:erased",
        "audit:payload:erased",
    ]
    verified = cli("audit", "verify", "--json")
    assert (verified.code, verified.json("audit-verify")["erased"]) == (0, 1)
    exported = tmp_path / "audit.jsonl"
    cli("audit", "export", "--output", str(exported))
    # Letters that no hexadecimal text holds by chance.
    assert "zoe" not in exported.read_text()
    rows = [json.loads(line) for line in exported.read_text().splitlines()]
    assert sum(row["type"] == "event" and row["payload"] is None for row in rows) == 1
    checked = cli("audit", "verify", str(exported), "--with-keys")
    assert checked.code == 0
    assert "1 of them erased" in checked.out


def test_a_reason_that_names_the_person_or_none_is_refused(alone: Cli) -> None:
    assert alone("audit", "erase", "--user", "ada", "--reason", "Ada asked for it").code == 2
    assert alone("audit", "erase", "--user", "ada", "--reason", " ").code == 2
    assert alone("audit", "erase", "--reason", "request 4711").code == 2


def test_a_payload_erased_in_the_database_itself_is_a_finding(alone: Cli) -> None:
    alone("user", "add", "ada", "--no-password")
    [database] = alone.data.glob("*.db")
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("update audit_event set payload = null, salt = null where kind = 'directory:user:added'")
    connection.close()
    verified = alone("audit", "verify")
    assert verified.code == 1
    assert "1 payloads were erased by no erasure that is on record" in verified.out


def test_everything_of_a_person_who_still_has_an_account_is_refused_and_of_one_who_has_none_erased(cli: Cli) -> None:
    cli("user", "add", "zoe", "--mail", "zoe@acme.test", "--no-password")
    cli("authenticator", "add", "zoe", "recovery")
    subject = cli("subject", "show", "zoe", "--json").json("subject-show")["subject_id"]
    here = ("audit", "erase", "--user", "zoe", "--everything", "--reason", "request 4711")
    refused = cli(*here)
    assert refused.code == 4
    assert "wardgate user remove" in refused.err
    assert "(erased)" not in cli("audit", "search").out
    cli("user", "remove", "zoe")
    assert cli(*here).code == 2
    told = cli(*here, "--subject", subject, "--json").json("audit-erase")
    assert told["subjects"] == [subject]
    assert "zoe" not in cli("audit", "search", "--json").out
    assert cli("audit", "verify").code == 0
