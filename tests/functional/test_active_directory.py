"""Active Directory for real: what a Samba domain controller answers, and what the directory makes of it."""

import asyncio
import shlex
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import samba
from tests.active_directory import CountingClient, parts
from tests.samba_dc import cast
from wardgate.clock import FixedClock
from wardgate.config.reference import ClearValue
from wardgate.crypto import Secret
from wardgate.directory.active_directory import accounts
from wardgate.directory.active_directory.directory import ActiveDirectory
from wardgate.directory.active_directory.passwords import HELD_S, OUTCOME_UNKNOWN, POLICY_HINTS, POLICY_HINTS_OLD
from wardgate.directory.active_directory.settings import ActiveDirectoryAttributes
from wardgate.directory.ldap.port import Control, Entry, Result, Scope
from wardgate.directory.ldap.settings import BindSettings, TimeoutSettings
from wardgate.directory.port import (
    AccountState,
    Closing,
    ContactKind,
    ContactWriting,
    Directory,
    DirectoryUser,
    Examining,
    Finding,
    NameRules,
    PasswordChanging,
    PasswordGrace,
    PasswordNotAccepted,
    PasswordPolicyTelling,
    PasswordRemembering,
    PasswordResetting,
    PasswordVerdict,
    RightMissing,
    ServerState,
    ServerTelling,
    Unlocking,
    Verdict,
)
from wardgate.errors import Conflict, DirectoryUnavailable
from wardgate.policy.groups import qualified_groups

pytestmark = pytest.mark.neighbour("samba")

SOON = 20.0
GOOD = Secret(cast.PASSWORD.encode())
BAD, NEW, NEWER = Secret(b"Wr0ng-of-1815"), Secret(b"N3w-word-of-1816"), Secret(b"N3wer-word-of-1817")
Make = Callable[..., tuple[ActiveDirectory, CountingClient]]


@pytest.fixture
def server() -> samba.DomainController:
    return samba.shared()


@pytest.fixture
async def make(server: samba.DomainController) -> AsyncIterator[Make]:
    made: list[ActiveDirectory] = []

    def directory(client: type[CountingClient] = CountingClient, **settings: Any) -> tuple[ActiveDirectory, CountingClient]:
        given = server.settings(**settings)
        asks = client(given, parts())
        made.append(ActiveDirectory(given, asks, parts()))
        return made[-1], asks

    yield directory
    for each in made:
        await each.close()


@pytest.fixture
def ad(make: Make) -> ActiveDirectory:
    return make()[0]


async def found(ad: ActiveDirectory, name: str) -> DirectoryUser:
    user = await ad.find(name, SOON)
    assert user is not None
    return user


async def somebody(ad: ActiveDirectory, server: samba.DomainController, **given: Any) -> DirectoryUser:
    sam = samba.name()
    server.add_user(sam, **given)
    return await found(ad, sam)


# --- the server itself -------------------------------------------------------------------------------------------------

SUB_CODES = {
    "alice": ("", PasswordVerdict.RIGHT, AccountState.ACTIVE),
    "psmith": ("", PasswordVerdict.RIGHT, AccountState.ACTIVE),
    "gül": ("", PasswordVerdict.RIGHT, AccountState.ACTIVE),
    "chief": ("", PasswordVerdict.RIGHT, AccountState.ACTIVE),
    "expired": ("data 532", PasswordVerdict.EXPIRED, AccountState.ACTIVE),
    "mustchange": ("data 773", PasswordVerdict.MUST_CHANGE, AccountState.ACTIVE),
    "disabled": ("data 533", PasswordVerdict.DISABLED, AccountState.DISABLED),
    "gone": ("data 701", PasswordVerdict.ACCOUNT_EXPIRED, AccountState.EXPIRED),
    "nightless": ("data 530", PasswordVerdict.HOURS, AccountState.ACTIVE),
    "elsewhere": ("data 531", PasswordVerdict.WORKSTATION, AccountState.ACTIVE),
    "locked": ("data 775", PasswordVerdict.LOCKED, AccountState.LOCKED),
}


@pytest.mark.parametrize("sam", SUB_CODES)
async def test_each_sub_code_has_its_verdict(server: samba.DomainController, ad: ActiveDirectory, sam: str) -> None:
    code, verdict, state = SUB_CODES[sam]
    said = server.bind(cast.person(sam).dn, cast.PASSWORD)

    assert code in said
    assert bool(said) == bool(code)
    user = await found(ad, sam)
    assert user.state is state
    assert await ad.check_password(user, GOOD, SOON) is verdict


# What keeps an account out, and how it is brought about on one that a test may try wrong passwords on.
KEPT_OUT: dict[PasswordVerdict, dict[str, Any]] = {
    PasswordVerdict.RIGHT: {},
    PasswordVerdict.DISABLED: {"control": 514},
    PasswordVerdict.ACCOUNT_EXPIRED: {"accountExpires": "130000000000000000"},
    PasswordVerdict.HOURS: {"logonHours": b"\0" * 21},
    PasswordVerdict.WORKSTATION: {"userWorkstations": "NOWHERE"},
}


@pytest.mark.parametrize("verdict", KEPT_OUT)
async def test_an_account_that_may_not_log_in_does_not_tell_by_a_wrong_password(
    server: samba.DomainController, ad: ActiveDirectory, verdict: PasswordVerdict
) -> None:
    user = await somebody(ad, server, **KEPT_OUT[verdict])

    assert await ad.check_password(user, BAD, SOON) is PasswordVerdict.WRONG
    assert await ad.check_password(user, GOOD, SOON) is verdict


async def test_a_password_that_is_to_be_changed_does_not_tell_by_a_wrong_one(
    server: samba.DomainController, ad: ActiveDirectory
) -> None:
    expired, other = await late(ad), await somebody(ad, server)
    server.set(other.attributes["distinguishedName"][0], pwdLastSet="0")

    for user, verdict in ((expired, PasswordVerdict.EXPIRED), (other, PasswordVerdict.MUST_CHANGE)):
        assert await ad.check_password(user, BAD, SOON) is PasswordVerdict.WRONG
        assert await ad.check_password(user, GOOD, SOON) is verdict


