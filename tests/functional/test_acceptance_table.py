"""The acceptance table itself: every row is shown, its usual looks meet each other, and what is left out says why."""

from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import combinations
from pathlib import Path

from tests.functional.acceptance import DIRECTORIES, ROWS, TABLE, Cell, Journey

# Every two values of size, scheme, language and script.
PAIRS = 24
ALL_LOOKS = 16
# In so many rows at least stand any two values beside each other.
ROWS_PER_PAIR = 14


def journeys() -> Iterator[tuple[str, list[Journey]]]:
    """Each row and what shows it."""
    for path in Path(__file__).parent.glob("test_*.py"):
        if "tests.functional.acceptance" in path.read_text(encoding="utf-8") and path.stem != "test_acceptance_table":
            import_module(f"tests.functional.{path.stem}")
    for row in ROWS:
        yield row, [each for each in TABLE.journeys.values() if each.row == row]


def pairs(cells: Iterable[Cell]) -> Counter[frozenset[tuple[str, str]]]:
    """How often two values stand beside each other."""
    return Counter(frozenset(two) for cell in cells for two in combinations(cell.look.values().items(), 2))


def test_page_that_tells_of_the_table_has_its_rows() -> None:
    page = (Path(__file__).parents[2] / "docs" / "portal" / "testing.md").read_text(encoding="utf-8")
    for row, told in ROWS.items():
        directories = f"none decides here: {told.because}" if told.because else "all three"
        assert f"| {row} | {told.title} | {directories} |" in page, row


def test_every_row_is_shown_on_every_directory_that_decides_something_in_it() -> None:
    for row, shown in journeys():
        directories = {cell.directory for each in shown for cell in each.usual}
        assert directories == set(ROWS[row].directories), row
        assert ROWS[row].directories == DIRECTORIES or ROWS[row].because, row


def test_usual_run_puts_every_two_values_beside_each_other_in_nearly_every_row() -> None:
    rows: Counter[frozenset[tuple[str, str]]] = Counter()
    for row, shown in journeys():
        met = pairs(cell for each in shown for cell in each.usual)
        rows.update(met.keys())
        free = [each for each in shown if each.only is None]
        assert len(free) < 3 or len(met) == PAIRS, (row, len(met))
    assert len(rows) == PAIRS
    assert min(rows.values()) >= ROWS_PER_PAIR, sorted((count, sorted(map(str, two))) for two, count in rows.items())


def test_every_journey_is_made_with_every_look_or_says_why_not() -> None:
    for row, shown in journeys():
        for each in shown:
            by_directory = Counter(cell.directory for cell in set(each.every))
            looks = ALL_LOOKS if each.only is None else ALL_LOOKS // 2
            assert set(by_directory.values()) == {looks}, (row, each.name)
            assert each.only is None or each.only.because, each.name
            assert {cell.values()["directory"] for cell in each.usual} == set(by_directory), each.name
