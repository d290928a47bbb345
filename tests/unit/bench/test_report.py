"""How figures are judged and told: a wrong verdict would be believed."""

from pathlib import Path

import pytest

from bench.load import Result
from bench.report import Bar, Report, Series, as_json, as_markdown, as_text, put_into

TIMES = (1.0, 2.0, 3.0)


def a_slice(logins: int, sessions: int = 64, unanswered: int = 0) -> Result:
    return Result(sessions, 2.0, logins, logins, 0, unanswered, 0, 0, TIMES, TIMES, TIMES, 100.0, 15.0, False)


def a_series(label: str, *logins: int) -> Series:
    return Series(label, "in clear", {64: [a_slice(each) for each in logins]})


@pytest.mark.parametrize(
    ("value", "least", "verdict"),
    [
        (6.0, True, "aim met"),
        (5.9, True, "met"),
        (3.0, True, "met"),
        (2.9, True, "NOT MET"),
        (None, True, "not measured"),
    ],
)
def test_a_bar_where_more_is_better(value: float | None, least: bool, verdict: str) -> None:
    assert Bar("work", value, 3.0, 6.0, "x", least).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(60.0, "aim met"), (60.1, "met"), (100.0, "met"), (100.1, "NOT MET")])
def test_a_bar_where_less_is_better(value: float, verdict: str) -> None:
    assert Bar("work", value, 100.0, 60.0, " us", least=False).verdict == verdict


def test_ratio_is_taken_within_each_round_and_then_the_middle_of_them() -> None:
    # A quiet minute and two busy ones: both sides suffer alike, so the ratio is 2 in each round.
    ours, peer = a_series("Wardgate", 2000, 200, 400), a_series("peer", 1000, 100, 200)
    assert ours.against(peer, 64) == pytest.approx(2.0)
    assert ours.against(peer, 16) is None


def test_a_round_in_which_one_side_let_nobody_in_gives_no_ratio() -> None:
    assert a_series("Wardgate", 200, 100).against(a_series("peer", 100, 0), 64) == pytest.approx(2.0)
    assert a_series("Wardgate", 200).against(a_series("peer", 0), 64) is None


def test_a_login_without_an_answer_makes_the_run_unsound() -> None:
    report = Report("test", {})
    report.add("Wardgate, SQLite", "remembered", a_slice(100))
    assert report.sound
    report.add("a peer", "in clear", a_slice(100, unanswered=1))
    assert report.sound, "a peer's trouble is not ours"
    report.add("Wardgate, SQLite", "remembered", a_slice(100, unanswered=1))
    assert not report.sound


def test_every_form_tells_the_verdict_and_what_is_missing() -> None:
    about = {"cores": 2, "processor": "p", "memory_gib": 1, "python": "3", "load": 0.0, "commit": "c"}
    report = Report("test", dict(about), bars=[Bar("logins", 1.0, 3.0, 6.0, "x", least=True)], missing=["PostgreSQL"])
    report.add("Wardgate, SQLite", "remembered", a_slice(100))
    for told in (as_text(report, []), as_markdown(report, []), str(as_json(report, []))):
        assert "NOT MET" in told
        assert "PostgreSQL" in told
        assert "Wardgate, SQLite" in told


def test_a_document_keeps_everything_but_the_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n<!-- begin radius -->\nold\n<!-- end radius -->\nafter\n")
    put_into(page, "radius", "new")
    put_into(page, "radius", "newer")
    assert page.read_text() == "# Title\n<!-- begin radius -->\n\nnewer\n\n<!-- end radius -->\nafter\n"
    with pytest.raises(ValueError, match="crowd"):
        put_into(page, "crowd", "new")