# --- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        "alice",
        " ALICE ",
        r"ACME\alice",
        r"acme\Alice",
        r"acme.test\alice",
        "alice@acme.test",
        "ALICE@ACME.TEST",
        "alice@acme",
        "alice.kaya@acme.test",
    ],
)
async def test_a_user_is_found_by_every_form_of_his_name(ad: ActiveDirectory, typed: str) -> None:
    assert (await found(ad, typed)).name == "alice"


@pytest.mark.parametrize(
    "typed", [r"OTHER\alice", r"\alice", r"ACME\alice@acme.test", "alice@other.test", "@acme.test", "acme.test/alice"]
)
async def test_a_name_of_another_domain_is_nobodys(ad: ActiveDirectory, typed: str) -> None:
    assert await ad.find(typed, SOON) is None


@pytest.mark.parametrize(
    "typed",
    [
        "*",
        "al*",
        "alice)(objectClass=*",
        "*)(sAMAccountName=alice",
        r"al\69ce",
        "alice\0",
        "alice))(|(cn=*",
        r"ACME\*",
        "*@acme.test",
        "(alice)",
    ],
)
async def test_a_name_with_filter_characters_finds_nobody(ad: ActiveDirectory, typed: str) -> None:
    assert await ad.find(typed, SOON) is None


async def test_a_name_with_a_comma_and_parentheses_in_its_dn_is_served(ad: ActiveDirectory) -> None:
    user = await found(ad, "psmith")

    assert user.attributes["distinguishedName"] == (cast.person("psmith").dn,)
    assert await ad.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


@pytest.mark.parametrize("typed", ["gül", "GÜL", "GÜL@acme.test", r"ACME\GüL", "gul.isik@acme.test"])
async def test_turkish_letters_are_compared_without_case(ad: ActiveDirectory, typed: str) -> None:
    user = await found(ad, typed)

    assert (user.name, user.display_name) == ("gül", "Gül Işık")
    assert user.groups[-2:] == ("Müdürler", "Users")


@pytest.mark.parametrize(
    ("stored", "others"), [("ısık", ("isik", "ISIK", "İSİK")), ("izmir", ("ızmir", "İzmir")), ("sule", ("şule",))]
)
async def test_a_letter_that_only_looks_alike_is_another_name(
    server: samba.DomainController, ad: ActiveDirectory, stored: str, others: Sequence[str]
) -> None:
    sam = samba.name(stored)
    server.add_user(sam)

    assert (await found(ad, sam)).name == sam
    for other in others:
        assert await ad.find(sam.replace(stored, other), SOON) is None


async def test_a_upn_is_a_mail_address_of_those_alone_who_have_it_as_one(server: samba.DomainController, make: Make) -> None:
    """Many domains give everybody a UPN that is one of the addresses of his `proxyAddresses`."""
    ad, _ = make(attributes=ActiveDirectoryAttributes(other_mails=("otherMailbox",)))
    shared, alone = f"{samba.name('team')}@acme.test", f"{samba.name('alone')}@acme.test"
    one, two = samba.name("one"), samba.name("two")
    server.add_user(one, userPrincipalName=shared, mail="first@acme.test", otherMailbox=f"smtp:{shared}")
    server.add_user(two, mail=shared)
    server.add_user(samba.name("three"), userPrincipalName=alone, mail="third@acme.test")

    assert sorted(user.name for user in await ad.sharing_mail(shared.upper(), SOON, 10)) == sorted([one, two])
    assert await ad.sharing_mail(alone, SOON, 10) == ()


async def test_a_mail_address_that_is_anothers_upn_is_nobodys(server: samba.DomainController, ad: ActiveDirectory) -> None:
    first, second = samba.name(), samba.name()
    server.add_user(first, userPrincipalName=f"{first}@corp.test")
    assert (await found(ad, f"{first}@corp.test")).name == first
    server.add_user(second, mail=f"{first}@corp.test")

    assert await ad.find(f"{first}@corp.test", SOON) is None


async def test_a_renamed_and_moved_user_stays_himself(server: samba.DomainController, ad: ActiveDirectory) -> None:
    before = await somebody(ad, server)
    dn = server.move(before.attributes["distinguishedName"][0], f"CN={before.name}-x", cast.ISTANBUL)
    server.set(dn, sAMAccountName=f"{before.name}-x")
    after = await found(ad, f"{before.name}-x")

    assert (after.immutable_id, after.name) == (before.immutable_id, f"{before.name}-x")
    assert await ad.find(before.name, SOON) is None
    assert await ad.get(before.immutable_id, SOON) == after
    assert await ad.check_password(after, GOOD, SOON) is PasswordVerdict.RIGHT


async def test_a_user_outside_the_base_is_not_found_by_his_id_either(ad: ActiveDirectory, make: Make) -> None:
    alice = await found(ad, "alice")
    elsewhere, _ = make(base=cast.GUARDED)

    assert await elsewhere.find("alice", SOON) is None
    assert await elsewhere.get(alice.immutable_id, SOON) is None
    assert (await found(elsewhere, "guarded")).name == "guarded"


async def test_a_user_whom_the_filter_leaves_out_is_not_found(ad: ActiveDirectory, make: Make) -> None:
    alice = await found(ad, "alice")
    only, _ = make(user_filter="(!(sAMAccountName=alice))")

    assert await only.find("alice", SOON) is None
    assert await only.get(alice.immutable_id, SOON) is None
    assert (await found(only, "burak")).name == "burak"


async def test_computers_are_no_users(ad: ActiveDirectory) -> None:
    assert await ad.find("dc1$", SOON) is None


