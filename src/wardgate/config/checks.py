"""What must hold across the whole document: names, references, addresses, ranges. Types were checked before."""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from wardgate.audit.retention import check_settings as check_retention
from wardgate.brand.settings import faults as brand_faults
from wardgate.config.faults import Fault, nearest, path_of
from wardgate.config.notices import check_notices
from wardgate.config.reference import EnvReference, FileReference, SealedValue
from wardgate.delivery.registry import check_settings
from wardgate.directory.active_directory.settings import ActiveDirectorySettings
from wardgate.directory.registry import check_settings as check_directory
from wardgate.directory.settings import RealmSettings
from wardgate.engine.settings import ApplicationSettings, BrakeSettings, CodeSettings, ReleaseRuleSettings, SendingSettings
from wardgate.errors import SettingsError
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.federation import checking as relying_parties
from wardgate.federation.settings import SamlApplicationSettings
from wardgate.kba.settings import MAX_COMMON, KbaSettings
from wardgate.kba.settings import faults as kba_faults
from wardgate.policy.needs import SELF_SERVICE
from wardgate.policy.rules import compile_policy
from wardgate.policy.settings import (
    ActionEntrySettings,
    FloorThenSettings,
    NeedSettings,
    NetworkSettings,
    PolicySettings,
    ResetLimitSettings,
    SelfServiceGoalSettings,
    SelfServiceSettings,
)
from wardgate.policy.testing import check_test
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.release import compile_release
from wardgate.radius.settings import NasSettings
from wardgate.radius.vendors import VENDORS
from wardgate.risk.checking import MAX_LISTS, check_risk, is_zone
from wardgate.risk.checking import RANGES as RISK_RANGES
from wardgate.texts import LANGUAGES

if TYPE_CHECKING:
    from wardgate.config.document import Document

MAX_NAME_CHARS: Final = 64
MAX_ADDRESSES: Final = 256
MAX_CIDR: Final = 1_000
MAX_RULES: Final = 500
MAX_TICKET_DIRECTORIES: Final = 8
# What directories tell of an account without being asked for it: its place.
DN_NAMES: Final = ("dn", "distinguishedname")
MAX_NAMES_TOLD: Final = 10
MAX_PREFIXES: Final = 500
MAX_PRICE: Final = 1_000.0
MAX_CURRENCY_CHARS: Final = 8
# Letters and digits of any script. No colon: conditions write `directory:group`, and a sealed secret is bound to its name.
_NAME = re.compile(r"\w(?:[\w .-]*[\w.-])?")
# The beginning of a number in E.164: at most a country code, and as much of an operator's block.
_PREFIX = re.compile(r"\+[1-9][0-9]{0,9}")
# What a condition asks for, where it is not called so.
_CALLED: Final = {"enrolled": "factor", "enrolled_not": "factor"}
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

