"""After a new password: the one of before, which some directories still take, and answers that were lost; and the attacks."""

import asyncio
import json
import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.flows.portal_world import BrowserOfTests, PortalWorld
from tests.flows.test_portal_actions import right
from tests.flows.test_portal_recovery import NEW, newest_code, reset_with_app_and_text_message
from tests.flows.world import BACKENDS, START, a_storage, reason
from wardgate.audit.timeline import by_reference
from wardgate.clock import FixedClock
from wardgate.crypto import Secret
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import DirectoryUser
from wardgate.engine.outcome import Challenge
from wardgate.engine.password_writes import GIVEN_UP_MS, TABLE, PasswordWrites
from wardgate.engine.reconciling import UNSET_AFTER_MS, Reconciling
from wardgate.engine.runtime import Application, EngineConfiguration, EngineParts
from wardgate.engine.settings import ApplicationSettings
from wardgate.engine.wording import Whom
from wardgate.errors import DirectoryUnavailable
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Row, Storage, Value

OLD = "correct horse"
AN_HOUR_S = 3900.0


@dataclass
class LingeringWorld(PortalWorld):
    """Whose directory takes the password of before for 65 minutes, as Active Directory does; with a VPN beside the portal."""

    clock: FixedClock = field(default_factory=lambda: FixedClock(START))
    takes_old_s: float = AN_HOUR_S
    tells_dates: bool = True

    def __post_init__(self) -> None:
        clock = self.clock if self.tells_dates else None
        self.directory = MemoryDirectory("local", clock=clock, old_password_s=self.takes_old_s, remembering=True)
        super().__post_init__()

    def configuration(self) -> EngineConfiguration:
        """The configuration in force."""
        told = super().configuration()
        vpn = Application(ApplicationSettings(name="vpn"), self.policy)
        return replace(told, applications={**told.applications, "vpn": vpn})

    def parts(self) -> EngineParts:
        """What a worker's job is given."""
        return EngineParts(self.storage, self.clock, lambda: self.ring, self.configuration, keep_messages=True)


async def a_world(storage: Storage | None = None, **options: object) -> tuple[LingeringWorld, DirectoryUser]:
    world = LingeringWorld(storage=storage or MemoryStorage(), **options)  # type: ignore[arg-type]
    changed_at = START - timedelta(days=30) if world.tells_dates else None
    user = await world.person("ada", phone="+905321234567", mail="ada@acme.test", password_changed_at=changed_at)
    await world.give_totp(user)
    return world, user


async def marks(world: LingeringWorld) -> list[Row]:
    return await world.storage.find(TABLE)


# --- the password of before ------------------------------------------------------------------------------------------


async def test_old_password_that_the_directory_still_takes_opens_no_door_after_a_reset() -> None:
    world, user = await a_world()
    await reset_with_app_and_text_message(world)
    assert await right(world, user, OLD), "the directory itself goes on taking it"
    assert reason(await world.begin("ada", OLD)) == "password_wrong"
    async with world.browser() as browser:
        page = await browser.sign_in("ada", OLD)
        assert page.status_code == 422
        world.later(30)
        await browser.sign_in("ada", NEW)
        await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"
        world.later(301)
        await browser.get("/account/password")
        assert browser.path == "/confirm"
        page = await browser.post("/confirm?then=/account/password", password=OLD)
        assert page.status_code == 422
    assert isinstance(await world.begin("ada", NEW), Challenge)
    world.later(AN_HOUR_S)
    assert reason(await world.begin("ada", OLD)) == "password_wrong"


async def test_old_password_that_was_remembered_a_moment_ago_opens_no_door_after_a_reset() -> None:
    world, _ = await a_world()
    await world.challenged("ada", OLD)
    await reset_with_app_and_text_message(world)
    with pytest.MonkeyPatch.context() as patch:
        # A server that has not heard of the change tells the same version as before.
        patch.setattr(world.directory, "remembers", lambda user, password: password == Secret(OLD))
        assert reason(await world.begin("ada", OLD)) == "password_wrong"


async def test_old_password_opens_no_door_though_the_answer_to_the_new_one_was_lost() -> None:
    world, _ = await a_world()
    await reset_and_lose_the_answer(world, writes=True)
    assert reason(await world.begin("ada", OLD)) == "password_wrong"
    assert isinstance(await world.begin("ada", NEW), Challenge)


async def test_lost_answer_of_a_reset_that_was_not_written_shuts_nobody_out() -> None:
    world, _ = await a_world()
    await reset_and_lose_the_answer(world, writes=False)
    assert isinstance(await world.begin("ada", OLD), Challenge)


