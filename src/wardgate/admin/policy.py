"""Policy for an operator: the tests that a document carries, and why a login is decided as it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import tzinfo
from typing import Any, Final

from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.contact import kept_contacts
from wardgate.account.subject import NO_SUBJECT
from wardgate.admin.office import Office
from wardgate.admin.people import Person, found_person
from wardgate.admin.presented import presented_proofs, self_service_told
from wardgate.admin.questions import questioner_of
from wardgate.admin.risk import Coming, assess_now, risk_told
from wardgate.config.document import Document, in_their_places, parse
from wardgate.config.faults import Fault, path_of
from wardgate.config.sources import Source
from wardgate.config.store import load_current
from wardgate.directory.realm import Realm, Realms, parse_login_name
from wardgate.engine.holders import holder_of, to_renew
from wardgate.engine.settings import AnyApplicationSettings, with_portal
from wardgate.errors import NotFound, SettingsError, UsageError
from wardgate.factors import KERBEROS, KINDS, PASSWORD, SECOND_FACTORS, STRONG_KINDS, USUAL_KINDS
from wardgate.kba.standing import NOT_ANSWERED
from wardgate.policy.conditions import GOALS
from wardgate.policy.explain import Looked, Told, Wanted, explain, explain_needs
from wardgate.policy.facts import Facts
from wardgate.policy.groups import qualified_groups
from wardgate.policy.needs import SELF_SERVICE
from wardgate.policy.plan import NoEntry
from wardgate.policy.proofs import judge, logins_of
from wardgate.policy.rules import Policy, compile_policy, decide, default_policy
from wardgate.policy.settings import PolicySettings
from wardgate.policy.testing import Tested, address_of, band_of, country_of, device_of, run_tests, zone_of
from wardgate.policy.windows import parse_moment, zone_meant
from wardgate.radius.settings import NasSettings
from wardgate.risk.assessing import Assessed

MAX_FAILURES_TOLD: Final = 20


# --- tests ---------------------------------------------------------------------------------------------------------------


def failing_tests(document: Document) -> list[Fault]:
    """What each failing test expected and what came, at its place in the document."""
    return [
        Fault(path_of(("policies", number, "tests", place)), f"test {tested.name} of {settings.name}: {tested.difference}")
        for number, settings in enumerate(document.policies)
        for place, tested in enumerate(_tested(document, settings))
        if not tested.passed
    ]


def prove_policies(document: Document, sources: Sequence[Source] = ()) -> None:
    """Raises SettingsError that tells what each failing test expected and what came, and where in `sources` it stands."""
    failed = failing_tests(document)
    if failed:
        told = in_their_places(sources, failed[:MAX_FAILURES_TOLD]) if sources else failed[:MAX_FAILURES_TOLD]
        more = [f"and {len(failed) - MAX_FAILURES_TOLD} more"] if len(failed) > MAX_FAILURES_TOLD else []
        raise SettingsError("\n".join(["tests of policies fail:", *map(str, told), *more]))


async def run_policy_tests(office: Office, *, text: str | None = None, policy: str | None = None) -> dict[str, Any]:
    """Run the tests of a document, by default of the one in force. Raises SettingsError, NotFound."""
    if text is None:
        _, document = await load_current(office.storage)
    else:
        document = parse(text)
    wanted = [each for each in document.policies if policy is None or each.name == policy]
    if policy is not None and not wanted:
        raise NotFound(f"there is no policy {policy[:64]}: {', '.join(each.name for each in document.policies) or 'there is none'}")
    tests = [_test_told(each.name, tested) for each in wanted for tested in _tested(document, each)]
    failed = sum(not each["passed"] for each in tests)
    return {"ok": failed == 0, "passed": len(tests) - failed, "failed": failed, "tests": tests}


def _tested(document: Document, settings: PolicySettings) -> list[Tested]:
    if not settings.tests:
        return []
    try:
        return run_tests(compile_policy(settings, KINDS, STRONG_KINDS, document.networks), settings.tests)
    except SettingsError as error:
        raise SettingsError(f"policies.{settings.name}: {error.message}") from error


def _test_told(policy: str, tested: Tested) -> dict[str, Any]:
    difference = "" if tested.passed else tested.difference
    return {"policy": policy, "test": tested.name, "passed": tested.passed, "difference": difference}


# --- why -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """The login that is asked about, beside its user. What is None is taken from the NAS, or is not known."""

    application: str | None = None
    nas: str | None = None
    nas_identifier: str | None = None
    client: str | None = None
    at: str | None = None
    goal: str = "login"
    country: str = ""
    known_device: bool = False
    risk: str = ""
    device: tuple[str, ...] = ()
    proofs: tuple[str, ...] = ()


async def explain_decision(office: Office, *, user: str, asked: Asked, directory: str | None = None) -> dict[str, Any]:
    """The decision that the engine would take for this user, with every rule up to the one that decided, and why.

    The user is read from his directory now; nothing is written and no password is needed. A self-service goal is told with what it
    needs, and what the proofs that are presented count for. Raises NotFound, UsageError, SettingsError, DirectoryUnavailable.
    """
    _, document = await load_current(office.storage)
    nas = _nas(document, asked.nas)
    application = _application(document, asked.application or (nas.application if nas is not None else None))
    policy = _policy(document, application)
    if asked.goal not in GOALS:
        raise UsageError(f"there is no goal {asked.goal[:32]}: {', '.join(GOALS)}")
    async with found_person(office, user, directory) as person:
        facts = await _facts(office, document, person, _realm(document, user, person, directory), application, policy, nas, asked)
        assessed = await _assessed(office, document, person, facts)
    # What is told stands for what was found: an operator may ask what would be if.
    facts = replace(facts, country=facts.country or assessed.country, risk=facts.risk or assessed.band)
    zone = zone_of(policy) if asked.at is None else zone_meant(asked.at, zone_of(policy))
    told = {**_explained(policy, application, facts, zone), "assessment": risk_told(assessed)}
    needs = explain_needs(policy, facts)
    if needs is not None:
        judged = judge(policy, facts, presented_proofs(asked.proofs, facts.at), logins_of(_applications(document), facts))
        told["self_service"] = None if judged is None else self_service_told(judged, needs, _looked)
    elif asked.proofs:
        raise UsageError(f"proofs are weighed for self-service only: {', '.join(SELF_SERVICE)}")
    return told


async def _assessed(office: Office, document: Document, person: Person, facts: Facts) -> Assessed:
    """How the login would be scored, and where its address lies; nothing where neither is configured."""
    binding = f"{facts.door}:{facts.nas}:{facts.nas_identifier}"
    coming = Coming(facts.client, binding, facts.device, known_device=facts.known_device)
    return await assess_now(office, document.risk, person.subject_id, coming, facts.at)


def _applications(document: Document) -> Iterator[tuple[Policy, str, str]]:
    compiled: dict[str | None, Policy] = {}
    for application in with_portal(document.applications, ""):
        if application.policy not in compiled:
            compiled[application.policy] = _policy(document, application)
        yield compiled[application.policy], application.name, application.kind


async def _facts(
    office: Office,
    document: Document,
    person: Person,
    realm: str,
    application: AnyApplicationSettings,
    policy: Policy,
    nas: NasSettings | None,
    asked: Asked,
) -> Facts:
    user, now = person.user, office.clock.now()
    enrolled, renew = await _enrolled(office, document, policy, person)
    identifier = asked.nas_identifier
    return Facts(
        goal=asked.goal,
        application=application.name,
        # Self-service and whoever comes by a browser have no other door.
        door="radius" if application.kind == "radius" and asked.goal not in SELF_SERVICE else "portal",
        realm=realm,
        directory=user.directory,
        user=user.name,
        at=now if asked.at is None else parse_moment(asked.at, now, zone_of(policy)),
        nas=nas.name if nas is not None else "",
        nas_identifier=identifier if identifier is not None else (nas.identifier or "") if nas is not None else "",
        client=_client(asked, nas),
        groups=qualified_groups((user.directory, realm), user.groups, user.group_aliases),
        attributes={name.lower(): values for name, values in user.attributes.items()},
        enrolled=enrolled,
        proved_elsewhere=frozenset({PASSWORD}) if nas is not None and nas.mode == "code_only" else frozenset(),
        application_kind=application.kind,
        device=_device(asked.device),
        known_device=asked.known_device,
        country=country_of(asked.country),
        risk=band_of(asked.risk),
        renew=renew,
    )


def _client(asked: Asked, nas: NasSettings | None) -> str | None:
    """The address, where what the NAS tells of it counts."""
    address = None if asked.client is None else address_of("from", asked.client)
    return address if nas is None or nas.trust_client_address else None


def _device(texts: Sequence[str]) -> Mapping[str, str]:
    """`os=Windows` as the NAS would tell it."""
    pairs = [text.partition("=") for text in texts]
    for key, equals, _ in pairs:
        if not equals:
            raise UsageError(f"a machine is told as os=Windows, not as {key[:32]!r}")
    return device_of({key: value for key, _, value in pairs})


async def _enrolled(office: Office, document: Document, policy: Policy, person: Person) -> tuple[frozenset[str], frozenset[str]]:
    """What the person has, as the engine sees it (what a restore holds counts too), and what of it has to be set anew."""
    subject_id = person.subject_id or NO_SUBJECT
    questioner = questioner_of(office, document) if policy.reads_questions else None
    asked = questioner.reads(subject_id) if questioner is not None else []
    rows, contacts, *answers = await office.storage.read([kept_authenticators(subject_id), kept_contacts(subject_id), *asked])
    active, held = active_and_held(rows)
    answered = questioner.standing(*answers) if questioner is not None else NOT_ANSWERED
    holder = holder_of(office.ring, subject_id, person.user, active, held, contacts, answered)
    enrolled = frozenset([factor.kind for factor in SECOND_FACTORS if factor.enrolled(holder)] + [each.kind for each in held])
    return enrolled, to_renew(holder, pages=False)


def _realm(document: Document, user: str, person: Person, directory: str | None) -> str:
    """The realm that the login would belong to."""
    if directory is None:
        realm, _ = parse_login_name(user, Realms([Realm(each, ()) for each in document.realms]))
        return realm.name
    return next((realm.name for realm in document.realms if person.user.directory in realm.directories), "")


def _nas(document: Document, name: str | None) -> NasSettings | None:
    found = next((each for each in document.nas if each.name == name), None)
    if name is not None and found is None:
        raise NotFound(f"there is no NAS {name[:64]}: {', '.join(each.name for each in document.nas[:20]) or 'there is none'}")
    return found


def _application(document: Document, name: str | None) -> AnyApplicationSettings:
    applications = with_portal(document.applications, "")
    known = ", ".join(each.name for each in applications[:20])
    if name is None:
        raise UsageError(f"say for which application, or from which NAS; the applications are {known}")
    found = next((each for each in applications if each.name == name), None)
    if found is None:
        raise NotFound(f"there is no application {name[:64]}; the applications are {known}")
    return found


def _policy(document: Document, application: AnyApplicationSettings) -> Policy:
    settings = next((each for each in document.policies if each.name == application.policy), None)
    if settings is None:
        return default_policy(USUAL_KINDS, STRONG_KINDS)
    return compile_policy(settings, KINDS, STRONG_KINDS, document.networks)


def _explained(policy: Policy, application: AnyApplicationSettings, facts: Facts, zone: tzinfo) -> dict[str, Any]:
    decision = decide(policy, facts)
    why = explain(policy, facts)
    refused = isinstance(decision, NoEntry)
    steps = () if isinstance(decision, NoEntry) else decision.steps
    return {
        "user": facts.user,
        "directory": facts.directory,
        "realm": facts.realm,
        "application": application.name,
        "policy": policy.name,
        "facts": _facts_told(facts, zone),
        "allowed": not refused,
        "reason": decision.reason if isinstance(decision, NoEntry) else None,
        "rule": decision.rule or None,
        "steps": [{"factors": list(step), "has": [kind for kind in step if _has(kind, facts)]} for step in steps],
        "strong_factors": 0 if isinstance(decision, NoEntry) else decision.strong_factors,
        "rules": [_looked(each) for each in why.rules],
        "floors": [_looked(each) for each in why.floors],
        "actions": [_looked(each) for each in why.actions],
        "demands": [_demand_told(each) for each in why.wanted],
        "lifetimes": [_looked(each) for each in why.lifetimes],
        "lasting": None if isinstance(decision, NoEntry) else asdict(decision.lifetimes),
        "fail": None if isinstance(decision, NoEntry) else asdict(decision.fail),
        "text": dict(decision.text),
        "self_service": None,
    }


def _demand_told(wanted: Wanted) -> Mapping[str, Any]:
    demand = wanted.demand
    return {
        "action": demand.action,
        "level": demand.level,
        "factors": list(demand.factors),
        "met": wanted.met,
        "deferrals": demand.deferrals,
        "every_s": demand.every_s,
        "remind_s": demand.remind_s,
    }


def _has(kind: str, facts: Facts) -> bool:
    return kind in (PASSWORD, KERBEROS) or kind in facts.enrolled


def _facts_told(facts: Facts, zone: tzinfo) -> dict[str, Any]:
    return {
        "goal": facts.goal,
        "door": facts.door,
        "at": facts.at.astimezone(zone).isoformat(),
        "zone": str(zone),
        "nas": facts.nas or None,
        "nas_identifier": facts.nas_identifier or None,
        "client": facts.client,
        "country": facts.country or None,
        "known_device": facts.known_device,
        "risk": facts.risk or None,
        "device": dict(facts.device),
        "enrolled": sorted(facts.enrolled),
        "groups": sorted(facts.groups),
        "proved_elsewhere": sorted(facts.proved_elsewhere),
    }


def _looked(looked: Looked) -> dict[str, Any]:
    return {"name": looked.name, "matches": looked.holds, "when": None if looked.when is None else _told(looked.when)}


def _told(told: Told) -> Mapping[str, Any]:
    return {"condition": told.name, "holds": told.holds, "asks": told.words, "parts": [_told(part) for part in told.parts]}
