"""An operator's work on contacts: whose they are, what is verified, what goes into the directory, what stands on record."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.admin.memory_kind import configure, register
from wardgate.account.contact import MAX_CONTACTS
from wardgate.account.directory_contact import asked, first_seen, sighting
from wardgate.account.subject import create_subject
from wardgate.admin import contacts
from wardgate.admin.office import Office
from wardgate.audit.events import Kind
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import ContactKind, DirectoryUser, RightMissing
from wardgate.errors import AlreadyExists, DirectoryUnavailable, NotFound, UsageError

OWN, OTHER, HR = "+905323333333", "+905324444444", "+905321111111"


class Acme(MemoryDirectory):
    """One into which phones may be written."""

    written: tuple[str, ContactKind, str | None] | None = None
    failure: Exception | None = None

    def writes(self, kind: ContactKind) -> bool:
        return kind is ContactKind.PHONE

    async def write_contact(self, user: DirectoryUser, kind: ContactKind, value: str | None, timeout_s: float) -> None:
        if self.failure is not None:
            raise self.failure
        self.written = (user.name, kind, value)

    async def get(self, immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        user = await super().get(immutable_id, timeout_s)
        return replace(user, phone=self.written[2]) if user is not None and self.written else user


@pytest.fixture
def acme() -> Acme:
    directory = Acme("acme")
    directory.add("ada", "pw", phone=HR, mail="ada@acme.test")
    return directory


@pytest.fixture
async def desk(office: Office, acme: Acme, monkeypatch: pytest.MonkeyPatch) -> Office:
    register(acme, monkeypatch)
    await configure(office, region="TR")
    return office


async def events(office: Office, kind: Kind) -> list[dict[str, Any]]:
    rows = await office.storage.find("audit_event", order_by="seq")
    return [json.loads(str(row["payload"])) for row in rows if row["kind"] == kind.stored]


async def test_an_unverified_contact_is_kept_and_no_code_goes_there(desk: Office) -> None:
    told = await contacts.add_contact(desk, name="ada", value="0532 333 33 33")
    assert (told["kind"], told["value"], told["verified"]) == ("phone", OWN, False)
    assert told["codes_go_to"] == {"phone": HR, "mail": "ada@acme.test"}
    with pytest.raises(UsageError, match="verified"):
        await contacts.prefer_contact(desk, name="ada", value=OWN)


async def test_a_preferred_verified_contact_takes_the_codes_until_it_is_given_up(desk: Office) -> None:
    added = await contacts.add_contact(desk, name="ADA", value=OWN, verified=True)
    assert added["codes_go_to"]["phone"] == HR
    preferred = await contacts.prefer_contact(desk, name="ada", value=OWN)
    assert preferred["codes_go_to"]["phone"] == OWN
    assert (await contacts.prefer_contact(desk, name="ada", value="phone"))["codes_go_to"]["phone"] == HR
    await contacts.prefer_contact(desk, name="ada", value=OWN)
    removed = await contacts.remove_own_contact(desk, name="ada", value=OWN)
    assert removed["codes_go_to"]["phone"] == HR
    assert (await contacts.list_contacts(desk, name="ada"))["contacts"] == []


async def test_only_one_is_preferred(desk: Office) -> None:
    for value in (OWN, OTHER):
        await contacts.add_contact(desk, name="ada", value=value, verified=True)
        await contacts.prefer_contact(desk, name="ada", value=value)
    listed = (await contacts.list_contacts(desk, name="ada"))["contacts"]
    assert {each["value"]: each["preferred"] for each in listed} == {OWN: False, OTHER: True}


async def test_a_list_tells_both_kinds_and_what_the_directory_has(desk: Office) -> None:
    await contacts.add_contact(desk, name="ada", value="Ada@Home.test", verified=True)
    told = await contacts.list_contacts(desk, name="ada")
    assert [each["value"] for each in told["contacts"]] == ["Ada@Home.test"]
    assert told["of_directory"] == {"phones": [HR], "mails": ["ada@acme.test"], "unusable": []}


async def test_one_contact_is_kept_once_and_not_without_end(desk: Office) -> None:
    await contacts.add_contact(desk, name="ada", value="ada@home.test")
    with pytest.raises(AlreadyExists):
        await contacts.add_contact(desk, name="ada", value="ADA@home.test", verified=True)
    for number in range(1, MAX_CONTACTS):
        await contacts.add_contact(desk, name="ada", value=f"ada{number}@home.test")
    with pytest.raises(UsageError, match="remove one"):
        await contacts.add_contact(desk, name="ada", value="more@home.test")
    await contacts.add_contact(desk, name="ada", value=OWN)


async def test_the_record_holds_no_whole_number(desk: Office) -> None:
    await contacts.add_contact(desk, name="ada", value=OWN, verified=True)
    await contacts.prefer_contact(desk, name="ada", value=OWN)
    await contacts.remove_own_contact(desk, name="ada", value=OWN)
    for kind in (Kind.CONTACT_ADDED, Kind.CONTACT_PREFERRED, Kind.CONTACT_REMOVED):
        [event] = await events(desk, kind)
        assert event["value"] == "+90 *** ** 33"
        assert event["user"] == "ada"
    assert OWN[3:] not in str(await desk.storage.find("audit_event"))


async def test_somebody_new_with_an_old_name_inherits_no_contact(desk: Office, acme: Acme) -> None:
    await contacts.add_contact(desk, name="ada", value=OWN, verified=True)
    gone = await acme.find("ada", 1)
    assert gone is not None
    acme.remove(gone)
    acme.add("ada", "another", phone=None)
    told = await contacts.list_contacts(desk, name="ada")
    assert told["contacts"] == []
    assert told["codes_go_to"]["phone"] is None


async def test_a_contact_is_written_to_the_directory_and_not_to_the_profile(desk: Office, acme: Acme) -> None:
    [user] = [each async for page in acme.users(1.0) for each in page]
    subject, met = create_subject("acme", user.immutable_id, desk.now_ms())
    await desk.storage.commit([*met, *sighting(desk.ring, subject, acme, user, (), desk.now_ms())])
    told = await contacts.add_contact(desk, name="ada", value=OWN, to_directory=True)
    now = await acme.get(user.immutable_id, 1.0)
    [rows] = await desk.storage.read([asked(subject, "acme")])
    assert now is not None
    assert first_seen(desk.ring, subject, acme, now, rows, desk.now_ms()) == {}, "the help desk set it up"
    assert acme.written == ("ada", ContactKind.PHONE, OWN)
    assert told["codes_go_to"]["phone"] == OWN
    assert (await contacts.list_contacts(desk, name="ada"))["contacts"] == []
    [event] = await events(desk, Kind.CONTACT_WRITTEN)
    assert (event["outcome"], event["value"]) == ("written", "+90 *** ** 33")


async def test_the_directorys_contact_is_removed_there_only_when_it_is_the_one_that_was_named(desk: Office, acme: Acme) -> None:
    with pytest.raises(NotFound):
        await contacts.remove_own_contact(desk, name="ada", value=OWN, from_directory=True)
    assert acme.written is None
    await contacts.remove_own_contact(desk, name="ada", value=HR, from_directory=True)
    assert acme.written == ("ada", ContactKind.PHONE, None)


async def test_what_the_settings_do_not_allow_is_not_written(desk: Office, acme: Acme) -> None:
    with pytest.raises(UsageError, match="write_contacts"):
        await contacts.add_contact(desk, name="ada", value="ada@home.test", to_directory=True)
    assert acme.written is None


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [(RightMissing("no right"), "refused"), (DirectoryUnavailable("no answer", "outcome_unknown"), "unknown")],
)
async def test_a_write_that_failed_is_on_record_with_what_is_known(
    desk: Office, acme: Acme, failure: Exception, outcome: str
) -> None:
    acme.failure = failure
    with pytest.raises(type(failure)):
        await contacts.add_contact(desk, name="ada", value=OWN, to_directory=True)
    [event] = await events(desk, Kind.CONTACT_WRITTEN)
    assert event["outcome"] == outcome


async def test_while_the_directory_is_down_nobody_stands_in_for_its_user(desk: Office, acme: Acme) -> None:
    acme.behaviour = Behaviour.UNAVAILABLE
    with pytest.raises(DirectoryUnavailable):
        await contacts.add_contact(desk, name="ada", value=OWN)


@pytest.mark.parametrize("value", ["ada", "12", "@", "a b@c", "+90532333333312345", ""])
async def test_what_is_neither_a_phone_nor_a_mail_address_is_refused(desk: Office, value: str) -> None:
    with pytest.raises(UsageError):
        await contacts.add_contact(desk, name="ada", value=value)