# What every kind of gateway has; the rest of its settings is checked by the kind.
GATEWAY_ORDER: Final = (0, 10_000)
# The least and the greatest value of each number; a list's entries are each held to it.
RANGES: Final[Mapping[tuple[type, str], tuple[float, float]]] = {
    (RealmSettings, "reply_floor_ms"): (0, 3_000),
    (NasSettings, "code_digits"): (4, 10),
    (FloorThenSettings, "strong_factors"): (0, 3),
    (ActionEntrySettings, "deferrals"): (0, 100),
    (NeedSettings, "proofs"): (0, 5),
    (NeedSettings, "weight"): (0, 30),
    (NeedSettings, "strongest"): (0, 10),
    (ResetLimitSettings, "count"): (1, 100),
    (KbaSettings, "offered"): (1, 50),
    (KbaSettings, "set"): (1, 10),
    (KbaSettings, "asked"): (1, 5),
    (KbaSettings, "own"): (0, 5),
    (KbaSettings, "min_length"): (1, 32),
    (KbaSettings, "strikes"): (1, 20),
    (CodeSettings, "digits"): (6, 10),
    (CodeSettings, "life_s"): (60, 600),
    (CodeSettings, "tries"): (1, 10),
    (CodeSettings, "resend_after_s"): (5, 3_600),
    (CodeSettings, "resends_per_hour"): (0, 100),
    (CodeSettings, "resends_per_day"): (0, 1_000),
    (CodeSettings, "messages_per_hour"): (1, 1_000),
    (CodeSettings, "messages_per_day"): (1, 1_000),
    (CodeSettings, "totp_skew_steps"): (0, 10),
    (CodeSettings, "hotp_look_ahead"): (0, 100),
    (CodeSettings, "replay_notice_s"): (0, 600),
    (ApplicationSettings, "hand_over_s"): (0, 300),
    (BrakeSettings, "user_source_failures"): (1, 1_000),
    (BrakeSettings, "user_source_window_s"): (10, 86_400),
    (BrakeSettings, "user_source_wait_s"): (1, 86_400),
    (BrakeSettings, "user_source_wait_max_s"): (1, 86_400),
    (BrakeSettings, "user_failures"): (1, 100_000),
    (BrakeSettings, "source_failures"): (1, 100_000),
    (BrakeSettings, "source_window_s"): (10, 86_400),
    (BrakeSettings, "source_wait_s"): (1, 86_400),
    (BrakeSettings, "network_failures"): (0, 1_000_000),
    (BrakeSettings, "network_bits_ipv4"): (8, 32),
    (BrakeSettings, "network_bits_ipv6"): (16, 64),
    (BrakeSettings, "nas_failures"): (0, 1_000_000),
    (BrakeSettings, "global_failures"): (0, 1_000_000),
    (BrakeSettings, "network_messages"): (0, 1_000_000),
    (BrakeSettings, "nas_messages"): (0, 1_000_000),
    (BrakeSettings, "global_messages"): (0, 1_000_000),
    (BrakeSettings, "wide_window_s"): (10, 86_400),
    (BrakeSettings, "wide_wait_s"): (1, 86_400),
    (BrakeSettings, "wide_wait_max_s"): (1, 86_400),
    (SendingSettings, "sms_per_prefix_per_day"): (0, 10_000_000),
    (SendingSettings, "sms_per_day"): (0, 10_000_000),
    (SendingSettings, "email_per_day"): (0, 10_000_000),
    (SendingSettings, "sms_per_source_per_hour"): (0, 1_000_000),
    **RISK_RANGES,
    **relying_parties.RANGES,
}

# What is said of a condition on what nothing tells, and the cure.
UNHEARD: Final = "a condition asks for the"
TELL: Final[Mapping[str, str]] = {
    "risk": "set risk.enabled: true, or take the condition out",
    "country": "set risk.country_file, or take it out",
}

LIST_LIMITS: Final[Mapping[str, int]] = {
    "addresses": MAX_ADDRESSES,
    "cidr": MAX_CIDR,
    "rules": MAX_RULES,
    "floors": MAX_RULES,
    "actions": MAX_RULES,
    "lifetimes": MAX_RULES,
    "then": 10,
    "enrol": 10,
    "alone": 20,
    "never": 20,
    "tests": MAX_RULES,
    "release": MAX_RULES,
    "steps": 8,
    "directories": 100,
    "domains": 100,
    "resend_after_s": 10,
    "sms_prefixes": MAX_PREFIXES,
    "ascii_only": 20,
    "password_days": 10,
    "security_mail": 20,
    "common": MAX_COMMON,
    "organisation": 50,
    "reputation": MAX_LISTS,
    **relying_parties.LIST_LIMITS,
}


