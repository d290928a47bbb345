"""What follows when a brake begins to hold: an audit event, the words for an operator's list, and a notice to the user.

All of it is one commit of its own, after the one with which the lock began and before the reply leaves. It is made for names that
do not exist as well, and no refusal leaves before its moment, so that nobody learns by the time whether a mail was put in.
"""

from collections.abc import Mapping, Sequence

from wardgate.account.contact import kept_contacts, merge, usable_contacts
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.delivery.port import Channel
from wardgate.directory.port import DirectoryUser
from wardgate.engine import bind_brake, brakes, turns, wide_brakes
from wardgate.engine.brake_label import Label, masked_name, write_label
from wardgate.engine.brake_rows import CLOCK_STEP_MS, DAY_MS, EMPTY, lives, number, stored
from wardgate.engine.notices import ACTIVITY, Addressee, page_address, tell
from wardgate.engine.runtime import EngineParts
from wardgate.engine.wording import Notice, Whom
from wardgate.errors import DirectoryUnavailable
from wardgate.storage.port import Commit, Committed, Find, Modified, Modify, Operation, Row, Value, Where
from wardgate.values import quick_value

NOTICE = "notice"
NOTICE_LIFE_MS = DAY_MS
# Kinds whose row is about one user, and those that are about an address of his.
_OF_A_USER = frozenset((brakes.USER_SOURCE, brakes.USER, brakes.NAME_SOURCE, brakes.NAME, bind_brake.KIND))
_FROM_A_CLIENT = frozenset((brakes.USER_SOURCE, brakes.NAME_SOURCE, brakes.SOURCE))
# Those that are about more than one person.
OF_MANY = frozenset(
    (brakes.SOURCE, *wide_brakes.FAILURES, *wide_brakes.MESSAGES, "email_per_day", "sms_per_day", "sms_per_prefix_per_day")
)
# The row of a person's typed name holds nobody: it begins to hold with the person's own, and that is told.
_SILENT = frozenset((brakes.NAME_SOURCE, brakes.NAME, brakes.NAME_DIRECTORY))


@quick_value
class BeganLock:
    """A lock that began with a commit. `wait_s` 0: until somebody lifts it."""

    kind: str
    key: bytes
    wait_s: int
    level: int
    failures: int


def begun(operations: Sequence[Operation], commit: Commit) -> list[BeganLock]:
    """The locks that began with these operations, which stood first in the unit."""
    if not isinstance(commit, Committed):
        return []
    # Nearly always there is none, so what is looked at first is the result.
    return [
        _began(operation, result)
        for operation, result in zip(operations, commit.results, strict=False)
        if type(result) is dict and type(operation) is Modify and operation.key["kind"] not in _SILENT
    ]


def _began(operation: Operation, result: object) -> BeganLock:
    key: Mapping[str, Value] = operation.key if isinstance(operation, Modify) else {}
    told: Mapping[str, int] = result if isinstance(result, Mapping) else {}
    found = key["key"]
    kind = str(key["kind"])
    return BeganLock(kind, found if isinstance(found, bytes) else b"", told["wait_s"], told["level"], told["failures"])


def whence(trail: Trail) -> dict[str, object]:
    """Where a request came from, as audit events tell it."""
    return {"door": trail.door, "nas": trail.nas, "source": trail.source, "client": trail.client}


