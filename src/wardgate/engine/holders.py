"""What a subject can prove with: the one place where a user and the rows that we keep of him come together."""

from collections.abc import Sequence

from wardgate.account.authenticator import Authenticator
from wardgate.account.contact import TOPIC, by_age, kept_contacts, merge, usable_contacts
from wardgate.account.subject import SubjectId
from wardgate.clock import Clock
from wardgate.crypto import KeyRing
from wardgate.directory.port import ContactKind, DirectoryUser
from wardgate.factors import QUESTIONING
from wardgate.factors.port import Holder
from wardgate.kba.standing import NOT_ANSWERED, Answered
from wardgate.storage.port import Find, Row, Storage

# How long it is remembered, and of how many, that somebody has no contacts of his own.
WITHOUT_FOR_S = 60.0
MAX_WITHOUT = 20_000
_RENEW = frozenset(QUESTIONING)
_NOTHING: frozenset[str] = frozenset()


def holder_of(
    ring: KeyRing,
    subject_id: SubjectId,
    user: DirectoryUser,
    active: Sequence[Authenticator],
    held: Sequence[Authenticator],
    contacts: Sequence[Row] = (),
    answered: Answered = NOT_ANSWERED,
) -> Holder:
    """The holder behind a user. `contacts`: the rows of his own ones, which may stand before the directory's."""
    if not contacts:
        return Holder(subject_id, active, user.phone, user.mail, held, user.other_phones, user.other_mails, answered)
    usable = usable_contacts(ring, contacts)
    reach, oldest = merge(user, usable), (each.value for each in by_age(usable) if each.kind is ContactKind.PHONE)
    told = user.phone or next(oldest, None)
    return Holder(subject_id, active, reach.phone, reach.mail, held, reach.phones[1:], reach.mails[1:], answered, told)


def to_renew(holder: Holder, pages: bool) -> frozenset[str]:
    """What somebody has and has to set anew, as policy is told.

    `pages`: the door can have it done. Others guess at questions until they are closed: that must keep nobody out elsewhere.
    """
    answered = holder.answered
    return _RENEW if answered.enough and (answered.due or (answered.closed and pages)) else _NOTHING


class Contactless:
    """Who was seen without contacts of his own a moment ago, which is nearly everybody: they are not read for each step of a login.

    Whoever is given one is announced and forgotten here. Until the word arrives, and for WITHOUT_FOR_S if it never does, his codes
    go where the directory says. Of who has contacts nothing is remembered, so that none is used that was removed.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        storage.subscribe(TOPIC, self._forget)

    def asked(self, subject_id: SubjectId) -> list[Find]:
        """What to read of his contacts, together with whatever else is needed: nothing where there are none."""
        if self._until.get(subject_id, 0.0) > self._clock.monotonic():
            return []
        # What is announced while they are read must not be taken for what was read.
        self._remember(subject_id, 0.0)
        return [kept_contacts(subject_id)]

    def read(self, subject_id: SubjectId, rows: Sequence[Row]) -> None:
        """What came of reading them."""
        if not rows and subject_id in self._until:
            self._remember(subject_id, self._clock.monotonic() + WITHOUT_FOR_S)

    def _remember(self, subject_id: SubjectId, until: float) -> None:
        if len(self._until) >= MAX_WITHOUT and subject_id not in self._until:
            del self._until[next(iter(self._until))]
        self._until[subject_id] = until

    def _forget(self, subject_id: str) -> None:
        """An empty id: something may have been missed."""
        if subject_id:
            self._until.pop(subject_id, None)
        else:
            self._until.clear()