def check(document: "Document") -> list[Fault]:
    """Every fault of a document whose types are right, in the order of the document, each once."""
    found = [
        *_walk(document, ()),
        *_names(document),
        *_realms(document),
        *_nas(document),
        *_references(document),
        *_directories(document),
        *_gateways(document),
        *_networks(document),
        *_policies(document),
        *_questions(document),
        *_risk(document),
        *_releases(document),
        *_relying_parties(document),
        *_sending(document.sending),
        *_brands(document),
        *_zones(document),
        *(Fault(path_of(("notices", *below)), problem) for below, problem in check_notices(document.notices)),
        *(Fault(f"retention.{name}", problem) for name, problem in check_retention(document.retention)),
    ]
    # A number out of its range is told by its range, and by the room that cannot use it.
    return list(dict.fromkeys(found))


def doubts(document: "Document") -> list[Fault]:
    """What can be applied but hardly be meant: conditions that never hold, steps that nobody passes, mistyped groups in tests."""
    found = [Fault(path, f"{UNHEARD} {name}, which nothing tells: {TELL[name]}") for _, name, path in unheard(document)]
    for number, policy in enumerate(document.policies):
        found += _walls(policy, ("policies", number, "rules"))
        found += _mistyped(policy, _group_owners(document), ("policies", number, "tests"))
    for number, party in _saml(document):
        found += _unread(document, party, ("applications", number, "claims"))
        told = [*relying_parties.doubts(party), *(relying_parties.shared_names(party) if len(document.realms) > 1 else ())]
        found += [Fault(path_of(("applications", number, *below)), problem) for below, problem in told]
    return found


def _mistyped(policy: PolicySettings, owners: frozenset[str], at: tuple[str | int, ...]) -> Iterator[Fault]:
    """Groups of tests whose directory is nearly one of ours. One that is like none may be meant: that it opens nothing."""
    for place, test in enumerate(policy.tests):
        given = test.given.get("groups", ())
        for group in (given,) if isinstance(given, str) else given if isinstance(given, list | tuple) else ():
            owner = str(group).partition(":")[0]
            near = nearest(owner, owners) if owner.lower() not in owners else ""
            if near:
                yield Fault(
                    path_of((*at, place, "given", "groups")), f"{group!r}: no directory or realm has the name {owner!r}: {near}"
                )


def _walls(policy: PolicySettings, at: tuple[str | int, ...]) -> Iterator[Fault]:
    """Steps of which a floor leaves nothing. A floor on strong factors asks one instead, if it leaves any."""
    for floor in policy.floors:
        never = set(floor.then.never)
        if floor.then.strong_factors and not never.issuperset(STRONG_KINDS):
            continue
        for place, rule in enumerate(policy.rules):
            for number, step in enumerate(rule.then.steps):
                if never.issuperset(step):
                    told = f"under the floor {floor.name!r} no factor is left of this step: whom both mean cannot come in"
                    yield Fault(path_of((*at, place, "then", "steps", number)), told)


def unheard(document: "Document") -> Iterator[tuple[str, str, str]]:
    """Conditions on a risk or a country that nothing tells: policy, condition and path. They never hold, and under `not` always."""
    told = {"risk": document.risk.enabled, "country": document.risk.country_file is not None}
    for number, policy in enumerate(document.policies):
        for part in _parts(policy, ("policies", number)):
            for place, name, _ in _entries(part.when, (*part.at, "when")):
                if not told.get(name, True):
                    yield policy.name, name, path_of((*place, name))


# --- every value by itself ---------------------------------------------------------------------------------------------


def _walk(value: Any, at: tuple[str | int, ...]) -> Iterator[Fault]:
    """Ranges, list lengths and secret references wherever they stand."""
    if isinstance(value, EnvReference | FileReference | SealedValue):
        yield from _reference(value, at)
    elif is_dataclass(value):
        for item in fields(value):
            inner = getattr(value, item.name)
            here = (*at, item.name)
            limits = RANGES.get((type(value), item.name))
            if limits is not None:
                yield from _range(inner, limits, here)
            # In a directory it is the name of an attribute or column that holds one.
            if item.name == "language" and at[0] != "directories" and inner is not None and inner not in LANGUAGES:
                yield Fault(path_of(here), f"must be one of {', '.join(LANGUAGES)}")
            yield from _walk(inner, here)
    elif isinstance(value, tuple):
        limit = LIST_LIMITS.get(str(at[-1])) if len(at) > 1 else None
        if limit is not None and len(value) > limit:
            yield Fault(path_of(at), f"holds {len(value)} entries, more than {limit}")
        for number, inner in enumerate(value):
            yield from _walk(inner, (*at, number))


