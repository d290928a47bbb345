"""The RADIUS door: what becomes of an outcome when the configuration changed while the login ran."""

from dataclasses import replace
from datetime import UTC, datetime

from wardgate.audit.timeline import Trail
from wardgate.clock import FixedClock
from wardgate.config.reference import ClearValue
from wardgate.crypto import Secret
from wardgate.engine.outcome import Granted, dump_outcome, load_outcome
from wardgate.engine.settings import ReleaseRuleSettings
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.door import reply_for
from wardgate.radius.nas import Nas, build_nas
from wardgate.radius.packet import Code, Type
from wardgate.radius.release import MAX_EARLIER, Release, compile_release
from wardgate.radius.settings import NasSettings

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
GRANTED = Granted(
    subject_id="1",
    user_name="ada",
    directory="local",
    realm="acme",
    display_name="Ada",
    mail=None,
    groups=("vpn",),
    attributes={},
    factors=("password", "totp"),
    assurance=2,
    application="vpn",
    reference="7H2K9QXA",
)


def a_nas() -> Nas:
    settings = NasSettings(name="hq", addresses=("10.0.0.1",), secret=ClearValue(value="x" * 16), application="vpn")
    return build_nas(settings, Secret("x" * 16))


def test_a_grant_for_a_nas_that_was_removed_meanwhile_is_no_accept_without_its_restrictions() -> None:
    trail = Trail(FixedClock(NOW), "radius")
    reply = reply_for(a_nas(), GRANTED, trail, {})
    assert reply.code is Code.ACCESS_REJECT
    assert [kind for kind, _ in reply.attributes] == [Type.REPLY_MESSAGE]
    assert trail.result == "denied"


def test_a_grant_without_rules_is_a_plain_accept() -> None:
    reply = reply_for(a_nas(), GRANTED, Trail(FixedClock(NOW), "radius"), {"hq": Release(())})
    assert (reply.code, reply.attributes) == (Code.ACCESS_ACCEPT, [])


def test_a_member_is_not_taken_for_an_outsider_by_rules_that_came_after_his_grant() -> None:
    """By the rules of then nothing of `contractors` was kept, so by those of now he would not be one."""
    now = ReleaseRuleSettings(when={"not": {"group": ["local:contractors"]}}, add={"Filter-Id": "inner"})
    releases = {"hq": replace(compile_release([now], BUILT_IN), mark="now")}
    trail = Trail(FixedClock(NOW), "radius")
    kept = load_outcome(dump_outcome(replace(GRANTED, groups=(), mark="then")))
    reply = reply_for(a_nas(), kept, trail, releases)
    assert reply.code is Code.ACCESS_REJECT
    assert [kind for kind, _ in reply.attributes] == [Type.REPLY_MESSAGE]
    assert (trail.result, trail.reason) == ("denied", "no_rule")
    made_for_them = load_outcome(dump_outcome(replace(GRANTED, mark="now")))
    assert reply_for(a_nas(), made_for_them, trail, releases).attributes == [(11, b"inner")]


def test_a_grant_on_its_way_is_released_by_the_rules_that_it_was_made_for() -> None:
    """A change of the rules refuses nobody who is being let in, and gives nobody what the new ones say."""
    then = replace(compile_release([ReleaseRuleSettings(when={}, add={"Filter-Id": "outer"})], BUILT_IN), mark="then")
    now = replace(compile_release([ReleaseRuleSettings(when={}, add={"Filter-Id": "inner"})], BUILT_IN), mark="now")
    releases, trail = {"hq": now.after(then)}, Trail(FixedClock(NOW), "radius")
    assert reply_for(a_nas(), replace(GRANTED, mark="then"), trail, releases).attributes == [(11, b"outer")]
    assert reply_for(a_nas(), replace(GRANTED, mark="now"), trail, releases).attributes == [(11, b"inner")]
    assert reply_for(a_nas(), replace(GRANTED, mark="never"), trail, releases).code is Code.ACCESS_REJECT
    for number in range(MAX_EARLIER + 1):
        now = replace(now, mark=str(number)).after(now)
    assert len(now.earlier) == MAX_EARLIER
    assert now.of("then") is None
