"""Proofs of self-service: what counts, what does not, and that nothing is weaker than the login."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from tests.flows.world import floor, rule, the_default_policy
from tests.unit.policy import randomly
from tests.unit.policy.test_conditions import AT, facts
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.policy.facts import Facts
from wardgate.policy.needs import SELF_SERVICE
from wardgate.policy.plan import NoEntry, Plan
from wardgate.policy.proofs import Judgement, Proof, Strength, judge, logins_of, strength_of
from wardgate.policy.rules import Policy, compile_policy
from wardgate.policy.settings import (
    AcceptWeakerSettings,
    FloorSettings,
    NeedSettings,
    PolicySettings,
    SelfServiceGoalSettings,
    SelfServiceSettings,
)

# As in a release that has these factors.
ALL = (*KINDS, "kba", "passkey", "push")
STRONG = ("passkey", "push", *STRONG_KINDS)
LOGIN = Plan((("password",), ("totp", "sms", "email")), "staff")
TOTP_LOGIN = Plan((("password",), ("totp",)), "staff")
ADMIN_LOGIN = Plan((("password",), ("totp",), STRONG), "staff", ("admins",), 2)
ADMINS = floor("admins", strong=2, never=("sms", "email", "kba"))


def policy(*floors: FloorSettings, **service: Any) -> Policy:
    settings = PolicySettings(
        name="p", rules=(rule("all", ["password"]),), floors=floors, self_service=SelfServiceSettings(**service)
    )
    return compile_policy(settings, ALL, STRONG)


POLICY = policy()
SMS = Proof(kind="sms", source="+905321234547")
EMAIL = Proof(kind="email", source="ada@home.test")
TOTP = Proof(kind="totp", source="phone-1")
CODE = Proof(kind="recovery_code")
KBA = Proof(kind="kba")
PASSKEY = Proof(kind="passkey", source="key-1", user_verified=True)
PASSWORD = Proof(kind="password")


def judged(*proofs: Proof, goal: str = "reset", of: Policy = POLICY, logins: Any = (LOGIN,), **changes: Any) -> Judgement:
    found = judge(of, facts(goal=goal, **changes), proofs, logins)
    assert found is not None
    return found


def enough(*proofs: Proof, **circumstances: Any) -> bool:
    return judged(*proofs, **circumstances).enough


def why_not(*proofs: Proof, **circumstances: Any) -> list[str]:
    return [each.why_not for each in judged(*proofs, **circumstances).counted]


# --- the defaults of the portal ----------------------------------------------------------------------------------------


def test_a_reset_needs_two_independent_proofs_of_weight_three() -> None:
    assert enough(SMS, EMAIL)
    assert enough(TOTP, CODE)
    assert enough(PASSKEY)
    assert not enough(SMS)
    assert not enough(EMAIL, KBA)
    assert not enough()


def test_what_is_missing_is_told() -> None:
    found = judged(EMAIL, KBA)
    assert (found.proofs, found.strength) == (2, Strength(0, 2))
    assert [(each.what, each.has, each.needed) for each in found.missing] == [("weight", 2, 3)]


def test_an_unlock_needs_one_proof_that_weighs_two_and_not_two_that_do_together() -> None:
    assert enough(SMS, goal="unlock")
    assert not enough(EMAIL, KBA, goal="unlock")
    assert [each.what for each in judged(EMAIL, KBA, goal="unlock").missing] == ["strongest"]


def test_a_forgotten_name_needs_no_proof_even_of_administrators() -> None:
    assert enough(goal="recover_name", of=policy(ADMINS), logins=(ADMIN_LOGIN,))


def test_a_login_is_no_self_service() -> None:
    assert judge(POLICY, facts(goal="login"), (SMS,)) is None


def test_the_default_policy_weighs_as_well() -> None:
    assert enough(TOTP, CODE, of=the_default_policy())


# --- independence ------------------------------------------------------------------------------------------------------


def test_a_mailbox_behind_the_forgotten_password_counts_nothing() -> None:
    work = replace(EMAIL, behind_password=True)
    assert why_not(SMS, work) == ["", "behind_password"]
    assert not enough(SMS, work)


def test_two_codes_to_one_phone_count_once() -> None:
    assert why_not(SMS, replace(SMS)) == ["", "same_source"]
    assert not enough(SMS, replace(SMS))
    assert enough(SMS, replace(SMS, source="+905321234548"))


def test_app_code_and_push_of_one_device_count_once() -> None:
    push = Proof(kind="push", source="phone-1")
    found = judged(TOTP, push)
    assert [each.weight for each in found.counted] == [0, 3]
    assert not found.enough
    assert enough(TOTP, replace(push, source="phone-2"))


def test_two_recovery_codes_of_one_sheet_count_once() -> None:
    assert not enough(CODE, CODE)


def test_a_thief_s_new_phone_counts_nothing_for_a_day() -> None:
    fresh = replace(SMS, since=AT - timedelta(hours=23))
    assert why_not(fresh, EMAIL) == ["held", ""]
    assert enough(replace(SMS, since=AT - timedelta(hours=24)), EMAIL)
    assert enough(replace(fresh, vouched=True), EMAIL)
    assert enough(fresh, PASSWORD, goal="change")
    assert enough(fresh, EMAIL, of=policy(contact_hold="1h"))


def test_questions_count_only_beside_something_else() -> None:
    assert why_not(KBA) == ["alone"]
    assert why_not(KBA, Proof(kind="email", behind_password=True)) == ["alone", "behind_password"]
    assert why_not(KBA, SMS) == ["", ""]
    assert enough(KBA, SMS)


def test_what_was_typed_to_identify_counts_nothing() -> None:
    assert why_not(SMS, replace(EMAIL, typed=True)) == ["", "typed"]


def test_a_phone_reported_lost_counts_nothing() -> None:
    assert why_not(replace(SMS, lost=True), EMAIL) == ["lost", ""]


def test_the_forgotten_password_is_no_proof_but_the_known_one_is() -> None:
    assert why_not(PASSWORD, SMS) == ["forgotten", ""]
    assert why_not(PASSWORD, goal="change") == [""]


def test_a_trusted_device_and_the_network_are_no_proofs() -> None:
    assert why_not(Proof(kind="trusted_device"), Proof(kind="network")) == ["weighs_nothing", "weighs_nothing"]


def test_a_passkey_without_pin_or_finger_is_one_proof_of_half_the_weight() -> None:
    [counted] = judged(replace(PASSKEY, user_verified=False)).counted
    assert (counted.proofs, counted.weight, counted.strong) == (1, 2, 1)
    [counted] = judged(PASSKEY).counted
    assert (counted.proofs, counted.weight, counted.strong) == (2, 4, 2)


# --- never weaker than the login, and floors -----------------------------------------------------------------------------


def test_recovery_is_never_weaker_than_login() -> None:
    found = judged(SMS, EMAIL, logins=(TOTP_LOGIN,))
    assert not found.enough
    assert [(each.what, each.needed) for each in found.missing] == [("login_strong_factors", 1)]
    assert enough(SMS, CODE, logins=(TOTP_LOGIN,))
    assert not enough(SMS, goal="unlock", logins=(TOTP_LOGIN,))
    assert enough(SMS, goal="unlock", logins=(LOGIN,))


def test_the_strongest_of_the_person_s_applications_counts() -> None:
    assert not enough(SMS, EMAIL, logins=(LOGIN, TOTP_LOGIN, NoEntry("no_rule")))
    assert strength_of(POLICY, (LOGIN, ADMIN_LOGIN)) == Strength(2, 4)
    assert strength_of(POLICY, (NoEntry("no_rule"),)) == Strength()
    assert strength_of(POLICY, (Plan((("password",), ()), "x"),)) == Strength(1, 4)


def test_administrators_reset_by_two_strong_factors_only() -> None:
    of = policy(ADMINS)
    assert not enough(SMS, EMAIL, CODE, of=of)
    assert why_not(SMS, EMAIL, KBA, of=of) == ["floor", "floor", "floor"]
    assert enough(TOTP, CODE, of=of, logins=(ADMIN_LOGIN,))
    assert enough(PASSKEY, of=of, logins=(ADMIN_LOGIN,))
    assert not enough(Proof(kind="helpdesk"), TOTP, of=of)


PARITY = SelfServiceGoalSettings(
    need=NeedSettings(proofs=1, weight=1, alone=("kba",)),
    accept_weaker=AcceptWeakerSettings(reason="migration from another portal", until="2026-12-31"),
)


def test_questions_alone_reset_where_that_is_accepted_and_not_after_its_last_day() -> None:
    of = policy(reset=PARITY)
    assert enough(KBA, of=of, logins=(TOTP_LOGIN,))
    assert not enough(KBA, of=of, logins=(TOTP_LOGIN,), at=AT.replace(year=2027))


def test_accepting_less_lifts_no_floor() -> None:
    of = policy(ADMINS, reset=PARITY)
    assert not enough(KBA, of=of, logins=(ADMIN_LOGIN,))
    assert not enough(KBA, CODE, of=of, logins=(ADMIN_LOGIN,))


def test_the_needs_of_policy_can_forbid_a_kind() -> None:
    of = policy(reset=SelfServiceGoalSettings(need=NeedSettings(never=("email",))))
    assert why_not(SMS, EMAIL, of=of) == ["", "never"]


def test_a_stolen_laptop_in_the_office_makes_no_reset_weaker() -> None:
    """From there a login asks for the password alone; a reset is held to what it asks from anywhere else."""
    rules = (
        rule("known", ["password"], when={"known_device": True}),
        rule("office", ["password"], when={"network": ["198.51.100.0/24"]}),
        rule("machine", ["password"], ["sms"], when={"device": {"os": "windows"}}),
        rule("rest", ["password"], ["totp"], when={"not": {"risk": ["high"]}}),
    )
    of = compile_policy(PolicySettings(name="p", rules=rules), ALL, STRONG)
    office = facts(goal="reset", client="198.51.100.7", known_device=True, device={"os": "Windows"})
    steps = [login.steps for login in logins_of([(of, "vpn", "radius")], office) if isinstance(login, Plan)]
    assert steps == [(("password",),), (("password",), ("totp",))]
    assert not enough(SMS, EMAIL, logins=logins_of([(of, "vpn", "radius"), (POLICY, "wifi", "radius")], office))


# --- enrolment: whoever has nothing must be able to begin ------------------------------------------------------------------


def test_a_password_alone_enrols_nothing() -> None:
    assert not enough(PASSWORD, goal="enrol", enrolled=frozenset(), logins=(TOTP_LOGIN,))
    assert enough(PASSWORD, EMAIL, goal="enrol", enrolled=frozenset({"email"}), logins=(TOTP_LOGIN,))
    assert enough(Proof(kind="activation"), goal="enrol", enrolled=frozenset(), logins=(ADMIN_LOGIN,), of=policy(ADMINS))


def test_a_factor_is_not_added_by_less_than_the_strongest_that_there_is() -> None:
    has = frozenset({"totp", "sms"})
    assert not enough(SMS, goal="enrol", enrolled=has, logins=(TOTP_LOGIN,))
    assert enough(TOTP, goal="enrol", enrolled=has, logins=(TOTP_LOGIN,))
    of = policy(ADMINS)
    assert enough(TOTP, goal="enrol", enrolled=frozenset({"totp"}), logins=(ADMIN_LOGIN,), of=of)
    assert not enough(TOTP, goal="enrol", enrolled=frozenset({"totp", "recovery_code"}), logins=(ADMIN_LOGIN,), of=of)


# --- properties --------------------------------------------------------------------------------------------------------

proofs = st.builds(
    Proof,
    kind=st.sampled_from([*ALL, "helpdesk", "activation", "network"]),
    source=st.sampled_from(["", "a", "b", "c"]),
    since=st.sampled_from([None, AT - timedelta(hours=1), AT - timedelta(days=9)]),
    **{name: st.booleans() for name in ("vouched", "typed", "behind_password", "lost", "user_verified")},
)
ways = st.lists(st.lists(st.sampled_from([*ALL][1:]), max_size=3).map(tuple), max_size=2)
logins = st.lists(ways.map(lambda steps: Plan((("password",), *steps), "r")), max_size=2)
needs = st.builds(
    NeedSettings,
    proofs=st.integers(1, 3),
    weight=st.integers(1, 5),
    strongest=st.integers(0, 4),
    alone=st.sampled_from([(), ("kba",)]),
    never=st.sampled_from([(), ("sms",)]),
)
services = st.builds(
    lambda weights, need: SelfServiceSettings(
        weights=weights, **{goal: SelfServiceGoalSettings(need=need) for goal in SELF_SERVICE}
    ),
    st.dictionaries(st.sampled_from(ALL), st.integers(0, 5), max_size=4),
    needs,
)
policies = st.builds(
    lambda service, floors: PolicySettings(
        name="p",
        rules=(rule("r", ["password"]),),
        floors=tuple(FloorSettings(name=f"f{number}", then=then) for number, then in enumerate(floors)),
        self_service=service,
    ),
    services,
    st.lists(randomly.floor_thens, max_size=2),
)
who = st.builds(
    lambda goal, enrolled: facts(goal=goal, enrolled=enrolled), st.sampled_from(SELF_SERVICE), st.frozensets(st.sampled_from(ALL))
)


def of_random(settings: PolicySettings, of: Facts, many: list[Proof], plans: list[Plan]) -> Judgement:
    found = judge(compile_policy(settings, ALL, STRONG), of, many, plans)
    assert found is not None
    return found


@bounds(max_examples=300, deadline=None)
@given(policies, who, st.lists(proofs, max_size=5), logins, proofs)
def test_adding_a_proof_never_makes_enough_proofs_insufficient(
    settings: PolicySettings, of: Facts, many: list[Proof], plans: list[Plan], more: Proof
) -> None:
    before, after = of_random(settings, of, many, plans), of_random(settings, of, [*many, more], plans)
    assert after.proofs >= before.proofs
    assert after.strength.no_weaker_than(before.strength)
    assert after.enough or not before.enough


@bounds(max_examples=300, deadline=None)
@given(policies, who, st.lists(proofs, max_size=5), logins)
def test_a_proof_that_counts_nothing_never_changes_the_outcome(
    settings: PolicySettings, of: Facts, many: list[Proof], plans: list[Plan]
) -> None:
    found = of_random(settings, of, many, plans)
    for number, each in enumerate(found.counted):
        if not (each.proofs or each.weight or each.strong):
            without = of_random(settings, of, many[:number] + many[number + 1 :], plans)
            assert (without.enough, without.proofs, without.strength) == (found.enough, found.proofs, found.strength)
            assert each.why_not


@bounds(max_examples=200, deadline=None)
@given(policies, who, st.lists(proofs, max_size=4), logins, randomly.floor_thens)
def test_adding_a_floor_never_makes_insufficient_proofs_enough(
    settings: PolicySettings, of: Facts, many: list[Proof], plans: list[Plan], then: Any
) -> None:
    more = replace(settings, floors=(*settings.floors, FloorSettings(name="more", then=then)))
    assert of_random(settings, of, many, plans).enough or not of_random(more, of, many, plans).enough


@bounds(max_examples=200, deadline=None)
@given(policies, who, st.lists(proofs, max_size=5), logins, st.randoms())
def test_the_order_of_proofs_does_not_matter(
    settings: PolicySettings, of: Facts, many: list[Proof], plans: list[Plan], chance: Any
) -> None:
    other = list(many)
    chance.shuffle(other)
    found, again = of_random(settings, of, many, plans), of_random(settings, of, other, plans)
    assert (found.enough, found.proofs, found.strength, found.missing) == (
        again.enough,
        again.proofs,
        again.strength,
        again.missing,
    )


@pytest.mark.parametrize("goal", ["reset", "unlock"])
@bounds(max_examples=200, deadline=None)
@given(settings=policies, of=who, many=st.lists(proofs, max_size=5), plans=logins)
def test_enough_is_never_weaker_than_any_login(
    goal: str, settings: PolicySettings, of: Facts, many: list[Proof], plans: list[Plan]
) -> None:
    of = replace(of, goal=goal)
    found = of_random(settings, of, many, plans)
    policy = compile_policy(settings, ALL, STRONG)
    if found.enough:
        assert all(found.strength.no_weaker_than(strength_of(policy, (plan,))) for plan in plans)
        assert found.strength.strong >= max((each.then.strong_factors for each in settings.floors), default=0)