def _range(value: Any, limits: tuple[float, float], at: tuple[str | int, ...]) -> Iterator[Fault]:
    if isinstance(value, tuple):
        for number, inner in enumerate(value):
            yield from _range(inner, limits, (*at, number))
    elif value is not None and not limits[0] <= value <= limits[1]:
        yield Fault(path_of(at), f"must be between {limits[0]} and {limits[1]}")


def _reference(value: EnvReference | FileReference | SealedValue, at: tuple[str | int, ...]) -> Iterator[Fault]:
    if isinstance(value, EnvReference) and not _ENVIRONMENT_NAME.fullmatch(value.env):
        yield Fault(path_of((*at, "env")), "must be the name of an environment variable: letters, digits and _")
    if isinstance(value, FileReference) and not value.file.startswith("/"):
        yield Fault(path_of((*at, "file")), "must be an absolute path: the server reads it, wherever it was started")


# --- names and references ----------------------------------------------------------------------------------------------


def _names(document: "Document") -> Iterator[Fault]:
    for section in ("realms", "directories", "gateways", "nas", "applications", "networks", "policies", "questions"):
        yield from _unique_names(getattr(document, section), (section,))
    for number, policy in enumerate(document.policies):
        yield from _unique_names(policy.rules, ("policies", number, "rules"))
        yield from _unique_names(policy.floors, ("policies", number, "floors"))
        yield from _unique_names(policy.actions, ("policies", number, "actions"))
        yield from _unique_names(policy.lifetimes, ("policies", number, "lifetimes"))
        for name, goal in _goals(policy):
            yield from _unique_names(goal.rules, ("policies", number, "self_service", name, "rules"))


def _unique_names(items: Iterable[Any], at: tuple[str | int, ...]) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for number, item in enumerate(items):
        here = path_of((*at, number, "name"))
        if len(item.name) > MAX_NAME_CHARS or not _NAME.fullmatch(item.name):
            yield Fault(here, f"must be 1 to {MAX_NAME_CHARS} letters, digits, blanks or . _ - and begin with a letter or digit")
        first = seen.setdefault(item.name.casefold(), number)
        if first != number:
            yield Fault(here, f"the name {item.name!r} is already taken by", path_of((*at, first)))


def _realms(document: "Document") -> Iterator[Fault]:
    defaults = [number for number, realm in enumerate(document.realms) if realm.default]
    if len(defaults) != 1:
        yield Fault("realms", f"exactly one realm must have default: true; here {len(defaults)} have it")
    known = {directory.name for directory in document.directories}
    domains: dict[str, str] = {}
    for number, realm in enumerate(document.realms):
        here = ("realms", number)
        if not realm.directories:
            yield Fault(path_of((*here, "directories")), "must name at least one directory")
        yield from _all_known(realm.directories, known, "directory", (*here, "directories"))
        if realm.name.casefold() in {name.casefold() for name in known}:
            # A group is named by its directory or its realm: under one name the groups of both would be the same.
            yield Fault(path_of((*here, "name")), f"{realm.name!r} is a directory's name: a realm needs one of its own")
        for word in (realm.name, *realm.domains):
            owner = domains.setdefault(word.casefold(), realm.name)
            if owner != realm.name:
                yield Fault(path_of((*here, "domains")), f"{word!r} already leads to the realm {owner!r}")


