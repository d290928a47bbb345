"""The OpenLDAP directory on a real slapd, with ppolicy and without. Another maker's clients say what the server holds."""

import json
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from tests import slapd
from tests.openldap_directory import READER, ROOT, CountingClient, directory, parts, settings
from wardgate.clock import SystemClock
from wardgate.crypto import Secret
from wardgate.directory.ldap.port import Result
from wardgate.directory.openldap.directory import OpenLdapDirectory
from wardgate.directory.openldap.ppolicy import ASK, told
from wardgate.directory.openldap.settings import OpenLdapGroups
from wardgate.directory.port import (
    AccountState,
    ContactKind,
    DirectoryUser,
    Finding,
    PasswordNotAccepted,
    PasswordVerdict,
    RightMissing,
    Verdict,
)
from wardgate.errors import Conflict, DirectoryUnavailable, UsageError

pytestmark = pytest.mark.neighbour("slapd")

SOON = 20.0
OLD, NEW, WRONG = Secret(slapd.PASSWORD), Secret("New-Passw0rd"), Secret("not the password")
_numbers = count(1)


def fresh(server: slapd.Server, **attributes: slapd.Values) -> str:
    """A user of one test's own; the login name."""
    name = f"test{next(_numbers)}"
    given: dict[str, Any] = {"pwdChangedTime": slapd.ago(3600)} if server.with_ppolicy else {}
    server.add_user(name, slapd.PASSWORD, **{**given, **attributes})
    return name


def under(policy: str) -> dict[str, slapd.Values]:
    """The attribute that puts a user under a policy."""
    return {"pwdPolicySubentry": slapd.policy_dn(policy)}


EXPIRED: dict[str, slapd.Values] = {"pwdChangedTime": slapd.ago(60 * slapd.DAY_S)}


@pytest.fixture
def server() -> slapd.Server:
    return slapd.shared()


@pytest.fixture
def plain() -> slapd.Server:
    """Without ppolicy."""
    return slapd.shared(with_ppolicy=False)


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., OpenLdapDirectory]]:
    """Makes directories, and closes them."""
    made: list[OpenLdapDirectory] = []

    def one(server: slapd.Server, **given: Any) -> OpenLdapDirectory:
        made.append(directory(server, **given)[0])
        return made[-1]

    yield one
    for each in made:
        await each.close()


@pytest.fixture
async def staff(server: slapd.Server, make: Callable[..., OpenLdapDirectory]) -> OpenLdapDirectory:
    """The directory on the server with ppolicy."""
    return make(server)


async def found(staff: OpenLdapDirectory, name: str) -> DirectoryUser:
    user = await staff.find(name, SOON)
    assert user is not None, name
    return user


async def checked(staff: OpenLdapDirectory, name: str, password: Secret) -> PasswordVerdict:
    return await staff.check_password(await found(staff, name), password, SOON)


def failures(server: slapd.Server, name: str) -> int:
    """The wrong passwords that the server counts."""
    return len(server.read(slapd.user_dn(name), "pwdFailureTime").get("pwdFailureTime", ()))


def grace_used(server: slapd.Server, name: str) -> int:
    """The grace logins that were used up."""
    return len(server.read(slapd.user_dn(name), "pwdGraceUseTime").get("pwdGraceUseTime", ()))


# --- looking up ------------------------------------------------------------------------------------------------------


async def test_a_user_is_told_with_contacts_in_their_order(staff: OpenLdapDirectory) -> None:
    user = await found(staff, "alice")

    assert (user.name, user.display_name, user.language, user.state) == ("alice", "Alice", "tr", AccountState.ACTIVE)
    assert (user.mail, user.other_mails) == ("alice@acme.test", ("a.liddell@acme.test",))
    assert (user.phone, user.other_phones) == ("+905321234567", ("+902125556677",))
    assert user.attributes["dn"] == (slapd.user_dn("alice"),)


@pytest.mark.parametrize("typed", ["alice@acme.test", "A.LIDDELL@acme.test", "ümit", "ÜMİT@acme.test", "smith, (pat)*", "Alice"])
async def test_names_and_mail_addresses_are_found(staff: OpenLdapDirectory, typed: str) -> None:
    expected = None if typed == "ÜMİT@acme.test" else typed
    user = await staff.find(typed, SOON)

    assert (user is not None) is (expected is not None)


@pytest.mark.parametrize(
    "typed",
    [
        "*",
        "a*",
        "alice)(uid=*",
        "alice)(|(uid=*)",
        "(alice)",
        "\\2a",
        "alice\\",
        "*)(objectClass=*",
        "alice,ou=people",
        "uid=alice",
    ],
)
async def test_ldap_injection_by_the_login_name_finds_nobody(staff: OpenLdapDirectory, typed: str) -> None:
    assert await staff.find(typed, SOON) is None
    assert await staff.get(typed, SOON) is None


async def test_a_mail_address_of_two_users_finds_neither(staff: OpenLdapDirectory) -> None:
    assert await staff.find("both@acme.test", SOON) is None


