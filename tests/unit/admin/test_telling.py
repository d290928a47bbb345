"""Whatever the help desk does in an account, its person hears of it everywhere, once; and nobody does of what was not done."""

import io
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.admin.memory_kind import MemorySettings, register
from wardgate.account import device
from wardgate.account.authenticator import AuthenticatorState
from wardgate.account.mail_link import TABLE as LINKS
from wardgate.account.mail_link import Purpose, from_row
from wardgate.account.subject import SubjectId
from wardgate.admin import activations, authenticators, contacts, freezes, locks, subjects, user_import, users
from wardgate.admin.office import Office
from wardgate.config.document import Document
from wardgate.config.store import save
from wardgate.crypto import Secret
from wardgate.delivery.outbox import OutboxEntry, list_messages
from wardgate.delivery.pickup import PickupSettings
from wardgate.delivery.port import Channel
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.settings import LocalDirectorySettings, RealmSettings
from wardgate.engine.settings import ApplicationSettings, NoticeSettings
from wardgate.errors import AlreadyExists, NotFound
from wardgate.policy.settings import FloorSettings, FloorThenSettings, PolicySettings, RuleSettings, ThenSettings
from wardgate.storage.port import Update

PHONE, MAIL, OWN, SECURITY = "+905321111111", "ada@acme.test", "+905323333333", "soc@acme.test"
REFERENCE, URL = "7K3M9QXT", "https://login.acme.test"
SEED = "00112233445566778899aabbccddeeff00112233"
Doing = Callable[[Office], Awaitable[object]]


@pytest.fixture
def acme() -> MemoryDirectory:
    directory = MemoryDirectory("acme")
    directory.add("ada", "pw", phone=PHONE, mail=MAIL, groups=("staff",))
    return directory


@pytest.fixture
async def desk(office: Office, acme: MemoryDirectory, monkeypatch: pytest.MonkeyPatch) -> Office:
    """Ada in a directory and bob in our own, both with a phone and a mail address."""
    register(acme, monkeypatch)
    await configured(office)
    await users.add_user(office, directory="staff", name="bob", mail="bob@acme.test", phone=PHONE, password=Secret("an old one"))
    return replace(office, tells=True, portal_url=URL, reference=REFERENCE)


async def configured(office: Office, floor: str = "", version: int = 0) -> None:
    """`floor`: the group that is held to what administrators are held to."""
    gateways = tuple(PickupSettings(name=each.value, kind="pickup", channel=each.value) for each in Channel)
    realm = RealmSettings(name="r", default=True, directories=("acme", "staff"), region="TR")
    strict = FloorSettings(
        name="admins", when={"group": [floor if ":" in floor else f"acme:{floor}"]}, then=FloorThenSettings(strong_factors=2)
    )
    rule = RuleSettings(name="all", then=ThenSettings(steps=(("password",), ("totp",))))
    document = Document(
        realms=(realm,),
        directories=(MemorySettings(name="acme", kind="memory"), LocalDirectorySettings(name="staff", kind="local")),
        gateways=gateways,
        applications=(ApplicationSettings(name="portal", kind="portal", policy="web"),),
        policies=(PolicySettings(name="web", rules=(rule,), floors=(strict,) if floor else ()),),
        notices=NoticeSettings(security_mail=(SECURITY,)),
    )
    await save(office.storage, document, "test", "", version, office.clock, office.ring)


async def sent(office: Office) -> list[OutboxEntry]:
    return list(reversed(await list_messages(office.storage, office.ring, 100)))


async def places(office: Office) -> list[str]:
    return sorted(each.to for each in await sent(office))


async def an_app(office: Office) -> str:
    told = await authenticators.add_totp(quiet(office), directory="acme", name="ada", secret_hex=SEED, label="phone")
    return str(told["id"])


def quiet(office: Office) -> Office:
    """What was there before, of which nobody hears."""
    return replace(office, tells=False)


async def revoke(office: Office) -> object:
    return await authenticators.revoke_authenticator(office, authenticator_id=await an_app(office))


async def release(office: Office) -> object:
    app = await an_app(office)
    await office.storage.commit([Update("authenticator", {"id": app}, {"state": AuthenticatorState.HELD.value})])
    return await authenticators.release_authenticator(office, authenticator_id=app)