def _references(document: "Document") -> Iterator[Fault]:
    policies = {policy.name for policy in document.policies}
    applications = {each.name for each in document.applications if not isinstance(each, SamlApplicationSettings)}
    for number, nas in enumerate(document.nas):
        yield from _known(nas.application, applications, "application", ("nas", number, "application"))
    portals = [number for number, each in enumerate(document.applications) if each.kind == "portal"]
    for number in portals[1:]:
        yield Fault(path_of(("applications", number, "kind")), "there is one application of kind portal already")
    for number, application in enumerate(document.applications):
        if application.policy is not None:
            yield from _known(application.policy, policies, "policy", ("applications", number, "policy"))


def _all_known(names: Iterable[str], known: set[str], what: str, at: tuple[str | int, ...]) -> Iterator[Fault]:
    for number, name in enumerate(names):
        yield from _known(name, known, what, (*at, number))


def _known(name: str, known: set[str], what: str, at: tuple[str | int, ...]) -> Iterator[Fault]:
    if name not in known:
        there = ", ".join(sorted(known)[:MAX_NAMES_TOLD]) or "there is none yet"
        yield Fault(path_of(at), f"no {what} has the name {name!r}: {nearest(name, known) or there}")


# --- NAS -----------------------------------------------------------------------------------------------------------------


def _nas(document: "Document") -> Iterator[Fault]:
    vendors = {profile.name for profile in VENDORS}
    taken: dict[tuple[object, str | None], str] = {}
    for number, nas in enumerate(document.nas):
        here = ("nas", number)
        yield from _known(nas.vendor, vendors, "vendor", (*here, "vendor"))
        if not nas.addresses:
            yield Fault(path_of((*here, "addresses")), "must name at least one address or network")
        for place, text in enumerate(nas.addresses):
            at = (*here, "addresses", place)
            network = _network(text)
            if isinstance(network, str):
                yield Fault(path_of(at), network)
                continue
            if nas.message_authenticator == "auto" and network.num_addresses > 1:
                yield Fault(path_of(at), "auto learns from one device: with a network choose require or accept_missing")
            owner = taken.get((network, nas.identifier or None))
            if owner == nas.name:
                yield Fault(path_of(at), f"{text} stands twice")
            elif owner is not None:
                yield Fault(path_of(at), f"{text} already belongs to {owner!r}: give one of them an `identifier`")
            taken[network, nas.identifier or None] = nas.name
        if nas.mode in ("password_then_code", "code_then_password") and len(nas.separator) > 8:
            yield Fault(path_of((*here, "separator")), "must have at most 8 characters")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | str:
    """The network, or what is wrong with the text."""
    try:
        network = ipaddress.ip_network(text, strict=False)
        interface = ipaddress.ip_interface(text)
    except ValueError:
        return f"not an address or network: {text[:64]!r}; write 192.0.2.1, 10.0.0.0/24 or 2001:db8::/64"
    if interface.ip != network.network_address:
        return f"{text} has bits beyond its length: write {network} for the network, or {interface.ip} for the one address"
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return f"an IPv4 address inside IPv6: write {ipaddress.IPv4Network((mapped, network.prefixlen - 96))}"
        if network.network_address.scope_id is not None:
            return "an address with a zone (%) is not known here: write it without"
    return network


# --- gateways, policies, released attributes: what their rooms say -------------------------------------------------------


def _directories(document: "Document") -> Iterator[Fault]:
    for number, directory in enumerate(document.directories):
        try:
            check_directory(directory)
        except SettingsError as error:
            yield _as_told(error, "directories", directory.name, number)
    yield from _tickets(document)


def _tickets(document: "Document") -> Iterator[Fault]:
    """Who takes Kerberos tickets, and from where."""
    known = {network.name for network in document.networks}
    taking = [
        (number, each)
        for number, each in enumerate(document.directories)
        if isinstance(each, ActiveDirectorySettings) and each.kerberos is not None
    ]
    for place, (number, each) in enumerate(taking):
        here = ("directories", number, "kerberos")
        if place >= MAX_TICKET_DIRECTORIES:
            yield Fault(path_of(here), f"at most {MAX_TICKET_DIRECTORIES} directories can take tickets: each is tried in turn")
        if each.kerberos is not None:
            yield from _all_known(each.kerberos.networks, known, "network", (*here, "networks"))


