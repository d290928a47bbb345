"""Asks policy whether the proofs of a flow are enough, and which ones could still add something."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from wardgate.account.contact import Source, compared, place_key, usable_contacts
from wardgate.clock import from_ms, to_ms
from wardgate.contacts import mask_mail, mask_phone
from wardgate.crypto import KeyRing
from wardgate.delivery.port import Channel
from wardgate.directory.port import DirectoryUser
from wardgate.engine.runtime import Application, EngineParts
from wardgate.engine.self_service.flow import Flow, Proved
from wardgate.engine.self_service.start_code import START_CODE
from wardgate.engine.terms import ADMINISTRATORS_STRONG_FACTORS
from wardgate.factors import BY_KIND, ON_PAGES, QUESTIONING, SECOND_FACTORS
from wardgate.factors.port import Factor, Holder, Right
from wardgate.policy.facts import Facts
from wardgate.policy.groups import qualified_groups
from wardgate.policy.proofs import Judgement, Proof, judge, logins_of
from wardgate.storage.port import Row

# What no single source tells of: one of them counts.
_HYPOTHETICAL: Final = "?"
# In the settings of an authenticator that its person enrolled himself.
BY_PERSON: Final = '"by":"person"'


@dataclass(frozen=True, slots=True)
class Weighed:
    """What policy said. `told`: for the timeline. `administrator`: a floor demands of him what it does of administrators."""

    enough: bool
    told: Mapping[str, str]
    administrator: bool = False


@dataclass(frozen=True, slots=True)
class Ages:
    """Since when what the person set up himself exists, in milliseconds.

    Contacts by their value as it is `compared`, authenticators by their id. What is not here an operator gave him, or the directory
    told it from the first: it counts at once.
    """

    contacts: Mapping[str, int] = field(repr=False)
    authenticators: Mapping[str, int]


def ages_of(ring: KeyRing, contacts: Sequence[Row], authenticators: Sequence[Row], told: Mapping[str, int]) -> Ages:
    """The ages in the rows of a person. `told`: since when his directory tells what is new there.

    What the person verified here himself, or an operator did, is as old as that, whatever the directory tells of it.
    """
    usable = usable_contacts(ring, contacts)
    ours = {compared(each.value) for each in usable}
    own = [each for each in usable if each.source == Source.PERSON.value]
    return Ages(
        {
            **{value: at_ms for value, at_ms in told.items() if value not in ours},
            **{compared(each.value): to_ms(each.verified_at or each.created_at) for each in own},
        },
        {str(row["id"]): int(row["created_at"] or 0) for row in authenticators if BY_PERSON in str(row["settings"])},
    )


class Weighing:
    """Between a flow and `policy.proofs`."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    def proved(self, holder: Holder, ages: "Ages", factor: Factor, verdict: Right) -> Proved:
        """The record of a proof that was right."""
        destination = factor.destination(holder) if factor.channel is not None else None
        if destination is None:
            authenticator = verdict.authenticator_id or ""
            since = ages.authenticators.get(authenticator, 0)
            return Proved(factor.kind, authenticator=authenticator, since=since, user_verified=verdict.twofold)
        return Proved(factor.kind, destination=self._key(destination), since=ages.contacts.get(compared(destination), 0))

    def destination_key(self, factor: Factor, holder: Holder) -> str:
        """Where a code of this factor goes now, as a keyed fingerprint; empty for a factor that sends none."""
        to = factor.destination(holder) if factor.channel is not None else None
        return self._key(to) if to else ""

    def weigh(self, flow: Flow, user: DirectoryUser, holder: Holder) -> Weighed:
        """Whether the proofs are enough now."""
        judgement = self._judge(flow, user, holder, flow.proofs)
        if judgement is None:
            return Weighed(False, {"why": "no self-service goal"})
        counted = ", ".join(" ".join([each.proof.kind, str(each.weight), each.why_not]).strip() for each in judgement.counted)
        missing = ", ".join(f"{each.what} {each.has} of {each.needed}" for each in judgement.missing)
        told = {"counted": counted, **({"missing": missing} if missing else {})}
        return Weighed(judgement.enough, told, judgement.strong_factors >= ADMINISTRATORS_STRONG_FACTORS)

    def left(self, flow: Flow, user: DirectoryUser, holder: Holder, ages: "Ages") -> Mapping[str, str]:
        """The kinds that would add something, each with where its code would go (masked), the weightiest first.

        Empty where all of them together would not be enough: then it is better to say so than to ask for more.
        """
        channels = self._parts.configuration().channels
        done = {(each.kind, each.destination) for each in flow.proofs}
        ways = [
            factor
            for factor in (*((START_CODE,) if flow.activation else ()), *SECOND_FACTORS)
            if factor.enrolled(holder)
            and self._is_possible(flow, factor)
            and (factor.channel is None or factor.channel in channels)
            and (factor.kind not in QUESTIONING or self._application(flow).policy.uses_questions)
        ]
        open_ways = [each for each in ways if (each.kind, self.destination_key(each, holder)) not in done]
        hypothetical = [self._hypothetical(each, holder, ages) for each in open_ways]
        whole = self._judge(flow, user, holder, [*flow.proofs, *hypothetical])
        if whole is None or not whole.enough:
            return {}
        adding = []
        for factor, proof in zip(open_ways, hypothetical, strict=True):
            judged = self._judge(flow, user, holder, [*flow.proofs, proof])
            if judged is not None and judged.counted[-1].proofs:
                adding.append((-judged.counted[-1].weight, factor))
        return {factor.kind: _masked(factor, holder) for _, factor in sorted(adding, key=lambda pair: pair[0])}

    def first_kinds(self, flow: Flow) -> tuple[str, ...]:
        """What may be chosen before anything is proved: the same for every name.

        Questions only where they may be all that there is, and what needs a page where it works on these and weighs something.
        """
        channels, service = self._parts.configuration().channels, self._application(flow).policy.self_service
        asked = [
            each for each in SECOND_FACTORS if self._is_possible(flow, each) and (each.channel is None or each.channel in channels)
        ]
        return tuple(each.kind for each in asked if each.kind not in QUESTIONING or service.by_questions_alone(flow.goal))

    def _is_possible(self, flow: Flow, factor: Factor) -> bool:
        """Whether the pages of a flow can ask for it, and policy lets it count at all: neither is a matter of who it is."""
        weight = self._application(flow).policy.self_service.weights.get(factor.kind, 0)
        return factor.kind not in ON_PAGES or (flow.has_site and weight > 0)

    def limits(self, flow: Flow) -> tuple[int, int]:
        """How many resets a person may have, within so many seconds."""
        service = self._application(flow).policy.self_service
        return service.resets, service.resets_within_s

    def _judge(self, flow: Flow, user: DirectoryUser, holder: Holder, proofs: Sequence[Proved]) -> Judgement | None:
        facts = self.facts(flow, user, holder)
        presented = [self._proof(flow, each, user, holder) for each in proofs]
        applications = self._parts.configuration().applications.values()
        logins = logins_of([(each.policy, each.settings.name, each.settings.kind) for each in applications], facts)
        return judge(self._application(flow).policy, facts, presented, logins)

    def _proof(self, flow: Flow, proved: Proved, user: DirectoryUser, holder: Holder) -> Proof:
        # The password of a new person is nobody's yet: it opens no mailbox.
        opens = proved.kind == "email" and not flow.activation and self._opens_with_password(proved.destination, user)
        return Proof(
            kind=proved.kind,
            source=proved.destination or proved.authenticator,
            since=from_ms(proved.since) if proved.since else None,
            behind_password=opens,
            lost=_is_gone(proved, holder),
            user_verified=proved.user_verified,
        )

    def _opens_with_password(self, destination: str, user: DirectoryUser) -> bool:
        """The directory's own mail address is the organisation's mailbox, and its password the one that was forgotten."""
        return any(self._key(mail) == destination for mail in (user.mail, *user.other_mails) if mail)

    def _hypothetical(self, factor: Factor, holder: Holder, ages: "Ages") -> Proved:
        """What the proof would be if it were right: by the oldest of the authenticators that could prove it, and unlocked."""
        to = factor.destination(holder) if factor.channel is not None else None
        if to is not None:
            return Proved(factor.kind, destination=self._key(to), since=ages.contacts.get(compared(to), 0))
        since = min((ages.authenticators.get(each.id, 0) for each in holder.of_kind(factor.kind)), default=0)
        return Proved(factor.kind, authenticator=_HYPOTHETICAL + factor.kind, since=since, user_verified=True)

    def _key(self, destination: str) -> str:
        return place_key(self._parts.ring(), destination)

    def _application(self, flow: Flow) -> Application:
        return self._parts.configuration().applications[flow.application]

    def facts(self, flow: Flow, user: DirectoryUser, holder: Holder) -> Facts:
        """What policy is asked about."""
        application = self._application(flow)
        enrolled = [factor.kind for factor in SECOND_FACTORS if factor.enrolled(holder)] + [each.kind for each in holder.held]
        return Facts(
            goal=flow.goal,
            application=application.settings.name,
            application_kind=application.settings.kind,
            door="portal",
            realm=flow.realm,
            directory=user.directory,
            user=user.name,
            at=self._parts.clock.now(),
            groups=qualified_groups((user.directory, flow.realm), user.groups, user.group_aliases),
            attributes={name.lower(): values for name, values in user.attributes.items()},
            enrolled=frozenset(enrolled),
        )


def _is_gone(proved: Proved, holder: Holder) -> bool:
    """Whether the authenticator of a proof has been taken away since: removed, reported lost, or frozen."""
    known = proved.kind not in BY_KIND or not proved.authenticator or proved.authenticator.startswith(_HYPOTHETICAL)
    return not known and proved.authenticator not in [each.id for each in holder.authenticators]


def _masked(factor: Factor, holder: Holder) -> str:
    to = factor.destination(holder) if factor.channel is not None else None
    if to is None:
        return ""
    return mask_phone(to) if factor.channel is Channel.SMS else mask_mail(to)
