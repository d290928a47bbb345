"""A directory in a table of somebody else's database."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from wardgate.clock import Clock
from wardgate.crypto import Secret
from wardgate.directory.deadline import within
from wardgate.directory.kind import DirectoryKind, DirectoryParts
from wardgate.directory.names import canonical_name, mail_as_name
from wardgate.directory.password_rules import broken_rules
from wardgate.directory.port import (
    USERS_PER_PAGE,
    AccountState,
    ContactKind,
    DirectoryUser,
    Finding,
    PasswordNotAccepted,
    PasswordPolicy,
    PasswordVerdict,
    RightMissing,
    ServerStatus,
)
from wardgate.directory.sql.address import Address, Engine
from wardgate.directory.sql.checking import check_settings, checked_address
from wardgate.directory.sql.doctor import Examination
from wardgate.directory.sql.engines.connecting import Connecting
from wardgate.directory.sql.engines.engine import Limits, Result, SqlEngine, Writing
from wardgate.directory.sql.engines.sqlite import SqliteEngine
from wardgate.directory.sql.hashes import check_stored, make_hash
from wardgate.directory.sql.rows import Account, Row, choose, columns_used, read_account, read_groups, rows_of, with_mail
from wardgate.directory.sql.settings import SqlSettings
from wardgate.directory.sql.spellings import exact_spellings, lowered_spellings
from wardgate.directory.sql.statements import OWN, Statement, TableStatements, own_statement, page_of
from wardgate.directory.sql.values import key_text, zone_of
from wardgate.directory.verified import GracePasswords, VerifiedPasswords
from wardgate.errors import Conflict, DirectoryUnavailable, UsageError
from wardgate.passwords import Checked, PasswordHasher

T = TypeVar("T")


def make_engine(connecting: Connecting) -> SqlEngine:
    """The engine that speaks to this database. Imported here: the drivers take long to load, and few installations need one."""
    if connecting.address.engine is Engine.POSTGRESQL:
        from wardgate.directory.sql.engines.postgresql import PostgresqlEngine

        return PostgresqlEngine(connecting)
    if connecting.address.engine is Engine.MYSQL:
        from wardgate.directory.sql.engines.mysql import MysqlEngine

        return MysqlEngine(connecting)
    return SqliteEngine(connecting)


class SqlDirectory:
    """Satisfies every protocol of `port.py`. What the settings do not provide for is refused by RightMissing."""

    def __init__(self, settings: SqlSettings, parts: DirectoryParts) -> None:
        self._settings = settings
        self._hasher: PasswordHasher = parts.hasher
        self._clock: Clock = parts.clock
        self._region = parts.region
        self._columns = columns_used(settings)
        self._address: Address = checked_address(settings)
        self._engine = make_engine(_connecting(settings, self._address, parts))
        self._table = None if settings.table is None else TableStatements(settings, self._address.engine, self._columns)
        self._own = {name: own_statement(text, name) for name, text in _own_texts(settings).items()}
        self._verified = VerifiedPasswords(settings.verified_cache_s, parts.clock)
        self._grace = GracePasswords(settings.down_grace_s, parts.clock)
        # An id to ask for where nobody is meant, so that nobody costs what somebody does. That of the user who was found last.
        self._anyone: Any = "0"

    @property
    def name(self) -> str:
        """The configured name."""
        return self._settings.name

    # --- looking up ------------------------------------------------------------------------------------------------------

    async def find(self, name: str, timeout_s: float) -> DirectoryUser | None:
        """The user with this login name, else the only one with this mail address. A name goes before a mail address."""
        key = canonical_name(name)
        if key is None:
            return None
        user = await self._in_time(self._find(key, name, timeout_s), timeout_s)
        self._grace.found(name, user)
        return user

    async def get(self, immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        """The user with this immutable id."""
        account = await self._in_time(self._account(immutable_id, timeout_s), timeout_s)
        if account is None:
            return None
        self._grace.seen(account.user)
        return account.user

    async def _find(self, key: str, typed: str, timeout_s: float) -> DirectoryUser | None:
        rows = await self._candidates(key, typed, timeout_s)
        row = choose(rows, self._settings, key)
        groups = await self._groups(row, typed, timeout_s)
        return None if row is None else self._read(row, groups).user

    async def sharing_mail(self, address: str, timeout_s: float, limit: int) -> tuple[DirectoryUser, ...]:
        """Everybody with this mail address."""
        key = mail_as_name(address)
        return () if key is None else await self._in_time(self._sharing(key, address, timeout_s, limit), timeout_s)

    async def _sharing(self, key: str, typed: str, timeout_s: float, limit: int) -> tuple[DirectoryUser, ...]:
        rows = with_mail(await self._candidates(key, typed, timeout_s), self._settings, key)[:limit]
        if not rows:
            await self._groups(None, typed, timeout_s)
        return tuple(await self._listed(rows, timeout_s))

    async def _candidates(self, key: str, typed: str, timeout_s: float) -> list[Row]:
        own = self._own.get("find_statement")
        if own is not None:
            result = await self._ask(own, {"name": key, "typed": typed.strip()}, timeout_s)
            return rows_of(result, self._settings, self._columns, "find_statement")
        statement, values = self.looking_up(key, typed)
        return rows_of(await self._ask(statement, values, timeout_s), self._settings, self._columns, "the table")

    def looking_up(self, key: str, typed: str) -> tuple[Statement, dict[str, str]]:
        """The statement that fetches who may have this canonical name, and its values."""
        spellings = [*lowered_spellings(key), *exact_spellings(key, typed)]
        once = list(dict.fromkeys(spellings))
        size = 1 << max(0, len(once) - 1).bit_length()
        values = {f"n{at}": once[min(at, len(once) - 1)] for at in range(size)}
        return self._ours("find_statement").find(size, "@" in key), values

    async def _account(self, immutable_id: str, timeout_s: float) -> Account | None:
        row = await self._row(immutable_id, timeout_s)
        groups = await self._groups(row, "", timeout_s)
        return None if row is None else self._read(row, groups)

    async def _row(self, immutable_id: str, timeout_s: float) -> Row | None:
        own = self._own.get("get_statement")
        statement = own if own is not None else self._ours("get_statement").get()
        result = await self._ask(statement, {"id": immutable_id}, timeout_s)
        rows = rows_of(result, self._settings, self._columns, "get_statement" if own is not None else "the table")
        # MySQL holds the number 5 and the text 5abc for equal.
        found = [row for row in rows if _key(row, self._settings) == immutable_id]
        return found[0] if len(found) == 1 else None

    async def _groups(self, row: Row | None, typed: str, timeout_s: float) -> tuple[str, ...]:
        """The groups of a row's user. Asked for nobody too: one question less would tell that there is no such user."""
        statement = self._own.get("group_statement")
        if statement is None:
            return ()
        columns = self._settings.columns
        values = (
            {"id": self._anyone, "username": typed} if row is None else {"id": row[columns.id], "username": row[columns.username]}
        )
        result = await self._ask(statement, values, timeout_s)
        return () if row is None else read_groups(result)

    async def _ask(self, statement: Statement, values: Mapping[str, Any], timeout_s: float) -> Result:
        """What a reading statement gives. Without the right to read, the directory is down for everybody."""
        try:
            return await self._engine.run(statement, values, timeout_s)
        except RightMissing as error:
            raise DirectoryUnavailable(error.message) from error

    def _read(self, row: Row, groups: tuple[str, ...]) -> Account:
        account = read_account(row, self._settings, self._clock.now(), self._region, groups)
        self._anyone = account.user.immutable_id
        return account

    # --- listing ---------------------------------------------------------------------------------------------------------

    async def users(self, timeout_s: float) -> AsyncGenerator[Sequence[DirectoryUser], None]:
        """Everybody, by id: the primary key finds each page at once. Groups are asked for user by user, some at the same time."""
        values: dict[str, Any] = {}
        while True:
            rows = await self._in_time(self._page(values, timeout_s), timeout_s)
            if not rows:
                return
            yield await self._in_time(self._listed(rows, timeout_s), timeout_s)
            values = {"after": rows[-1][self._settings.columns.id]}

    async def _page(self, values: Mapping[str, Any], timeout_s: float) -> list[Row]:
        own, begins = self._own.get("list_statement"), not values
        if own is not None:
            statement = page_of(own, self._settings.columns.id, self._address.engine, USERS_PER_PAGE, begins)
        elif "find_statement" in self._own:
            raise self._missing("list_statement")  # the table may hold others than those whom that statement finds
        else:
            statement = self._ours("list_statement").page(USERS_PER_PAGE, begins)
        what = "the table" if own is None else "list_statement"
        return rows_of(await self._ask(statement, values, timeout_s), self._settings, self._columns, what)

    async def _listed(self, rows: Sequence[Row], timeout_s: float) -> list[DirectoryUser]:
        found: list[DirectoryUser] = []
        now, at_once = self._clock.now(), max(1, self._settings.connections - 1)
        for start in range(0, len(rows), at_once):
            some = rows[start : start + at_once]
            groups = await asyncio.gather(*(self._groups(row, "", timeout_s) for row in some))
            found += [
                read_account(row, self._settings, now, self._region, each).user for row, each in zip(some, groups, strict=True)
            ]
        return found

    # --- checking --------------------------------------------------------------------------------------------------------

    async def check_password(self, user: DirectoryUser, password: Secret, timeout_s: float, source: str = "") -> PasswordVerdict:
        """Check a password, once. A disabled, locked or expired account is checked all the same, so that it takes as long."""
        if not password:
            return PasswordVerdict.WRONG
        verdict = await self._in_time(self._check(user, password, source, timeout_s), timeout_s)
        if verdict is not PasswordVerdict.RIGHT:
            self._grace.refused(user, password)
        return verdict

    async def check_nobody(self, password: Secret, timeout_s: float, source: str = "") -> None:
        """Spend the same time as a password check, for a name that does not exist: a row is asked for as well."""
        if password:
            await self._in_time(self._check_nobody(password, source, timeout_s), timeout_s)

    async def _check_nobody(self, password: Secret, source: str, timeout_s: float) -> None:
        await self._account(str(self._anyone), timeout_s)
        await self._hasher.verify_nothing(password, source)

    def remembers(self, user: DirectoryUser, password: Secret) -> bool:
        """True when this password was verified for this version of the row within `verified_cache_s`."""
        ends = user.password_expires_at
        usable = user.state is AccountState.ACTIVE and not user.must_change and (ends is None or ends > self._clock.now())
        return usable and self._verified.holds(user, password)

    def remembered_while_down(self, name: str, password: Secret) -> DirectoryUser | None:
        """The user as he was last seen, when this password was verified within `down_grace_s`."""
        return self._grace.remembered(name, password)

    async def _check(self, user: DirectoryUser, password: Secret, source: str, timeout_s: float) -> PasswordVerdict:
        account = await self._account(user.immutable_id, timeout_s)
        if account is None:
            await self._hasher.verify_nothing(password, source)
            return PasswordVerdict.WRONG
        checked = await check_stored(self._hasher, account.stored, password, source, self._settings.allow_plain)
        verdict = _verdict(account, checked)
        if verdict is not PasswordVerdict.RIGHT:
            # All of these are refused alike, so they take alike.
            await self._hasher.even_out(checked)
        elif account.user.state is AccountState.ACTIVE:
            self._verified.remember(account.user.immutable_id, account.user.version, password)
            self._grace.verified(account.user, password)
        return verdict

    # --- writing ---------------------------------------------------------------------------------------------------------

    async def change_password(self, user: DirectoryUser, old: Secret, new: Secret, timeout_s: float) -> PasswordVerdict:
        """Change it, on condition that the very hash that `old` was checked against is still there."""
        return await self._in_time(self._change(user, old, new, timeout_s), timeout_s)

    async def reset_password(self, user: DirectoryUser, new: Secret, must_change: bool, timeout_s: float) -> None:
        """Set it, and lift a lock that has columns."""
        own = self._own.get("set_password_statement")
        if must_change and own is not None and "must_change" not in own.names:
            raise RightMissing(
                f"directories.{self.name}.set_password_statement: does not use :must_change, and so cannot demand a change"
            )
        if must_change and own is None and self._settings.columns.must_change is None:
            raise self._missing("columns.must_change")
        await self._in_time(self._reset(user, new, must_change, timeout_s), timeout_s)

    async def password_policy(self, user: DirectoryUser, timeout_s: float) -> PasswordPolicy:
        """The rules as configured."""
        return self._policy

    async def unlock(self, user: DirectoryUser, timeout_s: float) -> bool:
        """True when the account was locked and now is not. A disabled account stays disabled."""
        return await self._in_time(self._unlock(user, timeout_s), timeout_s)

    def writes(self, kind: ContactKind) -> bool:
        """Whether the settings allow it."""
        return kind.value in self._settings.write_contacts and not self._settings.read_only

    async def write_contact(self, user: DirectoryUser, kind: ContactKind, value: str | None, timeout_s: float) -> None:
        """Replace the preferred one, or remove it."""
        if not self.writes(kind):
            raise self._missing("write_contacts" if not self._settings.read_only else "read_only")
        await self._in_time(self._write_contact(user, kind, value, timeout_s), timeout_s)

    @property
    def _policy(self) -> PasswordPolicy:
        rules = self._settings.password_rules
        return PasswordPolicy(
            min_length=rules.min_length,
            max_length=rules.max_length,
            complexity=rules.complexity,
            max_age_s=rules.max_age_days * 86_400,
        )

    async def _change(self, user: DirectoryUser, old: Secret, new: Secret, timeout_s: float) -> PasswordVerdict:
        self._may_write_passwords()
        account = await self._account(user.immutable_id, timeout_s)
        if account is None or account.user.state is not AccountState.ACTIVE:
            await self._hasher.verify_nothing(old)
            return PasswordVerdict.REFUSED
        if not old or not (await check_stored(self._hasher, account.stored, old, "", self._settings.allow_plain)).right:
            return PasswordVerdict.WRONG
        if new == old:
            raise PasswordNotAccepted("the new password is the old one", "same", self._policy)
        await self._store(account, new, must_change=False, timeout_s=timeout_s)
        return PasswordVerdict.RIGHT

    async def _reset(self, user: DirectoryUser, new: Secret, must_change: bool, timeout_s: float) -> None:
        self._may_write_passwords()
        self._acceptable(new, user)
        account = await self._account(user.immutable_id, timeout_s)
        if account is None:
            raise Conflict("the account was removed meanwhile")
        await self._store(account, new, must_change, timeout_s, unlocking=True)
        if account.user.state is AccountState.LOCKED and "set_password_statement" in self._own and self._unlocks:
            await self._unlock(user, timeout_s)

    def _acceptable(self, new: Secret, user: DirectoryUser) -> None:
        broken = broken_rules(new, self._policy, user)
        if broken:
            raise PasswordNotAccepted(broken[0].message, broken[0].rule.value, self._policy)

    async def _store(self, account: Account, new: Secret, must_change: bool, timeout_s: float, unlocking: bool = False) -> None:
        """A new password in place of the one that was read."""
        self._acceptable(new, account.user)
        try:
            made = await make_hash(self._hasher, self._settings, account.stored, new)
        except UsageError as error:
            raise PasswordNotAccepted(error.message, "length", self._policy) from error
        own = self._own.get("set_password_statement")
        if own is not None:
            values = {**self._identity(account), "old": account.stored, "password": made, "now": self._clock.now()}
            await self._write(account, own, {**values, "must_change": self._flag(must_change)}, timeout_s)
            return
        columns = self._settings.columns
        changes: dict[str, Any] = {columns.password: made}
        if columns.must_change is not None:
            changes[columns.must_change] = self._flag(must_change)
        if columns.password_changed_at is not None:
            changes[columns.password_changed_at] = self._clock.now()
        if columns.password_expires_at is not None:
            # The old one's end is not the new one's.
            days = self._settings.password_rules.max_age_days
            changes[columns.password_expires_at] = self._clock.now() + timedelta(days=days) if days else None
        if unlocking:
            changes |= self._unlocked()
        await self._update(account, changes, (columns.password,), timeout_s)

    async def _unlock(self, user: DirectoryUser, timeout_s: float) -> bool:
        self._may_write("unlock_statement")
        own = self._own.get("unlock_statement")
        if not self._unlocks:
            raise self._missing("columns.locked, locked_until or failures, or unlock_statement")
        account = await self._account(user.immutable_id, timeout_s)
        if account is None or account.user.state is not AccountState.LOCKED:
            return False
        try:
            if own is not None:
                await self._write(account, own, self._identity(account), timeout_s)
            else:
                changes = self._unlocked()
                await self._update(account, changes, tuple(changes), timeout_s)
        except Conflict:
            # Somebody else was first: of two who lift a lock, one did.
            return False
        return True

    @property
    def _unlocks(self) -> bool:
        columns = self._settings.columns
        present = any(column is not None for column in (columns.locked, columns.locked_until, columns.failures))
        return "unlock_statement" in self._own or (present and self._table is not None)

    def _unlocked(self) -> dict[str, Any]:
        """What has to be written so that nothing locks the account."""
        columns = self._settings.columns
        changes: dict[str, Any] = {}
        if columns.locked is not None:
            changes[columns.locked] = self._flag(False)
        if columns.locked_until is not None:
            changes[columns.locked_until] = None
        if columns.failures is not None:
            changes[columns.failures] = 0
        return changes

    async def _write_contact(self, user: DirectoryUser, kind: ContactKind, value: str | None, timeout_s: float) -> None:
        account = await self._account(user.immutable_id, timeout_s)
        if account is None:
            raise Conflict("the account was removed meanwhile")
        own = self._own.get(f"write_{kind.value}_statement")
        if own is not None:
            await self._write(account, own, {**self._identity(account), "value": value}, timeout_s)
            return
        column = getattr(self._settings.columns, kind.value)
        await self._update(account, {column: value}, (column,), timeout_s)

    async def _update(self, account: Account, changes: Mapping[str, Any], unchanged: tuple[str, ...], timeout_s: float) -> None:
        """Write, on condition that these columns are still as they were read."""
        statement = self._ours("set_password_statement").update(tuple(changes), unchanged)
        values = {
            "id": account.key,
            **{f"new_{column}": value for column, value in changes.items()},
            **{f"old_{column}": account.row[column] for column in unchanged},
        }
        await self._write(account, statement, values, timeout_s)

    async def _write(self, account: Account, statement: Statement, values: Mapping[str, Any], timeout_s: float) -> None:
        result: Result = await self._engine.run(statement, values, timeout_s)
        if result.count == 0:
            raise Conflict("the account was changed meanwhile")
        if result.count > 1:
            problem = f"a statement for one user would change {result.count} rows, and was undone"
            raise DirectoryUnavailable(f"directory {self.name}: {problem}")

    def _identity(self, account: Account) -> dict[str, Any]:
        return {"id": account.key, "username": account.row[self._settings.columns.username]}

    def _flag(self, value: bool) -> str:
        return self._settings.true_value if value else self._settings.false_value

    def _may_write_passwords(self) -> None:
        self._may_write("set_password_statement")

    def _may_write(self, statement: str) -> None:
        if self._settings.read_only:
            raise self._missing("read_only")
        if self._table is None and statement not in self._own:
            raise self._missing(statement)

    def _missing(self, setting: str) -> RightMissing:
        if setting == "read_only":
            return RightMissing(f"directories.{self.name}.read_only: this directory is only read; set it to false to write to it")
        return RightMissing(f"directories.{self.name}.{setting}: is not configured, and this cannot be done without it")

    def _ours(self, statement: str) -> TableStatements:
        if self._table is None:
            raise self._missing(statement)
        return self._table

    # --- the rest --------------------------------------------------------------------------------------------------------

    def examine(self, scratch: str | None, scratch_password: Secret | None) -> AsyncIterator[Finding]:
        """Tell what was found, point by point."""
        examination = Examination(self._settings, self._address, self._engine, self._table, self._columns, self)
        return examination.findings(scratch, scratch_password)

    def servers(self) -> tuple[ServerStatus, ...]:
        """What we hold of each server of the database."""
        return self._engine.servers()

    async def close(self) -> None:
        """Give up all connections."""
        await self._engine.close()

    async def _in_time(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        try:
            return await within(work, timeout_s)
        except TimeoutError as error:
            raise DirectoryUnavailable(f"directory {self.name}: no answer within {timeout_s:g} s") from error


def _verdict(account: Account, checked: Checked) -> PasswordVerdict:
    if not checked.right:
        return PasswordVerdict.WRONG
    if account.user.state is AccountState.DISABLED:
        return PasswordVerdict.DISABLED
    if account.user.state is AccountState.EXPIRED:
        return PasswordVerdict.ACCOUNT_EXPIRED
    if account.user.must_change:
        return PasswordVerdict.MUST_CHANGE
    if account.password_expired:
        return PasswordVerdict.EXPIRED
    # A locked account too: the password was checked and is right. Whoever asks sees the state.
    return PasswordVerdict.RIGHT


def _key(row: Row, settings: SqlSettings) -> str:
    return key_text(row[settings.columns.id])


def _own_texts(settings: SqlSettings) -> dict[str, str]:
    return {name: text for name in OWN if (text := getattr(settings, name)) is not None}


def _connecting(settings: SqlSettings, address: Address, parts: DirectoryParts) -> Connecting:
    limits = Limits(settings.timeouts.connect_s, settings.timeouts.operation_s, settings.connections)
    return Connecting(
        settings, address, limits, Writing(zone_of(settings.time_zone), settings.written_times), parts.clock, parts.secret
    )


def _build(settings: SqlSettings, parts: DirectoryParts) -> SqlDirectory:
    return SqlDirectory(settings, parts)


def _numbering(settings: SqlSettings) -> tuple[object, ...]:
    """Keys of a table begin at 1 in every database. A host or an account may change: a database moves, a password is renewed."""
    address = checked_address(settings)
    own = (settings.find_statement, settings.get_statement)
    return (address.engine, address.database, settings.table, settings.columns.id, *own)


KIND = DirectoryKind(SqlSettings, check_settings, _build, _numbering)