class Locks:
    """Tells of the locks that began with one request."""

    def __init__(self, parts: EngineParts, trail: Trail, application: str, now_ms: int) -> None:
        self._parts = parts
        self._trail = trail
        self._application = application
        self._now_ms = now_ms

    async def note(self, locks: Sequence[BeganLock], user: str, subject_id: str | None, whose: DirectoryUser | None) -> None:
        """Write what follows. `whose`: the user, where he was found already."""
        known = subject_id is not None or whose is not None
        told = [operation for lock in locks for operation in self._told(lock, user, subject_id, known)]
        notice = await self._notice(locks, subject_id, whose)
        commit = await self._parts.storage.commit([*told, *notice])
        if notice and not isinstance(commit, Committed):
            # He was told within the last day.
            await self._parts.storage.commit(told)
        observe = self._parts.observe_lock
        if observe is not None:
            for lock in locks:
                observe(lock.kind, self._held(lock, ""), lock.wait_s)

    async def note_address(self, locks: Sequence[BeganLock], to: str, user: str, subject_id: str) -> None:
        """The same for the limits on messages. `to`: the address, masked."""
        told = [operation for lock in locks for operation in self._told(lock, user, subject_id, True, to)]
        await self._parts.storage.commit(told)
        if self._parts.observe_lock is not None:
            for lock in locks:
                self._parts.observe_lock(lock.kind, self._held(lock, to), lock.wait_s)

    def _told(self, lock: BeganLock, user: str, subject_id: str | None, known: bool, to: str = "") -> list[Operation]:
        shown = user if known else masked_name(user)
        label = self._label(lock, shown, known, to)
        # Who came last to a brake over many people is not whom it is about.
        about = lock.kind in _OF_A_USER or lock.kind == turns.DESTINATION
        details = {
            "brake": lock.kind,
            "wait_s": lock.wait_s,
            "level": lock.level,
            "failures": lock.failures,
            **({"user": shown} if about else {}),
            "application": self._application,
            **whence(self._trail),
        }
        event = AuditEvent(
            Kind.BRAKE_LOCKED,
            self._now_ms,
            "engine",
            transaction_id=self._trail.transaction_id,
            reference=self._trail.reference,
            subject_id=subject_id if about else None,
            details={**details, "network": label.network} if label.network else details,
        )
        return [record(event), write_label(self._parts.ring(), lock.kind, lock.key, label)]

    def _label(self, lock: BeganLock, user: str, known: bool, to: str) -> Label:
        """Only what the brake is about: the name that came last to a network's brake has no part in it."""
        trail, of_user = self._trail, lock.kind in _OF_A_USER
        return Label(
            user=user if of_user else "",
            known=known and of_user,
            client=trail.counted_client if lock.kind in _FROM_A_CLIENT else "",
            nas=trail.nas if lock.kind in (*_FROM_A_CLIENT, wide_brakes.NAS, wide_brakes.NAS_MESSAGES) else "",
            network=self._network() if lock.kind in (wide_brakes.NETWORK, wide_brakes.NETWORK_MESSAGES) else "",
            to=to if lock.kind == turns.DESTINATION else "",
            at=self._now_ms,
            failures=lock.failures,
        )

    def _network(self) -> str:
        settings, client = self._parts.configuration().brakes, self._trail.counted_client
        return (wide_brakes.network_of(client, settings) if client else None) or ""

    def _held(self, lock: BeganLock, to: str) -> str:
        """What is held, for a line of a log: never a name."""
        label = self._label(lock, "", False, to)
        return label.network or label.client or label.nas or label.to or lock.kind

    # --- the notice ----------------------------------------------------------------------------------------------

    async def _notice(self, locks: Sequence[BeganLock], subject_id: str | None, whose: DirectoryUser | None) -> list[Operation]:
        """The mail to a user whose account reached its hard stop, and the mark that he gets no other for a day."""
        lock = next((each for each in locks if each.kind == brakes.USER), None)
        configuration = self._parts.configuration()
        if (
            lock is None
            or subject_id is None
            or not configuration.brakes.notify_user
            or Channel.EMAIL not in configuration.channels
        ):
            return []
        user = whose or await self._look_up(subject_id)
        if user is None:
            return []
        rows = await self._parts.storage.read([kept_contacts(SubjectId(subject_id))])
        to = merge(user, usable_contacts(self._parts.ring(), rows[0])).mail
        return [self._mark(lock), *self._mail(user, subject_id, to, lock.failures)] if to else []

    def _mark(self, lock: BeganLock) -> Modify:
        return Modify("brake", {"kind": NOTICE, "key": lock.key}, mark_notice, {"now": self._now_ms})

    def _mail(self, user: DirectoryUser, subject_id: str, to: str, failures: int) -> list[Operation]:
        trail, realms = self._trail, self._parts.configuration().realms
        realm = next((each for each in realms if any(one.name == user.directory for one in each.directories)), realms.default)
        about = (user.name, self._application, trail.transaction_id or "", trail.reference)
        whom = Whom(subject_id, *about, user.language or realm.settings.language, realm.name)
        link = page_address(self._parts, ACTIVITY)
        notice = Notice("wrong_tries", {"failures": failures}, link=link, link_text="notice.link_see", call=True)
        return list(tell(self._parts, whom, [Addressee(Channel.EMAIL, to)], notice))

    async def _look_up(self, subject_id: str) -> DirectoryUser | None:
        """Who failed at a code: he is found once more, by his account. Whoever fails there knows already that he exists."""
        find = Find("subject_link", (Where("subject_id", "=", subject_id),), limit=1)
        [links] = await self._parts.storage.read([find])
        for realm in self._parts.configuration().realms if links else ():
            for directory in realm.directories:
                if directory.name == links[0]["directory"]:
                    try:
                        return await directory.get(str(links[0]["immutable_id"]), self._parts.directory_timeout_s)
                    except DirectoryUnavailable as error:
                        self._trail.note("directory did not answer", error=error.message)
                        return None
        return None


def mark_notice(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """The user is told now; refused where he was told within the last day."""
    now = number(arguments, "now")
    at = number(old, "window_started_at") if old is not None and lives(old, now) else 0
    if old is not None and now - DAY_MS < at <= now + CLOCK_STEP_MS:
        return Modified(None, refuse=True)
    return Modified(stored({**EMPTY, "window_started_at": now}, now))
