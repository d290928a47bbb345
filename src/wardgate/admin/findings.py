"""What `wardgate check` finds."""

from dataclasses import dataclass
from enum import StrEnum

from wardgate.errors import SettingsError


class Level(StrEnum):
    """How grave a finding is. Only an error makes the command fail."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or weak, and the cure."""

    level: Level
    what: str
    cure: str


def split(error: SettingsError) -> tuple[str, str]:
    """A message of ours reads `problem: cure`."""
    problem, colon, cure = error.message.rpartition(": ")
    return (problem, cure) if colon else (error.message, "correct it")
