"""The operator guide tells the spans as they are, and every class of data that has one."""

from dataclasses import fields

from tests.docs.pages import ROOT
from wardgate.audit.pseudonyms import COLUMNS, Pseudonyms
from wardgate.audit.retention import LIMITS, RetentionSettings
from wardgate.durations import written_as
from wardgate.janitor import GAP_MS, HELD_MS

GUIDE = (ROOT / "docs" / "operator-guide.md").read_text()
EXPORT = (ROOT / "docs" / "audit-export.md").read_text()
DAY_MS = 86_400_000


def test_the_table_of_spans_is_what_the_code_says() -> None:
    table = GUIDE[GUIDE.index("### How long what is kept") :]
    lines = [line for line in table[: table.index("```")].splitlines() if line.startswith("| `")]
    told = {cells[0].strip("`"): tuple(cells[2:]) for cells in ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)}
    settings = RetentionSettings()
    assert told == {
        each.name: (getattr(settings, each.name), *(written_as(limit) for limit in LIMITS[each.name])) for each in fields(settings)
    }


def test_the_guide_says_when_records_are_held() -> None:
    assert (GAP_MS, HELD_MS) == (3 * DAY_MS, DAY_MS)
    assert "more than three days ago" in GUIDE
    assert "kept for one more day" in GUIDE


def test_the_page_names_every_key_of_a_pseudonymised_line_in_its_order() -> None:
    opening = tuple(Pseudonyms(bytes(32)).opening())
    for columns in (opening, COLUMNS):
        assert ", ".join(f"`{name}`" for name in columns[1:]) in EXPORT