@pytest.mark.parametrize("must_change", [False, True])
async def test_password_that_somebody_else_sets_within_the_hour_is_let_in(must_change: bool) -> None:
    world, user = await a_world()
    await reset_with_app_and_text_message(world)
    world.later(60)
    await world.directory.reset_password(user, Secret("set by the help desk"), must_change, 1)
    outcome = await world.begin("ada", "set by the help desk")
    assert isinstance(outcome, Challenge), outcome


async def test_refused_new_password_leaves_the_mark_of_the_one_before() -> None:
    world, user = await a_world()
    await reset_with_app_and_text_message(world)
    writes, directory = PasswordWrites(world.parts()), world.directory
    known = await directory.get(user.immutable_id, 1)
    assert known is not None
    [row] = await marks(world)
    whom = _whom(str(row["subject_id"]))
    await writes.refused(await writes.begin(directory, known, Secret("too short"), whom, "changed", "portal"), directory)
    assert await writes.is_old(directory, known, Secret(OLD))
    assert not await writes.is_old(directory, known, Secret(NEW))


async def test_no_password_is_kept_in_clear() -> None:
    world, _ = await a_world()
    await reset_with_app_and_text_message(world)
    assert NEW not in repr(await marks(world))
    assert OLD not in repr(await marks(world))


async def test_where_the_directory_takes_no_old_password_a_login_reads_nothing_more() -> None:
    world, user = await a_world(takes_old_s=0.0)

    class Untouched(MemoryStorage):
        async def get(self, table: str, key: dict[str, Value] | Row) -> Row | None:
            raise AssertionError(table)

    parts = replace(world.parts(), storage=Untouched())
    assert not await PasswordWrites(parts).is_old(world.directory, user, Secret(OLD))
    assert not await PasswordWrites(parts).is_old(None, user, Secret(OLD))
    await reset_with_app_and_text_message(world)
    [row] = await marks(world)
    assert row["mark"] is None
    assert row["pending"] == ""


def _whom(subject_id: str) -> Whom:
    return Whom(subject_id, "ada", "portal", "", "REF", "en")


# --- answers that were lost ------------------------------------------------------------------------------------------


async def reset_and_lose_the_answer(world: LingeringWorld, *, writes: bool) -> None:
    """The directory does it, or does not, and its answer does not come."""
    async with world.browser() as browser:
        await lose_the_answer(world, browser, writes=writes)


async def lose_the_answer(world: LingeringWorld, browser: BrowserOfTests, *, writes: bool) -> None:
    """The same in a browser that stays open."""

    async def die(user: DirectoryUser, new: Secret, must_change: bool, timeout_s: float) -> None:
        if writes:
            await MemoryDirectory.reset_password(world.directory, user, new, must_change, timeout_s)
        raise DirectoryUnavailable("the connection broke")

    await browser.get("/forgot")
    await browser.post("/forgot", username="ada")
    await browser.post(method="totp", act="choose")
    await browser.post(code=world.totp(), act="answer")
    await browser.post(method="sms", act="choose")
    await browser.post(code=await newest_code(world), act="answer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.directory, "reset_password", die)
        page = await browser.post(new_password=NEW, act="password")
    assert page.status_code == 503
    assert "We cannot tell yet" in page.text


@pytest.mark.parametrize(
    ("writes", "said"), [(True, "Your password was changed after all"), (False, "Your password was not changed")]
)
async def test_page_of_a_lost_answer_tells_what_came_of_it_once_that_is_known(writes: bool, said: str) -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await lose_the_answer(world, browser, writes=writes)
        page = await browser.get(browser.path)
        assert "We cannot tell yet" in page.text
        assert f'href="{browser.path}">Look again' in page.text
        world.later(61 if writes else UNSET_AFTER_MS / 1000)
        assert await Reconciling(world.parts()).run_once() == 1
        page = await browser.get(browser.path)
        assert said in page.text
        assert ('href="/sign-in">Sign in' in page.text) == writes


async def test_account_page_tells_what_came_of_a_lost_answer_to_its_own_person_alone() -> None:
    world, _ = await a_world()
    await world.give_totp(await world.person("eve"))

    async def die(*_: object) -> None:
        raise DirectoryUnavailable("the connection broke")

    async with world.browser() as browser, world.browser() as eves:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        await browser.get("/account/password")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world.directory, "change_password", die)
            page = await browser.post(password=OLD, new_password=NEW)
        assert page.status_code == 503
        [address] = re.findall(r'href="([^"]+)">Look again', page.text.replace("&amp;", "&"))
        assert "We cannot tell yet" in (await browser.get(address)).text
        world.later(UNSET_AFTER_MS / 1000)
        assert await Reconciling(world.parts()).run_once() == 1
        assert "Your password was not changed" in (await browser.get(address)).text
        await eves.sign_in("eve")
        await eves.post(code=world.totp(), act="answer")
        assert "We cannot tell yet" in (await eves.get(address)).text


