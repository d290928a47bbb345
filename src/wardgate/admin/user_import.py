"""Importing users from a file: many rows in one storage unit, each unit with its audit event.

A file may be imported again: a user who is there already is brought to what the file says, a TOTP secret that he already has
is left alone with its counter. Whatever stands between two units is a whole state; a broken import is simply repeated.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

from wardgate.account.authenticator import (
    MAX_AUTHENTICATORS,
    AuthenticatorState,
    create_shared_secret,
    enrolled_before,
    fingerprint,
    revocation,
)
from wardgate.account.device import forget_all
from wardgate.account.subject import SubjectId, create_subject
from wardgate.admin.authenticators import TOTP
from wardgate.admin.import_file import BadRow, ImportRow, count_lines, read_header, read_rows
from wardgate.admin.office import Office
from wardgate.admin.telling import Act, Teller, Whose, teller_of
from wardgate.admin.users import new_row
from wardgate.audit.events import AuditEvent, Kind
from wardgate.crypto import Secret
from wardgate.directory.local import TABLE, StoredPassword, stored_password, user_from_row
from wardgate.directory.password_rules import normalised
from wardgate.directory.port import AccountState
from wardgate.engine.notices import everywhere
from wardgate.errors import Conflict, Overloaded
from wardgate.factors.totp import DEFAULT_ALGORITHM, DEFAULT_DIGITS, DEFAULT_PERIOD_S
from wardgate.passwords import recognise
from wardgate.storage.port import MAX_IN_VALUES, MAX_UNIT_OPERATIONS, Insert, Operation, Reader, Refused, Row, Update, Where

ROWS_PER_UNIT = 250
# Passwords in clear cost an Argon2id hash each; smaller units keep the progress moving.
PASSWORDS_PER_UNIT = 50
MAX_REPORTED = 1000
TOTP_LABEL = "import"
_ENROLLED = Act("authenticator_added", TOTP, TOTP_LABEL)
TOTP_SETTINGS: Mapping[str, str | int] = {
    "digits": DEFAULT_DIGITS,
    "period_s": DEFAULT_PERIOD_S,
    "algorithm": DEFAULT_ALGORITHM,
}
_ROWS_PER_TURN = 25
_TRIES = 5
_HASH_TRIES = 600
_HASH_WAIT_S = 0.1
_SCAN_PAGE = 1000

OnProgress = Callable[[int, int | None], None]


@dataclass(slots=True)
class _Unit:
    """What a batch comes to: operations and counts."""

    operations: list[Operation] = field(default_factory=list)
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    enrolled: int = 0
    revoked: int = 0
    refused: list[BadRow] = field(default_factory=list)
    told: list[tuple[Whose, list[Act]]] = field(default_factory=list)


@dataclass(slots=True)
class _Tally:
    """What became of the rows so far."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    problems: list[BadRow] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.added + self.changed + self.unchanged + self.refused

    def take(self, unit: _Unit) -> None:
        self.added += unit.added
        self.changed += unit.changed
        self.unchanged += unit.unchanged
        for bad in unit.refused:
            self.refuse(bad)

    def refuse(self, bad: BadRow) -> None:
        self.refused += 1
        if len(self.problems) < MAX_REPORTED:
            self.problems.append(bad)


@dataclass(slots=True)
class _Batch:
    """Rows that will be one unit."""

    rows: dict[str, ImportRow] = field(default_factory=dict)
    passwords: int = 0
    refused: int = 0

    def add(self, row: ImportRow) -> None:
        self.rows[row.key] = row
        self.passwords += row.password is not None

    def full_for(self, row: ImportRow) -> bool:
        """Whether `row` has to wait for the next unit. The same name twice is an update of what the first one made."""
        return len(self.rows) >= ROWS_PER_UNIT or self.passwords >= PASSWORDS_PER_UNIT or row.key in self.rows

    def halves(self) -> "tuple[_Batch, _Batch]":
        """The same in two; what was refused is counted with the first."""
        rows = list(self.rows.values())
        middle = len(rows) // 2
        first, second = _Batch(refused=self.refused), _Batch()
        for batch, some in ((first, rows[:middle]), (second, rows[middle:])):
            for row in some:
                batch.add(row)
        return first, second


