"""Challenge questions and their answers."""

from collections.abc import Mapping
from typing import Final

from wardgate.admin import (
    questions,
)
from wardgate.admin.management import Desk
from wardgate.admin.operations.places import Result
from wardgate.control import Operation
from wardgate.crypto import Secret


async def kba_questions(desk: Desk) -> Result:
    """The catalogue in force."""
    return await questions.list_questions(desk.office)


async def kba_show(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Which questions a user has answered."""
    return await questions.show_answers(desk.office, name=name, directory=directory)


async def kba_clear(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Remove a user's answers."""
    return await questions.clear_answers(desk.office, name=name, directory=directory)


async def kba_reopen(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Let a user be asked again."""
    return await questions.reopen_questions(desk.office, name=name, directory=directory)


async def kba_import_piece(desk: Desk, csv: Secret, directory: str | None = None) -> Result:
    """Import one piece of a file of prepared answers."""
    return await questions.import_answers(desk.office, csv, directory=directory)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "kba.questions": kba_questions,
    "kba.show": kba_show,
    "kba.clear": kba_clear,
    "kba.reopen": kba_reopen,
    "kba.import_piece": kba_import_piece,
}