async def test_what_a_name_cannot_be_is_told_without_asking(ad: ActiveDirectory) -> None:
    assert ad.might_hold(r"OTHER\alice")  # its own names are not known yet
    await found(ad, "alice")

    assert [ad.might_hold(name) for name in (r"OTHER\alice", "", "a\0b")] == [False, False, False]
    assert [ad.might_hold(name) for name in ("u", r"ACME\u", r"acme.test\u", "u@anywhere.test")] == [True, True, True, True]


async def test_it_has_every_ability_of_a_directory(ad: ActiveDirectory) -> None:
    for ability in (
        Directory,
        NameRules,
        PasswordRemembering,
        PasswordGrace,
        PasswordChanging,
        PasswordResetting,
        PasswordPolicyTelling,
        Unlocking,
        ContactWriting,
        Examining,
        ServerTelling,
        Closing,
    ):
        assert isinstance(ad, ability)


async def test_a_login_costs_two_reads_and_one_bind(make: Make) -> None:
    ad, client = make(Recording)
    assert isinstance(client, Recording)
    await found(ad, "alice")
    client.searched.clear()
    assert await ad.check_password(await found(ad, "alice"), GOOD, SOON) is PasswordVerdict.RIGHT

    assert len(client.searched) == 2
    assert len(client.bound_at) == 1


# --- what is told of a user ---------------------------------------------------------------------------------------------


async def test_contacts_and_times_are_told(ad: ActiveDirectory) -> None:
    alice, never = await found(ad, "alice"), await found(ad, "never")

    assert (alice.mail, alice.phone, alice.other_phones) == ("Alice.Kaya@acme.test", "+905321234567", ("+905337654321",))
    assert (alice.display_name, alice.language, alice.protected) == ("Alice Kaya", "tr", False)
    assert alice.password_expires_at is not None
    ends_in = alice.password_expires_at - datetime.now(UTC)
    assert timedelta(days=cast.MAX_AGE_DAYS - 1) < ends_in <= timedelta(days=cast.MAX_AGE_DAYS)
    assert never.password_expires_at is None
    assert (await found(ad, "mustchange")).must_change
    assert (await found(ad, "chief")).protected


async def test_a_phone_that_cannot_be_read_is_told_and_not_used(server: samba.DomainController, ad: ActiveDirectory) -> None:
    user = await somebody(ad, server, mobile="ask Pat", otherMobile=["0533 765 43 21"])

    assert user.phone == "+905337654321"
    assert [line.split(":")[0] for line in user.unusable] == ["mobile"]
    assert "Pat" not in "".join(user.unusable)


async def test_nested_groups_of_a_cycle_and_the_primary_one_are_told_and_no_distribution_group(ad: ActiveDirectory) -> None:
    alice = await found(ad, "alice")

    assert alice.groups == ("Domain Users", "Everywhere", "Inner", "Middle", "Outer", "Users", "VPN Users")
    dn, sid = alice.group_aliases["VPN Users"]
    assert dn == cast.member_dn("VPN Users")
    assert sid.startswith("S-1-5-21-")
    assert alice.group_aliases["Users"][1] == "S-1-5-32-545"


@pytest.mark.parametrize("what", ["name", "dn", "sid"])
async def test_a_group_whose_cn_is_what_another_is_called_is_not_taken_for_it(
    server: samba.DomainController, ad: ActiveDirectory, what: str
) -> None:
    """Whoever may make groups in one OU chooses their cn freely: only sAMAccountName, DN and SID are the domain's own."""
    dn, sid = (await found(ad, "alice")).group_aliases["VPN Users"]
    called = {"name": "VPN Users", "dn": dn.replace("=", r"\3D").replace(",", r"\2C"), "sid": sid}[what]
    user = await somebody(ad, server)
    corner = server.add_ou(samba.name("corner"))
    server.add_group(called, members=[user.attributes["distinguishedName"][0]], ou=corner, sam=samba.name("group"))

    held = await found(ad, user.name)
    names = qualified_groups((ad.name,), held.groups, held.group_aliases)

    assert len(held.groups) == len(user.groups) + 1
    assert names.isdisjoint(f"{ad.name}:{each}".lower() for each in ("VPN Users", dn, sid))


async def test_a_fine_grained_policy_holds_for_whom_it_is(ad: ActiveDirectory, make: Make) -> None:
    fine, alice = await found(ad, "fine"), await found(ad, "alice")
    rules, usual = await ad.password_policy(fine, SOON), await ad.password_policy(alice, SOON)

    assert (rules.min_length, rules.history, rules.max_age_s, rules.read) == (14, 10, 30 * 86_400, True)
    assert (usual.min_length, usual.history, usual.complexity, usual.min_age_s) == (cast.MIN_LENGTH, cast.HISTORY, True, 0)
    assert fine.lockout is not None
    assert alice.lockout is not None
    assert (fine.lockout.threshold, fine.lockout.window_s) == (3, 600)
    assert (alice.lockout.threshold, alice.lockout.window_s) == (cast.LOCKOUT_THRESHOLD, cast.LOCKOUT_MINUTES * 60)
    ordinary, _ = make(bind=samba.shared().reader)
    hidden = await ordinary.password_policy(fine, SOON)
    assert (hidden.min_length, hidden.read) == (cast.MIN_LENGTH, False)


async def test_wrong_passwords_made_elsewhere_are_counted_until_the_account_locks(
    server: samba.DomainController, ad: ActiveDirectory
) -> None:
    user = await somebody(ad, server)
    dn = user.attributes["distinguishedName"][0]
    for _ in range(3):
        server.bind(dn, "Wr0ng")
    seen = await found(ad, user.name)

    assert seen.lockout is not None
    assert seen.lockout.failures == 3
    assert seen.version == user.version  # guesses of strangers drop nobody's remembered password
    for _ in range(2):
        server.bind(dn, "Wr0ng")
    locked = await found(ad, user.name)
    assert locked.state is AccountState.LOCKED
    assert locked.version != user.version
    assert await ad.check_password(locked, GOOD, SOON) is PasswordVerdict.LOCKED