async def test_a_user_who_is_renamed_and_moved_keeps_his_id(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    name = fresh(server)
    before = await found(staff, name)
    server.rename(slapd.user_dn(name), f"uid={name}-moved", slapd.SERVICE_DN)
    after = await staff.get(before.immutable_id, SOON)

    assert after is not None
    assert (after.immutable_id, after.name) == (before.immutable_id, f"{name}-moved")
    assert after.attributes["dn"] == (f"uid={name}-moved,{slapd.SERVICE_DN}",)
    assert before.immutable_id in server.read(after.attributes["dn"][0], "entryUUID")["entryUUID"]
    assert await staff.check_password(after, OLD, SOON) is PasswordVerdict.RIGHT
    assert await staff.check_password(before, OLD, SOON) is PasswordVerdict.WRONG
    await staff.reset_password(before, NEW, False, SOON)
    assert await staff.check_password(after, NEW, SOON) is PasswordVerdict.RIGHT


async def test_a_new_person_with_the_old_name_gets_nothing_that_was_meant_for_the_first(
    server: slapd.Server, staff: OpenLdapDirectory
) -> None:
    name = fresh(server)
    before = await found(staff, name)
    server.delete(slapd.user_dn(name))
    server.add_user(name, pwdAccountLockedTime=slapd.ago(60))

    assert await staff.get(before.immutable_id, SOON) is None
    assert not await staff.unlock(before, SOON)
    with pytest.raises(Conflict):
        await staff.reset_password(before, NEW, False, SOON)
    assert await staff.change_password(before, OLD, NEW, SOON) is PasswordVerdict.REFUSED
    assert server.read(slapd.user_dn(name), "pwdAccountLockedTime")


# --- groups ----------------------------------------------------------------------------------------------------------


async def test_groups_are_found_of_every_kind_nested_and_in_a_circle(staff: OpenLdapDirectory) -> None:
    user = await found(staff, "alice")

    assert set(user.groups) == {"vpn-users", "staff", "everybody", "auditors", "printers", "posix-users"}
    assert user.group_aliases["staff"] == (slapd.group_dn("staff"),)
    assert set((await found(staff, "ümit")).groups) == {"posix-users"}


async def test_a_user_without_his_groups_is_otherwise_the_same(
    server: slapd.Server, make: Callable[..., OpenLdapDirectory]
) -> None:
    staff = make(server)
    whole, alone = await found(staff, "alice"), await staff.find_without_groups("ALICE", SOON)
    assert alone == replace(whole, groups=(), group_aliases={})
    assert await staff.get_without_groups(whole.immutable_id, SOON) == alone
    assert await staff.find_without_groups("nobody-of-that-name", SOON) is None
    assert await staff.get_without_groups("not-the-id-of-anybody", SOON) is None
    for needed in ({"groups": OpenLdapGroups(protected=("vpn-users",))}, {"down_grace_s": 60}):
        careful = make(server, **needed)
        whole = await found(careful, "alice")
        assert whole.groups
        assert await careful.find_without_groups("alice", SOON) == whole
        assert await careful.get_without_groups(whole.immutable_id, SOON) == whole


async def test_groups_can_be_read_from_member_of_alone(server: slapd.Server, make: Callable[..., OpenLdapDirectory]) -> None:
    flat = make(server, groups=OpenLdapGroups(kinds=(), depth=0))
    name = fresh(server)
    server.add(
        slapd.group_dn(f"inner-{name}"), {"objectClass": "groupOfNames", "cn": f"inner-{name}", "member": slapd.user_dn(name)}
    )
    server.add(
        slapd.group_dn(f"outer-{name}"),
        {"objectClass": "groupOfNames", "cn": f"outer-{name}", "member": slapd.group_dn(f"inner-{name}")},
    )

    assert set((await found(flat, name)).groups) == {f"inner-{name}"}
    deep = make(server, groups=OpenLdapGroups(kinds=(), protected=(f"OUTER-{name}",)))
    user = await found(deep, name)
    assert set(user.groups) == {f"inner-{name}", f"outer-{name}"}
    assert user.protected


async def test_a_group_that_is_left_is_gone_at_the_next_look(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    name, other = fresh(server), fresh(server)
    dn = slapd.group_dn(f"team-{name}")
    server.add(dn, {"objectClass": "groupOfNames", "cn": f"team-{name}", "member": (slapd.user_dn(name), slapd.user_dn(other))})
    assert f"team-{name}" in (await found(staff, name)).groups
    server.replace(dn, "member", slapd.user_dn(other))

    assert f"team-{name}" not in (await found(staff, name)).groups
    assert f"team-{name}" in (await found(staff, other)).groups


# --- binds: the table ------------------------------------------------------------------------------------------------

BINDS: tuple[tuple[dict[str, slapd.Values], PasswordVerdict, PasswordVerdict], ...] = (
    ({}, PasswordVerdict.RIGHT, PasswordVerdict.WRONG),
    ({"pwdChangedTime": slapd.ago(39 * slapd.DAY_S)}, PasswordVerdict.RIGHT, PasswordVerdict.WRONG),
    (EXPIRED, PasswordVerdict.EXPIRED, PasswordVerdict.WRONG),
    ({**EXPIRED, **under("no-grace")}, PasswordVerdict.EXPIRED, PasswordVerdict.WRONG),
    ({"pwdReset": "TRUE"}, PasswordVerdict.MUST_CHANGE, PasswordVerdict.WRONG),
    ({"pwdAccountLockedTime": slapd.ago(60)}, PasswordVerdict.LOCKED, PasswordVerdict.LOCKED),
    ({"pwdAccountLockedTime": slapd.ago(slapd.DAY_S)}, PasswordVerdict.RIGHT, PasswordVerdict.WRONG),
    ({"pwdAccountLockedTime": "000001010000Z"}, PasswordVerdict.REFUSED, PasswordVerdict.REFUSED),
    ({"pwdEndTime": slapd.ago(60)}, PasswordVerdict.REFUSED, PasswordVerdict.REFUSED),
)
BIND_NAMES = (
    "good", "near expiry", "grace left", "no grace", "must change", "locked", "was locked", "locked by an administrator", "ended",
)  # fmt: skip


@pytest.mark.parametrize(("attributes", "right", "wrong"), BINDS, ids=BIND_NAMES)
async def test_what_a_bind_says(
    server: slapd.Server,
    staff: OpenLdapDirectory,
    attributes: dict[str, slapd.Values],
    right: PasswordVerdict,
    wrong: PasswordVerdict,
) -> None:
    name = fresh(server, **attributes)

    assert await checked(staff, name, WRONG) is wrong
    assert await checked(staff, name, OLD) is right


async def test_both_kinds_of_hashes_are_verified_by_the_server(staff: OpenLdapDirectory) -> None:
    for name in ("alice", "argon"):
        assert await checked(staff, name, OLD) is PasswordVerdict.RIGHT
        assert await checked(staff, name, WRONG) is PasswordVerdict.WRONG


@pytest.mark.parametrize(
    ("attributes", "state"),
    [
        ({}, AccountState.ACTIVE),
        ({"pwdAccountLockedTime": slapd.ago(60)}, AccountState.LOCKED),
        ({"pwdAccountLockedTime": slapd.ago(slapd.DAY_S)}, AccountState.ACTIVE),
        ({"pwdAccountLockedTime": "000001010000Z"}, AccountState.DISABLED),
        ({"pwdEndTime": slapd.ago(60)}, AccountState.EXPIRED),
        ({"pwdStartTime": slapd.ago(-3600)}, AccountState.EXPIRED),
    ],
    ids=["active", "locked", "was locked", "disabled", "ended", "not begun"],
)
async def test_the_state_is_read_without_a_bind(
    server: slapd.Server, staff: OpenLdapDirectory, attributes: dict[str, slapd.Values], state: AccountState
) -> None:
    name = fresh(server, **attributes)

    assert (await found(staff, name)).state is state
    assert server.binds(slapd.user_dn(name), slapd.PASSWORD) is (state is AccountState.ACTIVE)


async def test_expiry_is_told_from_the_effective_policy(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    changed = datetime.now(UTC).replace(microsecond=0) - timedelta(days=39)
    name = fresh(server, pwdChangedTime=slapd.generalized(changed))
    forever = fresh(server, pwdChangedTime=slapd.generalized(changed), **under("safe-modify"))

    assert (await found(staff, name)).password_expires_at == changed + timedelta(days=42)
    assert (await found(staff, forever)).password_expires_at is None


async def test_failures_made_elsewhere_are_told_before_they_lock(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    name = fresh(server)
    for expected in range(3):
        lockout = (await found(staff, name)).lockout
        assert lockout is not None
        assert (lockout.threshold, lockout.window_s, lockout.failures) == (5, 1800, expected)
        assert not server.binds(slapd.user_dn(name), "not the password")


async def test_a_failure_that_is_too_long_ago_is_not_counted(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    name = fresh(server, pwdFailureTime=(slapd.ago(7200), slapd.ago(60)))
    lockout = (await found(staff, name)).lockout

    assert lockout is not None
    assert lockout.failures == 1


async def test_the_overlays_own_lock_is_seen_at_once(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    name = fresh(server)
    before = await found(staff, name)
    for _ in range(5):
        server.binds(slapd.user_dn(name), "not the password")
    after = await found(staff, name)

    assert after.state is AccountState.LOCKED
    assert after.version != before.version


async def test_an_empty_password_is_never_sent(server: slapd.Server) -> None:
    staff, client = directory(server)
    user = await found(staff, "alice")

    assert await staff.check_password(user, Secret(b""), SOON) is PasswordVerdict.WRONG
    assert client.binds == 0
    await staff.close()


async def test_unknown_and_known_names_cost_one_bind_each(server: slapd.Server) -> None:
    staff, client = directory(server)
    user = await found(staff, "alice")
    await staff.check_nobody(WRONG, SOON)
    assert client.binds == 1
    await staff.check_password(user, WRONG, SOON)

    assert client.binds == 2
    await staff.close()


@pytest.mark.neighbour("python-ldap")
async def test_another_makers_client_reads_the_same_in_the_control(server: slapd.Server) -> None:
    names = [fresh(server, **attributes) for attributes, _, _ in BINDS]
    # Each bind of an expired user uses up a grace login, so theirs are read from twins.
    twins = [fresh(server, **attributes) for attributes, _, _ in BINDS]
    client = directory(server)[1]
    ours = []
    for name in twins:
        result = await client.bind(slapd.user_dn(name), OLD, timeout_s=SOON, controls=ASK)
        answer = told(result)
        ours.append([result.code, answer.expires_in_s is not None, answer.grace_left, answer.error])
    await client.close()
    given = json.dumps([server.ldap, slapd.PASSWORD, [slapd.user_dn(name) for name in names]])
    done = subprocess.run(["/usr/bin/python3", "-c", _ORACLE], input=given.encode(), capture_output=True, timeout=60, check=True)

    assert ours == json.loads(done.stdout)


_ORACLE = """
import json, sys
import ldap
from ldap.controls.ppolicy import PasswordPolicyControl
url, password, dns = json.load(sys.stdin)
answers = []
for dn in dns:
    connection = ldap.initialize(url)
    code = 0
    try:
        controls = connection.simple_bind_s(dn, password, serverctrls=[PasswordPolicyControl()])[3]
    except ldap.LDAPError as error:
        code = error.args[0]["result"]
        controls = [PasswordPolicyControl() for _ in error.args[0].get("ctrls", [])]
        for made, (_, _, value) in zip(controls, error.args[0].get("ctrls", [])):
            made.decodeControlValue(value)
    control = controls[0]
    answers.append([
        code,
        control.timeBeforeExpiration is not None,
        None if control.graceAuthNsRemaining is None else int(control.graceAuthNsRemaining),
        None if control.error is None else int(control.error),
    ])
print(json.dumps(answers))
"""


# --- grace logins ----------------------------------------------------------------------------------------------------


async def test_checking_an_expired_password_uses_one_grace_login_and_changing_it_none(
    server: slapd.Server, staff: OpenLdapDirectory
) -> None:
    name = fresh(server, **EXPIRED)
    user = await found(staff, name)
    assert await staff.check_password(user, OLD, SOON) is PasswordVerdict.EXPIRED
    assert grace_used(server, name) == 1

    with pytest.raises(PasswordNotAccepted):
        await staff.change_password(user, OLD, Secret("short"), SOON)
    assert grace_used(server, name) == 1
    assert await staff.change_password(user, OLD, NEW, SOON) is PasswordVerdict.RIGHT
    assert server.binds(slapd.user_dn(name), NEW.reveal().decode())
    assert grace_used(server, name) == 0


async def test_a_change_without_a_check_before_uses_one_grace_login(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    name = fresh(server, **EXPIRED)
    user = await found(staff, name)
    with pytest.raises(PasswordNotAccepted):
        await staff.change_password(user, OLD, Secret("short"), SOON)

    assert grace_used(server, name) == 1
    assert await staff.change_password(user, OLD, NEW, SOON) is PasswordVerdict.RIGHT


@pytest.mark.parametrize("policy", ["no-grace", "default"])
async def test_an_expired_password_without_grace_left_can_be_changed(
    server: slapd.Server, staff: OpenLdapDirectory, policy: str
) -> None:
    name = fresh(server, **EXPIRED, **under(policy), pwdGraceUseTime=(slapd.ago(60), slapd.ago(50)))
    user = await found(staff, name)

    assert await staff.change_password(user, WRONG, NEW, SOON) is PasswordVerdict.WRONG
    assert failures(server, name) == 1
    assert await staff.change_password(user, OLD, NEW, SOON) is PasswordVerdict.RIGHT
    assert await checked(staff, name, NEW) is PasswordVerdict.RIGHT


async def test_an_expired_password_is_not_taken_from_the_cache(
    server: slapd.Server, make: Callable[..., OpenLdapDirectory]
) -> None:
    staff = make(server, verified_cache_s=300)
    name = fresh(server)
    user = await found(staff, name)
    assert await staff.check_password(user, OLD, SOON) is PasswordVerdict.RIGHT
    assert staff.remembers(await found(staff, name), OLD)
    server.replace(slapd.user_dn(name), "pwdChangedTime", slapd.ago(60 * slapd.DAY_S))

    assert not staff.remembers(await found(staff, name), OLD)


async def test_a_password_is_not_remembered_where_its_change_could_not_be_seen() -> None:
    hidden = f'to attrs=entryCSN,modifyTimestamp,pwdChangedTime by dn.exact="{slapd.SERVICE}" none by * read'
    with slapd.server(access=(hidden, *slapd.ACCESS)) as own:
        staff, _ = directory(own, verified_cache_s=300, down_grace_s=300)
        assert await checked(staff, "alice", OLD) is PasswordVerdict.RIGHT

        assert not staff.remembers(await found(staff, "alice"), OLD)
        assert staff.remembered_while_down("alice", OLD) is None
        assert (await examined(staff))["search rights"].verdict is Verdict.WARNING
        await staff.close()


# --- changing --------------------------------------------------------------------------------------------------------


async def test_a_wrong_old_password_counts_towards_the_lock(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    """By RFC 3062 alone it would not, and anybody could guess on for ever."""
    name = fresh(server)
    user = await found(staff, name)
    for guess in range(1, 6):
        assert await staff.change_password(user, WRONG, NEW, SOON) is PasswordVerdict.WRONG
        assert failures(server, name) == guess

    assert await staff.change_password(user, OLD, NEW, SOON) is PasswordVerdict.LOCKED


@pytest.mark.parametrize(
    ("attributes", "new", "rule"),
    [
        ({}, "short", "length"),
        ({}, slapd.PASSWORD, "same"),
        (under("min-age"), "New-Passw0rd", "min_age"),
    ],
)
async def test_a_refused_change_says_which_rule_and_changes_nothing(
    server: slapd.Server, staff: OpenLdapDirectory, attributes: dict[str, slapd.Values], new: str, rule: str
) -> None:
    name = fresh(server, **attributes)
    with pytest.raises(PasswordNotAccepted) as refused:
        await staff.change_password(await found(staff, name), OLD, Secret(new), SOON)

    assert refused.value.rule == rule
    assert refused.value.policy is not None
    assert refused.value.policy.min_length == 8
    assert await checked(staff, name, OLD) is PasswordVerdict.RIGHT


async def test_the_history_holds_for_changes_and_resets(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    name = fresh(server)
    assert await staff.change_password(await found(staff, name), OLD, NEW, SOON) is PasswordVerdict.RIGHT
    with pytest.raises(PasswordNotAccepted) as changed:
        await staff.change_password(await found(staff, name), NEW, OLD, SOON)
    with pytest.raises(PasswordNotAccepted) as reset:
        await staff.reset_password(await found(staff, name), OLD, False, SOON)

    assert (changed.value.rule, reset.value.rule) == ("history", "history")


async def test_a_policy_that_wants_the_old_password_gets_it(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    name = fresh(server, **under("safe-modify"))

    assert await staff.change_password(await found(staff, name), OLD, NEW, SOON) is PasswordVerdict.RIGHT
    with pytest.raises(RightMissing, match="pwdSafeModify"):
        await staff.reset_password(await found(staff, name), Secret("Other-Passw0rd"), False, SOON)


async def test_a_policy_that_lets_nobody_change_says_so(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    name = fresh(server, **under("no-change"))
    with pytest.raises(RightMissing, match="pwdAllowUserChange"):
        await staff.change_password(await found(staff, name), OLD, NEW, SOON)


async def test_who_must_change_can(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    name = fresh(server, pwdReset="TRUE")
    user = await found(staff, name)

    assert user.must_change
    assert await staff.change_password(user, OLD, NEW, SOON) is PasswordVerdict.RIGHT
    assert not (await found(staff, name)).must_change
    assert await checked(staff, name, NEW) is PasswordVerdict.RIGHT


async def test_a_changed_password_is_stored_hashed(server: slapd.Server, staff: OpenLdapDirectory, plain: slapd.Server) -> None:
    for each, made in ((server, staff), (plain, directory(plain)[0])):
        name = fresh(each)
        assert await made.change_password(await found(made, name), OLD, NEW, SOON) is PasswordVerdict.RIGHT
        (stored,) = each.read(slapd.user_dn(name), "userPassword")["userPassword"]
        assert stored.startswith("{SSHA}")
        await made.close()


# --- resetting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("attributes", "new", "rule"), [({}, "short", "length"), (under("min-age"), "New-Passw0rd", "min_age")])
async def test_a_refused_reset_says_which_rule_and_leaves_the_lock(
    server: slapd.Server, staff: OpenLdapDirectory, attributes: dict[str, slapd.Values], new: str, rule: str
) -> None:
    name = fresh(server, **attributes, pwdAccountLockedTime=slapd.ago(60))
    with pytest.raises(PasswordNotAccepted) as refused:
        await staff.reset_password(await found(staff, name), Secret(new), False, SOON)

    assert refused.value.rule == rule
    assert (await found(staff, name)).state is AccountState.LOCKED


async def test_a_reset_lifts_the_lock_and_demands_a_change(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    name = fresh(server, pwdAccountLockedTime=slapd.ago(60))
    await staff.reset_password(await found(staff, name), NEW, True, SOON)
    entry = server.read(slapd.user_dn(name), "pwdReset", "pwdAccountLockedTime")

    assert entry == {"pwdReset": ["TRUE"]}
    assert await checked(staff, name, NEW) is PasswordVerdict.MUST_CHANGE


async def test_an_administrators_lock_is_not_lifted_by_a_reset(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    """The server itself would lift it."""
    name = fresh(server, pwdAccountLockedTime="000001010000Z")
    with pytest.raises(RightMissing, match="administrator"):
        await staff.reset_password(await found(staff, name), NEW, False, SOON)

    assert server.read(slapd.user_dn(name), "pwdAccountLockedTime") == {"pwdAccountLockedTime": ["000001010000Z"]}


async def test_a_demand_that_the_policy_ignores_is_refused_before_the_password_is_set(
    server: slapd.Server, staff: OpenLdapDirectory
) -> None:
    name = fresh(server, **under("no-grace"))
    with pytest.raises(RightMissing, match="pwdMustChange"):
        await staff.reset_password(await found(staff, name), NEW, True, SOON)

    assert server.binds(slapd.user_dn(name), slapd.PASSWORD)


async def test_a_demand_that_could_not_be_written_is_told(server: slapd.Server) -> None:
    class Losing(CountingClient):
        async def modify(self, *given: Any, **more: Any) -> Result:
            raise DirectoryUnavailable("the line went dead", "outcome_unknown")

    made = settings(server, default_policy=slapd.policy_dn("default"))
    staff = OpenLdapDirectory(Losing(made, parts()), made, SystemClock())
    name = fresh(server)
    with pytest.raises(DirectoryUnavailable) as lost:
        await staff.reset_password(await found(staff, name), NEW, True, SOON)

    assert lost.value.code == "must_change_not_set"
    assert server.binds(slapd.user_dn(name), "New-Passw0rd")
    await staff.close()


async def test_an_account_without_the_rights_is_told_which_it_lacks(
    server: slapd.Server, make: Callable[..., OpenLdapDirectory]
) -> None:
    staff = make(server, bind=READER, write_contacts=("phone",))
    user = await found(staff, fresh(server))
    locked = await found(staff, fresh(server, pwdAccountLockedTime=slapd.ago(60)))
    expired = await found(staff, fresh(server, **EXPIRED, **under("no-grace")))

    with pytest.raises(RightMissing, match="userPassword"):
        await staff.reset_password(user, NEW, False, SOON)
    with pytest.raises(RightMissing, match="pwdAccountLockedTime"):
        await staff.unlock(locked, SOON)
    with pytest.raises(RightMissing, match="mobile"):
        await staff.write_contact(user, ContactKind.PHONE, "+905321112233", SOON)
    with pytest.raises(RightMissing, match="userPassword"):
        await staff.change_password(expired, OLD, NEW, SOON)
    assert await staff.change_password(user, OLD, NEW, SOON) is PasswordVerdict.RIGHT


# --- unlocking, contacts ---------------------------------------------------------------------------------------------


async def test_unlocking_forgets_the_failures_too(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    name = fresh(server)
    for _ in range(5):
        server.binds(slapd.user_dn(name), "not the password")
    locked = await found(staff, name)
    assert locked.state is AccountState.LOCKED

    assert await staff.unlock(locked, SOON)
    assert failures(server, name) == 0
    assert await checked(staff, name, OLD) is PasswordVerdict.RIGHT
    assert not await staff.unlock(locked, SOON)


async def test_where_the_policy_may_not_be_read_users_log_in_and_are_unlocked_all_the_same() -> None:
    hidden = f'to dn.subtree="{slapd.POLICIES_DN}" by dn.exact="{slapd.SERVICE}" disclose by * read'
    with slapd.server(access=(hidden, *slapd.ACCESS)) as own:
        staff, _ = directory(own)
        locked = await found(staff, "locked")
        rules = await staff.password_policy(locked, SOON)

        assert await checked(staff, "alice", OLD) is PasswordVerdict.RIGHT
        assert await staff.check_password(locked, OLD, SOON) is PasswordVerdict.LOCKED
        assert (rules.min_length, rules.read) == (0, False)
        assert await staff.unlock(locked, SOON)
        assert await staff.check_password(locked, OLD, SOON) is PasswordVerdict.RIGHT
        assert not await staff.unlock(await found(staff, "disabled"), SOON)
        assert (await examined(staff))["default policy"].verdict is Verdict.BAD
        await staff.close()


async def test_unlocking_does_not_lift_a_lock_that_an_administrator_sets_at_that_moment(server: slapd.Server) -> None:
    class Raced(CountingClient):
        async def modify(self, dn: str, *given: Any, **more: Any) -> Result:
            server.replace(dn, "pwdAccountLockedTime", "000001010000Z")
            return await super().modify(dn, *given, **more)

    made = settings(server, default_policy=slapd.policy_dn("default"))
    staff = OpenLdapDirectory(Raced(made, parts()), made, SystemClock())
    name = fresh(server, pwdAccountLockedTime=slapd.ago(60))

    assert not await staff.unlock(await found(staff, name), SOON)
    assert (await found(staff, name)).state is AccountState.DISABLED
    await staff.close()


async def test_a_contact_is_replaced_and_the_others_stay(server: slapd.Server, make: Callable[..., OpenLdapDirectory]) -> None:
    staff = make(server, write_contacts=("phone", "mail"))
    name = fresh(server, mobile=("+905321234567", "+905330000000"), telephoneNumber="+902125556677")
    user = await found(staff, name)
    await staff.write_contact(user, ContactKind.PHONE, "+905449998877", SOON)
    user = await found(staff, name)

    assert (user.phone, user.other_phones) == ("+905449998877", ("+905330000000", "+902125556677"))
    await staff.write_contact(user, ContactKind.PHONE, None, SOON)
    assert server.read(slapd.user_dn(name), "mobile") == {"mobile": ["+905330000000"]}
    with pytest.raises(RightMissing, match="mail"):
        await staff.write_contact(user, ContactKind.MAIL, "new@acme.test", SOON)


async def test_a_contact_is_not_written_unless_the_settings_allow_it(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    name = fresh(server)
    with pytest.raises(RightMissing):
        await staff.write_contact(await found(staff, name), ContactKind.PHONE, "+905449998877", SOON)

    assert server.read(slapd.user_dn(name), "mobile") == {}


# --- without ppolicy -------------------------------------------------------------------------------------------------


async def test_without_the_overlay_there_is_right_and_wrong(plain: slapd.Server, make: Callable[..., OpenLdapDirectory]) -> None:
    staff = make(plain)
    user = await found(staff, "alice")
    rules = await staff.password_policy(user, SOON)

    assert await staff.check_password(user, OLD, SOON) is PasswordVerdict.RIGHT
    assert await staff.check_password(user, WRONG, SOON) is PasswordVerdict.WRONG
    assert (user.state, user.password_expires_at, user.lockout, user.must_change) == (AccountState.ACTIVE, None, None, False)
    assert (rules.min_length, rules.history, rules.read) == (0, 0, True)
    assert {"vpn-users", "staff", "everybody", "auditors"} <= set(user.groups)


async def test_without_the_overlay_passwords_are_changed_and_reset(
    plain: slapd.Server, make: Callable[..., OpenLdapDirectory]
) -> None:
    staff = make(plain)
    name = fresh(plain)
    user = await found(staff, name)

    assert await staff.change_password(user, WRONG, NEW, SOON) is PasswordVerdict.WRONG
    assert await staff.change_password(user, OLD, NEW, SOON) is PasswordVerdict.RIGHT
    await staff.reset_password(user, OLD, False, SOON)
    assert await checked(staff, name, OLD) is PasswordVerdict.RIGHT
    assert not await staff.unlock(user, SOON)
    with pytest.raises(RightMissing, match="ppolicy"):
        await staff.reset_password(user, NEW, True, SOON)
    assert plain.binds(slapd.user_dn(name), slapd.PASSWORD)


async def test_the_rules_of_a_user_are_told(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    rules = await staff.password_policy(await found(staff, "alice"), SOON)

    assert (rules.min_length, rules.history, rules.max_age_s, rules.read) == (8, 5, 42 * slapd.DAY_S, True)


async def test_the_default_policy_is_found_by_its_name(server: slapd.Server, make: Callable[..., OpenLdapDirectory]) -> None:
    rules = await make(server, default_policy=None).password_policy(await found(make(server), "alice"), SOON)

    assert rules.history == 5


async def test_an_empty_or_endless_password_is_never_set(staff: OpenLdapDirectory) -> None:
    user = await found(staff, "alice")
    for new in (Secret(b""), Secret(b"x" * 5000)):
        with pytest.raises(UsageError):
            await staff.change_password(user, OLD, new, SOON)
        with pytest.raises(UsageError):
            await staff.reset_password(user, new, False, SOON)


# --- a server that is gone, silent or somebody else -------------------------------------------------------------------


async def test_starttls_that_is_refused_ends_it_and_nothing_goes_in_clear() -> None:
    with slapd.server(tls=False) as clear:
        staff, _ = directory(clear, servers=(clear.starttls,))
        with pytest.raises(DirectoryUnavailable):
            await staff.find("alice", SOON)
        await staff.close()


async def test_a_server_with_another_name_or_authority_is_not_believed(server: slapd.Server) -> None:
    with slapd.server(names=("ldap.elsewhere.test",)) as elsewhere:
        for authority in (elsewhere.ca_file, server.ca_file):
            staff, _ = directory(elsewhere, ca_file=authority)
            with pytest.raises(DirectoryUnavailable):
                await staff.find("alice", SOON)
            await staff.close()


async def test_while_the_server_is_down_only_a_password_verified_before_lets_in() -> None:
    with slapd.server() as own:
        staff, _ = directory(own, down_grace_s=600)
        assert await checked(staff, "alice", OLD) is PasswordVerdict.RIGHT
        assert await checked(staff, "argon", WRONG) is PasswordVerdict.WRONG
        own.freeze()
        with pytest.raises(DirectoryUnavailable):
            await staff.find("alice", 1.0)
        remembered = staff.remembered_while_down("ALICE", OLD)
        assert remembered is not None
        assert remembered.name == "alice"
        assert staff.remembered_while_down("alice", WRONG) is None
        assert staff.remembered_while_down("argon", WRONG) is None
        own.restart()
        assert await _again(staff, "alice")
        await staff.close()


async def test_a_silent_server_to_which_a_user_sticks_does_not_hold_up_his_login(server: slapd.Server) -> None:
    with slapd.server() as other:
        authorities = other.directory / "both.pem"
        authorities.write_bytes(other.authority.path.read_bytes() + server.authority.path.read_bytes())
        staff, client = directory(other, servers=(other.ldaps, server.ldaps), ca_file=str(authorities))
        user = await found(staff, "alice")
        await staff.reset_password(user, NEW, False, SOON)
        assert client.stuck("alice") == client.stuck(user.immutable_id) == f"{slapd.HOST}:{other.ldaps_port}"
        other.freeze()

        elsewhere = await staff.find("alice", 6.0)
        assert elsewhere is not None
        assert elsewhere.immutable_id != user.immutable_id
        await staff.close()


async def _again(staff: OpenLdapDirectory, name: str) -> bool:
    """Whether the server is asked again in some time after it came back."""
    deadline = datetime.now(UTC) + timedelta(seconds=60)
    while datetime.now(UTC) < deadline:
        try:
            return await staff.find(name, SOON) is not None
        except DirectoryUnavailable:
            continue
    return False


# --- the doctor ------------------------------------------------------------------------------------------------------


async def examined(staff: OpenLdapDirectory, scratch: str | None = None, password: Secret | None = None) -> dict[str, Finding]:
    """The findings by what they are about; servers under `server`."""
    found = [finding async for finding in staff.examine(scratch, password)]
    return {"server" if finding.what.startswith("server 127") else finding.what: finding for finding in found}


async def test_the_doctor_finds_a_good_directory_good(server: slapd.Server, staff: OpenLdapDirectory) -> None:
    findings = await examined(staff, fresh(server), OLD)

    assert {what: finding for what, finding in findings.items() if finding.verdict is not Verdict.GOOD} == {}
    assert {"server", "base", "search rights", "default policy", "reset", "must change", "unlock", "change", "clock"} <= set(
        findings
    )


async def test_without_a_scratch_account_the_doctor_writes_nothing(staff: OpenLdapDirectory) -> None:
    findings = await examined(staff)

    assert {findings[what].verdict for what in ("change", "reset", "must change", "unlock")} == {Verdict.SKIPPED}


async def test_the_lines_that_the_doctor_gives_are_the_rights_that_lack() -> None:
    """An account that may nothing gets by those lines, and by nothing else, what it needs."""
    least = ("to attrs=userPassword by self =xw by anonymous auth", f'to dn.subtree="{slapd.BASE}" by anonymous auth by * none')
    grants: list[str] = []
    while True:
        access = [line.removeprefix("olcAccess: {0}") for line in grants]
        with slapd.server(access=(*access, *least)) as own:
            staff, _ = directory(own)
            findings = await examined(staff, "alice", OLD)
            await staff.close()
        lacking = [line for finding in findings.values() if finding.verdict is Verdict.BAD for line in finding.grant]
        if not lacking:
            break
        assert not set(lacking) <= set(grants), "the lines do not help"
        grants = [*dict.fromkeys((*lacking, *grants))]

    assert {what for what, finding in findings.items() if finding.verdict is Verdict.BAD} == set()
    assert any("pwdReset" in line for line in grants)
    assert any("=xw" in line for line in grants)


async def test_the_doctor_finds_out_who_is_root(server: slapd.Server, make: Callable[..., OpenLdapDirectory]) -> None:
    findings = await examined(make(server, bind=ROOT), fresh(server))

    assert findings["service account"].verdict is Verdict.WARNING
    assert findings["policy holds"].verdict is Verdict.BAD


async def test_the_doctor_says_what_a_server_without_the_overlay_lacks(
    plain: slapd.Server, make: Callable[..., OpenLdapDirectory]
) -> None:
    findings = await examined(make(plain), fresh(plain))

    assert findings["password policy control"].verdict is Verdict.WARNING
    assert findings["reset"].verdict is Verdict.GOOD
    assert {findings[what].verdict for what in ("default policy", "must change", "unlock")} == {Verdict.SKIPPED}


async def test_the_doctor_tells_a_limit_that_would_cut_an_export() -> None:
    with slapd.server(users=600, limits="* size=100") as own:
        staff, _ = directory(own)
        finding = (await examined(staff))["size limit"]
        await staff.close()
        assert finding.verdict is Verdict.WARNING
        (line,) = finding.grant

    with slapd.server(users=600, limits=line.removeprefix("olcLimits: ")) as cured:
        staff, _ = directory(cured)
        assert (await examined(staff))["size limit"].verdict is Verdict.GOOD
        await staff.close()


async def test_the_doctor_stops_at_a_server_that_cannot_be_reached() -> None:
    with slapd.server(names=("ldap.elsewhere.test",)) as elsewhere:
        staff, _ = directory(elsewhere)
        findings = await examined(staff)
        await staff.close()

    assert set(findings) == {"server"}
    assert findings["server"].verdict is Verdict.BAD
