"""What has to wait, and what messages cost."""

from collections.abc import Mapping
from typing import Final

from wardgate.admin import (
    locks,
)
from wardgate.admin.management import Desk
from wardgate.admin.operations.places import Result
from wardgate.control import Operation


async def gateway_costs(desk: Desk, since: str | None = None, until: str | None = None) -> Result:
    """Messages of some days, and what they cost."""
    return await locks.delivery_costs(desk.office, since=since, until=until)


async def lock_list(desk: Desk, kind: str | None = None, user: str | None = None) -> Result:
    """Who or what has to wait."""
    return await locks.list_locks(desk.office, kind=kind, user=user)


async def lock_clear(
    desk: Desk,
    user: str | None = None,
    directory: str | None = None,
    source: str | None = None,
    nas: str | None = None,
    everything: bool = False,
    reason: str = "",
) -> Result:
    """Lift waits."""
    return await locks.clear_locks(
        desk.office, user=user, directory=directory, source=source, nas=nas, everything=everything, reason=reason
    )


OPERATIONS: Final[Mapping[str, Operation]] = {
    "gateway.costs": gateway_costs,
    "lock.list": lock_list,
    "lock.clear": lock_clear,
}