# --- checking passwords --------------------------------------------------------------------------------------------------


async def test_an_empty_password_is_never_sent(make: Make) -> None:
    ad, client = make()
    user = await found(ad, "alice")
    for password in (Secret(b""), Secret("")):
        assert await ad.check_password(user, password, SOON) is PasswordVerdict.WRONG
        await ad.check_nobody(password, SOON)

    assert client.binds == 0


@pytest.mark.parametrize(
    "password", [GOOD.reveal() + b"\0", GOOD.reveal() + b"\0x", b"\0" + GOOD.reveal(), b"\xff\xfe", b"x" * 10_000]
)
async def test_what_cannot_be_a_password_is_wrong_at_the_price_of_one_bind(make: Make, password: bytes) -> None:
    ad, client = make()

    assert await ad.check_password(await found(ad, "alice"), Secret(password), SOON) is PasswordVerdict.WRONG
    assert client.binds == 1


async def test_a_name_that_does_not_exist_costs_one_bind(make: Make) -> None:
    ad, client = make()
    await ad.check_nobody(GOOD, SOON)

    assert client.binds == 1


async def test_continuation_references_are_never_followed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search at the root of a domain is answered with references to other places, where our password would go."""
    asked: set[tuple[object, object]] = set()
    connect = asyncio.BaseEventLoop.create_connection

    async def note(loop: Any, factory: Any, host: Any = None, port: Any = None, **given: Any) -> Any:
        asked.add((host, port))
        return await connect(loop, factory, host, port, **given)

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", note)
    ad, client = make()
    entries = await client.search(cast.BASE, Scope.SUBTREE, "(objectClass=crossRef)", ("cn",), timeout_s=SOON)
    await found(ad, "alice")

    assert entries == ()
    assert asked == {(cast.ADDRESS, 636)}


async def test_a_password_that_was_changed_is_not_remembered_while_the_domain_still_takes_it(
    server: samba.DomainController, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an hour a bind takes the password before, which may have been changed because somebody else knows it."""
    monkeypatch.setattr(accounts, "FIRST_PASSWORD", timedelta(days=-1))  # as if the account had been there for long
    ad, _ = make(verified_cache_s=300, down_grace_s=600)
    user = await somebody(ad, server)
    await ad.change_password(user, GOOD, NEW, SOON)
    await ad.check_password(await found(ad, user.name), NEW, SOON)  # the first login changes the entry

    assert await ad.check_password(await found(ad, user.name), GOOD, SOON) is PasswordVerdict.RIGHT
    assert not ad.remembers(await found(ad, user.name), GOOD)
    assert ad.remembered_while_down(user.name, GOOD) is None


async def test_a_new_administrator_is_protected_before_the_domain_marks_him(
    server: samba.DomainController, ad: ActiveDirectory
) -> None:
    """Samba never sets adminCount, Windows within an hour; until then the grace of a directory that is down would let him in."""
    admins, inner = f"CN=Domain Admins,CN=Users,{cast.BASE}", samba.name("inner")
    nested = server.add_group(inner)
    direct, indirect = [await somebody(ad, server, groups=[group]) for group in (admins, nested)]
    assert not indirect.protected
    server.modify(f"dn: {admins}\nchangetype: modify\nadd: member\nmember: {nested}\n")

    assert direct.protected
    assert (await found(ad, indirect.name)).protected
    server.delete(nested)


async def test_a_grace_is_for_names_that_were_looked_up_and_never_for_administrators(make: Make) -> None:
    ad, _ = make(down_grace_s=600)
    for sam in ("alice", "chief"):
        assert await ad.check_password(await found(ad, sam), GOOD, SOON) is PasswordVerdict.RIGHT

    kept = ad.remembered_while_down("ALICE", GOOD)
    assert kept is not None
    assert kept.name == "alice"
    assert ad.remembered_while_down("alice", BAD) is None
    assert ad.remembered_while_down("alice@acme.test", GOOD) is None
    assert ad.remembered_while_down("chief", GOOD) is None


# --- changing --------------------------------------------------------------------------------------------------------------


async def refused(work: Awaitable[object]) -> PasswordNotAccepted:
    with pytest.raises(PasswordNotAccepted) as raised:
        await work
    assert not any(secret.reveal().decode() in raised.value.message for secret in (GOOD, NEW, NEWER))
    return raised.value


@pytest.mark.parametrize(("new", "rule"), [(b"Sh0rt!", "length"), (b"alllowercase-", "complexity"), (GOOD.reveal(), "history")])
async def test_a_change_against_a_rule_is_refused_with_the_rule(
    server: samba.DomainController, ad: ActiveDirectory, new: bytes, rule: str
) -> None:
    user = await somebody(ad, server)
    error = await refused(ad.change_password(user, GOOD, Secret(new), SOON))

    assert error.rule == rule
    assert error.policy is not None
    assert error.policy.min_length == cast.MIN_LENGTH
    assert await ad.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


@pytest.mark.parametrize("work", ["change", "reset"])
async def test_the_length_of_a_fine_grained_policy_is_the_one_that_counts(
    server: samba.DomainController, ad: ActiveDirectory, work: str
) -> None:
    user = await somebody(ad, server, password="L0nger-than-fourteen", pso=cast.FINE_PSO)
    short = Secret(b"Th1rteen-char")
    old = Secret(b"L0nger-than-fourteen")
    doing = ad.change_password(user, old, short, SOON) if work == "change" else ad.reset_password(user, short, False, SOON)

    assert (await refused(doing)).rule == "length"


async def test_a_password_with_the_account_name_in_it_is_refused_as_windows_would(
    server: samba.DomainController, ad: ActiveDirectory
) -> None:
    user = await somebody(ad, server)

    assert (await refused(ad.change_password(user, GOOD, Secret(f"X9-{user.name.upper()}-y".encode()), SOON))).rule == "complexity"