async def remove_contact(office: Office) -> object:
    await contacts.add_contact(quiet(office), name="ada", value="own@acme.test", verified=True)
    return await contacts.remove_own_contact(office, name="ada", value="own@acme.test")


async def enable_locked(office: Office) -> object:
    await users.lock_user(quiet(office), directory="staff", name="bob")
    return await users.enable_user(office, directory="staff", name="bob")


async def forget(office: Office) -> object:
    await an_app(office)
    subject_id = str((await subjects.show_subject(office, name="ada"))["subject_id"])
    _, made = device.make(office.ring, SubjectId(subject_id), "Firefox", office.now_ms(), 3600)
    await office.storage.commit(made)
    return await subjects.forget_devices(office, name="ada")


async def imported(office: Office, *rows: str, silent: bool = False) -> object:
    text = "username,password,totp_secret_hex,phone\n" + "".join(
        f"{row.rstrip(',')}{',' * (3 - row.rstrip(',').count(','))}\n" for row in rows
    )
    return await user_import.import_users(office, io.BytesIO(text.encode()), directory="staff", silent=silent)


async def join(office: Office) -> object:
    await an_app(office)
    return await subjects.relink(office, name="bob", directory="staff", to_name="ada", to_directory="acme")


BOB = ["+905321111111", "bob@acme.test"]
ADA = [PHONE, MAIL]
ACTS: dict[str, tuple[Doing, str, list[str]]] = {
    "add an app": (
        lambda desk: authenticators.add_totp(desk, directory="acme", name="ada", label="His phone"),
        "Added as a way to sign in: Authenticator app, His phone.",
        ADA,
    ),
    "codes": (
        lambda desk: authenticators.add_recovery_codes(desk, directory="acme", name="ada"),
        "A new set of recovery codes was made.",
        ADA,
    ),
    "revoke": (revoke, "Removed: Authenticator app, phone.", ADA),
    "release": (release, "May be used again: Authenticator app, phone.", ADA),
    "add a number": (
        lambda desk: contacts.add_contact(desk, name="ada", value=OWN, verified=True),
        "Added: +90 *** ** 33.",
        [PHONE, OWN, MAIL],
    ),
    "add an unverified number": (lambda desk: contacts.add_contact(desk, name="ada", value=OWN), "Added: +90 *** ** 33.", ADA),
    "remove an address": (remove_contact, "Removed: o***@acme.test.", [PHONE, MAIL, "own@acme.test"]),
    "join": (
        join,
        "Your account was joined with another one.",
        [PHONE, MAIL, "bob@acme.test"],
    ),
    "unlock": (lambda desk: subjects.unlock_subject(desk, name="ada"), "Your account was unlocked.", ADA),
    "lift": (lambda desk: locks.clear_locks(desk, user="ada", reason="called"), "Your account was unlocked.", ADA),
    "start code": (
        lambda desk: activations.activate(desk, URL, name="ada", by=["print"]),
        "A link or a code was issued that sets your account up.",
        ADA,
    ),
    "password": (
        lambda desk: users.set_password(desk, directory="staff", name="bob", password=Secret("a new one")),
        "Your password was set.",
        BOB,
    ),
    "forget devices": (forget, "Browsers or devices that you trusted are trusted no more.", ADA),
    "import": (
        lambda desk: imported(desk, f"bob,,{SEED}"),
        "Added as a way to sign in: Authenticator app, import.",
        BOB,
    ),
    "import a password and a number": (
        lambda desk: imported(desk, f"bob,a newer one,,{OWN}"),
        "Your password was set. Your phone or e-mail address was changed.",
        [*BOB, OWN],
    ),
    "import what is there already": (lambda desk: imported(desk, f"bob,,,{PHONE}"), "", []),
    "unlock ours": (lambda desk: users.unlock_user(desk, directory="staff", name="bob"), "", []),
    "enable a locked one": (enable_locked, "Your account was unlocked.", BOB),
    "change a number": (
        lambda desk: users.change_user(desk, directory="staff", name="bob", phone=OWN),
        "Your phone or e-mail address was changed.",
        [PHONE, OWN, "bob@acme.test"],
    ),
    "change a name": (lambda desk: users.change_user(desk, directory="staff", name="bob", display_name="Bob"), "", []),
}


