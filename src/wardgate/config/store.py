"""Versions of the document in storage. The newest is in force; a new one is always the present number plus one."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, TypeVar

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import Clock, from_ms, to_ms
from wardgate.config.document import LISTS, SECTIONS, Document, parse, to_plain
from wardgate.config.secrets import seal_document
from wardgate.crypto import KeyRing
from wardgate.delivery.pickup import PickupSettings
from wardgate.directory.settings import LocalDirectorySettings, RealmSettings
from wardgate.errors import Conflict, NotFound, SettingsError
from wardgate.storage.port import Announce, Committed, Delete, Insert, Operation, Reader, Row, Storage, Where

TOPIC: Final = "configuration"
KEPT_VERSIONS: Final = 500
MAX_EDIT_TRIES: Final = 20
MAX_NAMES_IN_AUDIT: Final = 40
MAX_REASON_CHARS: Final = 500
# An audit event holds 8192 characters; one that is too long would lose its version with the names.
MAX_NAME_CHARS_IN_AUDIT: Final = 160
MAX_LIST_CHARS_IN_AUDIT: Final = 2_000
NO_REASON: Final = "no reason was given"
_RETRY_PAUSE_S: Final = 0.005
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between two documents, by name: `nas hq-firewall`, and for changed things the keys that differ."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


@dataclass(frozen=True, slots=True)
class Version:
    """One stored version, without its content. `changes`: from the version before it; None when that is not kept any more."""

    version: int
    author: str
    reason: str
    created_at: datetime
    changes: Changes | None = None


def first_document(demo: bool) -> Document:
    """What an installation begins with: one realm, one local directory; in the demo also gateways that send nothing."""
    gateways = (
        PickupSettings(name="demo-sms", kind="pickup", channel="sms"),
        PickupSettings(name="demo-mail", kind="pickup", channel="email"),
    )
    return Document(
        realms=(RealmSettings(name="default", default=True, directories=("local",)),),
        directories=(LocalDirectorySettings(name="local", kind="local"),),
        gateways=gateways if demo else (),
    )


async def load_current(storage: Reader) -> tuple[int, Document]:
    """The version in force and its document. Raises NotFound before the first one was saved."""
    row = await _newest(storage)
    return int(row["version"] or 0), decode(row)


async def load_to_replace(storage: Reader) -> tuple[int, Document | None]:
    """The same for whoever puts another document in its place; None when this program cannot use what is stored.

    An upgrade that refuses more than the release before, or a damaged row, must not shut the operator out of the cure.
    """
    row = await _newest(storage)
    try:
        return int(row["version"] or 0), decode(row)
    except SettingsError:
        return int(row["version"] or 0), None


async def load_as_stored(storage: Reader, version: int | None = None) -> tuple[int, dict[str, Any]]:
    """A version as plain values, unchecked, for whoever has to correct it. Raises NotFound, SettingsError when it is damaged."""
    row = await _newest(storage) if version is None else await _row(storage, version)
    try:
        plain = json.loads(str(row["document"]))
    except ValueError as error:
        raise _damaged(row) from error
    if not isinstance(plain, dict):
        raise _damaged(row)
    return int(row["version"] or 0), plain


async def _newest(storage: Reader) -> Row:
    rows = await storage.find(TOPIC, order_by="version", descending=True, limit=1)
    if not rows:
        raise NotFound("there is no configuration document: this installation was not completed; run wardgate init")
    return rows[0]


async def load(storage: Reader, version: int) -> Document:
    """One kept version. Raises NotFound."""
    return decode(await _row(storage, version))


async def _row(storage: Reader, version: int) -> Row:
    row = await storage.get(TOPIC, {"version": version})
    if row is None:
        raise NotFound(f"there is no version {version} of the configuration; see wardgate config history")
    return row


async def history(storage: Reader, limit: int = KEPT_VERSIONS) -> list[Version]:
    """The kept versions, newest first. One after the other: each may have megabytes."""
    row: Row | None = await _newest(storage)
    versions: list[Version] = []
    while row is not None and len(versions) < limit:
        before = await storage.get(TOPIC, {"version": int(row["version"] or 0) - 1})
        versions.append(_version(row, before))
        row = before
    return versions


async def version_of(storage: Reader, number: int) -> Version:
    """One kept version. Raises NotFound."""
    row = await _row(storage, number)
    return _version(row, await storage.get(TOPIC, {"version": number - 1}))


def _version(row: Row, before: Row | None) -> Version:
    number = int(row["version"] or 0)
    changes = compare_plain(_plain(before), _plain(row) or {}) if before is not None or number == 1 else None
    return Version(number, str(row["author"]), str(row["reason"]), from_ms(int(row["created_at"] or 0)), changes)


def _plain(row: Row | None) -> dict[str, Any] | None:
    """A stored document unchecked; what is damaged counts as empty, because the history must be shown in any case."""
    try:
        plain = json.loads(str(row["document"])) if row is not None else None
    except ValueError:
        return {}
    return plain if isinstance(plain, dict) or plain is None else {}


async def save(
    storage: Storage, document: Document, author: str, reason: str, expected_version: int, clock: Clock, ring: KeyRing
) -> int:
    """Put a document in force as `expected_version + 1`; its clear secrets are sealed on the way. Returns the version in force.

    Raises Conflict when `expected_version` is not the one in force any more, SettingsError for a document that is wrong.
    Nothing is written when nothing changed.
    One unit: the version, its audit event, the announcement, and the end of versions beyond `KEPT_VERSIONS`.
    """
    return (await _save(storage, document, author, reason, expected_version, clock, ring))[0]


async def _save(
    storage: Storage, document: Document, author: str, reason: str, expected_version: int, clock: Clock, ring: KeyRing
) -> tuple[int, Document]:
    present, before = await load_to_replace(storage) if expected_version else (0, None)
    if present != expected_version:
        raise _outdated(present)
    sealed = parse(to_plain(seal_document(document, ring, before)))
    if sealed == before:
        return present, before
    now_ms = to_ms(clock.now())
    version, reason = expected_version + 1, reason.strip()[:MAX_REASON_CHARS] or NO_REASON
    row: Row = {
        "version": version,
        "document": encode(sealed),
        "author": author,
        "reason": reason,
        "created_at": now_ms,
    }
    details = _details(version, reason, compare(before, sealed))
    operations: list[Operation] = [
        Insert(TOPIC, row),
        record(AuditEvent(Kind.CONFIGURATION_APPLIED, now_ms, author, details=details)),
        Announce(TOPIC, str(version)),
    ]
    if version > KEPT_VERSIONS:
        operations.append(Delete(TOPIC, (Where("version", "<=", version - KEPT_VERSIONS),)))
    if not isinstance(await storage.commit(operations), Committed):
        raise _outdated(version)
    return version, sealed


def _outdated(present: int) -> Conflict:
    return Conflict(f"the configuration was changed meanwhile: version {present} is in force; look at it and repeat")


async def edit(
    storage: Storage, ring: KeyRing, change: Callable[[Document], Document], author: str, reason: str, clock: Clock
) -> tuple[int, Document]:
    """Apply `change` to the document in force, again and again until nobody came between. `change` is pure.

    Returns the version and document in force after it; nothing is saved when `change` changed nothing.
    """
    for _ in range(MAX_EDIT_TRIES):
        version, current = await load_current(storage)
        wanted = change(current)
        if wanted == current:
            return version, current
        try:
            return await _save(storage, wanted, author, reason, version, clock, ring)
        except Conflict:
            await asyncio.sleep(_RETRY_PAUSE_S)
    raise Conflict("the configuration is being changed by others all the time; repeat")


def compare(before: Document | None, after: Document) -> Changes:
    """What `after` adds, changes and removes."""
    return _compare(_contents(before) if before is not None else None, _contents(after))


def compare_plain(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Changes:
    """The same of documents as they are stored, whether or not this release can use them."""
    return _compare(_plain_contents(before) if before is not None else None, _plain_contents(after))


Contents = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Section to the name of a thing to its fields; what is no list has one thing, without a name."""


