"""Phone numbers as directories hold them: in any notation, several of them, and now and then none at all."""

from collections.abc import Iterable
from typing import Final

from wardgate.contacts import normalise_phone
from wardgate.errors import MessageError

# Beyond these nobody chooses any more; a directory that lists hundreds is a mistake there.
MAX_PHONES: Final = 10


def read_phones(attribute: str, values: Iterable[str], region: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The usable numbers in E.164, each once and in their order, and what is wrong with the others (for `unusable`).

    `region`: whose national notation is understood. A number that cannot be read is left out and told, never guessed at: a code
    that goes to somebody else's phone is worse than none.
    """
    usable: dict[str, None] = {}
    unusable: list[str] = []
    for value in values:
        if not value.strip() or len(usable) + len(unusable) >= MAX_PHONES:
            continue
        try:
            usable[normalise_phone(value.strip(), region)] = None
        except MessageError as error:
            unusable.append(f"{attribute}: {error.message}")
    return tuple(usable), tuple(unusable)