def _questions(document: "Document") -> Iterator[Fault]:
    for path, problem in kba_faults(document.kba, document.questions, LANGUAGES):
        yield Fault(path, problem)


def _gateways(document: "Document") -> Iterator[Fault]:
    for number, gateway in enumerate(document.gateways):
        yield from _range(gateway.order, GATEWAY_ORDER, ("gateways", number, "order"))
        try:
            check_settings(gateway)
        except SettingsError as error:
            yield _as_told(error, "gateways", gateway.name, number)


def _as_told(error: SettingsError, section: str, name: str, number: int) -> Fault:
    """What a room says of one thing, which it knows by its name; an operator looks for its place in the file."""
    here = path_of((section, number))
    rest = error.message.removeprefix(f"{section}.{name}.")
    setting, colon, problem = rest.partition(": ")
    if rest == error.message or not colon:
        return Fault(here, error.message)
    return Fault(f"{here}.{setting}", problem)


def _networks(document: "Document") -> Iterator[Fault]:
    for number, network in enumerate(document.networks):
        here = ("networks", number)
        if not isinstance(_network(network.name), str):
            yield Fault(path_of((*here, "name")), "reads as an address: a condition could not tell the name from it")
        if not network.cidr:
            yield Fault(path_of((*here, "cidr")), "must hold at least one address or network")
        for place, text in enumerate(network.cidr):
            found = _network(text)
            if isinstance(found, str):
                yield Fault(path_of((*here, "cidr", place)), found)


def _risk(document: "Document") -> Iterator[Fault]:
    lists = ("risk", "reputation")
    yield from _unique_names(document.risk.reputation, lists)
    for number, each in enumerate(document.risk.reputation):
        for place, text in enumerate(each.cidr):
            found = _network(text)
            if isinstance(found, str):
                yield Fault(path_of((*lists, number, "cidr", place)), found)
    for below, problem in check_risk(document.risk):
        yield Fault(path_of(("risk", *below)), problem)


def _policies(document: "Document") -> Iterator[Fault]:
    owners = _group_owners(document)
    names = {
        "application": {each.name.lower() for each in document.applications},
        "nas": {each.name.lower() for each in document.nas},
        "realm": {each.name.lower() for each in document.realms},
        "directory": {each.name.lower() for each in document.directories},
        "enrolled": set(KINDS),
        "enrolled_not": set(KINDS),
    }
    # Those that are wrong are told where they stand.
    networks = tuple(
        each for each in document.networks if each.cidr and not any(isinstance(_network(text), str) for text in each.cidr)
    )
    for number, policy in enumerate(document.policies):
        at = ("policies", number)
        if not policy.rules:
            yield Fault(path_of((*at, "rules")), "must hold at least one rule: without one every login is denied")
        for part in _parts(policy, at):
            yield from _compiles(part, networks)
            yield from _asked_of(part.when, owners, names, (*part.at, "when"))
        for place, rule in enumerate(policy.rules):
            for language in rule.then.text:
                yield from _known(language, set(LANGUAGES), "language", (*at, "rules", place, "then", "text", language))
        for place, test in enumerate(policy.tests):
            try:
                check_test(test)
            except SettingsError as error:
                yield Fault(path_of((*at, "tests", place)), error.message)


@dataclass(frozen=True, slots=True)
class _Part:
    """Something in a policy that has a place, as a policy of its own. `named`: what the room calls it in its messages."""

    at: tuple[str | int, ...]
    named: str
    policy: PolicySettings
    when: object = field(default_factory=dict)