def _contents(document: Document) -> Contents:
    return {
        section: {item.name: _values(item) for item in getattr(document, section)}
        if section in LISTS
        else {"": _values(getattr(document, section))}
        for section in SECTIONS
    }


def _values(item: Any) -> dict[str, Any]:
    return {each.name: getattr(item, each.name) for each in fields(item)}


def _plain_contents(plain: Mapping[str, Any]) -> Contents:
    return {
        section: {str(item.get("name")): item for item in _of(list, plain.get(section)) if isinstance(item, dict)}
        if section in LISTS
        else {"": _of(dict, plain.get(section))}
        for section in SECTIONS
    }


def _of(kind: type[T], value: object) -> T:
    """The value, or an empty one: what is stored may be damaged."""
    return value if isinstance(value, kind) else kind()


def _compare(before: Contents | None, after: Contents) -> Changes:
    added: list[str] = []
    changed: list[str] = []
    removed: list[str] = []
    for section in SECTIONS:
        new = after[section]
        if section not in LISTS:
            if before is not None and before[section] != new:
                changed.append(_changed(section, before[section][""], new[""]))
            continue
        old = before[section] if before is not None else {}
        added += [f"{section} {name}" for name in new if name not in old]
        changed += [_changed(f"{section} {name}", old[name], new[name]) for name in new if name in old and old[name] != new[name]]
        removed += [f"{section} {name}" for name in old if name not in new]
        if list(old) != list(new) and set(old) == set(new):
            changed.append(f"{section} (order)")
    return Changes(tuple(added), tuple(changed), tuple(removed))


def _changed(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if old.get("kind") != new.get("kind"):
        return f"{name} (kind)"
    keys = [key for key in dict.fromkeys((*new, *old)) if key not in old or key not in new or old[key] != new[key]]
    return f"{name} ({', '.join(keys)})"


def _details(version: int, reason: str, changes: Changes) -> dict[str, object]:
    details: dict[str, object] = {"version": version, "reason": reason}
    for what in ("added", "changed", "removed"):
        names = getattr(changes, what)
        if names:
            details[what] = _bounded(names)
            details[f"{what}_count"] = len(names)
    return details


def _bounded(names: Sequence[str]) -> list[str]:
    """The first names, as many and as much of each as an audit event has room for."""
    told: list[str] = []
    room = MAX_LIST_CHARS_IN_AUDIT
    for name in names[:MAX_NAMES_IN_AUDIT]:
        told.append(name if len(name) <= MAX_NAME_CHARS_IN_AUDIT else name[: MAX_NAME_CHARS_IN_AUDIT - 3] + "...")
        room -= len(told[-1])
        if room < MAX_NAME_CHARS_IN_AUDIT:
            break
    return told


def encode(document: Document) -> str:
    """The stored form. Refuses a secret in clear."""
    return json.dumps(to_plain(document), ensure_ascii=False, separators=(",", ":"))


def decode(row: Row) -> Document:
    """The document of a stored row. Raises SettingsError when this program cannot use what another one stored."""
    try:
        return parse(json.loads(str(row["document"])))
    except SettingsError as error:
        raise SettingsError(f"version {row['version']!r} of the configuration cannot be used: {error.message}") from error
    except ValueError as error:
        raise _damaged(row) from error


def _damaged(row: Row) -> SettingsError:
    return SettingsError(
        f"version {row['version']!r} of the configuration is damaged: put another in force, wardgate config rollback"
    )
