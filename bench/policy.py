"""What one decision of policy costs with 200 rules: through the index, and by asking rule after rule, in one run.

    python -m bench.policy [--rules 200] [--entries 20] [--rounds 7] [--decisions 4000] [--json]

The rules are of every kind that a firewall's policy has: group, application, NAS, network, hours, directory attribute, pattern,
`any` and `not`, with 10 floors. A second policy has as many entries of `actions` and of `lifetimes` besides as `--entries` says, of
the same kinds; the last of each matches everybody, so that every plan has demands and lifetimes. The people are in 30 groups, each
with a DN and a SID, and their rules stand anywhere in the list; a tenth of them no rule matches. Facts are made before: what is
measured is `decide`. Rounds alternate; the ratio is the median of the rounds, each taken within its round. Exit code 1 when the bar
(15 us) is not met by both.
"""

import argparse
import itertools
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.report import Bar, machine
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.policy.explain import decide_by_walking
from wardgate.policy.facts import Facts
from wardgate.policy.groups import qualified_groups
from wardgate.policy.plan import Decision
from wardgate.policy.rules import Policy, compile_policy, decide
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

MUST_US = 15.0
AIM_US = 8.0
PEOPLE = 200
GROUPS_OF_ONE = 30
FLOORS = 10
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
APPLICATIONS = ("vpn", "wifi", "jump", "console")
NETWORKS = tuple(NetworkSettings(name=f"site-{n}", cidr=(f"10.{n}.0.0/16", f"192.0.2.{n * 8}/29")) for n in range(30))
HOURS = {"days": ["mon-fri"], "from": "08:00", "to": "18:00", "zone": "Europe/Istanbul"}
NIGHT = {"days": ["mon-fri"], "from": "22:00", "to": "06:00", "zone": "Europe/Istanbul"}

TO_DO = (
    ActionEntrySettings(enrol="hotp", level="forced"),
    ActionEntrySettings(enrol="totp"),
    ActionEntrySettings(confirm="contact"),
)
LASTING = LifetimesThenSettings(session="4h", idle="15m")


def when(number: int) -> dict[str, Any]:
    """The condition of a rule: ten forms, one after the other."""
    group, application = f"ad:team-{number}", APPLICATIONS[number % len(APPLICATIONS)]
    forms: tuple[dict[str, Any], ...] = (
        {"application": application, "group": [group]},
        {"application": application, "group": [group], "network": [f"site-{number % len(NETWORKS)}"]},
        {"group": [group, f"ad:CN=team-{number},OU=groups,DC=acme,DC=test"], "at": HOURS},
        {"nas": [f"fw-{number}"], "group": [group]},
        {"application": application, "attribute": {"department": [f"dept-{number}"]}},
        {"group": [group], "not": {"network": [f"site-{number % len(NETWORKS)}"]}},
        {"any": [{"group": [group]}, {"user": [f"user-{number}"]}], "application": application},
        {"group": [group], "at": NIGHT, "enrolled": ["totp"]},
        {"application": application, "attribute": {"title": {"matches": f"chief {number}.*"}}, "door": "radius"},
        {"group": [group], "ou": [f"ad:ou=branch-{number},dc=acme,dc=test"]},
    )
    return forms[number % len(forms)]


def policy(rules: int, entries: int = 0) -> Policy:
    """A policy with so many rules, and so many entries of `actions` and `lifetimes`."""
    then = ThenSettings(steps=(("password",), ("totp", "sms", "email")))
    floors = tuple(
        FloorSettings(name=f"f{n}", when={"group": [f"ad:admins-{n}"]}, then=FloorThenSettings(strong_factors=2))
        for n in range(FLOORS)
    )
    settings = PolicySettings(
        name="bench",
        rules=tuple(RuleSettings(name=f"r{n}", when=when(n), then=then) for n in range(rules)),
        floors=floors,
        actions=tuple(ActionSettings(name=f"a{n}", when=_or_all(n, entries), then=TO_DO) for n in range(entries)),
        lifetimes=tuple(LifetimesSettings(name=f"l{n}", when=_or_all(n, entries), then=LASTING) for n in range(entries)),
    )
    return compile_policy(settings, KINDS, STRONG_KINDS, NETWORKS)


def _or_all(number: int, entries: int) -> dict[str, Any]:
    return when(number) if number < entries - 1 else {}


