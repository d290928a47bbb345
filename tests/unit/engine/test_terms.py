"""What of its plan a login keeps: written and read back the same, empty for nothing, and never a longer login than allowed."""

from hypothesis import given
from hypothesis import strategies as st

from wardgate.engine.settings import CodeSettings
from wardgate.engine.terms import MAX_LOGIN_MS, NO_TERMS, Terms, dump_terms, load_terms, terms_of
from wardgate.policy.plan import Demand, FailModes, Lifetimes, Plan

STEPS = (("password",), ("totp",))
seconds = st.integers(0, 10_000_000)
demand = st.builds(
    Demand,
    action=st.text(max_size=40),
    level=st.sampled_from(["optional", "forced"]),
    factors=st.tuples(st.sampled_from(["totp", "hotp", "sms"])) | st.just(()),
    deferrals=st.integers(0, 100),
    every_s=seconds,
    remind_s=seconds,
)
terms = st.builds(
    Terms,
    login_s=seconds,
    code_s=seconds,
    session_s=seconds | st.none(),
    idle_s=seconds | st.none(),
    skips_unsendable=st.booleans(),
    hand_over_s=seconds,
    demands=st.lists(demand, max_size=4).map(tuple),
).map(lambda each: each if each != NO_TERMS else NO_TERMS)


@given(terms)
def test_terms_come_back_as_they_were_written(each: Terms) -> None:
    assert load_terms(dump_terms(each)) == each
    assert "\0" not in dump_terms(each)


def test_a_plan_that_says_nothing_leaves_nothing_to_keep() -> None:
    assert terms_of(Plan(STEPS, "all")) is NO_TERMS
    assert dump_terms(NO_TERMS) == ""
    assert load_terms("") is NO_TERMS


@given(terms, st.integers(60, 600))
def test_no_terms_make_a_login_or_a_code_live_longer_than_ten_minutes(each: Terms, life_s: int) -> None:
    assert each.longest_ms <= MAX_LOGIN_MS
    assert each.codes(CodeSettings(life_s=life_s)).life_s * 1000 <= MAX_LOGIN_MS


def test_what_weakens_a_login_is_not_for_those_of_whom_a_floor_demands_strong_factors() -> None:
    plan = Plan(STEPS, "all", fail=FailModes(gateway_down="skip"))
    strong = Plan(STEPS, "all", strong_factors=1, fail=FailModes(gateway_down="skip"))
    assert (terms_of(plan, 60).skips_unsendable, terms_of(plan, 60).hand_over_s) == (True, 60)
    assert terms_of(strong, 60) is NO_TERMS


def test_what_is_off_is_not_kept() -> None:
    off, forced = Demand("enrol:totp", "off", ("totp",)), Demand("enrol:hotp", "forced", ("hotp",))
    kept = terms_of(Plan(STEPS, "all", demands=(off, forced), actions="staff", lifetimes=Lifetimes(session_s=60)))
    assert kept.demands == (forced,)
    assert load_terms(dump_terms(kept)) == kept
