"""Who somebody is once his first factor is proved: his subject, what he can prove next, and the facts that policy decides by."""

from functools import lru_cache

from wardgate.account.subject import create_subject
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.delivery.port import Channel
from wardgate.directory.port import DirectoryUser
from wardgate.engine import interviews, known_names
from wardgate.engine.attempt import Attempt, Candidate, Person
from wardgate.engine.finding import Found
from wardgate.engine.first_factor import FirstFactor
from wardgate.engine.holders import holder_of, to_renew
from wardgate.engine.prefixes import is_allowed
from wardgate.engine.runtime import EngineParts
from wardgate.engine.settings import SendingSettings
from wardgate.engine.surroundings import look_around
from wardgate.engine.trusted import seen_device
from wardgate.errors import StorageError
from wardgate.factors import SECOND_FACTORS
from wardgate.factors.port import Factor, Holder
from wardgate.kba.standing import NOT_ANSWERED
from wardgate.policy.facts import Facts
from wardgate.policy.groups import qualified_groups
from wardgate.risk.assessing import NOT_ASSESSED

_NOTHING: frozenset[str] = frozenset()


class Meeting:
    """Meets people. One per engine."""

    def __init__(self, parts: EngineParts, first: FirstFactor) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._first = first

    async def meet(self, attempt: Attempt, candidate: Candidate) -> Person:
        """The subject behind the directory's user, created at the first meeting, and what it can prove with."""
        user, met = candidate.found, candidate
        if met.subject_id is None:
            await self._create_subject(user, attempt.now_ms)
            met = await self._first.look(attempt, Found(candidate.directory, user, candidate.known))
        if met.subject_id is None:
            raise StorageError("a subject was linked meanwhile and is gone again")
        value = attempt.request.device
        device = await seen_device(self._parts, attempt, met.subject_id, user, value) if value is not None else None
        assessor, around = attempt.configuration.risk, NOT_ASSESSED
        if assessor is not None:
            trusted = device is not None and device.trusted
            around = await look_around(self._parts, assessor, attempt, met.subject_id, met.seen, trusted)
        finds = interviews.reads(attempt.configuration, attempt.application.policy, met.subject_id)
        answered = interviews.read(attempt.configuration, await self._storage.read(finds)) if finds else NOT_ANSWERED
        return Person(
            user=user,
            holder=holder_of(self._parts.ring(), met.subject_id, user, met.active, met.held, met.contacts, answered),
            language=attempt.request.origin.language or user.language or attempt.realm.settings.language,
            keys=met.keys,
            seen=met.seen,
            settle=candidate.back,
            note=known_names.note(attempt.realm, attempt.name, user, candidate.known, attempt.now_ms),
            refusal=candidate.refusal,
            proved=candidate.proved,
            grace=candidate.grace,
            contacts=met.contacts,
            surroundings=around,
            device=device,
            lane=candidate.lane,
        )

    async def _create_subject(self, user: DirectoryUser, now_ms: int) -> None:
        """In a commit of its own: of several first logins at once, the others go on with the subject that one of them made."""
        subject_id, operations = create_subject(user.directory, user.immutable_id, now_ms)
        event = AuditEvent(Kind.SUBJECT_CREATED, now_ms, "engine", subject_id=subject_id, details={"directory": user.directory})
        await self._storage.commit([*operations, record(event)])

    def facts(self, attempt: Attempt, person: Person, enrolled: bool = True) -> Facts:
        """What policy is told of a login. Not `enrolled`: what he has was not read, for nothing that policy says depends on it."""
        request, user = attempt.request, person.user
        holder = person.holder
        return Facts(
            goal=request.goal.value,
            application=attempt.application.settings.name,
            door=request.origin.door,
            realm=attempt.realm.name,
            directory=user.directory,
            user=user.name,
            at=attempt.now,
            nas=request.origin.nas,
            nas_identifier=request.origin.nas_identifier,
            client=request.origin.client,
            groups=_groups(user, attempt.realm.name),
            attributes={name.lower(): values for name, values in user.attributes.items()} if user.attributes else {},
            enrolled=_enrolled(holder, attempt.configuration.sending) if enrolled else _NOTHING,
            proved_elsewhere=request.proved_elsewhere,
            application_kind=attempt.application.settings.kind,
            device=request.origin.device,
            country=person.surroundings.country,
            risk=person.surroundings.band,
            known_device=person.device is not None and person.device.trusted,
            renew=to_renew(holder, pages=request.origin.shows_pages),
        )


def _enrolled(holder: Holder, sending: SendingSettings) -> frozenset[str]:
    """What is held is enrolled all the same: a restore must not make somebody count as one who has nothing."""
    usable = [factor.kind for factor in SECOND_FACTORS if factor.enrolled(holder) and _reaches(factor, holder, sending)]
    return frozenset(usable + [each.kind for each in holder.held])


def _groups(user: DirectoryUser, realm: str) -> frozenset[str]:
    places = (user.directory, realm)
    return qualified_groups(places, user.groups, user.group_aliases) if user.group_aliases else _plain_groups(places, user.groups)


# Many users have the same groups.
@lru_cache(maxsize=1024)
def _plain_groups(places: tuple[str, str], groups: tuple[str, ...]) -> frozenset[str]:
    return qualified_groups(places, groups, {})


def _reaches(factor: Factor, holder: Holder, sending: SendingSettings) -> bool:
    """Whether what the person has can be used. A phone whose prefix is closed is none."""
    return factor.channel is not Channel.SMS or is_allowed(holder.phone, sending)
