"""Challenges that lead to a page: which link the window shows, or the demo sent, so that the person can open it.

The page is for a person and a browser; here it is told where it is, and the code that it ends with is asked for.
"""

import asyncio
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from wardgate.errors import ServerUnavailable
from wardgate.simulator.codes import OUTBOX_POLL_S, Outbox, bare_name, created_at, read_outbox
from wardgate.texts import LANGUAGES, catalogue

# As long as a login that leads to a page lasts, by default: an older link is another login's.
LINK_LIFE_S: Final = 600.0
PATIENCE_S: Final = 5.0
_LINK: Final = re.compile(r"https://[^\s/]+/approve/[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}")
_SENT: Final = ("approve.enrol_sent", "approve.ask_passkey_sent")


@dataclass(frozen=True, slots=True)
class LedTo:
    """Where a window leads: to a link that it shows, or to one that was sent (`sent_to`: masked, as it is shown)."""

    link: str = ""
    sent_to: str = ""


def led_to(text: str) -> LedTo | None:
    """Where what a window shows leads; None where it asks for something to type, as ever."""
    shown = _LINK.search(text)
    if shown is not None:
        return LedTo(link=shown[0])
    sent = _sentences().search(text)
    return LedTo(sent_to=next(part for part in sent.groups() if part)) if sent is not None else None


async def newest_link(outbox: Outbox, user: str) -> str:
    """The link in the newest message to a demo's user, which is that of his login. Raises ServerUnavailable where none comes."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        for message in await read_outbox(outbox):
            found = _LINK.search(str(message["text"]))
            mine = str(message["user"]).lower() == bare_name(user) and created_at(message) >= time.time() - LINK_LIFE_S
            if found is not None and mine:
                return found[0]
        if time.monotonic() >= deadline:
            raise ServerUnavailable(f"no link for {user} came to the outbox {outbox.url}")
        await asyncio.sleep(OUTBOX_POLL_S)


@lru_cache(maxsize=1)
def _sentences() -> re.Pattern[str]:
    """What says that a link was sent, in every language."""
    written = [catalogue(language)[each] for language in LANGUAGES for each in _SENT]
    return re.compile("|".join(re.escape(sentence).replace(re.escape("{masked}"), "(.{1,80}?)") for sentence in written))
