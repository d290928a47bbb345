"""The walk over every user of every realm, with the decision before and after a change for each.

It runs in the process that serves logins, so it rests after a few milliseconds of work, and holds one page of users at a time.
Whoever cannot be told apart by the policies of both documents is decided about once.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from wardgate.admin.impact.counting import Detail, Meaning, Tally, in_words
from wardgate.admin.impact.effects import Decided, Effect, effect_of
from wardgate.admin.impact.enrolments import PAGE, enrolled_of
from wardgate.admin.impact.people import MAX_REMEMBERED, Mark, Person, Telling
from wardgate.admin.impact.rest import Rest
from wardgate.admin.impact.situations import Given, Situation, Situations, is_address, situations_of
from wardgate.admin.impact.standing import NO_DOCUMENT, Standing, differing
from wardgate.admin.office import Office
from wardgate.admin.people import TIMEOUT_S, opened
from wardgate.admin.questions import questioner_of
from wardgate.config.document import Document
from wardgate.directory.kind import DirectorySettings
from wardgate.directory.local import TABLE as LOCAL_USER
from wardgate.directory.port import AccountState, DirectoryUser, Listing, RightMissing
from wardgate.directory.settings import LocalDirectorySettings
from wardgate.errors import NotFound, SettingsError, UnavailableError, UsageError
from wardgate.factors import PASSWORD
from wardgate.policy.conditions import GOALS
from wardgate.policy.facts import Facts
from wardgate.policy.needs import need_of
from wardgate.policy.plan import NoEntry
from wardgate.policy.rules import Policy, decide
from wardgate.policy.testing import zone_of
from wardgate.policy.windows import parse_moment
from wardgate.storage.port import Where

_ANY_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)

Progress = Callable[[Mapping[str, object]], None]


def unheard(event: Mapping[str, object]) -> None:
    """For whoever wants to know nothing until the end."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked. None: every application; now; each situation that the policies can tell apart; as long as it takes."""

    application: str | None = None
    goal: str = "login"
    client: str | None = None
    at: str | None = None
    nas: str | None = None
    limit_s: float | None = None


async def decides_otherwise(before: Document | None, after: Document) -> bool:
    """Whether there can be a user for whom this change means anything. In a thread: documents may be large."""
    return bool(await asyncio.to_thread(lambda: differing(Standing(before or NO_DOCUMENT), Standing(after))))


async def measure(office: Office, before: Document | None, after: Document, wanted: Wanted, progress: Progress) -> dict[str, Any]:
    """What `after` in the place of `before` means for how many users. Secrets of both are sealed or references.

    A directory that does not answer, or cannot list its users, is told and left out. Raises UsageError, NotFound, SettingsError.
    """
    # In a thread: to compile the policies of a large document takes a while.
    walk = await asyncio.to_thread(_Walk, office, Standing(before or NO_DOCUMENT), Standing(after), wanted, progress)
    await walk.go()
    return walk.told()


@dataclass(frozen=True, slots=True)
class _Application:
    """One application that may be decided otherwise: its policies, None in a document that has none such."""

    name: str
    policies: tuple[Policy | None, Policy | None]
    kinds: tuple[str, str]
    situations: Situations
    at: datetime


