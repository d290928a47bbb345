"""Examines a configured SQL directory: what is there, what is missing, and the lines that give it."""

import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol

from wardgate.crypto import Secret
from wardgate.directory.port import DirectoryUser, Finding, PasswordNotAccepted, PasswordVerdict, RightMissing, Verdict
from wardgate.directory.sql.address import Address, Engine
from wardgate.directory.sql.engines.connecting import sslmode_of
from wardgate.directory.sql.engines.engine import SqlEngine
from wardgate.directory.sql.hashes import EMPTY, PLAIN, UNKNOWN, scheme_name
from wardgate.directory.sql.settings import SqlSettings
from wardgate.directory.sql.statements import OWN, Statement, TableStatements, own_statement
from wardgate.directory.sql.values import key_text, text
from wardgate.errors import Conflict, DirectoryUnavailable
from wardgate.foreign_hashes import SCHEMES

SAMPLE_ROWS: Final = 1_000
LATENCY_TRIES: Final = 5
# Nobody has this name; a statement is planned for it.
NOBODY: Final = "wardgate-doctor"
# How long the hashes are that we write, where the column has a limit.
_CHARS: Final = {
    "argon2id": 97,
    "bcrypt": 60,
    "pbkdf2": 89,
    "scrypt": 131,
    "sha512-crypt": 120,
    "ssha": 56,
    "ssha512": 115,
}
_LENGTH: Final = re.compile(r"\bchar(?:acter)?(?: varying)?\((\d+)\)|\bvarchar\((\d+)\)", re.IGNORECASE)
_WEAK: Final = frozenset(scheme.name for scheme in SCHEMES if scheme.weak)


