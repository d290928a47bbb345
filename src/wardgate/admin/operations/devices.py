"""NAS, gateways and directories: what Wardgate talks to."""

from collections.abc import Mapping
from typing import Final

from wardgate.admin import (
    directories,
    gateways,
    nas,
)
from wardgate.admin.management import Desk
from wardgate.admin.operations.places import Result
from wardgate.control import Operation, Progress
from wardgate.crypto import Secret
from wardgate.radius.settings import MessageAuthenticatorPolicy, Mode


async def nas_add(
    desk: Desk,
    name: str,
    addresses: list[str],
    application: str,
    secret: Secret | None = None,
    secret_env: str | None = None,
    secret_file: str | None = None,
    vendor: str = "generic",
    message_authenticator: MessageAuthenticatorPolicy = "require",
    mode: Mode = "challenge",
    separator: str = "",
    code_digits: int = 6,
    identifier: str | None = None,
    limit_proxy_state: bool = True,
    language: str | None = None,
    reason: str = "",
) -> Result:
    """Add a NAS."""
    return await nas.add_nas(
        desk.office,
        name=name,
        addresses=addresses,
        application=application,
        secret=secret,
        secret_env=secret_env,
        secret_file=secret_file,
        vendor=vendor,
        message_authenticator=message_authenticator,
        mode=mode,
        separator=separator,
        code_digits=code_digits,
        identifier=identifier,
        limit_proxy_state=limit_proxy_state,
        language=language,
        reason=reason,
    )


async def nas_change(
    desk: Desk,
    name: str,
    addresses: list[str] | None = None,
    secret: Secret | None = None,
    new_secret: bool = False,
    vendor: str | None = None,
    message_authenticator: MessageAuthenticatorPolicy | None = None,
    mode: Mode | None = None,
    limit_proxy_state: bool | None = None,
    reason: str = "",
) -> Result:
    """Change a NAS."""
    return await nas.change_nas(
        desk.office,
        name=name,
        addresses=addresses,
        secret=secret,
        new_secret=new_secret,
        vendor=vendor,
        message_authenticator=message_authenticator,
        mode=mode,
        limit_proxy_state=limit_proxy_state,
        reason=reason,
    )


async def nas_list(desk: Desk) -> Result:
    """Every NAS."""
    return await nas.list_nas(desk.office)


async def nas_show(desk: Desk, name: str) -> Result:
    """One NAS."""
    return await nas.show_nas(desk.office, name=name)


async def nas_remove(desk: Desk, name: str, reason: str = "") -> Result:
    """Remove a NAS."""
    return await nas.remove_nas(desk.office, name=name, reason=reason)


async def gateway_list(desk: Desk) -> Result:
    """Every gateway."""
    return await gateways.list_gateways(desk.office)


async def gateway_test(desk: Desk, name: str, to: str) -> Result:
    """Send a test message through one gateway."""
    return await gateways.test_gateway(desk.office, name=name, to=to)


async def directory_list(desk: Desk, ask: bool = True) -> Result:
    """Every directory and its servers."""
    return await directories.list_directories(desk.office, live=desk.directories() if desk.directories else (), ask=ask)


async def directory_examine(
    desk: Desk, name: str, progress: Progress, scratch: str | None = None, scratch_password: Secret | None = None
) -> Result:
    """Examine one directory; findings come as they are found."""
    return await directories.examine_directory(
        desk.office, name=name, progress=progress, scratch=scratch, scratch_password=scratch_password
    )


async def directory_test(desk: Desk, name: str, user: str, password: Secret | None = None) -> Result:
    """What Wardgate sees of a user."""
    return await directories.look_at_user(desk.office, name=name, user=user, password=password)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "nas.add": nas_add,
    "nas.change": nas_change,
    "nas.list": nas_list,
    "nas.show": nas_show,
    "nas.remove": nas_remove,
    "gateway.list": gateway_list,
    "gateway.test": gateway_test,
    "directory.list": directory_list,
    "directory.examine": directory_examine,
    "directory.test": directory_test,
}
