"""Policies for flow tests, by the parts of a plan that they are about."""

from collections.abc import Mapping, Sequence

from tests.flows.world import World
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.policy.rules import compile_policy
from wardgate.policy.settings import (
    ActionEntrySettings,
    ActionSettings,
    FailSettings,
    FloorSettings,
    LifetimesSettings,
    LifetimesThenSettings,
    PolicySettings,
    RuleSettings,
    ThenSettings,
)

USUAL = (("password",), ("totp", "hotp", "sms", "email", "recovery_code"))


def use_plan(
    world: World,
    *steps: Sequence[str],
    text: Mapping[str, str] | None = None,
    deny: bool = False,
    demands: Sequence[ActionEntrySettings] = (),
    lifetimes: LifetimesThenSettings | None = None,
    fail: FailSettings | None = None,
    floors: Sequence[FloorSettings] = (),
) -> None:
    """Put a policy of one rule in force, whose plan says this. Without steps: the password and any second factor."""
    then = ThenSettings(steps=() if deny else tuple(tuple(step) for step in steps or USUAL), deny=deny, text=text or {})
    settings = PolicySettings(
        name="test",
        rules=(RuleSettings(name="all", then=then),),
        floors=tuple(floors),
        actions=(ActionSettings(name="all", then=tuple(demands)),) if demands else (),
        lifetimes=(LifetimesSettings(name="all", then=lifetimes),) if lifetimes is not None else (),
        fail=fail or FailSettings(),
    )
    world.policy = compile_policy(settings, KINDS, STRONG_KINDS)
