"""Challenge questions and their answers."""

from collections.abc import Mapping
from typing import Final

from wardgate.admin import (
    questions,
    verbal,
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


async def kba_ask(desk: Desk, name: str, language: str = "en", directory: str | None = None) -> Result:
    """What to ask a caller."""
    return await verbal.questions_for_caller(desk.office, name=name, language=language, directory=directory)


async def kba_check(desk: Desk, name: str, answers: Secret, directory: str | None = None) -> Result:
    """Judge what a caller said."""
    return await verbal.check_caller(desk.office, name=name, answers=answers, directory=directory)


async def kba_import_piece(desk: Desk, csv: Secret, directory: str | None = None) -> Result:
    """Import one piece of a file of prepared answers."""
    return await questions.import_answers(desk.office, csv, directory=directory)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "kba.questions": kba_questions,
    "kba.show": kba_show,
    "kba.clear": kba_clear,
    "kba.reopen": kba_reopen,
    "kba.ask": kba_ask,
    "kba.check": kba_check,
    "kba.import_piece": kba_import_piece,
}
