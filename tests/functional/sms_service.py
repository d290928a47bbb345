"""A gateway's service that takes messages over HTTPS, beside tests that are not asynchronous."""

import asyncio
import json
import re
import threading
from pathlib import Path

from tests.functional.harness import wait_for
from tests.unit.delivery.fakes import HttpService, http_service, make_authority


class SmsService:
    """A service that takes messages, on a loop of its own."""

    def __init__(self, directory: Path) -> None:
        self.authority = make_authority(directory, "localhost")
        self.service: HttpService | None = None
        self._loop = asyncio.new_event_loop()
        self._ready, self._done = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))
        self._thread.start()
        assert self._ready.wait(20)

    async def _serve(self) -> None:
        async with http_service(self.authority.server) as self.service:
            self._ready.set()
            await self._done.wait()

    def stop(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(20)
        self._loop.close()

    def messages(self) -> list[dict[str, str]]:
        """What it was given, oldest first."""
        assert self.service is not None
        return [json.loads(request.body) for request in self.service.requests]

    def code_to(self, number: str, count: int = 1) -> str:
        """The newest code that went to a number, once `count` of them are there."""

        def look() -> list[str] | None:
            found = self.codes_to(number)
            return found if len(found) >= count else None

        return str(wait_for(look)[-1])

    def codes_to(self, number: str) -> list[str]:
        """The codes that went to a number; notices bear none."""
        found = (re.search(r"\b\d{6}\b", each["text"]) for each in self.messages() if each["to"] == number)
        return [each.group() for each in found if each is not None]

    def next_code(self, number: str, before: int) -> str:
        """The code that was sent after so many."""
        return str(wait_for(lambda: self.codes_to(number)[before:])[0])
