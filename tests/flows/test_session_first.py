"""One sign-in for several applications: what a session proved counts where a policy says so, for as long as it says."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from tests.flows.plans import use_plan
from tests.flows.world import START, World, reason
from wardgate.account.subject import SubjectId
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.engine.outcome import Challenge, Granted, Origin, Outcome
from wardgate.engine.runtime import EngineConfiguration
from wardgate.engine.session_first import (
    MORE_NEEDED,
    SESSION_GONE,
    SESSION_OVER,
    SIGN_IN_AGAIN,
    SessionRequest,
    unmet,
    with_asked,
)
from wardgate.engine.settings import BrakeSettings
from wardgate.janitor import Janitor
from wardgate.policy.plan import Plan
from wardgate.policy.settings import FailSettings, FloorSettings, FloorThenSettings, LifetimesThenSettings
from wardgate.risk.assessing import Assessor
from wardgate.risk.settings import RiskSettings
from wardgate.session.sessions import MAX_KEPT, OVER, Opening, Session, Sessions, Whose
from wardgate.storage.port import Operation, Update

HERE = Origin(door="portal", binding="browser:1", source="203.0.113.7", client="203.0.113.7", shows_pages=True)
Steps = tuple[tuple[str, ...], ...]
TWO_STEPS = (("password",), ("totp", "sms"))


@dataclass
class Shared(World):
    """Somebody's session, and an application that he comes to with it."""

    bearer: str = field(init=False, default="")

    async def begun(self, user: DirectoryUser, *factors: str, **opening: object) -> Session:
        """His session, which proved these factors now."""
        self.sessions = Sessions(self.storage, lambda: self.ring, self.clock)
        subject_id = await self.subject_of(user)
        whose = Whose(subject_id, "acme", "local", user.name, user.name, "en")
        made = Opening(whose, factors, 1, "portal", "203.0.113.7", "Firefox", "WG-0000-0000")
        self.bearer = await self.sessions.begin(replace(made, **opening))  # type: ignore[arg-type]
        return await self.now_there()

    async def now_there(self) -> Session:
        """The session as a request finds it."""
        session = await self.sessions.find(self.bearer)
        assert session is not None
        return session

    async def come(self, session: Session, **asked: object) -> tuple[tuple[str, ...], Outcome]:
        """To the application, with the session."""
        still: list[Operation] = [self.sessions.still(session)]
        request = SessionRequest("vpn", session, HERE, Trail(self.clock, "portal"), writes=lambda _: still)
        return await self.engine.begin_by_session(replace(request, **asked))  # type: ignore[arg-type]


async def ada(**fields: object) -> tuple[Shared, DirectoryUser]:
    """Somebody with an app."""
    shared = Shared()
    user = await shared.person("ada", **fields)
    await shared.give_totp(user)
    return shared, user


async def test_what_was_proved_for_one_application_lets_into_another_and_is_written_down() -> None:
    world, user = await ada()
    use_plan(world, *TWO_STEPS)
    session = await world.begun(user, "password", "totp")
    counted, outcome = await world.come(session)
    assert isinstance(outcome, Granted)
    assert counted == outcome.factors == ("password", "totp")
    assert outcome.assurance == 2
    granted = [each for each in await world.rows("audit_event") if each["kind"] == "engine:login:granted"]
    assert len(granted) == 1
    assert session.id in str(dict(granted[0]))


async def test_only_what_is_missing_is_asked_for() -> None:
    world, user = await ada()
    use_plan(world, *TWO_STEPS)
    counted, outcome = await world.come(await world.begun(user, "password"))
    assert counted == ("password",)
    assert isinstance(outcome, Challenge)
    assert outcome.factor == "totp"
    granted = await world.answer(outcome, world.totp(), name="ada", origin=HERE)
    assert isinstance(granted, Granted)
    assert granted.factors == ("password", "totp")


async def test_password_is_never_asked_for_in_the_middle_and_nothing_is_written() -> None:
    world, user = await ada()
    use_plan(world, *TWO_STEPS)
    session = await world.begun(user, "totp")
    before = len(await world.rows("audit_event"))
    _, outcome = await world.come(session)
    assert reason(outcome) == SIGN_IN_AGAIN
    assert len(await world.rows("audit_event")) == before


@pytest.mark.parametrize(
    ("lifetimes", "seconds"),
    [
        (LifetimesThenSettings(session="1h"), 3600),
        (LifetimesThenSettings(reauthentication="10m"), 600),
        (LifetimesThenSettings(idle="5m"), 300),
    ],
)
async def test_proofs_age_as_the_policy_of_the_application_says(lifetimes: LifetimesThenSettings, seconds: int) -> None:
    world, user = await ada()
    use_plan(world, *TWO_STEPS, lifetimes=lifetimes)
    await world.begun(user, "password", "totp", idle_s=20_000)
    world.later(seconds - 1)
    assert isinstance((await world.come(await world.now_there()))[1], Granted)
    world.later(seconds + 2)
    assert reason((await world.come(await world.now_there()))[1]) == SIGN_IN_AGAIN


