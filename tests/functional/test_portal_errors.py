"""The pages of errors in a real Chromium, one for each status that people can come to, each examined like every other page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, Route

from tests.flows.saml_world import SamlWorld, a_party, by_redirect
from tests.functional.acceptance import FOURTH, ONE, Look, shows
from tests.functional.chromium import Loop
from tests.functional.portal_site import Guest, Site, Visit, Visitor
from wardgate.errors import StorageUnavailable
from wardgate.federation import stored_requests
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Storage

pytestmark = pytest.mark.neighbour("chromium")

TOO_MUCH = "username=" + "x" * 20_000
TWICE = "username=ada&username=bob"


class Failing:
    """A storage that can be made to fail with something."""

    def __init__(self, inner: Storage) -> None:
        self._inner = inner
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        if self.error is not None:
            raise self.error
        return getattr(self._inner, name)


@pytest.fixture
def storage() -> Failing:
    """Where the portal keeps everything."""
    return Failing(MemoryStorage())


@pytest.fixture
def site(loop: Loop, tmp_path: Path, storage: Failing) -> Iterator[Site]:
    """A portal that is known by one name, and that an application trusts."""
    hosts = frozenset({"localhost"})
    one = Site(loop, tmp_path, SamlWorld(storage=cast(Storage, storage), hosts=hosts, parties=(a_party("wiki"),)))
    yield one
    storage.error = None
    one.close()


def is_shown(person: Guest, status: int) -> None:
    """The page of this status is open, and in order."""
    person.sees(f"error-{status}", person.t(f"page.error_{status}"), status=status, error=True)


def sends(person: Visitor, body: str) -> None:
    """Send the sign-in form as no page of ours does."""

    def changed(route: Route) -> None:
        if route.request.method == "POST":
            route.continue_(post_data=body)
        else:
            route.continue_()

    person.open("/sign-in")
    person.page.route("**/sign-in", changed)
    person.field("sign.user_name").fill("ada")
    person.field("sign.password").fill("wrong password")
    person.press("sign.in")
    person.page.unroute("**/sign-in")


@shows("A17", FOURTH)
def test_whatever_cannot_be_done_has_a_page(site: Site, visit: Visit) -> None:
    one = visit()
    sends(one, TWICE)
    is_shown(one, 400)
    one.open("/nowhere")
    is_shown(one, 404)
    one.open("/account/stay")
    is_shown(one, 405)
    one.open(f"/step/{'A' * 22}")
    is_shown(one, 410)
    sends(one, TOO_MUCH)
    is_shown(one, 413)


class Numbered:
    """The same server by a number, which it does not answer to."""

    def __init__(self, site: Site) -> None:
        self.origin = site.origin.replace("localhost", "127.0.0.1")


@shows("A17", ONE)
def test_name_brake_failure_and_neighbour_have_a_page(
    browser: Browser, site: Site, visit: Visit, look: Look, storage: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Guest(browser, Numbered(site), look)
    lost.open("/sign-in")
    is_shown(lost, 421)
    lost.close()
    one = visit()
    with monkeypatch.context() as patched:
        patched.setattr(stored_requests, "MAX_OPEN_OF_SOURCE", 0)
        assert isinstance(site.world, SamlWorld)
        one.open(by_redirect(site.world.request("wiki", Destination=f"{site.origin}/saml/sso")))
        is_shown(one, 429)
    for status, error in ((500, RuntimeError("a fault of ours")), (503, StorageUnavailable("the database does not answer"))):
        one = visit()
        one.open("/sign-in")
        one.field("sign.user_name").fill("ada")
        one.field("sign.password").fill("wrong password")
        storage.error = error
        one.press("sign.in")
        is_shown(one, status)
        storage.error = None
