"""Opens the back-end that the settings name."""

from pathlib import Path

from wardgate.storage.port import Storage
from wardgate.storage.settings import SQLITE, DatabaseSettings


def sqlite_path(settings: DatabaseSettings, data: Path) -> Path:
    """The file of a SQLite database."""
    return data / settings.url.removeprefix(SQLITE)


async def in_use(settings: DatabaseSettings, data: Path) -> bool:
    """Whether an installation stands in this database already. Changes nothing. Raises SettingsError, StorageUnavailable."""
    if settings.embedded:
        return sqlite_path(settings, data).exists()
    from wardgate.storage.postgres_connection import Dialer
    from wardgate.storage.postgres_schema import holds_installation

    return await holds_installation(Dialer(settings, data))


async def open_storage(settings: DatabaseSettings, data: Path) -> Storage:
    """The storage of an installation, made or upgraded as needed. Raises SettingsError, StorageUnavailable."""
    if not settings.embedded:
        # Only here: asyncpg takes time to load that an installation on SQLite need not spend.
        from wardgate.storage.postgres import PostgresStorage

        return await PostgresStorage.open(settings, data)
    from wardgate.storage.sqlite import SqliteStorage

    return await SqliteStorage.open(sqlite_path(settings, data))
