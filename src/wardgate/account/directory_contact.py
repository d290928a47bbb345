"""Which phones and mail addresses a directory told of a person before, so that one that was changed there opens nothing at once.

Whoever may write a telephone list, or got into one, changes a number there and has the code of a reset sent to it. So what the
directory tells is remembered as keyed fingerprints, each with the time at which it was first seen, and a value that is new counts
for a reset once it is as old as a contact that the person added himself would have to be. What was there when the person was first
looked at has no age: else nobody could reset anything on the first day. Nor has what an operator writes through Wardgate.

Remembered is by whom is proved to be somebody, and by the daily round: a stranger who asks for a name writes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from wardgate.account.contact import compared
from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing
from wardgate.directory.port import ContactsKeptHere, Directory, DirectoryUser
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Find, Modified, Modify, Operation, Row, Value, Where

TABLE: Final = "directory_contact"
# Of one person; a directory may tell of more than anybody has.
MAX_CONTACTS: Final = 50
MARK_BYTES: Final = 12
# In the place of a time: it was there before anybody looked, or an operator put it there.
ALWAYS: Final = 0


def asked(subject_id: SubjectId, directory: str) -> Find:
    """What to read for `first_seen` and `sighting`."""
    return Find(TABLE, (Where("subject_id", "=", subject_id), Where("directory", "=", directory)), limit=1)


def first_seen(
    ring: KeyRing, subject_id: SubjectId, directory: Directory, user: DirectoryUser, rows: Sequence[Row], now_ms: int
) -> Mapping[str, int]:
    """Since when the directory tells what is new of this person, in milliseconds, by the value as it is `compared`.

    Nothing for what was always there, of whom nobody has seen before, and where every change is made through Wardgate.
    """
    if not rows or isinstance(directory, ContactsKeptHere):
        return {}
    known = _marks(rows[0])
    ages = {value: known.get(mark, now_ms) for value, mark in _told(ring, subject_id, user).items()}
    return {value: at_ms for value, at_ms in ages.items() if at_ms != ALWAYS}


def sighting(
    ring: KeyRing, subject_id: SubjectId, directory: Directory, user: DirectoryUser, rows: Sequence[Row], now_ms: int
) -> tuple[Operation, ...]:
    """What remembers that the directory tells this: nothing where it is known. It refuses no commit."""
    if isinstance(directory, ContactsKeptHere):
        return ()
    marks = sorted(_told(ring, subject_id, user).values())
    if rows and sorted(_marks(rows[0])) == marks:
        return ()
    return (_noting(subject_id, user.directory, marks, now_ms),)


def vouched(ring: KeyRing, subject_id: SubjectId, directory: str, value: str) -> Operation:
    """An operator has the directory tell this value from now on: it needs no age. Nothing where nobody was seen before."""
    arguments: Row = {"mark": _mark(ring, subject_id, compared(value))}
    return Modify(TABLE, {"subject_id": subject_id, "directory": directory}, note_vouched, arguments)


def note_seen(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """What is told now, with the times of what was told before; of nobody seen before everything was always there.

    Runs inside storage, so that of two who look at once the second finds what the first has noted.
    """
    now, told = arguments["now"], loads(str(arguments["marks"]))
    known = _marks(old) if old is not None else {}
    new = now if old is not None and isinstance(now, int) else ALWAYS
    marks = {str(mark): known.get(str(mark), new) for mark in told}
    if old is not None and marks == known:
        return Modified(None)
    return Modified({"marks": dumps(marks), "seen_at": now})


def note_vouched(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """It needs no age. Runs inside storage."""
    if old is None:
        return Modified(None)
    known = _marks(old)
    marks = {**dict(list(known.items())[: MAX_CONTACTS - 1]), str(arguments["mark"]): ALWAYS}
    return Modified({"marks": dumps(marks), "seen_at": old["seen_at"]})


def _noting(subject_id: SubjectId, directory: str, marks: Iterable[str], now_ms: int) -> Operation:
    arguments: Row = {"marks": dumps(list(marks)), "now": now_ms}
    return Modify(TABLE, {"subject_id": subject_id, "directory": directory}, note_seen, arguments)


def _told(ring: KeyRing, subject_id: SubjectId, user: DirectoryUser) -> Mapping[str, str]:
    """The marks of what the directory tells, by value."""
    told = [each for each in (user.phone, user.mail, *user.other_phones, *user.other_mails) if each][:MAX_CONTACTS]
    return {value: _mark(ring, subject_id, value) for value in dict.fromkeys(map(compared, told))}


def _mark(ring: KeyRing, subject_id: SubjectId, value: str) -> str:
    return ring.mac("directory-contact", subject_id.encode(), value.encode("utf-8", "surrogatepass"))[:MARK_BYTES].hex()


def _marks(row: Mapping[str, Value]) -> dict[str, int]:
    return {str(mark): int(at_ms) for mark, at_ms in loads(str(row["marks"])).items()}
