"""Filters and pages of the log."""

import pytest

from tests.unit.web.samples import Sample
from wardgate.audit.incidents import IncidentKind
from wardgate.storage.memory import MemoryStorage
from wardgate.web import log_query
from wardgate.web.log_query import Filters, filters_of, read_incidents, read_page, reference_of, row_id_of


async def many(sample: Sample, count: int) -> list[str]:
    """That many requests, every tenth by ada, every fourth refused; references, newest first."""
    operations = [
        sample.request(
            f"{number:08d}",
            count - number,
            "ada" if number % 10 == 0 else f"user{number}",
            "denied" if number % 4 == 0 else "granted",
            "granted",
            (),
            nas="branch" if number % 3 == 0 else "hq",
        )
        for number in range(count)
    ]
    await sample.storage.commit(operations)
    return [f"{number:08d}" for number in reversed(range(count))]


async def walk(sample: Sample, filters: Filters) -> list[str]:
    found: list[str] = []
    before: str | None = None
    for _ in range(100):
        page = await read_page(sample.storage, sample.ring, filters, before)
        found += [entry.reference for entry in page.entries]
        before = page.older
        if before is None:
            return found
    raise AssertionError("the log has no end")


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 200, 201, 400, 437])
async def test_paging_back_shows_every_request_once(count: int) -> None:
    sample = Sample()
    references = await many(sample, count)
    assert await walk(sample, Filters()) == references


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Filters(user="ada"), lambda number: number % 10 == 0),
        (Filters(user=" ADA "), lambda number: number % 10 == 0),
        (Filters(result="denied"), lambda number: number % 4 == 0),
        (Filters(nas="BRANCH"), lambda number: number % 3 == 0),
        (Filters(user="ada", result="denied", nas="branch"), lambda number: number % 60 == 0),
        (Filters(user="nobody"), lambda number: False),
    ],
)
async def test_filters_narrow_down(filters: Filters, kept: object) -> None:
    sample = Sample()
    references = await many(sample, 437)
    expected = [reference for reference in references if kept(int(reference))]  # type: ignore[operator]
    assert await walk(sample, filters) == expected


async def test_filter_that_matches_nothing_reads_a_bounded_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Sample()
    await many(sample, 900)
    monkeypatch.setattr(log_query, "MAX_SCANNED_ROWS", 400)
    read = 0
    find = MemoryStorage.find

    async def counting(self: MemoryStorage, *arguments: object, **options: object) -> object:
        nonlocal read
        rows = await find(self, *arguments, **options)  # type: ignore[arg-type]
        read += len(rows)
        return rows

    monkeypatch.setattr(MemoryStorage, "find", counting)
    page = await read_page(sample.storage, sample.ring, Filters(nas="nowhere"), None)
    assert (page.entries, page.older is not None, read) == ((), True, 400)


async def test_only_the_last_days_incidents_are_shown_latest_first() -> None:
    sample = Sample()
    rows = [sample.incident(IncidentKind.MALFORMED, f"10.0.0.{number}", "", 1, number * 3600 * 24) for number in range(1, 12)]
    await sample.storage.commit(rows)
    shown = await read_incidents(sample.storage, sample.now_ms())
    assert [incident.source for incident in shown] == [f"10.0.0.{number}" for number in range(1, 7)]


@pytest.mark.parametrize("typed", ["7K3M9QXT", "7k3m9qxt", " 7K3M-9QXT ", "WG-7K3M-9QXT", "wg7k3m9qxt"])
def test_reference_is_found_however_it_is_typed(typed: str) -> None:
    assert reference_of(typed) == "7K3M9QXT"


@pytest.mark.parametrize("typed", ["", "7K3M9QX", "7K3M9QXTT", "../../etc", "7K3M 9QXT", "7K3M9QX%", "٧٧٧٧٧٧٧٧"])
def test_what_is_no_reference_is_none(typed: str) -> None:
    assert reference_of(typed) is None


def test_filters_from_an_address_are_cut_and_checked() -> None:
    filters = filters_of({"user": " a" + "x" * 500, "nas": "n" * 500, "result": "'; drop table"})
    assert (len(filters.user), len(filters.nas), filters.result) == (253, 253, "")
    assert filters_of({"result": "denied"}).query(before="a b") == "result=denied&before=a+b"
    assert row_id_of("0123456789abcdef01234567") == "0123456789abcdef01234567"
    assert [row_id_of(text) for text in (None, "", "0" * 23, "G" * 24, "0" * 25)] == [None] * 5


async def test_page_links_lead_on_and_keep_the_filters() -> None:
    sample = Sample()
    await many(sample, 120)
    async with sample.client() as browser:
        first = (await browser.get("/admin/log?nas=hq")).text
        older = first.partition('href="/admin/log?nas=hq&amp;before=')[2].partition('"')[0]
        second = (await browser.get(f"/admin/log?nas=hq&before={older}")).text
    assert len(older) == 24
    assert "Back to the newest" in second
    assert "data-stream" in first
    assert "data-stream" not in second  # an older page is no live page


async def test_looking_for_a_reference_leads_to_its_login() -> None:
    sample = Sample()
    await sample.fill()
    async with sample.client() as browser:
        found = await browser.get("/admin/log?reference=wg-7k3m-9qxt")
        nothing = await browser.get("/admin/log?reference=//evil.test", follow_redirects=True)
        login = await browser.get("/admin/log/7k3m-9qxt")
    assert (found.status_code, found.headers["location"]) == (303, "/admin/log/7K3M9QXT")
    assert nothing.status_code == 404
    assert "No login has this reference" in nothing.text
    assert login.text.count('class="card request"') == 3
