"""The columns of a file of users, whatever its format. It imports nothing else of ours, so that a command can name them at once."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Final

NAME: Final = "username"
PASSWORD: Final = "password"  # noqa: S105 - a column's name
PASSWORD_HASH: Final = "password_hash"  # noqa: S105 - a column's name
TOTP_SECRET: Final = "totp_secret_hex"  # noqa: S105 - a column's name
PROFILE: Final = ("mail", "phone", "groups", "display_name", "language", "state", "must_change", "expires_at")
COLUMNS: Final = (NAME, PASSWORD, PASSWORD_HASH, *PROFILE, TOTP_SECRET)
_SECRETS: Final = (PASSWORD, PASSWORD_HASH, TOTP_SECRET)
# What a spreadsheet takes for a formula when a cell begins with it, perhaps behind quotes that were put there before.
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
_HARMED: Final = re.compile(r"'+[=+\-@\t\r]")


class Format(StrEnum):
    """In what a file of users is written."""

    CSV = "csv"
    LDIF = "ldif"
    JSON = "json"


_ENDINGS: Final = {".ldif": Format.LDIF, ".ldf": Format.LDIF, ".json": Format.JSON, ".jsonl": Format.JSON, ".ndjson": Format.JSON}


def format_of(path: Path) -> Format:
    """By the end of the file's name; CSV where it tells nothing."""
    return _ENDINGS.get(path.suffix.lower(), Format.CSV)


def harmless(column: str, cell: str) -> str:
    """A cell that no spreadsheet runs as a formula: a quote stands before what would begin one. Secrets stay as they are."""
    return f"'{cell}" if column not in _SECRETS and _FORMULA.match(cell) else cell


def unharmed(column: str, cell: str) -> str:
    """The cell without the quote that `harmless` put before it."""
    return cell[1:] if column not in _SECRETS and _HARMED.match(cell) else cell
