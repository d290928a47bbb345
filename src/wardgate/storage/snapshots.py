"""Opens a snapshot of the back-end that the settings name."""

from pathlib import Path

from wardgate.storage.backends import sqlite_path
from wardgate.storage.settings import DatabaseSettings
from wardgate.storage.snapshot import Snapshot


async def open_snapshot(settings: DatabaseSettings, data: Path) -> Snapshot:
    """The present moment of an installation's database. Raises SettingsError, StorageUnavailable."""
    from wardgate.storage.snapshot_sqlite import SqliteSnapshot

    return SqliteSnapshot(sqlite_path(settings, data))