async def test_a_password_that_is_too_young_cannot_be_changed_and_can_be_reset(
    server: samba.DomainController, ad: ActiveDirectory
) -> None:
    user = await somebody(ad, server, pso=cast.YOUNG_PSO)

    assert (await refused(ad.change_password(user, GOOD, NEW, SOON))).rule == "min_age"
    assert (await refused(ad.reset_password(user, GOOD, False, SOON))).rule == "history"
    await ad.reset_password(user, NEW, False, SOON)
    assert await ad.check_password(user, NEW, SOON) is PasswordVerdict.RIGHT


async def test_a_wrong_old_password_is_wrong_and_counts(server: samba.DomainController, ad: ActiveDirectory) -> None:
    user = await somebody(ad, server)

    assert await ad.change_password(user, BAD, NEW, SOON) is PasswordVerdict.WRONG
    seen = await found(ad, user.name)
    assert seen.lockout is not None
    assert seen.lockout.failures == 1


@pytest.mark.parametrize("old", [GOOD, BAD])
async def test_a_locked_user_changes_nothing(server: samba.DomainController, ad: ActiveDirectory, old: Secret) -> None:
    user = await somebody(ad, server)
    server.lock(user.attributes["distinguishedName"][0])

    assert await ad.change_password(user, old, NEW, SOON) is PasswordVerdict.LOCKED


@pytest.mark.parametrize("old", [GOOD, BAD])
async def test_a_disabled_user_changes_nothing_though_the_server_would(
    server: samba.DomainController, ad: ActiveDirectory, old: Secret
) -> None:
    user = await somebody(ad, server, control=514)

    assert await ad.change_password(user, old, NEW, SOON) is PasswordVerdict.REFUSED
    assert "data 52e" in server.bind(user.attributes["distinguishedName"][0], NEW.reveal().decode())


async def test_a_user_who_must_change_is_served(server: samba.DomainController, ad: ActiveDirectory) -> None:
    user = await somebody(ad, server)
    server.set(user.attributes["distinguishedName"][0], pwdLastSet="0")

    assert await ad.change_password(await found(ad, user.name), GOOD, NEW, SOON) is PasswordVerdict.RIGHT
    after = await found(ad, user.name)
    assert not after.must_change
    assert await ad.check_password(after, NEW, SOON) is PasswordVerdict.RIGHT


async def late(ad: ActiveDirectory) -> DirectoryUser:
    for number in range(cast.LATE):
        user = await found(ad, f"late{number}")
        if await ad.check_password(user, GOOD, SOON) is PasswordVerdict.EXPIRED:
            return user
    raise LookupError("all of them were used up while this server runs")


async def test_a_user_whose_password_expired_is_served(ad: ActiveDirectory) -> None:
    before = await late(ad)

    assert before.password_expires_at is not None
    assert before.password_expires_at < datetime.now(UTC)
    assert not before.must_change
    assert await ad.change_password(before, GOOD, NEW, SOON) is PasswordVerdict.RIGHT
    after = await found(ad, before.name)
    assert after.password_expires_at is not None
    assert after.password_expires_at > datetime.now(UTC)
    assert await ad.check_password(after, NEW, SOON) is PasswordVerdict.RIGHT


async def test_the_ordinary_account_is_enough_for_changes(server: samba.DomainController, make: Make) -> None:
    ad, _ = make(bind=server.reader)
    user = await somebody(ad, server)

    assert await ad.change_password(user, GOOD, NEW, SOON) is PasswordVerdict.RIGHT


# --- resetting ---------------------------------------------------------------------------------------------------------------


async def test_a_reset_lifts_the_lock_and_demands_a_change(server: samba.DomainController, ad: ActiveDirectory) -> None:
    user = await somebody(ad, server)
    server.lock(user.attributes["distinguishedName"][0])
    await ad.reset_password(user, NEW, True, SOON)
    after = await found(ad, user.name)

    assert (after.state, after.must_change) == (AccountState.ACTIVE, True)
    assert await ad.check_password(after, NEW, SOON) is PasswordVerdict.MUST_CHANGE


async def test_a_reset_that_the_history_refuses_goes_on_with_the_next_choice(server: samba.DomainController, make: Make) -> None:
    """The account has a random password meanwhile. Its lock is lifted, and another choice takes up where the first one ended."""
    ad, client = make(Recording)
    assert isinstance(client, Recording)
    user = await somebody(ad, server)
    dn = user.attributes["distinguishedName"][0]
    await ad.change_password(user, GOOD, NEW, SOON)
    server.lock(dn)
    client.modified.clear()

    assert (await refused(ad.reset_password(user, NEW, False, SOON))).rule == "history"
    between = await found(ad, user.name)
    assert (between.state, between.must_change) == (AccountState.ACTIVE, True)
    assert (await refused(ad.reset_password(user, GOOD, False, SOON))).rule == "history"
    await ad.reset_password(user, NEWER, False, SOON)
    after = await found(ad, user.name)
    assert not after.must_change
    assert await ad.check_password(after, NEWER, SOON) is PasswordVerdict.RIGHT
    kinds = [[change.kind.name for change in changes if change.attribute == "unicodePwd"] for changes in client.modified]
    assert kinds == [["REPLACE"], ["DELETE", "ADD"], ["DELETE", "ADD"], ["DELETE", "ADD"]]


async def test_a_reset_begins_anew_when_somebody_else_set_the_password_meanwhile(
    server: samba.DomainController, ad: ActiveDirectory
) -> None:
    user = await somebody(ad, server)
    await refused(ad.reset_password(user, GOOD, False, SOON))
    server.set(user.attributes["distinguishedName"][0], unicodePwd=samba.unicode_pwd("An0ther-of-1818"))
    await ad.reset_password(user, NEWER, True, SOON)

    assert await ad.check_password(user, NEWER, SOON) is PasswordVerdict.MUST_CHANGE


