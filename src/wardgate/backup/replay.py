"""Repeats what an exported audit says was taken away after the backup: rights that a restore must not bring back.

Only events that the chain proves count: each follows, by its keyed link, on the newest event of its chain in the backup. What
they took away is taken away again, each with an audit event of the new epoch; what they gave is never given, but counted, so that
the operator knows what is lost; what cannot be repeated is listed in words.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from wardgate.account.authenticator import AuthenticatorState
from wardgate.account.device import TABLE as DEVICES
from wardgate.account.freeze import SetBy, freezing
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.subject import SubjectId
from wardgate.admin import nas, questions, users
from wardgate.admin.office import Office
from wardgate.audit.events import AuditEvent, Kind, commitment, record
from wardgate.audit.trail import GENESIS, Chain, chain_for
from wardgate.clock import to_ms
from wardgate.crypto import KeyRing, same
from wardgate.directory.port import AccountState
from wardgate.errors import NotFound, UsageError
from wardgate.federation.relying_party import KeyKind
from wardgate.federation.signing_keys import succeed_key
from wardgate.jsons import dumps
from wardgate.storage.port import Delete, Operation, Update, Where

LOCAL_USER: Final = "local_user"
MAX_LINE_BYTES: Final = 64 * 1024
MAX_EVENTS: Final = 1_000_000
MAX_LISTED: Final = 1_000
# More than the clocks of two nodes that decide logins may differ.
CLOCKS_DIFFER_MS: Final = 60_000
_TAKES: Final = frozenset(
    kind.stored
    for kind in (
        Kind.AUTHENTICATOR_REVOKED,
        Kind.DEVICE_FORGOTTEN,
        Kind.ACCOUNT_FROZEN,
        Kind.USER_REMOVED,
        Kind.USER_CHANGED,
        Kind.USERS_IMPORTED,
        Kind.PASSWORD_SET,
        Kind.CONFIGURATION_APPLIED,
        Kind.QUESTIONS_CLEARED,
        Kind.QUESTIONS_SET,
        Kind.FEDERATION_KEY_MADE,
    )
)
_GIVES: Final = frozenset(
    kind.stored for kind in (Kind.AUTHENTICATOR_ADDED, Kind.USER_ADDED, Kind.AUTHENTICATOR_RELEASED, Kind.ACCOUNT_UNFROZEN)
)


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the export. `payload` is None where it was erased; `subject_id`: whom it is about."""

    writer: str
    epoch: int
    seq: int
    at_ms: int
    kind: str
    payload: Mapping[str, Any] | None
    subject_id: str | None = None

    @property
    def place(self) -> str:
        """As it is told: WRITER:EPOCH:SEQ."""
        return f"{self.writer}:{self.epoch}:{self.seq}"

    def follows(self, other: "Event") -> bool:
        """Whether this came after the other for certain. Chains stand in a file in no order, and clocks of nodes differ."""
        if (self.writer, self.epoch) == (other.writer, other.epoch):
            return self.seq > other.seq
        return self.at_ms > other.at_ms + CLOCKS_DIFFER_MS


@dataclass(slots=True)
class Export:
    """What an export says about the time after the backup. `heads`: its newest proven event of each chain.

    `granted_at_ms`: the newest proven login. No other event tells the time: a machine may record that its own clock is wrong.
    """

    events: list[Event] = field(default_factory=list)
    heads: dict[tuple[str, int], tuple[int, str]] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    proven: int = 0
    unproven: int = 0
    granted_at_ms: int = 0
    # Chains on which nothing more can be proved.
    broken: set[tuple[str, int]] = field(default_factory=set)

    @property
    def newest_epoch(self) -> int:
        """The highest number of an epoch that it knows."""
        return max((epoch for _, epoch in self.heads), default=0)

    def told_heads(self) -> list[str]:
        """As `wardgate audit verify --head` takes them."""
        return [f"{writer}:{epoch}:{seq}:{link}" for (writer, epoch), (seq, link) in sorted(self.heads.items())]


@dataclass(slots=True)
class Replayed:
    """What was taken away again, and what could not be, in words."""

    applied: list[str] = field(default_factory=list)
    not_applied: list[str] = field(default_factory=list)


# --- reading -------------------------------------------------------------------------------------------------------------


