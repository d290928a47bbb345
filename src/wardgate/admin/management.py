"""Runs management operations, for the control socket of a server and for a command that works without one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wardgate.admin.keys import KeyMaster
from wardgate.admin.office import Office
from wardgate.admin.tickets import taken
from wardgate.clock import Clock
from wardgate.control import Operation, Progress, run_operation
from wardgate.crypto import new_reference
from wardgate.directory.port import Directory
from wardgate.installation import Opened
from wardgate.passwords import PasswordHasher

# No login takes longer between sealing a value and having it stored.
SETTLE_S = 5.0

TellDemo = Callable[[], Awaitable[dict[str, Any]]]
"""What `wardgate demo --json` prints, as it is now: where the demo listens, and who can be tried."""
TakePicture = Callable[[], Awaitable[dict[str, Any]]]
"""The live picture of a running server."""
Directories = Callable[[], Sequence[Directory]]
"""The directories that logins use now, for what they know of their servers."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What every operation of the table is given: on whose behalf, on which installation."""

    office: Office
    opened: Opened
    https_url: str
    keys: KeyMaster
    tell_demo: TellDemo | None = None
    take_picture: TakePicture | None = None
    directories: Directories | None = None


class Management:
    """Operations on one opened installation.

    `https_url` tells where the pages are (ports may be chosen at the start). `serving`: logins run beside the operations.
    `tell_demo`: only where a demo runs. `take_picture` and `directories`: only where a server does.
    """

    def __init__(
        self,
        opened: Opened,
        operations: Mapping[str, Operation],
        hasher: PasswordHasher,
        clock: Clock,
        https_url: Callable[[], str],
        serving: bool,
        settle_s: float = SETTLE_S,
        tell_demo: TellDemo | None = None,
        take_picture: TakePicture | None = None,
        directories: Directories | None = None,
    ) -> None:
        self._opened = opened
        self._operations = operations
        self._hasher = hasher
        self._clock = clock
        self._https_url = https_url
        self._settle_s = settle_s if serving else 0.0
        self._tell_demo = tell_demo
        self._take_picture = take_picture
        self._directories = directories
        self._running: set[asyncio.Task[object]] = set()

    async def run(self, name: str, params: Mapping[str, object], progress: Progress, actor: str) -> Mapping[str, object]:
        """Run one operation. Satisfies `control.Runner`. Raises WardgateError."""
        ticket, params = taken(name, params)
        task = asyncio.current_task()
        if task is not None:
            self._running.add(task)
        try:
            return await run_operation(self._operations, self._desk(actor, ticket), name, params, progress)
        finally:
            if task is not None:
                self._running.discard(task)

    def _desk(self, actor: str, ticket: str) -> Desk:
        opened = self._opened
        url, settings = self._https_url(), opened.installation.settings
        is_here = any("portal" in each.doors for each in settings.https_listeners)
        office = Office(
            opened.storage,
            opened.rings(),
            self._clock,
            self._hasher,
            actor,
            tells=True,
            portal_url=settings.portal_url or (url.rstrip("/") if is_here else ""),
            reference=new_reference(),
            ticket=ticket,
        )
        keys = KeyMaster(opened.installation.master_key, opened.reload_keys, opened.rings, self._settle)
        return Desk(office, opened, url, keys, self._tell_demo, self._take_picture, self._directories)

    async def _settle(self) -> None:
        """Wait for whoever may still seal with the ring of before: other operations, and logins that are on their way."""
        others = self._running - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)
        await asyncio.sleep(self._settle_s)
