"""Two decisions side by side: what lies between them for one person."""

from dataclasses import replace

import pytest

from wardgate.admin.impact.effects import Decided, Effect, effect_of
from wardgate.policy.needs import NEEDS, Need
from wardgate.policy.plan import Decision, Demand, FailModes, Lifetimes, NoEntry, Plan

PASSWORD, TOTP, SMS = ("password",), ("totp",), ("sms",)
BOTH = Plan((PASSWORD, ("totp", "sms")), "r")
HAS = frozenset({"totp", "sms"})
REFUSED = NoEntry("no_rule")
FORCED = Demand("enrol:totp", "forced", ("totp",), deferrals=3)


def between(before: Decision, after: Decision, has: frozenset[str] = HAS) -> Effect | None:
    return effect_of(Decided(before, has), Decided(after, has))


@pytest.mark.parametrize(
    ("stricter", "laxer"),
    [
        (Plan((PASSWORD, TOTP), "r"), BOTH),
        (BOTH, Plan((PASSWORD,), "r")),
        (Plan((PASSWORD, TOTP, SMS), "r"), Plan((PASSWORD, TOTP), "r")),
        (Plan((PASSWORD, TOTP, SMS), "r"), BOTH),
        (replace(BOTH, strong_factors=1), BOTH),
        (replace(BOTH, demands=(FORCED,)), BOTH),
        (replace(BOTH, demands=(FORCED,)), replace(BOTH, demands=(replace(FORCED, level="optional"),))),
        (replace(BOTH, demands=(replace(FORCED, deferrals=1),)), replace(BOTH, demands=(FORCED,))),
        (
            replace(BOTH, demands=(Demand("confirm:contact", "optional", every_s=86_400),)),
            replace(BOTH, demands=(Demand("confirm:contact", "optional"),)),
        ),
        (BOTH, replace(BOTH, fail=FailModes(gateway_down="skip"))),
        (replace(BOTH, fail=FailModes(directory_down="closed")), BOTH),
        (replace(BOTH, lifetimes=Lifetimes(trusted_device_s=0)), BOTH),
    ],
)
def test_what_asks_for_more_is_stronger_and_back_again_weaker(stricter: Plan, laxer: Plan) -> None:
    assert between(laxer, stricter) is Effect.STRONGER
    assert between(stricter, laxer) is Effect.WEAKER


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Plan((PASSWORD, TOTP), "r"), Plan((PASSWORD, SMS), "r")),
        (BOTH, Plan((PASSWORD, ("sms", "totp")), "r")),
        (BOTH, replace(BOTH, lifetimes=Lifetimes(session_s=60))),
        (BOTH, replace(BOTH, text=(("en", "hello"),))),
        # Less of one thing and more of another is neither.
        (BOTH, replace(BOTH, steps=(PASSWORD,), demands=(FORCED,))),
        (replace(BOTH, demands=(FORCED,)), replace(BOTH, demands=(replace(FORCED, action="enrol:hotp"),))),
    ],
)
def test_what_is_neither_more_nor_less_is_a_change(before: Plan, after: Plan) -> None:
    assert between(before, after) is Effect.CHANGED
    assert between(after, before) is Effect.CHANGED


def test_what_only_goes_by_another_name_is_no_effect() -> None:
    other = replace(BOTH, rule="x", floors=("f",), actions="a", lifetimes=Lifetimes(name="n"))

    assert between(BOTH, other) is None
    assert between(REFUSED, NoEntry("rule_denies", "r")) is None


def test_a_user_who_lacks_the_factor_is_locked_out_and_not_merely_asked_for_more() -> None:
    assert between(BOTH, Plan((PASSWORD, TOTP), "r"), frozenset({"sms"})) is Effect.LOCKED_OUT
    assert between(Plan((PASSWORD, TOTP), "r"), BOTH, frozenset({"sms"})) is Effect.LET_IN
    assert between(BOTH, Plan((PASSWORD, ()), "r")) is Effect.LOCKED_OUT


def test_an_enrolment_that_may_not_be_put_off_locks_out_whoever_has_not_enrolled() -> None:
    """The plan holds only what is not done."""
    now = replace(BOTH, demands=(replace(FORCED, deferrals=0),))

    assert between(BOTH, now) is Effect.LOCKED_OUT
    assert between(now, BOTH) is Effect.LET_IN
    assert between(BOTH, replace(BOTH, demands=(Demand("confirm:contact", "forced"),))) is Effect.STRONGER


def test_one_factor_does_not_prove_two_steps() -> None:
    two = Plan((PASSWORD, ("totp", "hotp"), ("totp", "hotp")), "r")

    assert between(Plan((PASSWORD, TOTP), "r"), two, frozenset({"totp"})) is Effect.LOCKED_OUT
    assert between(Plan((PASSWORD, ("totp", "hotp")), "r"), two, frozenset({"totp", "hotp"})) is Effect.STRONGER


def test_who_comes_in_neither_way_is_not_concerned() -> None:
    assert between(Plan((PASSWORD, TOTP), "r"), Plan((PASSWORD, SMS), "r"), frozenset()) is None
    assert between(REFUSED, Plan((PASSWORD, SMS), "r"), frozenset()) is None
    assert between(Plan((PASSWORD, SMS), "r"), REFUSED, frozenset()) is None


def test_refused_where_he_came_in_is_denied_and_back_again_let_in() -> None:
    assert between(BOTH, REFUSED) is Effect.DENIED
    assert between(REFUSED, BOTH) is Effect.LET_IN


def needed(**given: object) -> Decided:
    return Decided(BOTH, frozenset(), replace(NEEDS["reset"], **given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "more", [{"proofs": 3}, {"weight": 4}, {"strongest": 2}, {"never": frozenset({"sms"})}, {"proofs": 3, "weight": 5}]
)
def test_a_self_service_goal_is_judged_by_its_needs(more: dict[str, object]) -> None:
    usual = needed()

    assert effect_of(usual, needed(**more)) is Effect.STRONGER
    assert effect_of(needed(**more), usual) is Effect.WEAKER
    assert effect_of(usual, needed(name="of a rule")) is None
    assert effect_of(needed(proofs=3), needed(weight=5)) is Effect.CHANGED
    assert effect_of(usual, needed(alone=frozenset({"kba"}))) is Effect.WEAKER
    assert isinstance(usual.need, Need)
