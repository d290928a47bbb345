"""Where state is kept, and how patient we are with it."""

from dataclasses import dataclass, field
from typing import Final

SQLITE: Final = "sqlite:"
POSTGRESQL: Final = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """Where state is kept."""

    url: str = field(
        default="sqlite:wardgate.db",
        metadata={
            "help": "sqlite:PATH, from the data directory, or postgresql://USER@HOST[:PORT][,HOST2...]/NAME[?sslmode=verify-full]"
        },
    )
    password_file: str = field(
        default="",
        metadata={"help": "PostgreSQL: file with the password, readable by the server alone"},
    )
    pool_size: int = field(default=4, metadata={"help": "PostgreSQL: connections of each worker", "unit": "connections"})
    connect_timeout_s: int = field(default=5, metadata={"help": "PostgreSQL: how long to try one host", "unit": "seconds"})
    statement_timeout_s: int = field(default=5, metadata={"help": "PostgreSQL: how long one statement may take", "unit": "seconds"})

    @property
    def embedded(self) -> bool:
        """Whether this is the SQLite file beside the server."""
        return self.url.startswith(SQLITE)


def problems(settings: DatabaseSettings) -> list[str]:
    """What cannot be, each with the setting's path."""
    found = []
    known = settings.url.startswith(POSTGRESQL) or (settings.embedded and len(settings.url) > len(SQLITE))
    if not known:
        found.append("database.url: must be sqlite:PATH or postgresql://USER@HOST/NAME")
    for name, most in (("pool_size", 64), ("connect_timeout_s", 60), ("statement_timeout_s", 60)):
        if not 1 <= getattr(settings, name) <= most:
            found.append(f"database.{name}: must be between 1 and {most}")
    return found
