"""`wardgate audit search`: what it finds, and how it tells times and ends."""

import json
import time

import pytest

from wardgate.cli import audit_search

from .conftest import Cli


def test_events_are_found_by_user_kind_and_words(cli: Cli) -> None:
    cli("user", "add", "ada", "--no-password")
    cli("user", "add", "bob", "--no-password")
    told = cli("audit", "search", "--user", "ADA", "--json").json("audit-search")
    assert [event["payload"]["user"] for event in told["events"]] == ["ada"]
    assert told["cursor"] is None
    kinds = cli("audit", "search", "--kind", "directory:user", "--text", "BOB", "--json").json("audit-search")
    assert [event["payload"]["user"] for event in kinds["events"]] == ["bob"]
    shown = cli("audit", "search", "--user", "bob")
    assert "directory:user:added" in shown.out
    assert cli("audit", "search", "--user", "nobody").out == "Nothing was found.\n"


def test_a_search_goes_on_at_its_cursor(alone: Cli) -> None:
    for name in ("ada", "bob", "eve"):
        alone("user", "add", name, "--no-password")
    seen, more = [], []
    for _ in range(20):
        told = alone("audit", "search", "--limit", "1", "--json", *more).json("audit-search")
        seen += [(event["epoch"], event["seq"]) for event in told["events"]]
        if told["cursor"] is None:
            break
        more = ["--cursor", told["cursor"]]
    assert len(seen) == len(set(seen)) >= 4
    assert "--cursor" in alone("audit", "search", "--limit", "1").err


def test_a_search_that_looked_at_enough_says_how_to_go_on(alone: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    alone("user", "add", "ada", "--no-password")
    alone("user", "add", "bob", "--no-password")
    monkeypatch.setattr(audit_search, "MAX_SCANNED", 0)
    shown = alone("audit", "search", "--limit", "1")
    assert shown.err.startswith("Looked through 1 events, back to ")


def test_times_are_shown_and_read_in_the_operators_zone(alone: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Etc/GMT-3")
    time.tzset()
    try:
        alone("user", "add", "ada", "--no-password")
        shown = alone("audit", "search", "--user", "ada").out
        assert " +0300  directory:user:added" in shown
        assert audit_search.moment("2026-11-22T08:00") == "2026-11-22T08:00:00+03:00"
        when = shown.splitlines()[1][:19]
        year = int(when[:4])
        assert alone("audit", "search", "--user", "ada", "--from", when).out == shown
        assert alone("audit", "search", "--user", "ada", "--to", f"{year - 1}{when[4:]}").out == "Nothing was found.\n"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("arguments", [("--from", "noon"), ("--to", "4711x"), ("--cursor", "???"), ("--cursor", "W1siYSJdXQ")])
def test_what_cannot_be_understood_is_refused(alone: Cli, arguments: tuple[str, str]) -> None:
    assert alone("audit", "search", *arguments).code == 2


def test_a_user_name_writes_no_line_of_its_own_into_the_table(alone: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    event = {
        "created_at": "2026-11-22T08:00:00+00:00",
        "kind": "engine:login:denied",
        "reference": None,
        "erased": False,
        "payload": {"user": "eve\n2026-11-22 engine:login:granted ada\x1b[2J"},
    }
    result = {"events": [event], "scanned": 1, "reached": None, "cursor": None}
    monkeypatch.setattr(audit_search, "search", lambda *asked: json.loads(json.dumps(result)))
    shown = alone("audit", "search").out
    assert len(shown.splitlines()) == 2
    assert "\x1b" not in shown
