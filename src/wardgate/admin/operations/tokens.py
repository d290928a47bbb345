"""The stock of hardware tokens."""

from collections.abc import Mapping
from typing import Final

from wardgate.admin import tokens
from wardgate.admin.management import Desk
from wardgate.admin.operations.places import Result, user_place
from wardgate.control import Operation
from wardgate.crypto import Secret


async def token_import_piece(desk: Desk, seeds: Secret, replace: bool = False) -> Result:
    """Put some tokens into the stock."""
    return await tokens.import_tokens(desk.office, seeds, replace=replace)


async def token_list(desk: Desk, after: str = "", state: str | None = None) -> Result:
    """A page of the stock."""
    return await tokens.list_tokens(desk.office, after=after, state=state)


async def token_assign(desk: Desk, serial: str, name: str, directory: str | None = None) -> Result:
    """Give a token to a user."""
    return await tokens.assign_token(desk.office, **await user_place(desk, name, directory), serial=serial)


async def token_return(desk: Desk, serial: str) -> Result:
    """Take a token back into the stock."""
    return await tokens.return_token(desk.office, serial=serial)


async def token_resync(desk: Desk, serial: str, first: Secret, second: Secret) -> Result:
    """Bring a token that counts into step."""
    typed = [each.reveal().decode("utf-8", "replace") for each in (first, second)]
    return await tokens.resync_token(desk.office, serial=serial, first=typed[0], second=typed[1])


async def token_remove(desk: Desk, serial: str) -> Result:
    """Take a token out of the stock."""
    return await tokens.remove_token(desk.office, serial=serial)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "token.import_piece": token_import_piece,
    "token.list": token_list,
    "token.assign": token_assign,
    "token.return": token_return,
    "token.resync": token_resync,
    "token.remove": token_remove,
}