def _parts(policy: PolicySettings, at: tuple[str | int, ...]) -> Iterator[_Part]:
    alone = PolicySettings(name=policy.name, rules=())
    changed: dict[str, Any]
    for section in ("rules", "floors", "actions", "lifetimes"):
        for place, each in enumerate(getattr(policy, section)):
            changed = {section: (each,)}
            yield _Part((*at, section, place), f"{section}.{each.name}", replace(alone, **changed), each.when)
    bare = policy.self_service
    for name, goal in _goals(policy):
        changed = {name: replace(goal, rules=())}
        bare = replace(bare, **changed)
        for place, rule in enumerate(goal.rules):
            changed = {name: SelfServiceGoalSettings(rules=(rule,))}
            one = SelfServiceSettings(**changed)
            here = (*at, "self_service", name, "rules", place)
            yield _Part(here, f"self_service.{name}.rules.{rule.name}", replace(alone, self_service=one), rule.when)
    yield _Part((*at, "self_service"), "self_service", replace(alone, self_service=bare))


def _goals(policy: PolicySettings) -> list[tuple[str, SelfServiceGoalSettings]]:
    return [(name, goal) for name in SELF_SERVICE if (goal := getattr(policy.self_service, name)) is not None]


def _asked_of(when: object, owners: frozenset[str], names: Mapping[str, set[str]], at: tuple[str | int, ...]) -> Iterator[Fault]:
    """Names in a condition that nothing has: it would never hold, or under `not` always."""
    yield from _groups(when, owners, at)
    for place, name, value in _entries(when, at):
        wanted = (value,) if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
        for each in wanted if name in names else ():
            yield from _known(str(each).lower(), names[name], _CALLED.get(name, name), (*place, name))


def _entries(when: object, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str, object]]:
    """Every entry of a condition with its place, wherever it stands."""
    if isinstance(when, list | tuple):
        for number, inner in enumerate(when):
            yield from _entries(inner, (*at, number))
    for name, value in when.items() if isinstance(when, Mapping) else ():
        yield at, str(name), value
        if name in ("any", "all", "not"):
            yield from _entries(value, (*at, name))


def _compiles(part: _Part, networks: Iterable[NetworkSettings]) -> Iterator[Fault]:
    """What the room says of a part, which it knows by its names; an operator looks for its place in the file."""
    try:
        compile_policy(part.policy, KINDS, STRONG_KINDS, networks)
    except SettingsError as error:
        place, colon, problem = error.message.removeprefix(f"policies.{part.policy.name}.{part.named}").partition(": ")
        if place == error.message.partition(": ")[0] or not colon:
            yield Fault(path_of(part.at), error.message)
        else:
            yield Fault(path_of(part.at) + place, problem)


def _releases(document: "Document") -> Iterator[Fault]:
    owners = _group_owners(document)
    for number, application in enumerate(document.applications):
        for place, rule in enumerate(application.release):
            at = ("applications", number, "release", place)
            yield from _groups(rule.when, owners, (*at, "when"))
            names = [fault for name in rule.add for fault in _attribute(name, (*at, "add"))]
            yield from names or _compiles_release(rule, at)


def _unread(document: "Document", party: SamlApplicationSettings, at: tuple[str | int, ...]) -> Iterator[Fault]:
    """Claims from an attribute that no directory reads, where every directory says which it reads."""
    read = set(DN_NAMES)
    for directory in document.directories:
        more = getattr(getattr(directory, "attributes", None), "more", None)
        if more is None:
            return
        read.update(each.lower() for each in more)
    for name, attribute in relying_parties.attributes_of(party):
        if attribute.lower() not in read:
            yield Fault(path_of((*at, name)), f"no directory reads {attribute}: list it under attributes.more of a directory")


def _saml(document: "Document") -> Iterator[tuple[int, SamlApplicationSettings]]:
    return ((number, each) for number, each in enumerate(document.applications) if isinstance(each, SamlApplicationSettings))


def _relying_parties(document: "Document") -> Iterator[Fault]:
    owners = _group_owners(document)
    taken: dict[str, int] = {}
    for number, party in _saml(document):
        at = ("applications", number)
        found = list(relying_parties.faults(party))
        yield from (Fault(path_of((*at, *below)), problem) for below, problem in found)
        for below, owner in relying_parties.owners_of(party):
            yield from _known(owner.lower(), set(owners), "directory or realm", (*at, *below))
        entity_id = "" if found else relying_parties.entity_id_of(party)
        first = taken.setdefault(entity_id, number) if entity_id else number
        if first != number:
            told = f"the entity id {entity_id!r} is also that of {document.applications[first].name},"
            yield Fault(path_of((*at, "entity_id")), told, path_of(("applications", first)))