@pytest.mark.parametrize("act", ACTS)
async def test_person_hears_once_and_everywhere_what_an_operator_did(desk: Office, act: str) -> None:
    does, said, told = ACTS[act]
    await does(desk)
    messages = await sent(desk)
    assert sorted(each.to for each in messages) == sorted(told)
    for each in messages:
        assert said in each.text
        assert REFERENCE in each.text
        assert each.channel == Channel.SMS or "· Wardgate ·" in each.text
        assert OWN not in each.text
    if told:
        rows = await desk.storage.find("audit_event", order_by="seq")
        assert rows[-1]["reference"] == REFERENCE


async def test_link_in_it_freezes_the_account(desk: Office) -> None:
    await an_app(desk)
    await contacts.add_contact(desk, name="ada", value=OWN, verified=True)
    [row] = await desk.storage.find(LINKS)
    link = from_row(desk.ring, row)
    assert link is not None
    assert link.purpose is Purpose.NOT_ME
    assert (link.payload["user"], link.payload["reference"]) == ("ada", REFERENCE)
    assert all(f"{URL}/l/" in each.text for each in await sent(desk))


async def test_what_is_refused_is_told_to_nobody(desk: Office) -> None:
    await an_app(desk)
    with pytest.raises(AlreadyExists):
        await authenticators.add_totp(desk, directory="acme", name="ada", secret_hex=SEED)
    with pytest.raises(NotFound):
        await authenticators.revoke_authenticator(desk, authenticator_id="0" * 32)
    with pytest.raises(NotFound):
        await contacts.remove_own_contact(desk, name="ada", value=OWN)
    assert await sent(desk) == []


async def test_lost_device_ends_while_the_directory_is_silent_and_what_we_know_of_the_person_is_told(
    desk: Office, acme: MemoryDirectory
) -> None:
    app = await an_app(desk)
    await contacts.add_contact(quiet(desk), name="ada", value="own@home.test", verified=True)
    acme.behaviour = Behaviour.UNAVAILABLE
    await authenticators.revoke_authenticator(desk, authenticator_id=app)
    assert await places(desk) == ["own@home.test"]


async def test_link_of_an_activation_is_not_told_of_a_second_time_where_it_goes(desk: Office) -> None:
    await activations.activate(desk, URL, name="ada", by=["mail"])
    messages = await sent(desk)
    assert sorted((each.to, "/activate/" in each.text) for each in messages) == [(PHONE, False), (MAIL, True)]


@pytest.mark.parametrize("is_administrator", [True, False])
async def test_operator_who_gives_himself_an_administrators_account_is_seen_by_those_who_look_after_security(
    desk: Office, is_administrator: bool
) -> None:
    await configured(desk, "staff" if is_administrator else "others", version=1)
    await authenticators.add_totp(desk, directory="acme", name="ada", label="mine")
    told = [each for each in await sent(desk) if each.to == SECURITY]
    assert len(told) == is_administrator
    for each in told:
        assert "The account of the administrator ada was changed by operator:olga." in each.text
        assert "/l/" not in each.text


async def test_freeze_by_an_operator_and_its_end_are_told_to_the_person_and_those_who_will_be_called(desk: Office) -> None:
    await contacts.add_contact(quiet(desk), name="ada", value="own@home.test", verified=True)
    await freezes.freeze_person(desk, name="ada")
    assert await places(desk) == [PHONE, MAIL, "own@home.test", SECURITY]
    [desk_mail] = [each for each in await sent(desk) if each.to == SECURITY]
    assert "an operator set it" in desk_mail.text
    await freezes.unfreeze_person(desk, name="ada")
    lifted = [each for each in await sent(desk) if "no longer on hold" in each.text]
    assert sorted(each.to for each in lifted) == [PHONE, MAIL, "own@home.test"]
    rows = [row for row in await desk.storage.find("audit_event", order_by="seq") if "freeze" in str(row["kind"])]
    assert [(row["kind"], row["reference"]) for row in rows] == [
        ("account:freeze:set", REFERENCE),
        ("account:freeze:lifted", REFERENCE),
    ]


@pytest.mark.parametrize("act", ACTS)
async def test_nothing_is_said_of_what_a_demo_or_a_restore_sets_up(desk: Office, act: str) -> None:
    await ACTS[act][0](quiet(desk))
    await freezes.freeze_person(quiet(desk), name="ada")
    assert [each for each in await sent(desk) if "/activate/" not in each.text] == []


