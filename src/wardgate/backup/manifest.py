"""What a backup says of itself: the manifest at its beginning, and the summary at its end that proves the rest."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wardgate.backup.archive import FORMAT, BackupError
from wardgate.storage.snapshot import BYTES, Column


@dataclass(frozen=True, slots=True)
class Manifest:
    """Of which installation it is, and how its tables are built. `schema_version`: the migration that they are of."""

    program: str
    schema_version: int
    installation_id: str
    kind: str
    epoch: int
    created_at: datetime
    tables: Mapping[str, tuple[Column, ...]]

    def encode(self) -> bytes:
        """As JSON."""
        plain = {
            "format": FORMAT,
            "program": self.program,
            "schema_version": self.schema_version,
            "installation_id": self.installation_id,
            "kind": self.kind,
            "epoch": self.epoch,
            "created_at": self.created_at.isoformat(),
            "tables": {name: [[each.name, each.kind] for each in columns] for name, columns in self.tables.items()},
        }
        return json.dumps(plain, indent=1).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Summary:
    """Rows and SHA-256 of each table's lines, SHA-256 of each file, and where the audit chains stand (`WRITER:EPOCH:SEQ:LINK`)."""

    rows: Mapping[str, int]
    tables: Mapping[str, str]
    files: Mapping[str, str]
    heads: tuple[str, ...]

    def encode(self) -> bytes:
        """As JSON."""
        plain = {"rows": dict(self.rows), "tables": dict(self.tables), "files": dict(self.files), "heads": list(self.heads)}
        return json.dumps(plain, indent=1).encode() + b"\n"


def decode_manifest(content: bytes) -> Manifest:
    """The manifest. Raises BackupError when it is none, or of a format that this program does not know."""
    plain = _object(content, "manifest")
    if plain.get("format") != FORMAT:
        raise BackupError(
            f"the backup has format {plain.get('format')!r} and this program knows {FORMAT}: use the release that made it"
        )
    try:
        created_at = datetime.fromisoformat(plain["created_at"])
        if created_at.tzinfo is None or plain["kind"] not in ("production", "demo"):
            raise ValueError(plain["kind"])
        return Manifest(
            program=str(plain["program"]),
            schema_version=int(plain["schema_version"]),
            installation_id=str(plain["installation_id"]),
            kind=str(plain["kind"]),
            epoch=int(plain["epoch"]),
            created_at=created_at,
            tables={str(name): tuple([_column(each) for each in columns]) for name, columns in plain["tables"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BackupError("the manifest of the backup cannot be understood") from error


def decode_summary(content: bytes) -> Summary:
    """The summary. Raises BackupError when it is none."""
    plain = _object(content, "summary")
    try:
        return Summary(
            {str(name): int(number) for name, number in plain["rows"].items()},
            {str(name): str(digest) for name, digest in plain["tables"].items()},
            {str(name): str(digest) for name, digest in plain["files"].items()},
            tuple([str(head) for head in plain["heads"]]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BackupError("the summary of the backup cannot be understood") from error


def _column(plain: Any) -> Column:
    name, kind = plain
    if kind not in ("text", "number", BYTES):
        raise ValueError(kind)
    return Column(str(name), kind)


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BackupError(f"the {what} of the backup is not JSON") from error
    if not isinstance(plain, dict):
        raise BackupError(f"the {what} of the backup is no object")
    return plain