class _Walk:
    """One measurement."""

    def __init__(self, office: Office, before: Standing, after: Standing, wanted: Wanted, progress: Progress) -> None:
        self._office = office
        self._sides = (before, after)
        self._wanted = wanted
        self._progress = progress
        self._rest = Rest(office.clock)
        self._applications = self._looked_at()
        policies = [policy for each in self._applications for policy in each.policies if policy is not None]
        reads = any(policy.reads_questions for policy in policies)
        self._questioner = questioner_of(office, after.document) if reads else None
        self._telling = Telling(policies)
        self._known: dict[tuple[str, str, frozenset[str], Mark], Meaning] = {}
        self._tally = Tally()
        self._problems: list[dict[str, str]] = []
        self._total: int | None = None
        self._until = None if wanted.limit_s is None else office.clock.monotonic() + wanted.limit_s
        self._out_of_time = False

    # --- what is looked at -----------------------------------------------------------------------------------------------

    def _looked_at(self) -> list[_Application]:
        names, wanted = differing(*self._sides), self._wanted
        if wanted.goal not in GOALS:
            raise UsageError(f"there is no goal {wanted.goal[:32]}: {', '.join(GOALS)}")
        if wanted.client is not None and not is_address(wanted.client):
            raise UsageError(f"{wanted.client[:64]!r} is no address: write 203.0.113.7")
        only = wanted.application
        if wanted.nas is not None:
            nas = [side.nas[wanted.nas] for side in self._sides if wanted.nas in side.nas]
            if not nas:
                raise NotFound(f"there is no NAS {wanted.nas[:64]} in either document")
            only = only or nas[-1].application
        if only is not None and not any(only in side.applications for side in self._sides):
            raise NotFound(f"there is no application {only[:64]} in either document")
        return [self._application(name) for name in names if only is None or name == only]

    def _application(self, name: str) -> _Application:
        before, after = self._sides
        policies = tuple(side.policy(name) if name in side.applications else None for side in self._sides)
        kinds = tuple(side.applications[name].kind if name in side.applications else "" for side in self._sides)
        situations = situations_of(before, after, name, Given(self._wanted.client, self._wanted.nas))
        now, last = self._office.clock.now(), policies[1] or policies[0]
        at = now if self._wanted.at is None or last is None else parse_moment(self._wanted.at, now, zone_of(last))
        return _Application(name, (policies[0], policies[1]), (kinds[0], kinds[1]), situations, at)

    # --- the walk ------------------------------------------------------------------------------------------------------------

    async def go(self) -> None:
        """Look at everybody, as long as there is time."""
        if not self._applications:
            return
        directories = self._directories()
        await self._count(directories)
        for settings, document in directories:
            if self._out_of_time:
                return
            try:
                await self._look_through(settings, document)
            except (UnavailableError, SettingsError, RightMissing) as error:
                self._problem(settings.name, error.message)

    def _directories(self) -> list[tuple[DirectorySettings, Document]]:
        """Each with the document that it is built from: the new one, where it is in both."""
        before, after = self._sides
        found: dict[str, tuple[DirectorySettings, Document]] = {}
        for side in (before, after):
            asked = {directory for _, directory in side.pairs}
            found.update({each.name: (each, side.document) for each in side.document.directories if each.name in asked})
        return list(found.values())

    async def _count(self, directories: Sequence[tuple[DirectorySettings, Document]]) -> None:
        """How many users there are, where that can be told beforehand."""
        counts = []
        for settings, _ in directories:
            if not isinstance(settings, LocalDirectorySettings):
                return
            counts.append(await self._office.storage.count(LOCAL_USER, [Where("directory", "=", settings.name)]))
        self._total = sum(counts)

    async def _look_through(self, settings: DirectorySettings, document: Document) -> None:
        realms = sorted({realm for side in self._sides for realm, name in side.pairs if name == settings.name})
        async with opened(self._office, document, settings) as directory:
            if not isinstance(directory, Listing):
                self._problem(settings.name, f"a directory of kind {settings.kind} does not list its users")
                return
            async with aclosing(self._pages(directory, settings.name)) as pages:
                async for page in pages:
                    for start in range(0, len(page), PAGE):
                        await self._page(settings.name, realms, page[start : start + PAGE])
                    self._progress({"looked_at": self._tally.looked_at, "total": self._total})

    async def _pages(self, directory: Listing, name: str) -> AsyncGenerator[Sequence[DirectoryUser], None]:
        """Page after page, until there is no time left."""
        async with aclosing(directory.users(self._page_s())) as pages:
            while not self._is_late():
                try:
                    async with asyncio.timeout(self._left_s()):
                        page = await anext(pages)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    break
                yield page
        self._out_of_time = True
        self._problem(name, f"not all users were looked at within {self._wanted.limit_s:g} s")

    def _page_s(self) -> float:
        left = self._left_s()
        return TIMEOUT_S if left is None else max(0.1, min(TIMEOUT_S, left))

    def _left_s(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - self._office.clock.monotonic())

    def _is_late(self) -> bool:
        return self._until is not None and self._office.clock.monotonic() >= self._until

    async def _page(self, directory: str, realms: Sequence[str], users: Sequence[DirectoryUser]) -> None:
        theirs = await enrolled_of(self._office, directory, users, self._rest, self._questioner)
        for user, enrolled in zip(users, theirs, strict=True):
            self._tally.looked_at += 1
            if user.state in (AccountState.DISABLED, AccountState.EXPIRED):
                self._tally.unusable += 1
                continue
            self._tally.take(user, enrolled, [await self._meaning(user, realm, enrolled) for realm in realms])
            await self._rest.now_and_then()

    async def _meaning(self, user: DirectoryUser, realm: str, enrolled: frozenset[str]) -> Meaning:
        person = self._telling.person(user, realm)
        facts = Facts("", "", "", realm, user.directory, user.name, _ANY_TIME, groups=person.groups, attributes=person.attributes)
        key = (realm, user.directory, enrolled, self._telling.mark(person, facts))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            known = self._known[key] = await self._worked_out(person, enrolled)
        return known

    # --- deciding --------------------------------------------------------------------------------------------------------------

    async def _worked_out(self, person: Person, enrolled: frozenset[str]) -> Meaning:
        details: dict[tuple[str, Effect], Detail] = {}
        for application in self._applications:
            for situation in application.situations.each:
                before, after = (self._decided(side, application, situation, person, enrolled) for side in (0, 1))
                effect = effect_of(before, after)
                if effect is not None and (application.name, effect) not in details:
                    told = in_words(before), in_words(after)
                    details[application.name, effect] = Detail(effect, application.name, situation.words, *told)
                await self._rest.now_and_then()
        return Meaning(tuple(details.values()))

    def _decided(
        self, side: int, application: _Application, situation: Situation, person: Person, enrolled: frozenset[str]
    ) -> Decided:
        standing, policy = self._sides[side], application.policies[side]
        if (person.realm, person.user.directory) not in standing.pairs:
            return Decided(NoEntry("no_realm"), frozenset())
        if policy is None:
            return Decided(NoEntry("no_application"), frozenset())
        facts = self._facts(side, application, situation, person, enrolled)
        return Decided(decide(policy, facts), enrolled - standing.unserved, need_of(policy.self_service, facts))

    def _facts(self, side: int, application: _Application, situation: Situation, person: Person, enrolled: frozenset[str]) -> Facts:
        # A NAS that is only in the other document is as it is there.
        nas = self._sides[side].nas.get(situation.nas) or self._sides[1 - side].nas.get(situation.nas)
        return Facts(
            goal=self._wanted.goal,
            application=application.name,
            door="portal" if application.kinds[side] in ("portal", "saml") else "radius",
            realm=person.realm,
            directory=person.user.directory,
            user=person.user.name,
            at=application.at,
            nas=nas.name if nas is not None else "",
            nas_identifier=(nas.identifier or "") if nas is not None else "",
            client=situation.client if nas is None or nas.trust_client_address else None,
            groups=person.groups,
            attributes=person.attributes,
            enrolled=enrolled,
            proved_elsewhere=frozenset({PASSWORD}) if nas is not None and nas.mode == "code_only" else frozenset(),
            application_kind=application.kinds[side],
        )

    # --- what came of it -------------------------------------------------------------------------------------------------------

    def told(self) -> dict[str, Any]:
        """As JSON values. `complete`: everybody was looked at, in every situation."""
        applications = [
            {
                "application": each.name,
                "situations": [situation.words for situation in each.situations.each],
                "situations_left_out": each.situations.left_out,
                "at": each.at.isoformat(),
                "effects": self._tally.of_application(each.name),
            }
            for each in self._applications
        ]
        left_out = any(each.situations.left_out for each in self._applications)
        return {
            "goal": self._wanted.goal,
            "complete": not (self._problems or left_out),
            "total": self._total if self._applications else 0,
            **self._tally.told(),
            "applications": applications,
            "problems": self._problems,
            "notes": list(self._notes()),
        }

    def _notes(self) -> Iterator[str]:
        before, after = self._sides
        present = {each.name: each for each in before.document.directories}
        for each in after.document.directories if self._applications else ():
            if each.name in present and present[each.name] != each:
                yield f"directories.{each.name} changes too: its users were looked at as the new document describes it"

    def _problem(self, directory: str, problem: str) -> None:
        self._problems.append({"directory": directory, "problem": problem})
