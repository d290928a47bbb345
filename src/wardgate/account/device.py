"""Browsers and workstations that a person told us to trust, by a value that we gave them and that changes with each use.

A device shows its value beside the password and is asked for no second factor while policy says so. Stored is only a keyed
fingerprint. Each login that counts on it gives it another value by one conditional write; whoever shows an earlier one is a thief,
or was robbed by one: then the device is forgotten. Nothing that a NAS or a client tells about a machine is any of this.

A restore holds every device until its person has proved a strong factor: it may have been forgotten after the backup.
"""

import base64
import binascii
import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing, Secret, new_id, same
from wardgate.storage.port import Delete, Find, Insert, Modified, Modify, Operation, Row, Value, Where
from wardgate.values import quick_value

TABLE: Final = "trusted_device"
ID_BYTES: Final = 16
SECRET_BYTES: Final = 32
MAX_VALUE_CHARS: Final = 128
MAX_LABEL_CHARS: Final = 64
MAX_SHOWN: Final = 100
# Two tabs that were opened at once show one value twice. So soon after the change that proves nothing, and is no theft.
AT_ONCE_MS: Final = 10_000


class DeviceState(StrEnum):
    """Whether it may stand for a factor. HELD: not until its person has proved a strong one."""

    ACTIVE = "active"
    HELD = "held"


class Judged(StrEnum):
    """What a shown value is worth. REUSED: it is no longer that of the device: somebody else has it, or had it."""

    KNOWN = "known"
    HELD = "held"
    REUSED = "reused"
    UNKNOWN = "unknown"


@quick_value
class Shown:
    """What a device has shown: its id and the fingerprint of its secret. As text it is kept with the login that it belongs to."""

    id: str
    mac: bytes

    @property
    def text(self) -> str:
        """For the row of a login."""
        return f"{self.id}:{self.mac.hex()}"


def shown_in(text: str) -> Shown:
    """What `Shown.text` wrote."""
    device_id, _, mac = text.partition(":")
    return Shown(device_id, bytes.fromhex(mac))


def make(ring: KeyRing, subject_id: SubjectId, label: str, at_ms: int, life_s: int) -> tuple[Secret, list[Operation]]:
    """Trust a device from now on: the value for it to keep, and what has to be written. `life_s` never grows by use."""
    device_id = new_id()
    value, mac = _new_value(ring, device_id)
    row: Row = {
        "id": device_id,
        "subject_id": subject_id,
        "secret_mac": mac,
        "previous_mac": None,
        "rotated_at": at_ms,
        "label": label[:MAX_LABEL_CHARS],
        "state": DeviceState.ACTIVE.value,
        "created_at": at_ms,
        "last_used_at": at_ms,
        "expires_at": at_ms + life_s * 1000,
    }
    return value, [Insert(TABLE, row)]


def read_value(ring: KeyRing, value: Secret) -> Shown | None:
    """What a device shows, or None for what cannot be a value of ours."""
    text = value.reveal()
    if len(text) > MAX_VALUE_CHARS:
        return None
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    if len(raw) != ID_BYTES + SECRET_BYTES:
        return None
    device_id = raw[:ID_BYTES].hex()
    return Shown(device_id, _mac(ring, device_id, raw[ID_BYTES:]))


def asked(shown: Shown) -> Find:
    """What to read for `judge`."""
    return Find(TABLE, (Where("id", "=", shown.id),), limit=1)


def judge(row: Row | None, shown: Shown, subject_id: SubjectId, now_ms: int) -> Judged:
    """What the value is worth for this person now. Another person's device is as unknown as none."""
    if row is None or row["subject_id"] != subject_id or _number(row, "expires_at") <= now_ms:
        return Judged.UNKNOWN
    if same(_bytes(row, "secret_mac"), shown.mac):
        return Judged.KNOWN if row["state"] == DeviceState.ACTIVE else Judged.HELD
    is_last = same(_bytes(row, "previous_mac"), shown.mac)
    return Judged.UNKNOWN if is_last and abs(now_ms - _number(row, "rotated_at")) <= AT_ONCE_MS else Judged.REUSED


def use(ring: KeyRing, shown: Shown, subject_id: SubjectId, now_ms: int, strong: bool) -> tuple[Secret, Modify]:
    """Count on the device in the commit of a login: its next value, and what refuses the commit where this one is good no more.

    `strong`: the login has proved a strong factor, which sets a held device free.
    """
    value, mac = _new_value(ring, shown.id)
    arguments: Row = {"now": now_ms, "subject_id": subject_id, "shown": shown.mac, "next": mac, "strong": int(strong)}
    return value, Modify(TABLE, {"id": shown.id}, rotate, arguments)


def rotate(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """The next value instead of the one that was shown. Runs inside storage."""
    now, shown = _number(arguments, "now"), Shown("", _bytes(arguments, "shown"))
    judged = judge(old, shown, SubjectId(str(arguments["subject_id"])), now)
    if old is None or not (judged == Judged.KNOWN or (judged == Judged.HELD and arguments["strong"])):
        return Modified(None, refuse=True)
    changes: Row = {
        "secret_mac": arguments["next"],
        "previous_mac": old["secret_mac"],
        "rotated_at": now,
        "last_used_at": now,
        "state": DeviceState.ACTIVE.value,
    }
    return Modified({**old, **changes})


def forget(subject_id: SubjectId, device_id: str) -> Delete:
    """Trust one device of a person no more. Its result is how many went."""
    return Delete(TABLE, (Where("id", "=", device_id), Where("subject_id", "=", subject_id)))


def forget_all(subject_id: SubjectId) -> Delete:
    """Trust no device of a person any more: after a reset, a relink, or when the account is closed."""
    return Delete(TABLE, (Where("subject_id", "=", subject_id),))


def devices_of(subject_id: SubjectId) -> Find:
    """What to read for a list."""
    return Find(TABLE, (Where("subject_id", "=", subject_id),), order_by="created_at", limit=MAX_SHOWN)


def _new_value(ring: KeyRing, device_id: str) -> tuple[Secret, bytes]:
    secret = secrets.token_bytes(SECRET_BYTES)
    return Secret(base64.urlsafe_b64encode(bytes.fromhex(device_id) + secret)), _mac(ring, device_id, secret)


def _mac(ring: KeyRing, device_id: str, secret: bytes) -> bytes:
    return ring.mac("trusted-device", device_id.encode(), secret)


def _number(row: Mapping[str, Value], name: str) -> int:
    value = row[name]
    return value if isinstance(value, int) else 0


def _bytes(row: Mapping[str, Value], name: str) -> bytes:
    value = row[name]
    return value if isinstance(value, bytes) else b""
