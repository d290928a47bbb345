"""Activations of new people."""

from collections.abc import Mapping
from typing import Final

from wardgate.admin import activations
from wardgate.admin.management import Desk
from wardgate.admin.operations.places import Result
from wardgate.admin.unenrolled import unenrolled
from wardgate.control import Operation


async def activation_issue(desk: Desk, name: str, by: list[str], tell: str | None = None, directory: str | None = None) -> Result:
    """A new activation of a person."""
    url = desk.office.portal_url or desk.https_url.rstrip("/")
    return await activations.activate(desk.office, url, name=name, by=by, tell=tell, directory=directory)


async def activation_cancel(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Take it back."""
    return await activations.cancel_activation(desk.office, name=name, directory=directory)


async def activation_show(desk: Desk, name: str, directory: str | None = None) -> Result:
    """How it stands."""
    return await activations.show_activation(desk.office, name=name, directory=directory)


async def activation_unenrolled(desk: Desk, group: str | None = None, directory: str | None = None) -> Result:
    """Who has nothing enrolled and no activation that is open."""
    return await unenrolled(desk.office, group=group, directory=directory)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "activation.issue": activation_issue,
    "activation.cancel": activation_cancel,
    "activation.show": activation_show,
    "activation.unenrolled": activation_unenrolled,
}
