"""`wardgate lock ...` and `wardgate gateway costs`, against the published schemas."""

from .conftest import Cli


def test_where_nobody_waits_the_list_is_empty(cli: Cli) -> None:
    assert cli("lock", "list", "--json").json("lock-list") == {"locks": [], "more": False}
    assert cli("lock", "list").out.split() == ["brake", "held", "since", "until", "failures", "level"]


def test_lifting_tells_how_many(cli: Cli) -> None:
    assert cli("user", "add", "ada", "--no-password").code == 0
    assert cli("lock", "clear", "ada", "--reason", "ticket 1", "--json").json("lock-clear") == {"lifted": 0, "what": "ada"}
    assert cli("lock", "clear", "--source", "203.0.113.7").out == "Waits lifted for 203.0.113.7: 0.\n"
    assert cli("lock", "clear", "--all", "--yes").code == 0


def test_all_is_not_lifted_unasked(cli: Cli) -> None:
    ran = cli("lock", "clear", "--all")
    assert (ran.code, "--yes" in ran.err) == (2, True)


def test_what_cannot_be_meant(cli: Cli) -> None:
    assert cli("lock", "clear").code == 2
    assert cli("lock", "clear", "ada", "--nas", "hq").code == 2
    assert cli("lock", "clear", "--nas", "nowhere").code == 1
    assert cli("lock", "clear", "--source", "the office").code == 2


def test_costs_of_nothing_are_nothing(cli: Cli) -> None:
    told = cli("gateway", "costs", "--from", "2026-11-01", "--to", "2026-11-30", "--json").json("gateway-costs")
    assert (told["days"], told["totals"], told["from"], told["to"]) == ([], [], "2026-11-01", "2026-11-30")
    assert "sms_per_source_per_hour: 300" in cli("gateway", "costs").out
    assert cli("gateway", "costs", "--from", "soon").code == 2
