"""Rules and floors: the first that matches decides, floors only make stricter, and nothing is open by default."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flows.world import floor, rule, the_default_policy
from tests.unit.policy.test_conditions import facts
from wardgate.errors import SettingsError
from wardgate.factors import KINDS, STRONG_KINDS, USUAL_KINDS
from wardgate.policy.plan import NoEntry, Plan
from wardgate.policy.rules import MAX_STEPS, Policy, compile_policy, decide
from wardgate.policy.settings import PolicySettings

ADA = {"user": "ada"}
BOB = {"user": "bob"}


def policy(*rules: Any, floors: Any = ()) -> Policy:
    return compile_policy(PolicySettings(name="p", rules=tuple(rules), floors=tuple(floors)), KINDS, STRONG_KINDS)


def steps(of: Policy, **changes: Any) -> tuple[tuple[str, ...], ...]:
    plan = decide(of, facts(**changes))
    assert isinstance(plan, Plan), plan
    return plan.steps


def test_the_first_rule_that_matches_decides() -> None:
    found = decide(
        policy(
            rule("bob", ["password"], when=BOB), rule("ada", ["password"], ["totp"], when=ADA), rule("all", ["password"], ["sms"])
        ),
        facts(),
    )
    assert found == Plan((("password",), ("totp",)), "ada")


def test_no_rule_is_no_entry() -> None:
    assert decide(policy(), facts()) == NoEntry("no_rule")
    assert decide(policy(rule("bob", ["password"], when=BOB)), facts()) == NoEntry("no_rule")


def test_a_rule_that_denies_ends_the_search() -> None:
    assert decide(policy(rule("ada", when=ADA, deny=True), rule("all", ["password"])), facts()) == NoEntry("rule_denies", "ada")


def test_the_default_is_password_and_any_second_factor() -> None:
    found = decide(the_default_policy(), facts(user="anybody"))
    assert found == Plan((("password",), USUAL_KINDS), "default")
    assert "kba" not in USUAL_KINDS


def test_never_takes_a_factor_from_every_step() -> None:
    of = policy(rule("all", ["password"], ["sms", "totp"], ["sms"]), floors=[floor("no sms", never=["sms"])])
    assert steps(of) == (("password",), ("totp",), ())


def test_an_empty_step_stays_so_that_it_cannot_be_passed() -> None:
    """Taken out of the plan, `never: [sms]` would turn password and SMS into password alone."""
    of = policy(rule("all", ["password"], ["sms"]), floors=[floor("no sms", never=["sms"])])
    assert steps(of) == (("password",), ())


def test_strong_factors_leave_only_strong_alternatives_and_add_steps() -> None:
    of = policy(rule("all", ["password"], ["totp", "sms"]), floors=[floor("two", strong=2)])
    assert steps(of) == (("password",), ("totp",), STRONG_KINDS)
    alone = policy(rule("all", ["password"]), floors=[floor("one", strong=1)])
    assert steps(alone) == (("password",), STRONG_KINDS)


def test_a_floor_asks_a_strong_factor_instead_of_a_text_message() -> None:
    """`[sms]` under such a floor was a step without any factor: nobody whom the floor meant could come in."""
    of = policy(rule("all", ["password"], ["sms"]), floors=[floor("one", strong=1)])
    assert steps(of) == (("password",), STRONG_KINDS)
    without = policy(rule("all", ["password"], ["sms"]), floors=[floor("one", strong=1, never=["sms", "totp"])])
    assert steps(without) == (("password",), tuple(kind for kind in STRONG_KINDS if kind != "totp"))


def test_the_password_is_not_a_strong_factor() -> None:
    of = policy(rule("all", ["password"], ["totp"]), floors=[floor("one", strong=1)])
    assert steps(of) == (("password",), ("totp",))


def test_never_holds_for_the_steps_that_a_floor_adds() -> None:
    of = policy(rule("all", ["password"]), floors=[floor("one", strong=1), floor("no paper", never=["recovery_code"])])
    assert steps(of) == (("password",), tuple(kind for kind in STRONG_KINDS if kind != "recovery_code"))


def test_of_several_floors_the_strictest_part_of_each_counts() -> None:
    of = policy(
        rule("all", ["password"], ["totp", "sms", "email"]),
        floors=[
            floor("a", strong=1, never=["email"]),
            floor("b", strong=2),
            floor("c", never=["hotp"]),
            floor("bob", strong=3, when=BOB),
        ],
    )
    plan = decide(of, facts())
    assert isinstance(plan, Plan)
    assert plan.floors == ("a", "b", "c")
    assert plan.steps == (("password",), ("totp",), tuple(kind for kind in STRONG_KINDS if kind != "hotp"))


def test_a_floor_that_does_not_match_changes_nothing() -> None:
    of = policy(rule("all", ["password"], ["sms"]), floors=[floor("bob", strong=3, never=["sms"], when=BOB)])
    assert decide(of, facts()) == Plan((("password",), ("sms",)), "all")


def test_what_the_nas_vouches_for_is_asked_no_more() -> None:
    of = policy(rule("all", ["password"], ["totp"]))
    assert steps(of, proved_elsewhere=frozenset({"password"})) == (("totp",),)
    assert steps(policy(rule("all", ["totp"])), proved_elsewhere=frozenset({"password"})) == (("totp",),)


# --- what an operator cannot write -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        rule("r"),
        rule("r", []),
        rule("r", ["password"], []),
        rule("r", ["password"], ["pasword"]),
        rule("r", ["password", "totp"]),
        rule("r", *[["totp"]] * (MAX_STEPS + 1)),
        rule("r", ["password"], deny=True),
        rule("r", ["password"], when={"group": ["admins"]}),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_by_name(wrong: Any) -> None:
    with pytest.raises(SettingsError, match=r"policies\.p\.rules\.r"):
        policy(wrong)


def test_a_floor_of_an_unknown_factor_is_refused() -> None:
    """`never: [smss]` would leave SMS open."""
    with pytest.raises(SettingsError, match=r"never: unknown factor smss; known are .*sms"):
        policy(rule("r", ["password"]), floors=[floor("f", never=["smss"])])


def test_a_floor_with_a_broken_condition_is_refused() -> None:
    with pytest.raises(SettingsError):
        policy(rule("r", ["password"]), floors=[floor("f", strong=1, when={"group": ["admins"]})])


# --- properties --------------------------------------------------------------------------------------------------------

kinds = [kind for kind in KINDS if kind != "password"]
choices = st.lists(st.sampled_from(kinds), min_size=1, max_size=4, unique=True)
rules = st.builds(lambda inner: rule("r", ["password"], *inner), st.lists(choices, max_size=MAX_STEPS - 1))
floors = st.builds(
    lambda strong, never: floor("f", strong=strong, never=never), st.integers(0, 3), st.lists(st.sampled_from(kinds), max_size=3)
)


@given(rules, st.lists(floors, max_size=3))
def test_a_floor_never_opens_anything(one: Any, several: list[Any]) -> None:
    bare, floored = steps(policy(one)), steps(policy(one, floors=several))
    never = {kind for each in several for kind in each.then.never}
    assert len(floored) >= len(bare)
    for before, after in zip(bare, floored, strict=False):
        # Another factor than the rule's own is a strong one, and stands where the rule has none.
        assert set(after) <= set(before) or (set(after) <= set(STRONG_KINDS) and set(before).isdisjoint(set(STRONG_KINDS) - never))
    assert floored[0] == ("password",)


@given(rules, st.lists(floors, max_size=3))
def test_floors_hold_whatever_the_rule(one: Any, several: list[Any]) -> None:
    never = {kind for each in several for kind in each.then.never}
    needed = max((each.then.strong_factors for each in several), default=0)
    found = steps(policy(one, floors=several))
    assert not never & {kind for step in found for kind in step}
    strong = [step for step in found[1:] if set(step) <= set(STRONG_KINDS)]
    assert len(strong) >= needed


@given(rules, st.permutations([floor("a", strong=1), floor("b", never=["sms"]), floor("c", strong=2, never=["totp"])]))
def test_the_order_of_floors_does_not_matter(one: Any, several: list[Any]) -> None:
    ordered = sorted(several, key=lambda each: str(each.name))
    assert steps(policy(one, floors=several)) == steps(policy(one, floors=ordered))


@given(st.lists(st.tuples(st.sampled_from(["ada", "bob"]), st.booleans()), max_size=6), st.sampled_from(["ada", "bob", "eve"]))
def test_only_the_first_match_matters(listed: list[tuple[str, bool]], who: str) -> None:
    of = policy(
        *(rule(f"r{n}", *([] if deny else [["password"]]), when={"user": user}, deny=deny) for n, (user, deny) in enumerate(listed))
    )
    first = next(((n, deny) for n, (user, deny) in enumerate(listed) if user == who), None)
    found = decide(of, facts(user=who))
    if first is None:
        assert found == NoEntry("no_rule")
    elif first[1]:
        assert found == NoEntry("rule_denies", f"r{first[0]}")
    else:
        assert found == Plan((("password",),), f"r{first[0]}")