def read_export(path: Path, ring: KeyRing, heads: Sequence[str]) -> Export:
    """Read an audit export (a JSON object a line). `heads`: where the chains of the backup end.

    Raises UsageError for what is no export, and for one whose chains are not those of the backup.
    """
    export = Export()
    for head in heads:
        writer, epoch, seq, link = head.rsplit(":", 3)
        export.heads[writer, int(epoch)] = (int(seq), link)
    for number, line in enumerate(_lines(path), start=1):
        try:
            row = json.loads(line)
            if isinstance(row, dict) and "commitment" in row:
                _take(export, ring, row)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise UsageError(f"{path}: line {number} is no line of an audit export") from error
    return export


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                if len(line) > MAX_LINE_BYTES:
                    raise UsageError(f"{path}: a line is longer than {MAX_LINE_BYTES} bytes")
                if line.strip():
                    yield line
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def _take(export: Export, ring: KeyRing, row: Mapping[str, Any]) -> None:
    writer, epoch, seq, kind = str(row["writer"]), int(row["epoch"]), int(row["seq"]), str(row["kind"])
    known, link = export.heads.get((writer, epoch), (0, GENESIS.hex()))
    if seq == known and link != row["link"]:
        raise UsageError(f"the export and the backup tell different stories: event {seq} of {writer}:{epoch} is another one")
    if seq <= known:
        return
    at_ms = _moment(row)
    if (writer, epoch) in export.broken or not _follows(chain_for(ring, writer, epoch), bytes.fromhex(link), known, row, at_ms):
        # A line is missing or was changed: from here on anybody could have written what stands there.
        export.broken.add((writer, epoch))
        export.unproven += 1
        return
    export.heads[writer, epoch] = (seq, str(row["link"]))
    export.proven += 1
    if kind == Kind.LOGIN_GRANTED.stored:
        export.granted_at_ms = max(export.granted_at_ms, at_ms)
    if kind in _GIVES:
        export.lost[kind] += 1
    elif kind in _TAKES:
        if len(export.events) >= MAX_EVENTS:
            raise UsageError(f"the export holds more than {MAX_EVENTS} changes after the backup: take a newer backup")
        payload = row["payload"]
        told = json.loads(payload) if isinstance(payload, str) else payload
        export.events.append(Event(writer, epoch, seq, at_ms, kind, told, row["subject_id"]))


def _moment(row: Mapping[str, Any]) -> int:
    at = row["created_at"]
    return to_ms(datetime.fromisoformat(at)) if isinstance(at, str) else int(at)


def _follows(chain: Chain, previous: bytes, known: int, row: Mapping[str, Any], at_ms: int) -> bool:
    """Whether the event is the one that comes next, as it was written."""
    committed = bytes.fromhex(row["commitment"])
    event = {
        "kind": row["kind"],
        "created_at": at_ms,
        "transaction_id": row["transaction_id"],
        "reference": row["reference"],
        "subject_id": row["subject_id"],
        "commitment": committed,
    }
    if row["seq"] != known + 1 or not same(chain.link(previous, known + 1, event), bytes.fromhex(row["link"])):
        return False
    payload = row["payload"]
    text = payload if isinstance(payload, str) or payload is None else dumps(payload)
    return text is None or same(commitment(bytes.fromhex(row["salt"]), text), committed)


# --- applying ------------------------------------------------------------------------------------------------------------


async def replay(office: Office, export: Export) -> Replayed:
    """Take away again what the events took away."""
    done = Replayed()
    if export.unproven:
        done.not_applied.append(f"{export.unproven} events of the export do not follow on the backup's and were left out")
    enabled = _enabled(export.events)
    for event in export.events:
        if event.payload is None or "cut" in event.payload:
            done.not_applied.append(f"{event.place} {event.kind}: its content was erased or cut")
        elif event.kind == Kind.USER_CHANGED.stored and "state" in event.payload.get("fields", ()):
            if not any(each.follows(event) for each in enabled.get(event.payload.get("user_id"), ())):
                await _user_state(office, event, event.payload, done)
        else:
            await _APPLY[event.kind](office, event, event.payload, done)
    return done


def _enabled(events: Sequence[Event]) -> dict[Any, list[Event]]:
    """By user, the events that enabled him: who was enabled again after he was disabled need not be disabled."""
    found: dict[Any, list[Event]] = {}
    for event in events:
        if event.kind == Kind.USER_CHANGED.stored and event.payload and event.payload.get("state") == AccountState.ACTIVE.value:
            found.setdefault(event.payload.get("user_id"), []).append(event)
    return found