async def test_message_to_a_turkish_person_is_turkish(desk: Office, acme: MemoryDirectory) -> None:
    acme.add("bora", "pw", mail="bora@acme.test", phone=PHONE, language="tr")
    await subjects.unlock_subject(desk, name="bora")
    by_channel: dict[Any, OutboxEntry] = {each.channel: each for each in await sent(desk)}
    assert "Yardım masası hesabınızda işlem yaptı. Hesabınızın kilidi açıldı." in by_channel[Channel.EMAIL].text
    assert "Hesabinizin kilidi acildi." in by_channel[Channel.SMS].text


@pytest.mark.parametrize("act", ["password", "freeze"])
async def test_person_and_trail_are_told_for_which_ticket_an_operator_did_it(desk: Office, act: str) -> None:
    """Somebody who asked for nothing can say which case it was that somebody else asked for."""
    ticketed = replace(desk, ticket="HD-4711")
    if act == "password":
        await users.set_password(ticketed, directory="staff", name="bob", password=Secret("a new one"))
    else:
        await freezes.freeze_person(ticketed, name="bob", directory="staff")
    texts = {each.channel: each.text for each in await sent(desk) if each.to in BOB}
    assert "reference 7K3M9QXT, ticket HD-4711" in texts[Channel.EMAIL.value]
    assert "Ticket HD-4711." in texts[Channel.SMS.value]
    rows = await desk.storage.find("audit_event", order_by="seq")
    assert json.loads(str(rows[-1]["payload"]))["ticket"] == "HD-4711"


async def test_import_of_many_may_be_silent_and_the_trail_says_so(desk: Office) -> None:
    await imported(desk, f"bob,,{SEED}", f"eve,,{SEED},{OWN}", silent=True)
    assert await sent(desk) == []
    rows = await desk.storage.find("audit_event", order_by="seq")
    told = json.loads(str(rows[-1]["payload"]))
    assert (told["silent"], told["people_told"], told["authenticators_added"]) == (True, 0, 2)


@pytest.mark.parametrize("group", ["staff:admins", "staff:new admins"])
async def test_silent_import_does_not_take_over_an_administrators_account_unseen(desk: Office, group: str) -> None:
    """Whoever may import files could give himself an app and a phone there; a group that the file takes away or gives counts."""
    await users.change_user(quiet(desk), directory="staff", name="bob", groups=("admins",))
    await configured(desk, group, version=1)
    text = f"username,totp_secret_hex,phone,groups\nbob,{SEED},{OWN},new admins\neve,{SEED},{OWN},staff\n"
    await user_import.import_users(desk, io.BytesIO(text.encode()), directory="staff", silent=True)
    assert await places(desk) == sorted([*BOB, OWN, SECURITY])
    rows = await desk.storage.find("audit_event", order_by="seq")
    told = json.loads(str(rows[-1]["payload"]))
    assert (told["silent"], told["people_told"]) == (True, 1)


@pytest.mark.parametrize("by", ["file", "hand"])
async def test_account_is_not_made_nobodys_in_particular_and_then_taken_over_unseen(desk: Office, by: str) -> None:
    """Out of the group, another phone, into the group again: neither end of it is silent."""
    await configured(desk, "staff:admins", version=1)
    for count, group in enumerate(["admins", "staff"], start=1):
        if by == "hand":
            await users.change_user(desk, directory="staff", name="bob", groups=(group,))
        else:
            text = f"username,groups\nbob,{group}\n"
            await user_import.import_users(desk, io.BytesIO(text.encode()), directory="staff", silent=True)
        assert await places(desk) == sorted([*BOB, SECURITY] * count)
    await users.change_user(desk, directory="staff", name="bob", groups=("others",))
    assert len(await sent(desk)) == 2 * len([*BOB, SECURITY]), "what makes nobody an administrator is no news"


async def test_import_tells_each_person_once_whose_account_it_changes(desk: Office) -> None:
    await imported(desk, f"bob,a newer one,{SEED},{OWN}", f"eve,,{SEED[::-1]},+905324444444")
    assert await places(desk) == sorted([*BOB, OWN, "+905324444444"])
    rows = await desk.storage.find("audit_event", order_by="seq")
    told = json.loads(str(rows[-1]["payload"]))
    assert (told.get("silent"), told["people_told"]) == (None, 2)
