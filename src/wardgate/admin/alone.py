"""Whether a command has an installation to itself."""

from wardgate.clock import Clock, to_ms
from wardgate.errors import Conflict
from wardgate.installation import Installation
from wardgate.storage.port import Reader

MAX_LEASES = 100


async def check_alone(installation: Installation, storage: Reader, clock: Clock) -> None:
    """The instance lock, which the caller holds, is of one directory; other nodes of a shared database show by their leases.

    Raises Conflict that names one.
    """
    if installation.settings.database.embedded:
        return
    now_ms = to_ms(clock.now())
    held = [row for row in await storage.find("lease", limit=MAX_LEASES) if int(row["held_until"] or 0) > now_ms]
    if held:
        raise Conflict(f"{held[0]['holder']!s} works on this database: stop every node, wait a minute, and repeat")
