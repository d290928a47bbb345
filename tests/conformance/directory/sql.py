"""Tables of SQLite, PostgreSQL and MariaDB for the suite, written to as the program would that owns them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from tests import databases
from tests.conformance.directory.subject import Abilities, Subject
from wardgate.crypto import Secret
from wardgate.directory.port import AccountState
from wardgate.directory.sql.settings import SqlPasswordSettings

# The version is made of the row: what is changed back is as it was, unless the table has a column for it.
ABILITIES = Abilities(versions=False, expires=True, tells_expiry=True, policy=True, writes_phone=True, writes_mail=True)
_FIELDS = {"mail": "email", "phone": "gsm", "display_name": "full_name", "language": "lang"}


@asynccontextmanager
async def sql(kind: str) -> AsyncIterator[Subject]:
    async with databases.ON[kind]() as database:
        parts = databases.Parts()
        settings = database.settings(
            name="staff",
            # What PostgreSQL counts up with every change of a row.
            columns=replace(databases.WHOLE, version="xmin") if kind == "postgresql" else databases.WHOLE,
            verified_cache_s=300,
            write_contacts=("phone", "mail"),
            password_rules=SqlPasswordSettings(max_age_days=90),
            group_statement="SELECT team FROM member WHERE login = :username ORDER BY 1 DESC",
        )
        directory = parts.build(settings)
        flags = (False, True) if kind == "postgresql" else (0, 1)

        async def add(
            name: str,
            password: bytes | None,
            *,
            state: AccountState = AccountState.ACTIVE,
            must_change: bool = False,
            groups: tuple[str, ...] = (),
            **fields: Any,
        ) -> None:
            given = {_FIELDS[field]: value for field, value in fields.items()}
            hashed = None if password is None else await parts.hasher.hash(Secret(password))
            await database.insert(login=name, pw_hash=hashed, must_change=flags[must_change], **given)
            for group in groups:
                await database.execute("INSERT INTO member (login, team) VALUES (?, ?)", name, group)
            await set_state(name, state)

        async def set_state(name: str, state: AccountState) -> None:
            disabled, locked = flags[state is AccountState.DISABLED], flags[state is AccountState.LOCKED]
            await database.execute(
                "UPDATE employee SET is_disabled = ?, is_locked = ? WHERE lower(login) = ?", disabled, locked, name.lower()
            )

        async def remove(name: str) -> None:
            await database.execute("DELETE FROM employee WHERE lower(login) = ?", name.lower())

        async def expire(name: str) -> None:
            ago = datetime.now(UTC) - timedelta(hours=1)
            told = ago if kind == "postgresql" else f"{ago:%Y-%m-%d %H:%M:%S}"
            await database.execute("UPDATE employee SET pw_ends = ? WHERE lower(login) = ?", told, name.lower())

        try:
            yield Subject(directory, add, set_state, remove, lambda: parts.hasher.runs, expire)
        finally:
            await directory.close()
            parts.hasher.close()


MAKERS: dict[str, Callable[[], AbstractAsyncContextManager[Subject]]] = {kind: partial(sql, kind) for kind in databases.ON}
