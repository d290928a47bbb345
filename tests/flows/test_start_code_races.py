"""Start codes on the page of a short link, while something else happens to the activation or to the link."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flows.test_fold import Between
from tests.flows.test_short_links import APP_OR_PASSKEY, LinkWorld, issue_start_code, link_in
from tests.flows.world import BACKENDS, NAS, a_storage
from wardgate.account import activation, short_link
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.directory.port import DirectoryUser
from wardgate.texts import Text

MINE, OTHERS = b"this browser", b"another browser"
WRONG = "0000-0000-00000"


@pytest.fixture(params=BACKENDS)
async def between(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Between]:
    """A storage in which something else can happen."""
    async with a_storage(request.param, tmp_path) as storage:
        yield Between(storage)


@pytest.fixture
async def world(between: Between) -> LinkWorld:
    """A world over it."""
    world = LinkWorld(storage=between)
    world.use_policy(APP_OR_PASSKEY)
    return world


async def a_link(world: LinkWorld, client: str) -> bytes:
    """The fingerprint of the link that a login of dora from this address shows."""
    asked = await world.challenged("dora", origin=replace(NAS, client=client))
    return short_link.mac_of(world.ring, link_in(asked).removeprefix("/approve/")) or b""


async def begin(world: LinkWorld, mac: bytes, code: str, browser: bytes = MINE) -> Text | None:
    """Press the page's button."""
    return await world.engine.approvals.begin(mac, browser, code, Trail(world.clock, "portal"))


async def dora(world: LinkWorld) -> tuple[DirectoryUser, str]:
    user = await world.person("dora", phone=None, mail=None)
    return user, await issue_start_code(world, user)


async def binders(world: LinkWorld) -> list[object]:
    return [row["browser_mac"] for row in await world.rows("short_link")]


async def test_a_right_start_code_beside_wrong_ones_on_another_link_is_one_guess_too_many(
    world: LinkWorld, between: Between
) -> None:
    """Whoever knows the password begins many logins, and guesses on all of their pages at once, before any guess is counted."""
    _, code = await dora(world)
    first, second = await a_link(world, "203.0.113.7"), await a_link(world, "203.0.113.8")
    between.before(1, lambda: begin(world, second, WRONG))
    told = await begin(world, first, code)
    assert told == await begin(world, second, WRONG), "a guesser is not told that this one was right"
    assert await binders(world) == [None, None]


async def cancelled(world: LinkWorld, user: DirectoryUser) -> None:
    subject = await world.subject_of(user)
    issued = activation.read_one(*await world.storage.read([activation.of_subject(subject)]))
    assert issued is not None
    await world.storage.commit([activation.cancel(issued, to_ms(world.clock.now()))])


@pytest.mark.parametrize("happens", [cancelled, issue_start_code])
async def test_a_start_code_that_is_taken_back_meanwhile_opens_nothing(
    world: LinkWorld, between: Between, happens: Callable[[LinkWorld, DirectoryUser], Awaitable[object]]
) -> None:
    user, code = await dora(world)
    mac = await a_link(world, "203.0.113.7")
    between.before(1, lambda: happens(world, user))
    told = await begin(world, mac, code)
    assert told is not None
    assert told.id == "approve.start_code_wrong"
    assert await binders(world) == [None]


async def test_a_right_start_code_beside_a_wrong_one_on_the_same_link_tells_nothing(world: LinkWorld, between: Between) -> None:
    _, code = await dora(world)
    mac = await a_link(world, "203.0.113.7")
    between.before(1, lambda: begin(world, mac, WRONG, OTHERS))
    told = await begin(world, mac, code)
    assert told is not None
    assert told.id == "approve.start_code_wrong"
    assert await begin(world, mac, code) is None, "the second try of the owner opens it"


async def test_a_button_that_is_pressed_twice_opens_the_page_once_for_one_browser(world: LinkWorld, between: Between) -> None:
    _, code = await dora(world)
    mac = await a_link(world, "203.0.113.7")
    between.before(1, lambda: begin(world, mac, code))
    assert await begin(world, mac, code) is None
    late = await begin(world, mac, code, OTHERS)
    assert late is not None
    assert late.id == "approve.other_browser"