def people(rules: int, chance: random.Random) -> list[Facts]:
    """Logins of people whose rules stand anywhere in the list."""
    return [_person(number, chance.randrange(rules), number % 10 == 0, chance) for number in range(PEOPLE)]


def _person(number: int, rule: int, outside: bool, chance: random.Random) -> Facts:
    groups = [f"other-{chance.randrange(5_000)}" for _ in range(GROUPS_OF_ONE - 1)]
    groups += [f"outside-{number}"] if outside else [f"team-{rule}"]
    aliases = {each: (f"CN={each},OU=groups,DC=acme,DC=test", f"S-1-5-21-1-2-3-{chance.randrange(10**6)}") for each in groups}
    return Facts(
        goal="login",
        application=APPLICATIONS[rule % len(APPLICATIONS)],
        door="radius",
        realm="acme",
        directory="ad",
        user=f"person-{number}",
        at=MONDAY + timedelta(minutes=chance.randrange(7 * 1440)),
        nas=f"fw-{rule}",
        nas_identifier="fw",
        client=f"10.{rule % len(NETWORKS)}.1.{number % 250}",
        groups=qualified_groups(("ad", "acme"), groups, aliases),
        attributes={
            "department": ("outside" if outside else f"dept-{rule}",),
            "title": ("clerk" if outside else f"chief {rule}",),
            "distinguishedname": (f"CN=person-{number},OU=branch-{rule},DC=acme,DC=test",),
        },
        enrolled=frozenset({"totp", "sms"}),
    )


@dataclass(frozen=True, slots=True)
class Told:
    """Microseconds of CPU time per decision, round by round."""

    indexed: list[float]
    walking: list[float]

    @property
    def ratio(self) -> float:
        """How many times the walk costs, in the middle of the rounds."""
        return statistics.median(slow / quick for quick, slow in zip(self.indexed, self.walking, strict=True))


def measure(of: Policy, who: Sequence[Facts], rounds: int, decisions: int) -> Told:
    """Alternate. Both must decide the same."""
    if any(decide(of, each) != decide_by_walking(of, each) for each in who):
        raise SystemExit("the index and the walk decide differently")
    told = Told([], [])
    for _ in range(rounds):
        told.indexed.append(_cost(decide, of, who, decisions))
        told.walking.append(_cost(decide_by_walking, of, who, max(1, decisions // 8)))
    return told


def _cost(how: Callable[[Policy, Facts], Decision], of: Policy, who: Sequence[Facts], decisions: int) -> float:
    many = list(itertools.islice(itertools.cycle(who), decisions))
    began = time.process_time()
    for each in many:
        how(of, each)
    return (time.process_time() - began) / decisions * 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the figures, and judge them."""
    given = _parser().parse_args(arguments)
    chance = random.Random(5)
    who = people(given.rules, chance)
    told = {entries: measure(policy(given.rules, entries), who, given.rounds, given.decisions) for entries in (0, given.entries)}
    bars = {entries: _bar(given.rules, entries, each) for entries, each in told.items()}
    if given.json:
        figures = [
            {"entries": entries, "us": each.indexed, "walking_us": each.walking, "ratio": each.ratio}
            for entries, each in told.items()
        ]
        print(json.dumps({"machine": machine(), "rules": given.rules, **figures[0], "with_entries": figures[-1]}))
    else:
        for entries, each in told.items():
            work, value, must, aim, verdict, _ = bars[entries].cells()
            print(f"{work}: {value}, must {must}, aim {aim}: {verdict}")
            print(f"rule after rule: {statistics.median(each.walking):.1f} us, {each.ratio:.1f} times as much")
    return 1 if "NOT MET" in [bar.verdict for bar in bars.values()] else 0


def _bar(rules: int, entries: int, told: Told) -> Bar:
    more = f", {entries} actions, {entries} lifetimes" if entries else ""
    return Bar(f"a decision, {rules} rules{more}", statistics.median(told.indexed), MUST_US, AIM_US, " us", least=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.policy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=200, help="rules of the policy (default 200)")
    parser.add_argument("--entries", type=int, default=20, help="entries of actions, and of lifetimes (default 20)")
    parser.add_argument("--rounds", type=int, default=7, help="slices of each kind, alternating (default 7)")
    parser.add_argument("--decisions", type=int, default=4_000, help="decisions in a slice (default 4000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
