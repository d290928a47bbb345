"""What functional tests share: a demo and a configured installation for the whole run, a Chromium, a portal and visitors."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.functional.acceptance import Look, note, passed
from tests.functional.chromium import Loop, chromium
from tests.functional.harness import Served, ended, make_installation, serve, serve_demo
from tests.functional.plant import USERS, document
from tests.functional.portal_site import Site, Visit, Visitor
from tests.functional.sms_service import SmsService
from tests.functional.ticket_place import Place, ticket_place


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A run with every look goes on where it was interrupted."""
    before = passed()
    if gone := [item for item in items if item.nodeid in before]:
        items[:] = [item for item in items if item.nodeid not in before]
        config.hook.pytest_deselected(items=gone)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what has passed, where that is wanted."""
    if report.when == "call" and report.passed:
        note(report.nodeid)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo, as `wardgate demo --json` starts it."""
    with ended(serve_demo(tmp_path_factory.mktemp("demo") / "data", "--fresh")) as served:
        yield served
        served.stop()


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An installation with a NAS for every mode; see `plant.document`."""
    data = tmp_path_factory.mktemp("plant") / "data"
    make_installation(data, document(), USERS.csv())
    with ended(serve(data)) as served:
        yield served
        served.stop()


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An installation that takes Kerberos tickets of the real domain."""
    with ticket_place(tmp_path_factory.mktemp("kerberos")) as one:
        yield one


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmsService]:
    """A gateway's service that takes text messages."""
    service = SmsService(tmp_path_factory.mktemp("sms"))
    yield service
    service.stop()


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    """Where a server runs while the test drives a browser."""
    one = Loop()
    yield one
    one.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium."""
    with chromium() as one:
        yield one


@pytest.fixture
def site(loop: Loop, tmp_path: Path) -> Iterator[Site]:
    """A portal over the small world of the flow tests."""
    one = Site(loop, tmp_path)
    yield one
    one.close()


@pytest.fixture
def visit(browser: Browser, site: Site, look: Look) -> Iterator[Visit]:
    """Makes visitors of that portal, with the look of the test."""
    made: list[Visitor] = []

    def one() -> Visitor:
        made.append(Visitor(browser, site, look))
        return made[-1]

    yield one
    for each in made:
        each.close()