async def truth(world: LingeringWorld) -> list[tuple[str, str]]:
    """How the timeline of the flow goes on: results and reasons of what was found out."""
    [row] = await world.storage.find("self_service")
    rows = await by_reference(world.storage, str(row["reference"]))
    told = [json.loads(str(each["body"])) for each in rows]
    return [(each["result"], each["reason"]) for each in told if each["reason"].startswith("password_")]


async def told(world: LingeringWorld) -> list[str]:
    """Where a notice of a new password went."""
    return sorted(each.to for each in await world.messages() if "was reset" in each.text or "was changed" in each.text)


async def test_truth_of_a_lost_answer_is_found_out_and_told_once_the_directory_is_back() -> None:
    world, _ = await a_world()
    await reset_and_lose_the_answer(world, writes=True)
    job = Reconciling(world.parts())
    assert await job.run_once() == 0, "the request may still wait for its answer"
    before = len(await world.messages())
    world.directory.behaviour = Behaviour.UNAVAILABLE
    world.later(61)
    assert await job.run_once() == 0
    assert await truth(world) == []
    world.directory.behaviour = Behaviour.ANSWERS
    world.later(61)
    # Another process, after a restart.
    assert await Reconciling(world.parts()).run_once() == 1
    assert await truth(world) == [("granted", "password_found_set")]
    [payload] = await world.payloads("directory:password:set")
    assert payload["how"] == "self_service"
    assert len(await world.messages()) == before + 2
    assert await job.run_once() == 0
    assert len(await world.messages()) == before + 2
    assert not (await world.verified()).findings


async def test_truth_that_nothing_was_written_is_told_to_the_operator_and_no_notice_frightens() -> None:
    world, _ = await a_world()
    await reset_and_lose_the_answer(world, writes=False)
    job, before = Reconciling(world.parts()), len(await world.messages())
    world.later(61)
    assert await job.run_once() == 0, "a server may hear of it from another one"
    world.later(UNSET_AFTER_MS / 1000)
    assert await job.run_once() == 1
    assert await truth(world) == [("denied", "password_found_unset")]
    assert [each["reason"] for each in await world.payloads("directory:password:refused")][-1] == "password_found_unset"
    assert len(await world.messages()) == before


async def test_what_the_directory_does_not_tell_is_said_to_be_unknown() -> None:
    world, _ = await a_world(tells_dates=False)
    await reset_and_lose_the_answer(world, writes=True)
    world.later(61)
    assert await Reconciling(world.parts()).run_once() == 1
    assert await truth(world) == [("denied", "password_not_found_out")]


async def test_directory_that_stays_away_is_not_asked_for_ever() -> None:
    world, _ = await a_world()
    await reset_and_lose_the_answer(world, writes=True)
    world.directory.behaviour = Behaviour.UNAVAILABLE
    world.later(GIVEN_UP_MS / 1000)
    assert await Reconciling(world.parts()).run_once() == 1
    assert await truth(world) == [("denied", "password_not_found_out")]


async def test_second_try_of_the_person_is_the_one_that_is_asked_after() -> None:
    world, _ = await a_world()
    await reset_and_lose_the_answer(world, writes=False)
    world.later(30)
    await reset_with_app_and_text_message(world)
    world.later(UNSET_AFTER_MS / 1000)
    assert await Reconciling(world.parts()).run_once() == 0


@pytest.mark.parametrize("backend", BACKENDS)
async def test_two_workers_at_once_tell_the_truth_once(backend: str, tmp_path: Path) -> None:
    async with a_storage(backend, tmp_path) as storage:
        world, _ = await a_world(storage)
        await reset_and_lose_the_answer(world, writes=True)
        world.later(61)
        before = len(await world.messages())
        settled = await asyncio.gather(*(Reconciling(world.parts()).run_once() for _ in range(4)))
        assert sum(settled) == 1
        assert await truth(world) == [("granted", "password_found_set")]
        assert len(await world.messages()) == before + 2