def _compiles_release(rule: ReleaseRuleSettings, at: tuple[str | int, ...]) -> Iterator[Fault]:
    """What the door itself would refuse: a version that it cannot run must not come into force."""
    try:
        compile_release((rule,), BUILT_IN)
    except SettingsError as error:
        yield Fault(path_of(at), error.message.removeprefix("release: "))


def _zones(document: "Document") -> Iterator[Fault]:
    for number, realm in enumerate(document.realms):
        if realm.time_zone and not is_zone(realm.time_zone):
            told = "is no time zone that is known here; write UTC or a name such as Europe/Istanbul"
            yield Fault(path_of(("realms", number, "time_zone")), told)


def _brands(document: "Document") -> Iterator[Fault]:
    realms = ((("realms", number, "brand"), realm.brand) for number, realm in enumerate(document.realms))
    for at, brand in ((("brand",), document.brand), *realms):
        for below, problem in brand_faults(brand) if brand is not None else ():
            yield Fault(path_of((*at, *below)), problem)


def _sending(sending: SendingSettings) -> Iterator[Fault]:
    """Prefixes and prices: one that is mistyped would close a country, or cost nothing."""
    told = "must be + and the beginning of a number, such as +90"
    for number, prefix in enumerate(sending.sms_prefixes):
        if not _PREFIX.fullmatch(prefix):
            yield Fault(path_of(("sending", "sms_prefixes", number)), told)
    if len(sending.prices) > MAX_PREFIXES:
        yield Fault("sending.prices", f"holds {len(sending.prices)} entries, more than {MAX_PREFIXES}")
    for prefix, price in sending.prices.items():
        if prefix not in ("sms", "email") and not _PREFIX.fullmatch(prefix):
            yield Fault(path_of(("sending", "prices", prefix)), f"{told}, or sms, or email")
        if not 0 <= price <= MAX_PRICE:
            yield Fault(path_of(("sending", "prices", prefix)), f"must be between 0 and {MAX_PRICE:g}")
    if len(sending.currency) > MAX_CURRENCY_CHARS or not sending.currency.isprintable():
        yield Fault("sending.currency", f"must be at most {MAX_CURRENCY_CHARS} characters")


def _attribute(name: str, at: tuple[str | int, ...]) -> Iterator[Fault]:
    try:
        if BUILT_IN.find(name).protected:
            yield Fault(path_of((*at, name)), "is set by the server itself")
    except SettingsError as error:
        yield Fault(path_of(at), error.message)


def _group_owners(document: "Document") -> frozenset[str]:
    return frozenset([each.name.lower() for each in document.directories] + [each.name.lower() for each in document.realms])


def _groups(when: object, owners: frozenset[str], at: tuple[str | int, ...]) -> Iterator[Fault]:
    """Groups and units whose directory or realm does not exist: such a condition would never hold."""
    if isinstance(when, list | tuple):
        for number, inner in enumerate(when):
            yield from _groups(inner, owners, (*at, number))
    if not isinstance(when, Mapping):
        return
    for key, inner in when.items():
        if key in ("any", "all", "not"):
            yield from _groups(inner, owners, (*at, key))
    for name in ("group", "ou"):
        wanted = when.get(name, ())
        for group in (wanted,) if isinstance(wanted, str) else wanted if isinstance(wanted, list | tuple) else ():
            owner, colon, _ = str(group).partition(":")
            if colon and owner.lower() not in owners:
                near = nearest(owner, owners)
                told = f"{group!r}: no directory or realm has the name {owner!r}" + (f": {near}" if near else "")
                yield Fault(path_of((*at, name)), told)