async def test_session_that_rested_too_long_is_not_refreshed_by_being_used_elsewhere() -> None:
    world, user = await ada()
    use_plan(world, *TWO_STEPS, lifetimes=LifetimesThenSettings(idle="5m"))
    await world.begun(user, "password", "totp")
    world.later(600)
    await world.now_there()
    world.later(1)
    assert reason((await world.come(await world.now_there()))[1]) == SIGN_IN_AGAIN
    session = await world.now_there()
    moved = await world.sessions.prove(world.bearer, session.id, await world.subject_of(user), ["password", "totp"], "vpn", 2)
    assert moved is not None
    world.bearer = moved
    assert isinstance((await world.come(await world.now_there()))[1], Granted)


async def test_fresh_proof_means_one_after_the_request_came() -> None:
    world, user = await ada()
    use_plan(world, *TWO_STEPS)
    session = await world.begun(user, "password", "totp")
    world.later(1)
    assert reason((await world.come(session, fresh_after=to_ms(world.clock.now())))[1]) == SIGN_IN_AGAIN


async def test_where_nobody_may_be_asked_nothing_is_sent() -> None:
    world = Shared()
    user = await world.person("ada", phone="+905321234567")
    use_plan(world, ("password",), ("sms",))
    _, outcome = await world.come(await world.begun(user, "password"), can_challenge=False)
    assert reason(outcome) == MORE_NEEDED
    assert await world.messages() == []


async def test_no_step_is_left_out_for_a_gateway_that_is_down_where_an_app_could_prove_it() -> None:
    world, user = await ada(phone="+905321234567")
    use_plan(world, *TWO_STEPS, fail=FailSettings(gateway_down="skip"))
    world.channels = frozenset()
    _, outcome = await world.come(await world.begun(user, "password"), can_challenge=False)
    assert reason(outcome) == MORE_NEEDED


async def test_account_that_was_switched_off_is_not_let_in_by_its_session() -> None:
    world, user = await ada()
    use_plan(world, *TWO_STEPS)
    session = await world.begun(user, "password", "totp")
    world.directory.change_state(user, AccountState.DISABLED)
    assert reason((await world.come(session))[1]) == SESSION_OVER


async def test_session_that_was_ended_meanwhile_grants_nothing() -> None:
    world, user = await ada()
    use_plan(world, *TWO_STEPS)
    session = await world.begun(user, "password", "totp")
    await world.sessions.end(world.bearer, "signed_out")
    assert reason((await world.come(session))[1]) == SESSION_GONE
    assert not [each for each in await world.rows("audit_event") if each["kind"] == "engine:login:granted"]


async def test_floor_asks_for_more_than_the_session_began_with() -> None:
    world, user = await ada()
    await world.give_recovery_codes(user)
    floor = FloorSettings(name="all", then=FloorThenSettings(strong_factors=2))
    use_plan(world, ("password",), floors=[floor])
    _, outcome = await world.come(await world.begun(user, "password", "totp"))
    assert isinstance(outcome, Challenge)
    assert outcome.factor == "recovery_code"


async def test_refusal_of_the_policy_leaves_the_session_alone() -> None:
    world, user = await ada()
    use_plan(world, deny=True)
    session = await world.begun(user, "password", "totp")
    assert reason((await world.come(session))[1]) == "rule_denies"
    assert (await world.now_there()).id == session.id


async def test_password_that_was_changed_since_proves_nothing_any_more() -> None:
    world, user = await ada(password_changed_at=START + timedelta(seconds=300))
    use_plan(world, *TWO_STEPS)
    session = await world.begun(user, "password", "totp")
    world.later(300)
    assert reason((await world.come(session))[1]) == SIGN_IN_AGAIN


async def test_session_forgives_no_failures_of_others() -> None:
    world, user = await ada()
    use_plan(world, *TWO_STEPS)
    await world.begin("ada", "wrong", origin=HERE)
    failures = [each["failures"] for each in await world.rows("brake")]
    assert isinstance((await world.come(await world.begun(user, "password", "totp")))[1], Granted)
    assert [each["failures"] for each in await world.rows("brake")] == failures


async def test_guesser_with_a_stolen_session_is_asked_for_nothing_while_a_brake_holds() -> None:
    world, user = await ada()
    use_plan(world, *TWO_STEPS)
    session = await world.begun(user, "password")
    for _ in range(BrakeSettings().user_source_failures):
        await world.begin("ada", "wrong", origin=HERE)
    assert reason((await world.come(session))[1]) == "brake_user_source"


@dataclass
class Scored(Shared):
    """The same where logins are scored."""

    def configuration(self) -> EngineConfiguration:
        """The configuration in force."""
        return replace(super().configuration(), risk=Assessor(RiskSettings(enabled=True)))


async def test_failures_before_it_are_part_of_the_score_of_a_login_by_a_session() -> None:
    world = Scored()
    user = await world.person("ada")
    use_plan(world, ("password",))
    for _ in range(3):
        await world.begin("ada", "wrong", origin=HERE)
    trail = Trail(world.clock, "portal")
    await world.come(await world.begun(user, "password"), trail=trail)
    [told] = [detail for _, what, detail in trail.steps if what == "risk assessed"]
    assert told["recent_failures"]