async def test_the_random_password_is_kept_for_a_while_only(server: samba.DomainController) -> None:
    clock, settings = FixedClock(datetime.now(UTC)), server.settings()
    client = Recording(settings, parts(clock))
    ad = ActiveDirectory(settings, client, parts(clock))
    try:
        user = await somebody(ad, server)
        await refused(ad.reset_password(user, GOOD, False, SOON))
        clock.advance(HELD_S)
        await ad.reset_password(user, NEWER, False, SOON)
    finally:
        await ad.close()

    kinds = [[change.kind.name for change in changes if change.attribute == "unicodePwd"] for changes in client.modified]
    assert kinds == [["REPLACE"], ["DELETE", "ADD"], ["REPLACE"], ["DELETE", "ADD"]]


@pytest.mark.parametrize("oid", [POLICY_HINTS, POLICY_HINTS_OLD])
async def test_where_the_server_can_hold_a_reset_to_the_history_one_step_is_enough(
    server: samba.DomainController, make: Make, oid: str
) -> None:
    """Critical, always: a server that did not know it would set the password without a word."""
    ad, client = make(Hinting)
    assert isinstance(client, Hinting)
    client.listed = oid
    user = await somebody(ad, server)
    await ad.reset_password(user, NEW, True, SOON)

    assert [control.oid for control in client.controls] == [oid]
    assert [(control.critical, control.value) for control in client.controls] == [(True, b"\x30\x03\x02\x01\x01")]
    assert len(client.modified) == 1
    assert await ad.check_password(user, NEW, SOON) is PasswordVerdict.MUST_CHANGE


@pytest.mark.parametrize("code", [19, 53])
async def test_a_reset_that_windows_refuses_by_its_history_leaves_the_password(
    server: samba.DomainController, make: Make, code: int
) -> None:
    ad, client = make(Hinting)
    assert isinstance(client, Hinting)
    client.answer = Result(code, "0000052D: SvcErr: DSID-031A120C, problem 5003 (WILL_NOT_PERFORM), data 0\n\0")
    user = await somebody(ad, server)

    assert (await refused(ad.reset_password(user, NEW, False, SOON))).rule == "history"
    assert await ad.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


async def test_a_server_that_does_not_know_the_control_after_all_is_served_in_two_steps(
    server: samba.DomainController, make: Make
) -> None:
    ad, client = make(Hinting)
    assert isinstance(client, Hinting)
    client.passes_on = True
    user = await somebody(ad, server)
    await ad.reset_password(user, NEW, False, SOON)

    assert len(client.modified) == 3
    assert await ad.check_password(user, NEW, SOON) is PasswordVerdict.RIGHT


async def test_without_the_emulation_a_reset_may_repeat_a_password_in_one_step(server: samba.DomainController, make: Make) -> None:
    ad, client = make(Recording, emulate_history=False)
    assert isinstance(client, Recording)
    user = await somebody(ad, server)
    await ad.reset_password(user, GOOD, False, SOON)

    assert len(client.modified) == 1
    assert await ad.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


async def test_a_reset_of_a_disabled_account_does_not_enable_it(server: samba.DomainController, ad: ActiveDirectory) -> None:
    user = await somebody(ad, server, control=514)
    await ad.reset_password(user, NEW, False, SOON)

    assert (await found(ad, user.name)).state is AccountState.DISABLED
    assert await ad.check_password(user, NEW, SOON) is PasswordVerdict.DISABLED


@pytest.mark.parametrize("sam", ["chief", "guarded"])
async def test_a_reset_without_the_right_says_what_to_do(server: samba.DomainController, ad: ActiveDirectory, sam: str) -> None:
    user = await found(ad, sam)
    with pytest.raises(RightMissing) as raised:
        await ad.reset_password(user, NEW, False, SOON)

    assert ("adminCount" in raised.value.message) == (sam == "chief")
    assert ("directory doctor acme-ad" in raised.value.message) == (sam == "guarded")
    assert server.bind(cast.person(sam).dn, cast.PASSWORD) == ""


async def test_an_unlock_without_the_right_says_what_to_do(server: samba.DomainController, make: Make) -> None:
    ad, _ = make(bind=server.reader)
    with pytest.raises(RightMissing):
        await ad.unlock(await found(ad, "locked"), SOON)


async def test_a_contact_is_not_written_without_the_right(ad: ActiveDirectory) -> None:
    with pytest.raises(RightMissing, match="mobile"):
        await ad.write_contact(await found(ad, "burak"), ContactKind.PHONE, "+905320000000", SOON)


async def test_an_account_that_went_meanwhile_is_a_conflict(server: samba.DomainController, ad: ActiveDirectory) -> None:
    user = await somebody(ad, server)
    server.delete(user.attributes["distinguishedName"][0])

    with pytest.raises(Conflict):
        await ad.reset_password(user, NEW, False, SOON)
    assert await ad.change_password(user, GOOD, NEW, SOON) is PasswordVerdict.REFUSED
    assert await ad.unlock(user, SOON) is False


async def test_a_lock_that_was_lifted_is_looked_for_where_it_was_lifted(server: samba.DomainController, make: Make) -> None:
    ad, client = make()
    user = await somebody(ad, server)
    server.lock(user.attributes["distinguishedName"][0])

    assert await ad.unlock(user, SOON)
    assert client.stuck(user.immutable_id) == f"{cast.ADDRESS}:636"
    assert not await ad.unlock(user, SOON)
    assert (await found(ad, user.name)).state is AccountState.ACTIVE


# --- answers that get lost -----------------------------------------------------------------------------------------------------


