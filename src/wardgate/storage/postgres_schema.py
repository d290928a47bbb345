"""The tables in a PostgreSQL database: made and upgraded at the start, once, however many nodes start at the same moment.

The version stands in the comment of the table `installation`, where it is dumped and restored with the tables and is no table
of its own. Behind it stands whether the database is a copy that `wardgate storage move` has not finished.
"""

import asyncio
import re
from typing import Any, Final

import asyncpg

from wardgate.errors import SettingsError
from wardgate.storage import migrations
from wardgate.storage.postgres_connection import Connection, Dialer, unavailable

# "Ward": whoever holds this advisory lock may change the tables.
_LOCK: Final = 0x57617264
UPGRADE_S: Final = 600.0
# A copy that is being made is refused; one that is whole is not in force yet, and is taken into service by its first start.
COPYING: Final = "copying"
COPIED: Final = "copied"
_COMMENT: Final = re.compile(r"wardgate schema (\d{1,9})(?: (copying|copied))?")
_READ: Final = """
SELECT to_regclass('installation') IS NOT NULL, obj_description(to_regclass('installation'), 'pg_class'),
       (SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm'))
"""
# A function of somebody else's may fit a call of ours better than the one that is meant, and then runs with the rights of our
# account. PostgreSQL let everybody make one in `public` up to version 14.
_OPEN: Final = "SELECT current_schema(), has_schema_privilege('public', current_schema(), 'CREATE')"


async def prepare(dialer: Dialer, copy: bool = False) -> None:
    """Make or upgrade the tables. Raises SettingsError, StorageUnavailable. An upgrade that fails leaves everything as it was.

    `copy`: for `wardgate storage move`, which may go on with a copy that it has begun; tables that are made now are marked.
    """
    connection = await dialer.dial()
    try:
        version, mark = await read_version(connection)
        await _check_closed(connection, dialer.name)
        if mark == COPYING and not copy:
            raise SettingsError(f"{dialer.name} holds an unfinished copy: run wardgate storage move again, or use another database")
        if version < migrations.LATEST or (mark is not None and not copy):
            async with asyncio.timeout(UPGRADE_S):
                await _upgrade(connection, COPYING if copy and version == 0 else mark if copy else None)
    except asyncpg.InsufficientPrivilegeError as error:
        raise SettingsError(
            f"the account may not make tables in {dialer.name}: make it the owner of the database (ALTER DATABASE ... OWNER TO ...)"
        ) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise unavailable(error, "the tables could not be made") from error
    finally:
        connection.terminate()


async def _check_closed(connection: Connection, name: str) -> None:
    schema, is_open = await connection.fetchrow(_OPEN)
    if is_open:
        raise SettingsError(
            f"every account of the server may make functions in {name}, which would run with the rights of ours: "
            f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, as a superuser in that database"
        )


async def holds_installation(dialer: Dialer) -> bool:
    """Whether the database has rows of ours: tables alone are what is left of a creation that was cut short.

    Raises SettingsError, StorageUnavailable.
    """
    connection = await dialer.dial()
    try:
        version, _ = await read_version(connection)
        return version > 0 and bool(await connection.fetchval("SELECT EXISTS (SELECT 1 FROM installation)"))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise unavailable(error, "the database could not be read") from error
    finally:
        connection.terminate()


async def read_version(connection: Connection) -> tuple[int, str | None]:
    """The version of the tables (0: none yet), and the mark of a copy. Raises SettingsError for somebody else's tables."""
    there, comment, tables = await connection.fetchrow(_READ)
    found = _COMMENT.fullmatch(comment or "")
    if found is None:
        if there or tables:
            raise SettingsError("database.url: the database is that of another program: create an empty one for Wardgate")
        return 0, None
    version = int(found[1])
    migrations.check_version(version)
    return version, found[2]


async def _upgrade(connection: Connection, mark: str | None) -> None:
    async with connection.transaction():
        # The limits are those of logins: an upgrade may take longer, and waits for the node that is at it.
        await connection.execute(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
        )
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        version, _ = await read_version(connection)
        if version < migrations.LATEST:
            await connection.execute(await asyncio.to_thread(migrations.postgresql_script, version))
        await write_mark(connection, mark)


async def write_mark(connection: Any, mark: str | None) -> None:
    """Write the version of this program, and the mark of a copy."""
    text = f"wardgate schema {migrations.LATEST}" + (f" {mark}" if mark else "")
    await connection.execute(f"COMMENT ON TABLE installation IS '{text}'")
