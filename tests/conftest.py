"""Shared by all tests: neighbours that are missing, and the order in which workers take the files.

Neighbours are declared in tests/neighbours.py.
"""

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests import neighbours

# Real sockets, real clocks, real programs: one at a time, after everything else, so that they have the machine to themselves.
SERIAL = ("tests/functional/", "tests/hostile/")
# Of these, what starts no server of ours (but the demo, to look at its pages) and measures nothing: a portal in the test's own
# process, whose clock is moved by hand, and directories and gateways that are asked. They wait for browsers and neighbours most of
# the time, and give way to each other and to the rest like every other file.
BESIDE = (
    *("directory_listing", "directory_pages", "sql_directory", "sql_neighbours", "http_sms_gateway", "smtp_gateway", "https"),
    *("pages", "portal", "portal_activation", "portal_asked_first", "portal_brand", "portal_errors", "portal_freeze"),
    *("portal_https", "portal_journeys", "portal_look", "portal_neighbours", "portal_own_contacts", "portal_passkeys"),
    *("portal_preferences", "portal_questions", "portal_renaming", "portal_tokens"),
)
_BESIDE = frozenset(f"tests/functional/test_{name}.py" for name in BESIDE)

# A time limit per example would measure how busy the machine is.
# In CI the examples are the same each time, so that a failure can be repeated.
settings.register_profile("wardgate", deadline=None, derandomize=neighbours.required(os.environ))
settings.load_profile("wardgate")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose neighbour is missing, or fail it where neighbours are required."""
    for reason in _reasons(item):
        if neighbours.required(os.environ):
            pytest.fail(f"a neighbour is required and missing: {reason}", pytrace=False)
        pytest.skip(reason)


def _reasons(item: pytest.Item) -> Iterator[str]:
    for mark in item.iter_markers("neighbour"):
        for name in mark.args:
            if name not in neighbours.NEIGHBOURS:
                pytest.fail(f"tests/neighbours.py knows no neighbour {name!r}", pytrace=False)
            if reason := neighbours.why_missing(neighbours.NEIGHBOURS[name]):
                yield reason


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip of a test with a neighbour into a failure where neighbours are required, whoever skipped it."""
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and item.get_closest_marker("neighbour") and neighbours.required(os.environ):
        report.outcome = "failed"
        report.longrepr = f"skipped where its neighbour is required: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a file that skips itself as a whole: no mark can be read in it, so none may."""
    report = yield
    if report.skipped and neighbours.required(os.environ):
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped itself where neighbours are required: {report.longrepr}"
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move what is serial to the end; within it and before it the order stays."""
    items.sort(key=lambda item: is_serial(item.nodeid))


def is_serial(nodeid: str) -> bool:
    """Whether a test has to have the machine to itself."""
    return nodeid.startswith(SERIAL) and nodeid.split("::", 1)[0] not in _BESIDE


class _FilesThenSerial(LoadScopeScheduling):  # type: ignore[misc]
    """Deal out whole files, and everything serial as one last piece of work."""

    def _split_scope(self, nodeid: str) -> str:
        return "serial" if is_serial(nodeid) else nodeid.split("::", 1)[0]


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """With `-n`, use the order above."""
    config.option.loadscopereorder = False  # xdist deals out the longest piece first, which would be the serial one
    return _FilesThenSerial(config, log)
