"""The page about risk says what the code does."""

import re
from dataclasses import fields

from tests.docs.pages import ROOT
from wardgate.risk.networks import MAX_NETWORKS
from wardgate.risk.scoring import BANDS, CONTRIBUTIONS, Circumstances, Known, assess
from wardgate.risk.settings import RiskSettings
from wardgate.risk.sources import MAX_LIST_BYTES

PAGE = (ROOT / "docs" / "risk.md").read_text(encoding="utf-8")
DEFAULTS = RiskSettings()


def rows(heading: str) -> dict[str, str]:
    """The first two columns of the table with this heading."""
    table = PAGE.split(f"| {heading} |")[1].partition("\n\n")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", table, re.MULTILINE))


def test_every_contribution_stands_there_with_its_default_points() -> None:
    told = rows("contribution")
    assert tuple(told) == CONTRIBUTIONS
    points = {each.name: str(getattr(DEFAULTS.points, each.name)) for each in fields(DEFAULTS.points)}
    assert {**points, "reputation": "those of the list"} == told


def test_the_bands_begin_where_the_page_says() -> None:
    told = rows("band")
    assert tuple(told) == BANDS
    assert told == {"safe": "0", **{each.name: str(getattr(DEFAULTS.bands, each.name)) for each in fields(DEFAULTS.bands)}}


def test_the_other_numbers_are_the_defaults() -> None:
    assert f"once {DEFAULTS.hours_after_logins} logins are known" in PAGE
    assert f"{DEFAULTS.failures} or more wrong proofs" in PAGE
    assert f"the newest {DEFAULTS.remembered} of each" in PAGE
    assert f"{MAX_NETWORKS:,} and {MAX_LIST_BYTES // 2**20} MiB" in PAGE


def test_the_timeline_on_the_page_is_one() -> None:
    now = Circumstances("198.51.100.0/24", "kali linux", country="de")
    told = assess(DEFAULTS, now, Known(logins=3, countries=True)).told()
    shown = ", ".join(f"{name}: {value}" for name, value in {**told, "country": "de"}.items())
    assert f"risk assessed ({shown})" in PAGE