async def _revoked(office: Office, event: Event, payload: Mapping[str, Any], done: Replayed) -> None:
    authenticator_id = str(payload.get("authenticator_id"))
    row = await office.storage.get("authenticator", {"id": authenticator_id})
    if row is None or row["state"] == AuthenticatorState.REVOKED:
        return
    live = (Where("state", "!=", AuthenticatorState.REVOKED.value),)
    unit: list[Operation] = [
        Update("authenticator", {"id": authenticator_id}, {"state": AuthenticatorState.REVOKED, "sealed": None}, where=live),
        _event(
            office,
            Kind.AUTHENTICATOR_REVOKED,
            event,
            {
                "directory": payload.get("directory"),
                "user": payload.get("user"),
                "authenticator_id": authenticator_id,
                "factor": row["kind"],
            },
            str(row["subject_id"]),
        ),
    ]
    if row["kind"] == RECOVERY_CODE:
        unit.append(Delete("recovery_code", (Where("authenticator_id", "=", authenticator_id),)))
    await office.storage.commit(unit)
    done.applied.append(f"the {row['kind']!s} {authenticator_id} of {payload.get('user')} was revoked")


async def _forgotten(office: Office, event: Event, payload: Mapping[str, Any], done: Replayed) -> None:
    """Devices that were trusted no more. The payload names each, so that none made later for the same person goes."""
    named = payload.get("devices", [payload.get("device")])
    for device_id in named if isinstance(named, list) else []:
        row = await office.storage.get(DEVICES, {"id": str(device_id)})
        if row is None:
            continue
        details = {"user": payload.get("user"), "device": row["id"], "why": payload.get("why")}
        gone = Delete(DEVICES, (Where("id", "=", row["id"]),))
        await office.storage.commit([gone, _event(office, Kind.DEVICE_FORGOTTEN, event, details, str(row["subject_id"]))])
        done.applied.append(f"the trusted device {row['id']!s} of {payload.get('user')} was forgotten")


async def _cleared(office: Office, event: Event, payload: Mapping[str, Any], done: Replayed) -> None:
    """Answers to challenge questions that were removed: somebody may have known them."""
    await _withdraw_answers(office, event, payload, None, done)


async def _answered(office: Office, event: Event, payload: Mapping[str, Any], done: Replayed) -> None:
    """Answers that others took the place of must not be right again; what was answered instead, nobody can tell."""
    ids = [*payload.get("questions", ()), *payload.get("removed", ())]
    await _withdraw_answers(office, event, payload, frozenset(map(str, ids)), done)


async def _withdraw_answers(
    office: Office, event: Event, payload: Mapping[str, Any], ids: frozenset[str] | None, done: Replayed
) -> None:
    if event.subject_id is None:
        return
    details = {"directory": payload.get("directory"), "user": payload.get("user"), "replayed": event.place}
    count = await questions.withdraw_answers(office, SubjectId(event.subject_id), details, ids)
    if count:
        done.applied.append(f"{count} answers of {payload.get('user')} to challenge questions were withdrawn; have new ones set")


async def _frozen(office: Office, event: Event, payload: Mapping[str, Any], done: Replayed) -> None:
    """An account that was frozen is so again, even where that was lifted since: lifting it is a right, and rights are not given."""
    if event.subject_id is None:
        return
    subject_id = SubjectId(event.subject_id)
    if await office.storage.get("subject", {"id": subject_id}) is None:
        return
    disputed_at, by = payload.get("disputed_at"), payload.get("by")
    if not isinstance(disputed_at, int) or by not in set(SetBy):
        return
    made = await freezing(office.storage, office.ring, subject_id, disputed_at, SetBy(by), office.now_ms())
    details = {"user": payload.get("user"), "by": by, "disputed_at": disputed_at, **made.told}
    await office.storage.commit([*made.operations, _event(office, Kind.ACCOUNT_FROZEN, event, details, subject_id)])
    done.applied.append(f"the account of {payload.get('user')} was frozen")


async def _removed(office: Office, event: Event, payload: Mapping[str, Any], done: Replayed) -> None:
    row = await office.storage.get(LOCAL_USER, {"id": str(payload.get("user_id"))})
    if row is not None:
        await users.remove_user(office, directory=str(row["directory"]), name=str(row["name"]))
        done.applied.append(f"the user {row['name']!s} was removed")


async def _user_state(office: Office, event: Event, payload: Mapping[str, Any], done: Replayed) -> None:
    row = await office.storage.get(LOCAL_USER, {"id": str(payload.get("user_id"))})
    if row is None or row["state"] != AccountState.ACTIVE or payload.get("state") in (None, AccountState.ACTIVE.value):
        return
    await users.disable_user(office, directory=str(row["directory"]), name=str(row["name"]))
    done.applied.append(f"the user {row['name']!s} was disabled")


