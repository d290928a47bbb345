"""The demo's outbox as JSON and as a page."""

import pytest

from tests.unit.web.samples import Sample
from wardgate.delivery.port import Channel
from wardgate.storage.port import Update
from wardgate.web.outbox import PAGE_MESSAGES, wants_json


async def test_json_lists_every_message_newest_first() -> None:
    sample = Sample()
    await sample.fill()
    async with sample.client(headers={"accept": "application/json"}) as client:
        reply = await client.get("/outbox")
    first = reply.json()[0]
    assert [message["user"] for message in reply.json()] == ["bob", "carol", "dave"]
    assert first == {
        "id": "message0001",
        "created_at": "2026-11-21T09:29:09.000Z",
        "channel": "sms",
        "to": "+905321234567",
        "user": "bob",
        "transaction": "transaction0001",
        "text": "482913 is your code for vpn. It works for 3 minutes. Never give it to anyone.\n@login.acme.test #482913",
        "code": "482913",
    }


async def test_page_shows_the_code_and_where_its_login_is() -> None:
    sample = Sample()
    await sample.fill()
    async with sample.client(headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}) as browser:
        text = (await browser.get("/outbox")).text
    assert text.index("482913") < text.index("905127") < text.index("018264")
    assert 'href="/admin/log/00019QXT"' in text


async def test_erased_message_says_so() -> None:
    sample = Sample()
    await sample.fill()
    await sample.storage.commit([Update("outbox", {"id": "message0001"}, {"sealed": None, "state": "sent"})])
    async with sample.client() as browser:
        text = (await browser.get("/outbox")).text
    assert "The text was erased once the message was handed over." in text
    assert "482913" not in text


async def test_long_outbox_is_cut_and_says_so() -> None:
    sample = Sample()
    for number in range(PAGE_MESSAGES + 1):
        await sample.storage.commit(sample.message(number, Channel.SMS, "+905320000000", "bob", "111111", "x", number))
    async with sample.client() as browser:
        page = (await browser.get("/outbox")).text
        listed = (await browser.get("/outbox", headers={"accept": "application/json"})).json()
    assert page.count("<li id=") == PAGE_MESSAGES
    assert "Older messages are not shown." in page
    assert len(listed) == PAGE_MESSAGES + 1


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("application/json", True),
        ("application/json, text/html", True),
        ("text/html, application/json", False),
        ("*/*", False),
        ("", False),
        ("Application/JSON;q=0.9", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
    ],
)
def test_json_is_given_to_who_asks_for_it(accept: str, json: bool) -> None:
    assert wants_json(accept) is json
