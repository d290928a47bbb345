"""An operator issues activations: what goes out, what is told once, what stands on record."""

import json
from typing import Any

import pytest

from tests.unit.admin.memory_kind import configure, register
from wardgate.account.activation import CODE_LIFE_MS, MAIL_LIFE_MS, SMS_LIFE_MS, code_fits, link_mac_of, of_link, read_one
from wardgate.admin.activations import activate, cancel_activation, show_activation
from wardgate.admin.freezes import freeze_person, unfreeze_person
from wardgate.admin.office import Office
from wardgate.audit.events import Kind
from wardgate.delivery.outbox import list_messages
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import AccountState
from wardgate.errors import NotFound, UsageError

URL = "https://login.acme.test"


@pytest.fixture
def acme() -> MemoryDirectory:
    directory = MemoryDirectory("acme")
    directory.add("grace", "nobody knows it", phone="+905321111111", mail="grace@example.org", language="tr")
    directory.add("heidi", "pw")
    directory.add("ivan", "pw", mail="ivan@example.org", state=AccountState.DISABLED)
    return directory


@pytest.fixture
async def desk(office: Office, acme: MemoryDirectory, monkeypatch: pytest.MonkeyPatch) -> Office:
    register(acme, monkeypatch)
    await configure(office, region="TR")
    return office


async def events(office: Office, kind: Kind) -> list[dict[str, Any]]:
    rows = await office.storage.find("audit_event", order_by="seq")
    return [json.loads(str(row["payload"])) for row in rows if row["kind"] == kind.stored]


async def test_link_and_code_are_issued_and_stand_on_record_without_either(desk: Office) -> None:
    told = await activate(desk, URL, name="grace", by=["mail", "print"], tell="frank@acme.test")
    [message] = await list_messages(desk.storage, desk.ring, 10)
    assert message.to == "grace@example.org"
    assert "hesap" in message.text
    token = message.text.split(f"{URL}/activate/")[1].split()[0]
    activation = read_one(*await desk.storage.read([of_link(link_mac_of(desk.ring, token))]))
    assert activation is not None
    assert code_fits(desk.ring, activation, activation.subject_id, told["code"], desk.now_ms())
    assert (activation.link_until - desk.now_ms(), activation.code_until - desk.now_ms()) == (MAIL_LIFE_MS, CODE_LIFE_MS)
    assert told["second_proofs"] == ["start_code", "sms"]
    [event] = await events(desk, Kind.ACTIVATION_ISSUED)
    assert event["ways"] == ["mail", "print"]
    for secret in (token, told["code"], told["code"].replace("-", "")):
        assert secret not in repr(await desk.storage.find("audit_event"))
        assert secret not in repr(await desk.storage.find("activation"))
    shown = (await show_activation(desk, name="grace"))["activation"]
    assert (shown["state"], shown["link"], shown["has_code"], shown["wrong_answers"]) == ("open", "mail", True, 0)
    assert told["code"] not in repr(shown)


async def test_frozen_account_gets_no_activation(desk: Office) -> None:
    await activate(desk, URL, name="grace", by=["print"])
    await freeze_person(desk, name="grace")
    with pytest.raises(UsageError, match="frozen"):
        await activate(desk, URL, name="grace", by=["mail"])
    assert await list_messages(desk.storage, desk.ring, 10) == []
    await unfreeze_person(desk, name="grace")
    assert (await activate(desk, URL, name="grace", by=["mail"]))["sent_to"]


async def test_link_by_text_message_lives_for_ten_minutes(desk: Office) -> None:
    told = await activate(desk, URL, name="grace", by=["sms"])
    [message] = await list_messages(desk.storage, desk.ring, 10)
    assert (message.channel, message.to, told["code"]) == ("sms", "+905321111111", None)
    activation = read_one(await desk.storage.find("activation"))
    assert activation is not None
    assert activation.link_until - desk.now_ms() == SMS_LIFE_MS
    assert told["second_proofs"] == ["email"]


async def test_what_cannot_be_issued_is_refused_and_leaves_nothing(desk: Office) -> None:
    cases: list[tuple[str, list[str]]] = [("grace", []), ("grace", ["fax"]), ("grace", ["mail", "sms"])]
    for name, ways in [*cases, ("heidi", ["mail"]), ("ivan", ["mail"])]:
        with pytest.raises(UsageError):
            await activate(desk, URL, name=name, by=ways)
    with pytest.raises(NotFound):
        await activate(desk, URL, name="nobody", by=["print"])
    assert await desk.storage.find("activation") == []
    assert await list_messages(desk.storage, desk.ring, 10) == []


async def test_cancelled_activation_is_told_so(desk: Office) -> None:
    with pytest.raises(NotFound):
        await cancel_activation(desk, name="grace")
    assert (await activate(desk, URL, name="heidi", by=["print"]))["second_proofs"] == []
    assert (await cancel_activation(desk, name="heidi"))["cancelled"]
    assert (await show_activation(desk, name="heidi"))["activation"]["state"] == "cancelled"
    assert len(await events(desk, Kind.ACTIVATION_CANCELLED)) == 1
    with pytest.raises(NotFound):
        await cancel_activation(desk, name="heidi")