async def _user_changed(office: Office, event: Event, payload: Mapping[str, Any], done: Replayed) -> None:
    """Which groups a person lost the event does not tell: names of fields, never values."""
    if await office.storage.get(LOCAL_USER, {"id": str(payload.get("user_id"))}) is not None:
        done.not_applied.append(f"{payload.get('user')}: {', '.join(map(str, payload.get('fields', ())))} had been changed")


async def _imported(office: Office, event: Event, payload: Mapping[str, Any], done: Replayed) -> None:
    done.not_applied.append(f"{event.place}: a file of users had been imported; import it again")


async def _password(office: Office, event: Event, payload: Mapping[str, Any], done: Replayed) -> None:
    """A password that was replaced, perhaps because others knew it, must not open again: until a new one is set, none does."""
    row = await office.storage.get(LOCAL_USER, {"id": str(payload.get("user_id"))})
    if row is None or row["password_hash"] is None:
        return
    details = {"directory": row["directory"], "user": row["name"], "user_id": row["id"], "fields": ["password_hash"]}
    await office.storage.commit(
        [
            Update(LOCAL_USER, {"id": row["id"]}, {"password_hash": None}, add={"version": 1}),
            _event(office, Kind.USER_CHANGED, event, details),
        ]
    )
    done.applied.append(f"the password of {row['name']!s} was withdrawn, as another one had been set; set a new one")


async def _configured(office: Office, event: Event, payload: Mapping[str, Any], done: Replayed) -> None:
    removed = [str(name) for name in payload.get("removed", ())]
    others = [*payload.get("added", ()), *payload.get("changed", ()), *(name for name in removed if not name.startswith("nas "))]
    for name in (name.removeprefix("nas ") for name in removed if name.startswith("nas ")):
        try:
            await nas.remove_nas(office, name=name, reason="it had been removed after the backup")
            done.applied.append(f"the NAS {name} was removed")
        except NotFound:
            continue
    if others:
        listed = ", ".join(map(str, others[:10]))
        done.not_applied.append(f"version {payload.get('version')} of the configuration had been applied: {listed}")


async def _key_made(office: Office, event: Event, payload: Mapping[str, Any], done: Replayed) -> None:
    """A signing key that had given way to another must not sign again; the other is not in the export, so a third one does."""
    kind, number, signs_from, until = (payload.get(name) for name in ("key", "number", "signs_from", "before_until"))
    if kind not in list(KeyKind) or not isinstance(number, int) or not isinstance(signs_from, int) or not isinstance(until, int):
        return
    if signs_from > office.now_ms():
        done.not_applied.append(
            f"the signing key {kind}-{number} had been announced: wardgate relying-party roll-key announces one anew"
        )
        return
    about = (KeyKind(kind), number, until, event.at_ms, (office.actor, event.place))
    made = await succeed_key(office.storage, office.ring, office.clock, *about)
    if made is not None:
        told = (
            f"{kind}-{number} had taken the place of the signing key before it, which signs no more, and is lost: {made.name} signs"
        )
        done.applied.append(f"{told} from now on; give our metadata anew to every application that holds a copy")


_Apply = Callable[[Office, Event, Mapping[str, Any], Replayed], Awaitable[None]]
_APPLY: Final[Mapping[str, _Apply]] = {
    Kind.AUTHENTICATOR_REVOKED.stored: _revoked,
    Kind.DEVICE_FORGOTTEN.stored: _forgotten,
    Kind.ACCOUNT_FROZEN.stored: _frozen,
    Kind.USER_REMOVED.stored: _removed,
    Kind.USER_CHANGED.stored: _user_changed,
    Kind.USERS_IMPORTED.stored: _imported,
    Kind.PASSWORD_SET.stored: _password,
    Kind.CONFIGURATION_APPLIED.stored: _configured,
    Kind.QUESTIONS_CLEARED.stored: _cleared,
    Kind.QUESTIONS_SET.stored: _answered,
    Kind.FEDERATION_KEY_MADE.stored: _key_made,
}


def _event(office: Office, kind: Kind, source: Event, details: Mapping[str, object], subject_id: str | None = None) -> Operation:
    told = {**details, "replayed": source.place}
    return record(AuditEvent(kind, office.now_ms(), office.actor, subject_id=subject_id, details=told))