class Recording(CountingClient):
    """Keeps what was modified. `lose`: how many answers of modifications get lost from now on, after or before they are made."""

    lose, before = 0, False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.modified: list[Sequence[Any]] = []
        self.bound_at: list[str | None] = []
        self.modified_at: list[str | None] = []
        self.searched: list[str] = []

    async def search(self, base: str, *arguments: Any, **given: Any) -> tuple[Entry, ...]:
        self.searched.append(base)
        return await super().search(base, *arguments, **given)

    async def modify(self, dn: str, changes: Sequence[Any], **given: Any) -> Result:
        self.modified.append(changes)
        self.modified_at.append(given.get("server"))
        lost, self.lose = self.lose > 0, max(0, self.lose - 1)
        if not (lost and self.before):
            result = await super().modify(dn, changes, **given)
        if lost:
            raise DirectoryUnavailable("no answer came", OUTCOME_UNKNOWN)
        return result

    async def bind(self, dn: str, password: Secret, **given: Any) -> Result:
        self.bound_at.append(given.get("server"))
        return await super().bind(dn, password, **given)


class Hinting(Recording):
    """Behaves as Windows does, which lists POLICY_HINTS. `passes_on`: Samba is sent it after all."""

    listed = POLICY_HINTS
    answer: Result | None = None
    passes_on = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.controls: list[Control] = []

    async def root_dse(self, **given: Any) -> Entry:
        entry = await super().root_dse(**given)
        controls = (*entry.values("supportedControl"), self.listed.encode())
        return Entry(entry.dn, {**entry.attributes, "supportedcontrol": controls})

    async def modify(self, dn: str, changes: Sequence[Any], **given: Any) -> Result:
        self.controls += given.get("controls", ())
        if self.answer is not None:
            return self.answer
        return await super().modify(dn, changes, **given if self.passes_on else {**given, "controls": ()})


async def test_a_change_whose_answer_got_lost_is_found_out_by_a_bind(server: samba.DomainController, make: Make) -> None:
    ad, client = make(Recording)
    assert isinstance(client, Recording)
    user = await somebody(ad, server)
    client.lose = 1

    assert await ad.change_password(user, GOOD, NEW, SOON) is PasswordVerdict.RIGHT
    client.lose, client.before = 1, True
    with pytest.raises(DirectoryUnavailable) as raised:
        await ad.change_password(user, NEW, NEWER, SOON)
    assert raised.value.code == OUTCOME_UNKNOWN
    assert await ad.check_password(user, NEW, SOON) is PasswordVerdict.RIGHT


@pytest.mark.parametrize("demand_change", [False, True])
@pytest.mark.parametrize("lost", [1, 2])
async def test_a_reset_whose_answers_got_lost_is_done_once(
    server: samba.DomainController, make: Make, lost: int, demand_change: bool
) -> None:
    ad, client = make(Recording)
    assert isinstance(client, Recording)
    user = await somebody(ad, server)
    client.lose = lost
    await ad.reset_password(user, NEW, demand_change, SOON)

    assert len(client.modified) == 2
    wanted = PasswordVerdict.MUST_CHANGE if demand_change else PasswordVerdict.RIGHT
    assert await ad.check_password(user, NEW, SOON) is wanted


async def test_a_reset_that_never_reached_the_server_says_so(server: samba.DomainController, make: Make) -> None:
    ad, client = make(Recording)
    assert isinstance(client, Recording)
    user = await somebody(ad, server)
    client.lose, client.before = 1, True
    with pytest.raises(DirectoryUnavailable) as raised:
        await ad.reset_password(user, NEW, False, SOON)

    assert raised.value.code == OUTCOME_UNKNOWN
    assert await ad.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


async def test_what_was_written_is_checked_where_it_was_written(server: samba.DomainController, make: Make) -> None:
    """Another domain controller may not have heard of it yet."""
    two = (f"ldaps://{cast.ADDRESS}:636", f"ldap+starttls://{cast.ADDRESS}:389")
    ad, client = make(Recording, servers=two, order="round_robin")
    assert isinstance(client, Recording)
    user = await somebody(ad, server)
    await ad.reset_password(user, NEW, False, SOON)
    for _ in range(3):
        assert await ad.check_password(await found(ad, user.name), NEW, SOON) is PasswordVerdict.RIGHT

    assert client.stuck(user.immutable_id) in (f"{cast.ADDRESS}:636", f"{cast.ADDRESS}:389")
    assert client.modified_at == [None, client.stuck(user.immutable_id)]  # the second step, where the first one was made
    assert set(client.bound_at) == {client.stuck(user.immutable_id)}


# --- two domain controllers ----------------------------------------------------------------------------------------------------