async def test_factor_that_the_application_asks_for_by_name_is_asked_for() -> None:
    world, user = await ada()
    use_plan(world, ("password",))
    counted, outcome = await world.come(await world.begun(user, "password"), asked=(("totp",),))
    assert isinstance(outcome, Challenge)
    assert (counted, outcome.factor) == (("password",), "totp")


async def test_proof_of_another_person_does_not_step_a_session_up() -> None:
    world, user = await ada()
    other = await world.person("bob")
    session = await world.begun(user, "password")
    about = (["totp"], "vpn", 2)
    assert await world.sessions.prove(world.bearer, session.id, await world.subject_of(other), *about) is None
    assert await world.sessions.prove(world.bearer, "0" * 32, await world.subject_of(user), *about) is None
    assert (await world.now_there()).proofs.keys() == {"password"}
    assert await world.sessions.prove(world.bearer, session.id, SubjectId(session.whose.subject_id), *about) is not None


@pytest.mark.parametrize(
    ("steps", "proved", "left"),
    [
        ((("password",), ("totp",)), ("password", "totp"), ()),
        ((("password",), ("totp", "sms"), ("totp",)), ("password", "sms", "totp"), ()),
        ((("password",), ("totp", "sms"), ("totp", "sms")), ("password", "totp"), (("totp", "sms"),)),
        ((("password",), ("passkey", "totp")), ("passkey",), (("password",),)),
        ((("password",), ("passkey", "totp")), ("passkey", "user_verified"), ()),
        ((("password",), ("totp",)), ("passkey", "user_verified"), (("password",), ("totp",))),
        ((("password",),), ("passkey", "user_verified"), (("password",),)),
        ((("password", "kerberos"), ("totp",)), ("kerberos",), (("totp",),)),
        ((("password",), ("totp",)), ("kerberos",), (("password",), ("totp",))),
        ((("password",), ("totp",)), ("password", "trusted_device"), ()),
        ((("password",), ("totp",)), ("trusted_device",), (("password",), ("totp",))),
    ],
)
def test_each_proof_is_one_step(
    steps: tuple[tuple[str, ...], ...], proved: tuple[str, ...], left: tuple[tuple[str, ...], ...]
) -> None:
    assert unmet(Plan(steps, "rule"), dict.fromkeys(proved, 1)) == left


def test_asked_factor_narrows_the_step_that_takes_it_or_is_one_more() -> None:
    steps = (("password", "kerberos"), ("totp", "sms"))
    assert with_asked(steps, [("totp",)]) == (("password", "kerberos"), ("totp",))
    assert with_asked(steps, [("password",)]) == (("password",), ("totp", "sms"))
    assert with_asked(steps, [("passkey",)]) == (*steps, ("passkey",))
    assert unmet(Plan(with_asked(steps, [("totp",)]), "r"), {"password": 1, "trusted_device": 1}, [("totp",)]) == (("totp",),)


async def test_a_session_cannot_be_buried_under_many_that_rested_too_long() -> None:
    world, user = await ada()
    buried = await world.begun(user, "password", idle_s=12 * 3600, life_s=12 * 3600)
    thief = world.bearer
    for _ in range(MAX_KEPT + 1):
        await world.begun(user, "password", idle_s=60, life_s=12 * 3600)
        world.later(61)
    mine = await world.begun(user, "password")
    assert {each.id for each in await world.sessions.of_subject(mine.whose.subject_id)} == {buried.id, mine.id}
    await world.sessions.end_others(mine.whose.subject_id, mine.id, "ended_by_person")
    assert await world.sessions.find(thief) is None


async def test_a_session_that_is_over_does_not_come_alive_when_the_clock_is_set_back() -> None:
    world, user = await ada()
    ended = await world.begun(user, "password", idle_s=3600, life_s=3600)
    world.later(3601)
    await Janitor(world.storage, world.clock).sweep()
    assert await world.sessions.why_ended(world.bearer) == OVER, "who comes back is told"
    world.clock._now -= timedelta(minutes=30)
    assert await world.sessions.find(world.bearer) is None
    assert await world.sessions.of_subject(ended.whose.subject_id) == []
    assert await world.sessions.why_ended(world.bearer) == OVER


async def test_session_of_one_account_is_no_session_of_another_that_the_same_person_has() -> None:
    """Joined by an operator, two accounts of one directory share a person: the everyday one must not sign in as the other."""
    world = Shared()
    names = ("ada", "ada-admin")
    everyday, other = [await world.person(name, groups=(name,)) for name in names]
    subject_id = await world.subject_of(everyday)
    key = {"directory": other.directory, "immutable_id": other.immutable_id}
    await world.storage.commit([Update("subject_link", key, {"subject_id": subject_id})])
    use_plan(world, ("password",))
    for user in (everyday, other):
        _, outcome = await world.come(await world.begun(user, "password"))
        assert isinstance(outcome, Granted)
        assert (outcome.user_name, outcome.groups) == (user.name, (user.name,))
    gone = await world.begun(replace(other, name="ada-gone"), "password")
    assert reason((await world.come(gone))[1]) == SESSION_OVER