@dataclass(frozen=True, slots=True)
class _Known:
    """What storage holds about the users of a batch: rows by name key, subjects by user id, authenticators by subject."""

    users: Mapping[str, Row]
    subjects: Mapping[str, SubjectId]
    authenticators: Mapping[SubjectId, Sequence[Row]]


async def import_users(
    office: Office,
    stream: BinaryIO,
    *,
    directory: str,
    keep_hashes: bool = False,
    dry_run: bool = False,
    silent: bool = False,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Import a CSV file (see `import_file`) into a local directory and tell what became of its rows.

    A column that is there sets its field, and an empty cell clears it, but an empty password or TOTP secret leaves what the
    user has. `keep_hashes`: these hashes are never upgraded. `dry_run`: tell what would become of them, and write nothing.
    `silent`: people do not hear of what was changed in their accounts, but for administrators; the audit trail does. Bad rows are
    listed with line and reason, the first thousand of them, and do not stop the others. Raises UsageError for a file that cannot be
    a list of users.
    """
    total = count_lines(stream)
    header = read_header(stream)
    rows = read_rows(stream, header, keep_hashes)
    how: dict[str, Any] = {"directory": directory, "dry_run": dry_run, "silent": silent}
    result = await import_rows(office, rows, **how, total=total, on_progress=on_progress)
    return result | {"ignored_columns": list(header.ignored)}


async def import_rows(
    office: Office,
    rows: Iterable[ImportRow | BadRow],
    *,
    directory: str,
    dry_run: bool = False,
    silent: bool = False,
    total: int | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """The same for rows of any format, in units of at most ROWS_PER_UNIT: each is written whole or not at all."""
    tally, batch, write = _Tally(), _Batch(), _preview if dry_run else partial(_write, silent=silent)
    for number, row in enumerate(rows):
        if number % _ROWS_PER_TURN == 0:
            await asyncio.sleep(0)
        if isinstance(row, BadRow):
            tally.refuse(row)
            batch.refused += 1
            continue
        if batch.full_for(row):
            await write(office, directory, batch, tally)
            batch = _Batch()
            _tell(on_progress, tally, total)
        batch.add(row)
    await write(office, directory, batch, tally)
    _tell(on_progress, tally, tally.done)
    return {
        "directory": directory,
        "added": tally.added,
        "changed": tally.changed,
        "unchanged": tally.unchanged,
        "refused": tally.refused,
        "problems": [{"line": bad.line, "reason": bad.reason} for bad in tally.problems],
        "ignored_columns": [],
    }


async def _preview(office: Office, directory: str, batch: _Batch, tally: _Tally) -> None:
    """What the batch would come to. A password in clear counts as a change, and is not hashed."""
    rows = list(batch.rows.values())
    hashes = {row.key: "" for row in rows if row.password is not None}
    known = await _read_known(office.storage, directory, rows)
    tally.take(await _build(office, directory, rows, hashes, known))


async def check_foreign_hashes(storage: Reader) -> dict[str, int]:
    """How many users have a password hash of each scheme, our own Argon2id included, for `wardgate check`."""
    counts: Counter[str] = Counter()
    after = ""
    while rows := await storage.find(TABLE, [Where("id", ">", after)], order_by="id", limit=_SCAN_PAGE):
        for row in rows:
            stored = stored_password(row)
            if stored is not None:
                counts[recognise(stored.hash) or "unknown"] += 1
        after = str(rows[-1]["id"])
        await asyncio.sleep(0)
    return dict(counts)


async def _write(office: Office, directory: str, batch: _Batch, tally: _Tally, *, silent: bool) -> None:
    """Commit a batch; once more when somebody else changed one of its users between reading and writing."""
    rows = list(batch.rows.values())
    if not rows and not batch.refused:
        return
    hashes, teller = await _hashes(office, rows), await teller_of(office)
    for _ in range(_TRIES):
        known = await _read_known(office.storage, directory, rows)
        unit = await _build(office, directory, rows, hashes, known)
        words = await _words(teller, unit, silent) if teller is not None else []
        told = [operation for word in words for operation in word]
        is_silent = silent or teller is None
        whole = [*unit.operations, *told, _event(office, directory, batch, unit, sum(map(bool, words)), is_silent)]
        if len(whole) > MAX_UNIT_OPERATIONS and len(rows) > 1:
            # People with many addresses each: what is told stays in the unit of what it tells of.
            for half in batch.halves():
                await _write(office, directory, half, tally, silent=silent)
            return
        if not isinstance(await office.storage.commit(whole), Refused):
            tally.take(unit)
            return
    raise Conflict("the users of the file are being changed by somebody else; import it again")


async def _words(teller: Teller, unit: _Unit, silent: bool) -> list[list[Operation]]:
    """The messages, by person. Administrators hear of a silent import too: whoever may import could take over theirs unseen."""
    return [await teller.word(whose, acts) for whose, acts in unit.told if not silent or teller.is_of_administrator(whose)]


async def _build(office: Office, directory: str, rows: Sequence[ImportRow], hashes: Mapping[str, str], known: _Known) -> _Unit:
    unit = _Unit()
    for number, row in enumerate(rows):
        if number % _ROWS_PER_TURN == 0:
            await asyncio.sleep(0)
        stored = StoredPassword(hashes[row.key]) if row.key in hashes else row.stored
        user = known.users.get(row.key)
        if user is None:
            _add(office, directory, row, stored, unit)
        else:
            _change(office, row, stored, user, known, unit)
    return unit


def _add(office: Office, directory: str, row: ImportRow, stored: StoredPassword | None, unit: _Unit) -> None:
    user = new_row(office, directory, row.name, row.key) | dict(row.profile)
    if stored is not None:
        user |= {"password_hash": stored.column, "password_changed_at": user["created_at"]}
    unit.operations.append(Insert(TABLE, user))
    unit.added += 1
    if row.totp_secret is not None:
        subject_id, inserts = create_subject(directory, user["id"], user["created_at"])
        unit.operations += inserts
        _enrol(office, subject_id, row.totp_secret, 0, unit)
        whose = Whose(directory, str(user["id"]), row.name, user_from_row(user, office.now_ms()), subject_id)
        unit.told.append((whose, [_ENROLLED]))


def _change(office: Office, row: ImportRow, stored: StoredPassword | None, user: Row, known: _Known, unit: _Unit) -> None:
    subject_id = known.subjects.get(str(user["id"]))
    enrolled = known.authenticators.get(subject_id, ()) if subject_id is not None else ()
    secret, counter = row.totp_secret, 0
    if secret is not None and subject_id is not None:
        mark = fingerprint(office.ring, subject_id, secret)
        already, counter = enrolled_before(enrolled, TOTP, TOTP_SETTINGS, mark)
        secret = None if already else secret
    active = [each for each in enrolled if each["state"] == AuthenticatorState.ACTIVE]
    if secret is not None and len(active) >= MAX_AUTHENTICATORS:
        unit.refused.append(BadRow(row.line, f"the user already has {MAX_AUTHENTICATORS} authenticators"))
        return
    changes = {column: value for column, value in row.profile.items() if user[column] != value}
    if stored is not None and stored.column != user["password_hash"]:
        must_change = row.profile.get("must_change", 0)
        changes |= {"password_hash": stored.column, "password_changed_at": office.now_ms(), "must_change": must_change}
    if changes or secret is not None:
        # Only if nobody else changed the account since it was read; another operator may be enrolling the same secret.
        as_read = (Where("version", "=", user["version"]),)
        unit.operations.append(Update(TABLE, {"id": user["id"]}, changes, where=as_read, add={"version": 1}))
    if subject_id is not None and ("password_hash" in changes or changes.get("state") == AccountState.DISABLED.value):
        # As after a reset by hand: the devices that were trusted before.
        unit.operations.append(forget_all(subject_id))
    if secret is not None:
        _replace_imported(active, unit)
        if subject_id is None:
            subject_id, inserts = create_subject(str(user["directory"]), str(user["id"]), office.now_ms())
            unit.operations += inserts
        _enrol(office, subject_id, secret, counter, unit)
    _note_told(office, user, changes, secret is not None, subject_id, unit)
    unit.changed += bool(changes) or secret is not None
    unit.unchanged += not changes and secret is None


def _note_told(
    office: Office, before: Row, changes: Mapping[str, Any], enrolled: bool, subject_id: SubjectId | None, unit: _Unit
) -> None:
    """What a person hears: of all that protects his account, at what he had and at what he has now."""
    acts = [_ENROLLED] if enrolled else []
    acts += [Act("password_set")] if "password_hash" in changes else []
    acts += [Act("contact_changed")] if {"mail", "phone"} & changes.keys() else []
    if acts or "groups" in changes:
        user, now = user_from_row(before, office.now_ms()), user_from_row({**before, **changes}, office.now_ms())
        also = tuple(everywhere(now, ()))
        unit.told.append((Whose(user.directory, user.immutable_id, user.name, user, subject_id, also, becomes=now), acts))


def _replace_imported(active: Sequence[Row], unit: _Unit) -> None:
    """What an earlier import enrolled ends with the new secret; what the user enrolled himself stays."""
    for row in active:
        if row["label"] == TOTP_LABEL:
            unit.operations.append(revocation(row))
            unit.revoked += 1


def _enrol(office: Office, subject_id: SubjectId, secret: Secret, counter: int, unit: _Unit) -> None:
    _, insert = create_shared_secret(office.ring, subject_id, TOTP, TOTP_LABEL, TOTP_SETTINGS, secret, counter, office.now_ms())
    unit.operations.append(insert)
    unit.enrolled += 1


def _event(office: Office, directory: str, batch: _Batch, unit: _Unit, told: int, silent: bool) -> Operation:
    details = {
        "directory": directory,
        "added": unit.added,
        "changed": unit.changed,
        "unchanged": unit.unchanged,
        "refused": batch.refused + len(unit.refused),
        "authenticators_added": unit.enrolled,
        "authenticators_revoked": unit.revoked,
        "people_told": told,
        **({"silent": True} if silent else {}),
    }
    return office.record(AuditEvent(Kind.USERS_IMPORTED, office.now_ms(), office.actor, None, office.reference, details=details))


async def _hashes(office: Office, rows: Sequence[ImportRow]) -> dict[str, str]:
    """Hash the passwords in clear, as many at a time as there are threads, so that logins find the queue open."""
    clear = [(row.key, row.password) for row in rows if row.password is not None]
    hashes: dict[str, str] = {}
    for start in range(0, len(clear), office.hasher.threads):
        some = clear[start : start + office.hasher.threads]
        made = await asyncio.gather(*(_hash(office, password) for _, password in some))
        hashes |= dict(zip((key for key, _ in some), made, strict=True))
    return hashes


async def _hash(office: Office, password: Secret) -> str:
    for _ in range(_HASH_TRIES):
        try:
            return await office.hasher.hash(normalised(password))
        except Overloaded:
            await asyncio.sleep(_HASH_WAIT_S)
    raise Overloaded("too many logins to hash the passwords of an import; repeat it later")


async def _read_known(storage: Reader, directory: str, rows: Sequence[ImportRow]) -> _Known:
    here = Where("directory", "=", directory)
    users = await _find_in(storage, TABLE, "name_key", [row.key for row in rows], here)
    with_secret = {row.key for row in rows if row.totp_secret is not None}
    asked = with_secret | {row.key for row in rows if row.password is not None or row.stored is not None or "state" in row.profile}
    ids = [str(user["id"]) for user in users if user["name_key"] in asked]
    links = await _find_in(storage, "subject_link", "immutable_id", ids, here)
    subjects = {str(link["immutable_id"]): SubjectId(str(link["subject_id"])) for link in links}
    enrolling = [subjects[str(user["id"])] for user in users if user["name_key"] in with_secret and str(user["id"]) in subjects]
    authenticators: dict[SubjectId, list[Row]] = {}
    for row in await _find_in(storage, "authenticator", "subject_id", enrolling, Where("kind", "=", TOTP)):
        authenticators.setdefault(SubjectId(str(row["subject_id"])), []).append(row)
    return _Known({str(user["name_key"]): user for user in users}, subjects, authenticators)


async def _find_in(storage: Reader, table: str, column: str, values: Sequence[str], other: Where) -> list[Row]:
    rows: list[Row] = []
    for start in range(0, len(values), MAX_IN_VALUES):
        rows += await storage.find(table, [other, Where(column, "in", tuple(values[start : start + MAX_IN_VALUES]))])
    return rows


def _tell(on_progress: OnProgress | None, tally: _Tally, total: int | None) -> None:
    if on_progress is not None:
        on_progress(tally.done, total)