class Line:
    """A line to the first domain controller that can fall silent."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    async def __aenter__(self) -> "Line":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"ldaps://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._tasks: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        self._open.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(cast.ADDRESS, 636)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.ensure_future(self._pass(source, target))
            self._tasks.add(task)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(2**16):
                await self._open.wait()
                target.write(data)
        finally:
            target.close()


async def spare(ad: ActiveDirectory) -> DirectoryUser:
    for number in range(cast.SPARE):
        user = await found(ad, f"spare{number}")
        if await ad.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT:
            return user
    raise LookupError("all of them were used up while this server runs")


async def test_a_new_password_is_checked_where_it_was_set_while_the_other_server_lags_behind(
    ad: ActiveDirectory, make: Make
) -> None:
    lagging = samba.second()
    user = await spare(ad)
    both, client = make(Recording, servers=(f"ldaps://{cast.ADDRESS}:636", lagging.url))
    assert isinstance(client, Recording)
    await both.reset_password(user, NEW, False, SOON)
    client.bound_at.clear()
    for _ in range(3):
        assert await both.check_password(await found(both, user.name), NEW, SOON) is PasswordVerdict.RIGHT

    assert "data 52e" in lagging.bind(user.attributes["distinguishedName"][0], NEW.reveal().decode())
    assert set(client.bound_at) == {f"{cast.ADDRESS}:636"}


async def test_a_wrong_password_is_not_tried_at_a_second_server(
    server: samba.DomainController, ad: ActiveDirectory, make: Make
) -> None:
    lagging = samba.second()
    user = await spare(ad)
    dn = user.attributes["distinguishedName"][0]

    def counted() -> int:
        return sum(int(each.read(dn, "badPwdCount").get("badPwdCount", ["0"])[0]) for each in (server, lagging))

    before = counted()
    both, _ = make(servers=(f"ldaps://{cast.ADDRESS}:636", lagging.url))

    assert await both.check_password(await found(both, user.name), BAD, SOON) is PasswordVerdict.WRONG
    assert counted() - before == 1


async def test_the_second_server_answers_when_the_first_falls_silent(make: Make) -> None:
    lagging = samba.second()
    async with Line() as line:
        ad, _ = make(servers=(line.url, lagging.url), timeouts=TimeoutSettings(connect_s=2, operation_s=2))
        alice = await found(ad, "alice")
        assert await ad.check_password(alice, GOOD, SOON) is PasswordVerdict.RIGHT
        line.cut()
        again = await found(ad, "alice")

        assert again.immutable_id == alice.immutable_id
        assert await ad.check_password(again, GOOD, SOON) is PasswordVerdict.RIGHT
        assert [status.state for status in ad.servers()][1] is ServerState.UP


# --- the doctor ------------------------------------------------------------------------------------------------------------------


async def examined(ad: ActiveDirectory, scratch: str | None = None, password: Secret | None = None) -> dict[str, Finding]:
    findings = [finding async for finding in ad.examine(scratch, password)]
    assert not any(secret.reveal().decode() in repr(findings) for secret in (GOOD, Secret(cast.SERVICE_PASSWORD)))
    return {finding.what: finding for finding in findings}


async def test_the_doctor_finds_a_healthy_directory_healthy_and_leaves_the_password(
    server: samba.DomainController, ad: ActiveDirectory
) -> None:
    user = await somebody(ad, server)
    findings = await examined(ad, user.name, GOOD)

    told = {what: finding.verdict for what, finding in findings.items() if not what.startswith("attribute ")}
    assert set(told.values()) == {Verdict.GOOD}
    assert {"base", "search", "groups", "password policy", "lockout", "right to reset", "right to unlock"} <= set(findings)
    assert await ad.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


async def test_a_mistyped_scratch_password_does_not_become_the_accounts(
    server: samba.DomainController, ad: ActiveDirectory
) -> None:
    user = await somebody(ad, server)
    mistyped = Secret("Passw0rd-of-1851")
    findings = await examined(ad, user.name, mistyped)

    assert "not the account's" in findings["change of a password"].found
    assert findings["scratch account"].verdict is Verdict.WARNING
    assert await ad.check_password(user, mistyped, SOON) is PasswordVerdict.WRONG


async def test_the_doctor_tries_nothing_without_a_scratch_account(make: Make) -> None:
    ad, client = make(Recording)
    assert isinstance(client, Recording)
    findings = await examined(ad)

    assert findings["right to reset"].verdict is Verdict.SKIPPED
    assert client.modified == []


async def test_the_lines_that_the_doctor_prints_grant_what_was_missing(server: samba.DomainController, make: Make) -> None:
    ou = server.add_ou(samba.name("ward"), cast.BASE)
    name = samba.name("svc")
    dn = server.add_user(name, cast.SERVICE_PASSWORD, ou=ou)
    sam = samba.name()
    server.add_user(sam, ou=ou)
    bind = BindSettings(dn=dn, password=ClearValue(value=cast.SERVICE_PASSWORD))
    ad, _ = make(bind=bind, base=ou, write_contacts=("phone",))
    before = await examined(ad, sam)
    rights = [f"right to {what}" for what in ("reset", "unlock", "demand a change", "write mobile")]

    assert {before[what].verdict for what in rights} == {Verdict.BAD}
    assert all(before[what].grant[0].startswith(f'dsacls "{ou}"') and rf"ACME\{name}:" in before[what].grant[0] for what in rights)
    for what in rights:
        server.samba_tool(*shlex.split(before[what].grant[1])[1:])
    after = await examined(ad, sam)
    assert {after[what].verdict for what in rights} == {Verdict.GOOD}
    assert before["fine-grained policies"].verdict is Verdict.WARNING


async def test_the_doctor_names_what_an_administrators_account_cannot_show(ad: ActiveDirectory) -> None:
    findings = await examined(ad, "chief", GOOD)

    assert findings["scratch account"].verdict is Verdict.BAD
    assert "right to reset" not in findings


@pytest.mark.parametrize(
    ("settings", "what", "told"),
    [
        ({"base": "OU=Nowhere,DC=acme,DC=test"}, "base", "does not exist"),
        ({"base": "DC=other,DC=test"}, "base", "not in this domain"),
        ({"user_filter": "(sAMAccountName=nobody)"}, "search", "no account"),
        ({"ca_file": None}, f"server {cast.ADDRESS}:636", "certificate"),
        ({"servers": (f"ldaps://{cast.ADDRESS}:1",)}, f"server {cast.ADDRESS}:1", ""),
    ],
)
async def test_the_doctor_finds_what_is_wrong(make: Make, settings: dict[str, Any], what: str, told: str) -> None:
    findings = await examined(make(**settings)[0])

    assert findings[what].verdict is Verdict.BAD
    assert told in findings[what].found
    assert findings[what].cure


async def test_the_doctor_tells_a_wrong_password_of_our_account(server: samba.DomainController, make: Make) -> None:
    bind = replace(server.reader, password=ClearValue(value="Wr0ng-of-1815"), dn=server.add_user(samba.name("svc")))
    findings = await examined(make(bind=bind)[0])

    assert findings[f"server {cast.ADDRESS}:636"].verdict is Verdict.BAD
    assert "bind.dn" in findings[f"server {cast.ADDRESS}:636"].cure


def test_samba_tool_is_at_hand(server: samba.DomainController) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        server.samba_tool("dsacl", "set", "--objectdn=CN=nobody", "--sddl=(A;;RP;;;WD)")
