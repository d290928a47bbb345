"""Plain values of a policy's tests, as they come out of the document: each is what it must be, or its place is told."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from wardgate.durations import seconds_of, written_as
from wardgate.errors import SettingsError
from wardgate.policy.conditions import MAX_VALUES

MAX_TEXT_CHARS: Final = 4096


def text_at(path: str, value: object) -> str:
    """A text. Raises SettingsError, as all of these do."""
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS:
        raise SettingsError(f"{path}: a text is needed")
    return value


def one_of_at(path: str, value: object, known: Sequence[str]) -> str:
    """One of the words that there are."""
    if value not in known:
        raise SettingsError(f"{path}: known are {', '.join(known)}")
    return str(value)


def list_at(path: str, value: object) -> Sequence[object]:
    """A list."""
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) > MAX_VALUES:
        raise SettingsError(f"{path}: a list of at most {MAX_VALUES} is needed")
    return value


def texts_at(path: str, value: object) -> list[str]:
    """Texts; one alone may stand without a list."""
    return [text_at(path, each) for each in ([value] if isinstance(value, str) else list_at(path, value))]


def number_at(path: str, value: object) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingsError(f"{path}: a number is needed")
    return value


def flag_at(path: str, value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise SettingsError(f"{path}: true or false is needed")
    return value


def span_at(path: str, value: object) -> str:
    """A span of time in its shortest writing, so that `60m` and `1h` are one."""
    try:
        return written_as(seconds_of(value if isinstance(value, str | int) else ""))
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.message}") from error


def day_at(path: str, value: object) -> str:
    """A day, such as `2027-06-30`."""
    try:
        return date.fromisoformat(text_at(path, value)).isoformat()
    except ValueError as error:
        raise SettingsError(f"{path}: a day such as 2027-06-30 is needed") from error


def mapping_at(path: str, value: object, known: Sequence[str] = ()) -> Mapping[str, object]:
    """Keys with values. `known`: there must be some, and no others than these."""
    if not isinstance(value, Mapping) or len(value) > MAX_VALUES or (known and not value):
        raise SettingsError(f"{path}: keys with values are needed" + (f": {', '.join(known)}" if known else ""))
    unknown = [str(key) for key in value if known and key not in known]
    if unknown:
        raise SettingsError(f"{path}.{unknown[0][:32]}: unknown; known are {', '.join(known)}")
    return {str(key): each for key, each in value.items()}
