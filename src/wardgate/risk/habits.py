"""What is remembered of a person: from which networks and countries, with which machines and at which hours he was let in.

Rows of `habit`, all by keyed fingerprints that differ from person to person: the table tells neither an address nor who shares
one. Only a completed grant writes them, in its own commit, so that nobody becomes known by failing. A value is written at most
once an hour; of each kind the newest are kept. One row counts the logins themselves, by the same rule.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from wardgate.crypto import KeyRing
from wardgate.storage.port import Delete, Find, Modified, Modify, Operation, Reader, Row, Value, Where
from wardgate.values import quick_value

TABLE: Final = "habit"
PLACE, DEVICE, COUNTRY, HOUR, LOGIN = KINDS = ("place", "device", "country", "hour", "login")
# Of these there may be any number; a week has 168 hours.
_UNBOUNDED: Final = (PLACE, DEVICE, COUNTRY)
HOUR_MS: Final = 3_600_000
HOURS_OF_WEEK: Final = 168
# They stand in the State of a login, where every octet counts. A stranger who could make two values meet would need the key, and
# even then a whole login for each try.
KEY_BYTES: Final = 6
_LOGIN_KEY: Final = b"login"


@quick_value
class Keys:
    """The fingerprints of one login. `hours`: the present hour of the week, and those beside it. `country`: if it is known."""

    place: bytes
    device: bytes
    country: bytes | None
    hours: tuple[bytes, ...]


@quick_value
class Habits:
    """The rows that concern one login, by kind and fingerprint. `countries`: how many are known of the person."""

    rows: Mapping[tuple[str, bytes], Row]
    countries: int

    def times(self, kind: str, key: bytes | None) -> int:
        """How often; 0: never."""
        row = self.rows.get((kind, key)) if key is not None else None
        return _number(row, "times") if row is not None else 0

    @property
    def logins(self) -> int:
        """How many logins are known."""
        return self.times(LOGIN, _LOGIN_KEY)

    def is_due(self, kind: str, key: bytes, now_ms: int) -> bool:
        """Whether a grant has to write this value: it is new, or was written more than an hour ago."""
        row = self.rows.get((kind, key))
        return row is None or _is_due(row, now_ms)

    def login_is_due(self, now_ms: int) -> bool:
        """Whether a grant has to be counted."""
        return self.is_due(LOGIN, _LOGIN_KEY, now_ms)


def keys_of(ring: KeyRing, subject_id: str, place: str, device: str, country: str, hour: int) -> Keys:
    """The fingerprints of a login at this hour of the week (0 to 167)."""
    around = (hour, (hour - 1) % HOURS_OF_WEEK, (hour + 1) % HOURS_OF_WEEK)
    return Keys(
        place=fingerprint(ring, subject_id, PLACE, place),
        device=fingerprint(ring, subject_id, DEVICE, device),
        country=fingerprint(ring, subject_id, COUNTRY, country) if country else None,
        hours=tuple(fingerprint(ring, subject_id, HOUR, str(each)) for each in around),
    )


def fingerprint(ring: KeyRing, subject_id: str, kind: str, value: str) -> bytes:
    """What stands for a value of this person."""
    return ring.mac("habit", subject_id.encode(), kind.encode(), value.encode("utf-8", "surrogatepass"))[:KEY_BYTES]


def asked(subject_id: str, keys: Keys, remembered: int) -> list[Find]:
    """What to read for `found`, together with whatever else is needed."""
    whose = Where("subject_id", "=", subject_id)
    wanted = (keys.place, keys.device, *keys.hours, _LOGIN_KEY)
    finds = [Find(TABLE, (whose, Where("value_key", "in", wanted)), limit=len(wanted))]
    if keys.country is not None:
        # All of them: before any is known, none is new.
        finds.append(Find(TABLE, (whose, Where("kind", "=", COUNTRY)), limit=remembered))
    return finds


def found(rows: Sequence[Sequence[Row]]) -> Habits:
    """The rows that `asked` brought."""
    countries = len(rows[1]) if len(rows) > 1 else 0
    by_key = {(str(row["kind"]), _octets(row["value_key"])): row for part in rows for row in part}
    return Habits(by_key, countries)


def learn(subject_id: str, kind: str, key: bytes, now_ms: int) -> Modify:
    """The operation by which a grant remembers a value."""
    return Modify(TABLE, {"subject_id": subject_id, "kind": kind, "value_key": key}, seen_again, {"now": now_ms})


def learn_login(subject_id: str, now_ms: int) -> Modify:
    """The operation by which a grant is counted."""
    return learn(subject_id, LOGIN, _LOGIN_KEY, now_ms)


async def make_room(storage: Reader, subject_id: str, kinds: Iterable[str], remembered: int) -> list[Operation]:
    """What takes the oldest values away, so that with a new one of each of these kinds there are no more than `remembered`."""
    operations: list[Operation] = []
    for kind in kinds:
        if kind not in _UNBOUNDED:
            continue
        whose = (Where("subject_id", "=", subject_id), Where("kind", "=", kind))
        newest = await storage.find(TABLE, whose, order_by="last_at", descending=True, limit=remembered)
        if len(newest) >= remembered:
            operations.append(Delete(TABLE, (*whose, Where("last_at", "<=", newest[-1]["last_at"]))))
    return operations


def forget_habits(subject_id: str) -> Operation:
    """What takes away all that is remembered of a person: he is erased, removed, or becomes part of another."""
    return Delete(TABLE, (Where("subject_id", "=", subject_id),))


# --- pure functions that run inside storage --------------------------------------------------------------------------


def seen_again(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """Once more, at most once an hour."""
    now = int(arguments["now"] or 0)
    if old is None:
        return Modified({"times": 1, "first_at": now, "last_at": now})
    if not _is_due(old, now):
        return Modified(None)
    return Modified({"times": _number(old, "times") + 1, "first_at": old["first_at"], "last_at": now})


def _is_due(row: Row, now_ms: int) -> bool:
    # What was written by a clock that has been set back since must not stay for as long as that was ahead.
    return not now_ms - HOUR_MS < _number(row, "last_at") <= now_ms


def _number(row: Row, column: str) -> int:
    value = row[column]
    return value if isinstance(value, int) else 0


def _octets(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""
