"""Random policies and facts for property tests: few values, so that they meet."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.policy.facts import Facts
from wardgate.policy.rules import Policy, compile_policy
from wardgate.policy.settings import (
    ActionEntrySettings,
    ActionSettings,
    FloorSettings,
    FloorThenSettings,
    LifetimesSettings,
    LifetimesThenSettings,
    NetworkSettings,
    PolicySettings,
    RuleSettings,
    ThenSettings,
)

MONDAY = datetime(2026, 3, 23, tzinfo=UTC)
NETWORKS = (
    NetworkSettings(name="Office", cidr=("192.0.2.0/24", "2001:db8::/32")),
    NetworkSettings(name="lab", cidr=("10.0.0.0/8",)),
)
SECOND = [kind for kind in KINDS if kind != "password"]

_texts = {
    "user": ["ada", "Bob", "eve"],
    "application": ["vpn", "wifi"],
    "application_kind": ["radius", "saml"],
    "realm": ["acme", "lab"],
    "directory": ["ad", "staff"],
    "door": ["radius", "portal"],
    "goal": ["login", "reset"],
    "nas": ["hq", "branch"],
    "nas_identifier": ["portal", ""],
    "client": ["192.0.2.1", "10.1.2.3", "2001:db8::1", "00-11-22"],
    "group": ["ad:x", "ad:y", "acme:x", "staff:x"],
    "ou": ["ad:ou=sales,dc=t", "acme:dc=t", "ad:ou=lab,dc=t"],
    "enrolled": ["totp", "sms"],
    "enrolled_not": ["totp", "sms"],
    "country": ["tr", "de"],
    "risk": ["low", "high"],
}


def _one_of(values: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from([value for value in values if value]), min_size=1, max_size=2)


def _entry(name: str, values: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return _one_of(values).map(lambda wanted: {name: wanted})


_clock = st.sampled_from(["00:00", "03:30", "08:00", "18:00", "23:59"])
windows = st.builds(
    lambda days, begin, end, zone: {"days": days, "from": begin, "to": end if end != begin else "24:00", "zone": zone},
    st.lists(st.sampled_from(["mon", "mon-fri", "sat-mon", "sun"]), min_size=1, max_size=2),
    _clock,
    _clock,
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
)
attributes = st.one_of(
    _one_of(["sales", "support"]),
    st.sampled_from([{"equals": "sales"}, {"in": ["sales", "lab"]}, {"matches": "s.*"}, {"matches": "[a-l]+|support"}]),
)
leaves = st.one_of(
    *[_entry(name, values) for name, values in _texts.items()],
    _one_of(["office", "LAB", "10.1.0.0/16", "0.0.0.0/0", "2001:db8::/48"]).map(lambda wanted: {"network": wanted}),
    st.one_of(windows, st.lists(windows, min_size=1, max_size=2)).map(lambda wanted: {"at": wanted}),
    st.dictionaries(st.sampled_from(["Department", "office"]), attributes, min_size=1).map(lambda wanted: {"attribute": wanted}),
    st.dictionaries(st.sampled_from(["os", "hostname"]), attributes, min_size=1).map(lambda wanted: {"device": wanted}),
    st.booleans().map(lambda known: {"known_device": known}),
)


def _several(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        inner.map(lambda when: {"not": when}),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"any": each}),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"all": each}),
        st.tuples(inner, inner).map(lambda two: {**two[0], **two[1]}),
    )


conditions = st.one_of(st.just({}), st.recursive(leaves, _several, max_leaves=6))
steps = st.one_of(
    st.just((("password",),)),
    st.lists(st.lists(st.sampled_from(SECOND), min_size=1, max_size=3, unique=True).map(tuple), min_size=1, max_size=2).map(
        lambda second: (("password",), *second)
    ),
)
thens = st.one_of(st.just(ThenSettings(deny=True)), steps.map(lambda each: ThenSettings(steps=each)))
floor_thens = st.builds(
    lambda strong, never, trusts: FloorThenSettings(strong_factors=strong, never=tuple(never), trusted_device=trusts),
    st.integers(0, 2),
    st.lists(st.sampled_from(SECOND), max_size=2, unique=True),
    st.booleans(),
)
_levels = st.sampled_from(["off", "optional", "forced"])
enrolments = st.builds(
    lambda kinds, level: ActionEntrySettings(enrol=tuple(kinds), level=level),
    st.lists(st.sampled_from(SECOND), min_size=1, max_size=2, unique=True),
    _levels,
)
others = st.sampled_from([{"confirm": "contact"}, {"change": "password"}])
action_thens = st.lists(
    st.one_of(enrolments, st.builds(lambda what, level: ActionEntrySettings(level=level, **what), others, _levels)),
    max_size=3,
    unique_by=lambda each: (each.enrol, each.confirm, each.change),
).map(tuple)
lifetime_thens = st.builds(
    LifetimesThenSettings, session=st.sampled_from([None, "4h"]), trusted_device=st.sampled_from([None, 0, "1d"])
)


@st.composite
def settings(draw: st.DrawFn, most: int = 8) -> PolicySettings:
    """The settings of a policy."""
    rules = draw(st.lists(st.tuples(conditions, thens), min_size=1, max_size=most))
    floors = draw(st.lists(st.tuples(conditions, floor_thens), max_size=3))
    actions = draw(st.lists(st.tuples(conditions, action_thens), max_size=3))
    lifetimes = draw(st.lists(st.tuples(conditions, lifetime_thens), max_size=3))
    return PolicySettings(
        name="random",
        rules=tuple(RuleSettings(name=f"r{number}", when=when, then=then) for number, (when, then) in enumerate(rules)),
        floors=tuple(FloorSettings(name=f"f{number}", when=when, then=then) for number, (when, then) in enumerate(floors)),
        actions=tuple(ActionSettings(name=f"a{number}", when=when, then=then) for number, (when, then) in enumerate(actions)),
        lifetimes=tuple(
            LifetimesSettings(name=f"l{number}", when=when, then=then) for number, (when, then) in enumerate(lifetimes)
        ),
    )


def compiled(of: PolicySettings) -> Policy:
    """The policy of these settings."""
    return compile_policy(of, KINDS, STRONG_KINDS, NETWORKS)


def _any(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from([*_texts[name], "Other"])


facts = st.builds(
    lambda minutes, client, **given: Facts(at=MONDAY + timedelta(minutes=minutes), client=client, **given),
    # A fortnight that holds the night in which clocks in Berlin go forward.
    minutes=st.integers(0, 14 * 1440),
    client=st.one_of(st.none(), _any("client")),
    user=_any("user"),
    application=_any("application"),
    application_kind=_any("application_kind"),
    realm=_any("realm"),
    directory=_any("directory"),
    door=_any("door"),
    goal=_any("goal"),
    nas=_any("nas"),
    nas_identifier=_any("nas_identifier"),
    groups=st.frozensets(_any("group").map(str.lower)),
    enrolled=st.frozensets(_any("enrolled")),
    attributes=st.fixed_dictionaries(
        {},
        optional={
            "department": st.lists(st.sampled_from(["Sales", "Support", "x"]), max_size=2).map(tuple),
            "office": st.lists(st.sampled_from(["sales", "Lab"]), max_size=2).map(tuple),
            "distinguishedname": st.sampled_from([("CN=Ada,OU=Sales,DC=t",), (r"CN=a\,ou=lab,DC=t",), ()]),
        },
    ),
    country=st.sampled_from(["tr", "de", ""]),
    known_device=st.booleans(),
    risk=st.sampled_from(["low", "high", ""]),
    device=st.dictionaries(st.sampled_from(["os", "hostname"]), st.sampled_from(["Sales", "support", ""])),
    proved_elsewhere=st.sampled_from([frozenset(), frozenset({"password"})]),
)