class Examined(Protocol):
    """What an examination asks of the directory itself."""

    async def find(self, name: str, timeout_s: float) -> DirectoryUser | None:
        """Look a user up."""
        ...

    async def get(self, immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        """Read a user."""
        ...

    async def check_password(self, user: DirectoryUser, password: Secret, timeout_s: float, source: str = "") -> PasswordVerdict:
        """Check a password."""
        ...

    async def change_password(self, user: DirectoryUser, old: Secret, new: Secret, timeout_s: float) -> PasswordVerdict:
        """Change one."""
        ...

    async def reset_password(self, user: DirectoryUser, new: Secret, must_change: bool, timeout_s: float) -> None:
        """Set one."""
        ...

    def looking_up(self, key: str, typed: str) -> tuple[Statement, dict[str, str]]:
        """How a name is looked up."""
        ...


class Examination:
    """One examination."""

    def __init__(
        self,
        settings: SqlSettings,
        address: Address,
        engine: SqlEngine,
        table: TableStatements | None,
        columns: Sequence[str],
        directory: Examined,
    ) -> None:
        self._settings = settings
        self._address = address
        self._engine = engine
        self._table = table
        self._columns = columns
        self._directory = directory
        self._account = ""
        self._patience_s = settings.timeouts.connect_s + settings.timeouts.operation_s

    async def findings(self, scratch: str | None, scratch_password: Secret | None) -> AsyncIterator[Finding]:
        """Point by point; nothing more is asked of a database that does not answer."""
        try:
            async for finding in self._connection():
                yield finding
            for part in (self._table_and_columns, self._indexes, self._own_statements, self._passwords, self._rights):
                async for finding in self._guarded(part):
                    yield finding
            async for finding in self._guarded(lambda: self._scratch(scratch, scratch_password)):
                yield finding
            async for finding in self._guarded(self._latency):
                yield finding
        except DirectoryUnavailable as error:
            yield Finding(
                "connection", Verdict.BAD, error.message, "see `url`, `password`, `ca_file`, and whether the database listens there"
            )

    async def _guarded(self, part: Callable[[], AsyncIterator[Finding]]) -> AsyncIterator[Finding]:
        """One part; what fails in it does not hide the others."""
        try:
            async for finding in part():
                yield finding
        except (DirectoryUnavailable, RightMissing, Conflict) as error:
            yield Finding("examination", Verdict.BAD, error.message, "a statement of this point failed: see the message")

    async def _connection(self) -> AsyncIterator[Finding]:
        began = time.perf_counter()
        facts = await self._engine.facts(self._patience_s)
        took_ms = (time.perf_counter() - began) * 1000
        self._account = facts.account
        whom = f" as {facts.account}" if facts.account else ""
        yield Finding("connection", Verdict.GOOD, f"{facts.version} at {facts.server}{whom}, {took_ms:.0f} ms")
        if facts.encrypted:
            names = {sslmode_of(self._settings, host) for host in self._address.hosts}
            yield Finding(
                "TLS", Verdict.GOOD, f"{facts.encrypted}, {'name checked' if names == {'verify-full'} else 'certificate checked'}"
            )
        elif all(host.is_here for host in self._address.hosts):
            yield Finding("TLS", Verdict.GOOD, "in clear, and never beyond this machine")
        else:
            yield Finding("TLS", Verdict.WARNING, "password hashes pass in clear", "set `sslmode: verify-full` and `ca_file`")
        for server in self._engine.servers() if len(self._address.hosts) > 1 else ():
            verdict = Verdict.WARNING if server.problem else Verdict.GOOD
            yield Finding(f"server {server.server}", verdict, server.problem or server.state.value)

    async def _table_and_columns(self) -> AsyncIterator[Finding]:
        if self._settings.table is None:
            yield Finding("table", Verdict.SKIPPED, "none is named; own statements are used")
            return
        types = await self._engine.types(self._settings.table, self._patience_s)
        if not types:
            cure = "see `table` (names are taken as written, capital letters too), or give us the right to read it"
            yield Finding("table", Verdict.BAD, f"there is no {self._settings.table}, or we may not see it", cure)
            return
        yield Finding("table", Verdict.GOOD, f"{self._settings.table} can be seen")
        folded = {name.casefold(): kind for name, kind in types.items()}
        for column in self._columns:
            kind = types.get(column) if self._address.engine is Engine.POSTGRESQL else folded.get(column.casefold())
            if kind is not None:
                yield Finding(f"column {column}", Verdict.GOOD, kind or "no declared type")
            elif self._address.engine is Engine.POSTGRESQL and column in ("xmin", "ctid"):
                yield Finding(f"column {column}", Verdict.GOOD, "a column of the system")
            else:
                near = [name for name in types if name.casefold() == column.casefold()]
                cure = f"write {near[0]}" if near else f"there are {', '.join(sorted(types))[:200]}"
                yield Finding(f"column {column}", Verdict.BAD, "there is no such column", cure)
        for finding in self._fitness(folded):
            yield finding

    def _fitness(self, types: dict[str, str]) -> list[Finding]:
        """Whether what is there can do what is asked of it."""
        found = []
        columns, kind = self._settings.columns, types.get(self._settings.columns.password.casefold(), "")
        limit = _LENGTH.search(kind)
        needed = _CHARS.get(self._settings.write_hash, 0)
        if limit is not None and int(limit[1] or limit[2]) < needed and not self._settings.read_only:
            found.append(
                Finding(
                    f"column {columns.password}",
                    Verdict.BAD,
                    f"{kind} is too short for {self._settings.write_hash}, which needs {needed} characters",
                    "make the column longer, or choose another `write_hash`",
                )
            )
        name_kind = types.get(columns.username.casefold(), "")
        exact = self._settings.username_match == "exact" or (
            self._address.engine is Engine.MYSQL and self._settings.username_match is None
        )
        if exact and re.search(r"_(?:bin|cs)\b", name_kind):
            found.append(
                Finding(
                    f"column {columns.username}",
                    Verdict.WARNING,
                    f"{name_kind} tells capital letters apart: names are found only as they stand there or in lower case",
                    "set `username_match: lower`, with an index on lower() of it",
                )
            )
        return found

    async def _indexes(self) -> AsyncIterator[Finding]:
        if self._table is None or self._settings.find_statement is not None:
            return
        columns = self._settings.columns
        for column, asked in ((columns.username, self._table.by_username(2)), (columns.mail, self._table.by_mail(2))):
            if asked is not None and column is not None:
                lines = self._table.index_lines(column)
                yield await self._planned(f"index on {column}", asked, {"n0": NOBODY, "n1": NOBODY}, column, lines)
        key, lines = await self._any_id(), self._table.index_lines(columns.id)
        yield await self._planned(f"index on {columns.id}", self._table.get(), {"id": key}, columns.id, lines)

    async def _planned(
        self, what: str, statement: Statement, values: dict[str, object], column: str, lines: tuple[str, ...]
    ) -> Finding:
        indexed, how = await self._engine.plan(statement, values, self._patience_s)
        if indexed:
            return Finding(what, Verdict.GOOD, how)
        return Finding(
            what,
            Verdict.WARNING,
            f"the whole table is read for each look-up ({how})",
            f"make an index on {column}, or on lower({column}) where `username_match` or `mail_match` is lower",
            lines,
        )

    async def _any_id(self) -> object:
        if self._table is None:
            return "0"
        result = await self._engine.run(self._table.sample(1, [self._settings.columns.id]), {}, self._patience_s)
        return result.rows[0][0] if result.rows else "0"

    async def _own_statements(self) -> AsyncIterator[Finding]:
        """Planned, not run: they are the operator's, and some of them write."""
        given = dict.fromkeys(("name", "typed", "username", "old", "password", "value"), NOBODY)
        values = {**given, "must_change": self._settings.false_value, "now": None, "id": await self._any_id()}
        for name in OWN:
            own = getattr(self._settings, name)
            if own is None:
                continue
            try:
                indexed, how = await self._engine.plan(own_statement(own, name), values, self._patience_s)
            except (DirectoryUnavailable, RightMissing) as error:
                yield Finding(name, Verdict.BAD, error.message, "correct the statement, or give our account the right")
                continue
            cure = "" if indexed else "see whether an index serves its condition"
            yield Finding(name, Verdict.GOOD if indexed else Verdict.WARNING, how or "planned", cure)

    async def _passwords(self) -> AsyncIterator[Finding]:
        if self._table is None:
            yield Finding("hashes", Verdict.SKIPPED, "no table is named that could be looked through")
            return
        columns = self._settings.columns
        result = await self._engine.run(self._table.sample(SAMPLE_ROWS, [columns.password]), {}, self._patience_s)
        counts = Counter(scheme_name(row[0]) for row in result.rows)
        if not counts:
            yield Finding("hashes", Verdict.WARNING, "the table is empty")
            return
        told = ", ".join(f"{count} {scheme}" for scheme, count in counts.most_common())
        yield Finding("hashes", Verdict.GOOD, f"{sum(counts.values())} rows: {told}")
        if counts[PLAIN]:
            verdict = Verdict.WARNING if self._settings.allow_plain else Verdict.BAD
            cure = "have the other program hash them" + ("" if self._settings.allow_plain else "; until then `allow_plain: true`")
            yield Finding("passwords in clear", verdict, f"{counts[PLAIN]} rows hold what looks like a password itself", cure)
        elif self._settings.allow_plain:
            yield Finding("passwords in clear", Verdict.WARNING, "are accepted, and none was found", "remove `allow_plain`")
        if counts[UNKNOWN]:
            cure = "these users cannot log in here until their passwords are set anew"
            yield Finding("unknown hashes", Verdict.WARNING, f"{counts[UNKNOWN]} rows have a form that is not known here", cure)
        if counts[EMPTY]:
            yield Finding("no password", Verdict.GOOD, f"{counts[EMPTY]} rows have none: nobody logs in with them")
        weak = sum(count for scheme, count in counts.items() if scheme in _WEAK)
        if weak:
            cure = "each goes when its password is set anew, and is then stored as `write_hash` says"
            yield Finding("weak hashes", Verdict.WARNING, f"{weak} rows have hashes that are quick to guess", cure)

    async def _rights(self) -> AsyncIterator[Finding]:
        if self._settings.read_only:
            yield Finding("right to write", Verdict.SKIPPED, "`read_only` is set")
            return
        if self._table is None or self._settings.table is None:
            yield Finding("right to write", Verdict.SKIPPED, "own statements are used")
            return
        columns = self._settings.columns
        written = {
            "change and reset": [columns.password, columns.must_change, columns.password_changed_at, columns.password_expires_at],
            "unlock": [columns.locked, columns.locked_until, columns.failures],
            "contacts": [getattr(columns, kind) for kind in self._settings.write_contacts],
        }
        for what, names in written.items():
            present = [name for name in names if name is not None]
            if not present:
                yield Finding(f"right to {what}", Verdict.SKIPPED, "no column is configured for it")
                continue
            try:
                await self._engine.run(self._table.no_update(present), {}, self._patience_s)
            except (RightMissing, DirectoryUnavailable) as error:
                grants = self._engine.grants(self._settings.table, present, self._account)
                cure = "give our account the right, or set `read_only: true`"
                yield Finding(f"right to {what}", Verdict.WARNING, error.message, cure, grants)
            else:
                yield Finding(f"right to {what}", Verdict.GOOD, f"UPDATE of {', '.join(present)}")

    async def _scratch(self, scratch: str | None, password: Secret | None) -> AsyncIterator[Finding]:
        if scratch is None:
            yield Finding("change and reset", Verdict.SKIPPED, "no scratch account is named")
            return
        user = await self._directory.find(scratch, self._patience_s)
        if user is None:
            yield Finding("scratch account", Verdict.BAD, f"{scratch} is not found, or more than once", "name another one")
            return
        fresh = Secret(f"Aa1-{secrets.token_urlsafe(18)}")
        try:
            if password is not None:
                verdict = await self._directory.change_password(user, password, fresh, self._patience_s)
                found = Verdict.GOOD if verdict is PasswordVerdict.RIGHT else Verdict.BAD
                yield Finding("change", found, f"the change was answered by: {verdict.value}")
            await self._directory.reset_password(user, fresh, False, self._patience_s)
            again = await self._directory.check_password(user, fresh, self._patience_s)
            good = again is PasswordVerdict.RIGHT
            yield Finding("reset", Verdict.GOOD if good else Verdict.BAD, f"the new password is answered by: {again.value}")
            if password is not None:
                await self._directory.reset_password(user, password, False, self._patience_s)
        except (RightMissing, PasswordNotAccepted, Conflict) as error:
            yield Finding("change and reset", Verdict.BAD, error.message)

    async def _latency(self) -> AsyncIterator[Finding]:
        if self._table is None:
            return
        columns = self._settings.columns
        result = await self._engine.run(self._table.sample(1, [columns.id, columns.username]), {}, self._patience_s)
        if not result.rows:
            return
        key, name = key_text(result.rows[0][0]), text(result.rows[0][1])
        times = []
        for _ in range(LATENCY_TRIES):
            began = time.perf_counter()
            user = await self._directory.get(key, self._patience_s)
            times.append((time.perf_counter() - began) * 1000)
        if user is None:
            cure = "the id column must compare with its own text; otherwise write a get_statement"
            yield Finding("read by id", Verdict.BAD, "a row is not found again by its id", cure)
        else:
            yield Finding("read by id", Verdict.GOOD, f"{sorted(times)[LATENCY_TRIES // 2]:.1f} ms")
        found = await self._directory.find(name, self._patience_s)
        if found is None:
            cure = "look for a second row with the same name or for blanks in it; see `username_match`"
            yield Finding("look-up by name", Verdict.WARNING, "a sampled row is not found by its own login name", cure)
        else:
            yield Finding("look-up by name", Verdict.GOOD, "a sampled row is found by its own login name")
