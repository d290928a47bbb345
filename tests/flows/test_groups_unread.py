"""A directory is asked for groups only where something depends on them: then always, and never less than before."""

from collections.abc import Mapping

import pytest

from tests.flows.world import World
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import DirectoryUser
from wardgate.engine.outcome import Denied, Granted
from wardgate.engine.runtime import Application
from wardgate.engine.settings import AnyApplicationSettings, ApplicationSettings, ReleaseRuleSettings
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.federation.settings import SamlApplicationSettings
from wardgate.policy.rules import Policy, compile_policy
from wardgate.policy.settings import FloorSettings, FloorThenSettings, PolicySettings, RuleSettings, ThenSettings

STEPS = (("password",), ("totp",))


class Apart(MemoryDirectory):
    """Notes how it was asked."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.without = 0

    async def find_without_groups(self, name: str, timeout_s: float) -> DirectoryUser | None:
        """As `find`."""
        self.without += 1
        return await super().find(name, timeout_s)

    async def get_without_groups(self, immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        """As `get`."""
        self.without += 1
        return await super().get(immutable_id, timeout_s)


def a_policy(rule: Mapping[str, object], floor: Mapping[str, object] | None = None) -> Policy:
    rules = (RuleSettings(name="all", when=rule, then=ThenSettings(steps=STEPS)),)
    floors = () if floor is None else (FloorSettings(name="admins", when=floor, then=FloorThenSettings(strong_factors=1)),)
    return compile_policy(PolicySettings(name="test", rules=rules, floors=floors), KINDS, STRONG_KINDS)


def a_release(when: Mapping[str, object], add: Mapping[str, object]) -> ApplicationSettings:
    return ApplicationSettings(name="vpn", release=(ReleaseRuleSettings(when=when, add=add),))


@pytest.mark.parametrize(
    ("settings", "policy", "reads"),
    [
        (ApplicationSettings(name="vpn"), a_policy({}), False),
        (ApplicationSettings(name="vpn"), a_policy({"user": ["ada"]}), False),
        (ApplicationSettings(name="vpn"), a_policy({"group": ["local:staff"]}), True),
        (ApplicationSettings(name="vpn"), a_policy({"any": [{"user": "ada"}, {"not": {"group": "local:x"}}]}), True),
        (ApplicationSettings(name="vpn"), a_policy({}, floor={"group": ["local:admins"]}), True),
        (a_release({}, {"Class": "{user}"}), a_policy({}), False),
        (a_release({}, {"Class": "{group}"}), a_policy({}), True),
        (a_release({"group": ["local:staff"]}, {"Class": "staff"}), a_policy({}), True),
        (a_release({"not": {"group": ["local:staff"]}}, {"Class": "guest"}), a_policy({}), True),
        (ApplicationSettings(name="portal", kind="portal"), a_policy({}), True),
        (SamlApplicationSettings(kind="saml", name="wiki", metadata=None), a_policy({}), True),
    ],
)
def test_groups_are_read_wherever_something_depends_on_them(settings: AnyApplicationSettings, policy: Policy, reads: bool) -> None:
    assert Application(settings, policy).reads_groups is reads


def test_groups_are_read_where_the_vendors_own_rules_may_give_them_away() -> None:
    assert Application(ApplicationSettings(name="vpn"), a_policy({}), vendors_release=True).reads_groups
    named = a_release({}, {"Class": "{user}"})
    assert not Application(named, a_policy({}), vendors_release=True).reads_groups, "it has rules of its own"


async def test_a_login_that_no_group_matters_for_asks_for_none() -> None:
    directory = Apart("local")
    world = World(directory=directory, policy=a_policy({}))
    user = await world.person("ada", groups=("staff",))
    await world.give_totp(user)
    challenge = await world.begin("ada")
    assert directory.without == 1
    assert isinstance(await world.answer(challenge, world.totp(), name="ada"), Granted)
    assert directory.without == 2, "and none where the account is looked at once more"


async def test_a_member_of_a_group_that_policy_refuses_is_refused_all_the_same() -> None:
    directory = Apart("local")
    world = World(directory=directory, policy=a_policy({"not": {"group": ["local:leavers"]}}))
    await world.give_totp(await world.person("ada", groups=("leavers",)))
    await world.give_totp(await world.person("eve"))
    assert isinstance(await world.begin("ada"), Denied)
    assert isinstance(await world.answer(await world.begin("eve"), world.totp(), name="eve"), Granted)
    assert directory.without == 0
