"""What the outbox relies on, of every kind of gateway.

A new kind gets a `Subject` here: how to build one against a loopback service, and how to make that service behave badly.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.unit.delivery.fakes import (
    ADDRESS,
    CODE,
    MAIL,
    NUMBER,
    SMS,
    Authority,
    http_service,
    make_authority,
    resolve_to,
    smtp_service,
)
from wardgate.config.reference import EnvReference
from wardgate.delivery.pickup import PickupSettings
from wardgate.delivery.port import Channel, Gateway, Message
from wardgate.delivery.registry import build_gateway
from wardgate.delivery.scrub import ANSWER_CHARS
from wardgate.delivery.sms.answer import AcceptedSettings
from wardgate.delivery.sms.http import HttpSmsSettings
from wardgate.delivery.sms.template import HttpRequestSettings
from wardgate.delivery.smtp import SmtpSettings
from wardgate.errors import GatewayRefused, GatewayUnavailable

SECRET = "kJ8-very+secret/word"
PASSWORD = EnvReference(env="X")
TRY_S = 5.0
SHORT_S = 0.2


@dataclass(frozen=True, slots=True)
class Subject:
    """One gateway and the levers of the service behind it. `ids`: the idempotency keys that arrived."""

    gateway: Gateway
    message: Message
    ids: Callable[[], list[str]]
    work: Callable[[], None] | None = None
    refuse: Callable[[], None] | None = None
    fail: Callable[[], None] | None = None
    hang: Callable[[], None] | None = None
    babble: Callable[[], None] | None = None
    echo: Callable[[], None] | None = None


@contextlib.asynccontextmanager
async def http_subject(authority: Authority) -> AsyncIterator[Subject]:
    """The templated HTTP gateway."""
    async with http_service(authority.server) as service:
        settings = HttpSmsSettings(
            name="sms",
            kind="http",
            request=HttpRequestSettings(
                url=f"https://localhost:{service.port}/send",
                headers={"Authorization": "Bearer {secret}"},
                json={"to": "{number}", "text": "{text}"},
            ),
            accepted=AcceptedSettings(json_path="ok", json_equals=True),
            secret=PASSWORD,
            ca_file=authority.ca_file,
            timeout_s=TRY_S,
        )

        def hang() -> None:
            service.reply = None

        def babble() -> None:
            service.reply = b"\x00\xff garbage\r\n\r\n"

        def work() -> None:
            service.answer(200, b'{"ok": true}')

        work()
        yield Subject(
            gateway=build_gateway(settings, resolve_to(SECRET)),
            message=SMS,
            ids=lambda: [request.header("Idempotency-Key") or "" for request in service.requests],
            work=work,
            refuse=lambda: service.answer(422, f"no such number {NUMBER}".encode()),
            fail=lambda: service.answer(503, b"come back later"),
            hang=hang,
            babble=babble,
            echo=lambda: service.answer(200, f'{{"ok": false, "got": "{SMS.text} {SECRET} {NUMBER}"}}'.encode()),
        )


@contextlib.asynccontextmanager
async def smtp_subject(authority: Authority) -> AsyncIterator[Subject]:
    """SMTP."""
    async with smtp_service(authority.server) as service:
        settings = SmtpSettings(
            name="mail",
            kind="smtp",
            servers=(f"smtps://localhost:{service.port}",),
            username="wardgate",
            password=PASSWORD,
            sender="login@acme.test",
            ca_file=authority.ca_file,
            timeout_s=TRY_S,
        )

        def say(verb: str, reply: bytes | None) -> Callable[[], None]:
            return lambda: service.replies.update({verb: reply})

        def ids() -> list[str]:
            heads = [mail.octets.decode().partition("Message-ID: <")[2] for mail in service.mails]
            return [head.partition("@")[0] for head in heads]

        yield Subject(
            gateway=build_gateway(settings, resolve_to(SECRET)),
            message=MAIL,
            ids=ids,
            work=service.replies.clear,
            refuse=say("RCPT", f"550 5.1.1 <{ADDRESS}> unknown".encode()),
            fail=say("RCPT", b"451 4.3.0 come back later"),
            hang=say("MAIL", None),
            babble=say("GREETING", b"\x00\xff garbage"),
            echo=say("BODY", f"451 got {MAIL.text} {SECRET} {ADDRESS}".encode()),
        )


@contextlib.asynccontextmanager
async def pickup_subject(authority: Authority) -> AsyncIterator[Subject]:
    """The demo's."""
    settings = PickupSettings(name="pick", kind="pickup", channel="sms")
    yield Subject(build_gateway(settings, resolve_to(SECRET)), SMS, ids=lambda: [SMS.id])


KINDS = [http_subject, smtp_subject, pickup_subject]
WITH_A_SERVICE = [http_subject, smtp_subject]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the gateways trust."""
    return make_authority(Path(tmp_path_factory.mktemp("authority")), "localhost", "127.0.0.1")


@pytest.fixture(params=KINDS)
async def subject(request: pytest.FixtureRequest, authority: Authority) -> AsyncIterator[Subject]:
    """Each kind in turn."""
    async with request.param(authority) as subject:
        yield subject
        await subject.gateway.close()


@pytest.fixture(params=WITH_A_SERVICE)
async def served(request: pytest.FixtureRequest, authority: Authority) -> AsyncIterator[Subject]:
    """Each kind that has a service behind it."""
    async with request.param(authority) as subject:
        yield subject
        await subject.gateway.close()


def pull(lever: Callable[[], None] | None) -> None:
    """Make the service behave badly."""
    assert lever is not None
    lever()


async def test_it_takes_a_message_and_says_so_in_short(subject: Subject) -> None:
    receipt = await subject.gateway.send(subject.message, TRY_S)
    assert 0 < len(receipt.answer) <= ANSWER_CHARS
    assert receipt.answer.isprintable()


async def test_it_names_itself_and_its_channel(subject: Subject) -> None:
    assert subject.gateway.name in ("sms", "mail", "pick")
    assert subject.gateway.channel is subject.message.channel
    assert isinstance(subject.gateway.channel, Channel)


async def test_every_try_carries_the_same_id(subject: Subject) -> None:
    await subject.gateway.send(subject.message, TRY_S)
    await subject.gateway.send(subject.message, TRY_S)
    assert set(subject.ids()) == {subject.message.id}


async def test_several_messages_travel_at_once(served: Subject) -> None:
    messages = [replace(served.message, id=f"m{number}") for number in range(8)]
    await asyncio.gather(*(served.gateway.send(message, TRY_S) for message in messages))
    assert sorted(served.ids()) == [message.id for message in messages]


async def test_it_may_be_closed_twice(subject: Subject) -> None:
    await subject.gateway.send(subject.message, TRY_S)
    await subject.gateway.close()
    await subject.gateway.close()


async def test_a_refusal_is_final(served: Subject) -> None:
    pull(served.refuse)
    with pytest.raises(GatewayRefused):
        await served.gateway.send(served.message, TRY_S)


async def test_a_failure_is_not_final(served: Subject) -> None:
    pull(served.fail)
    with pytest.raises(GatewayUnavailable):
        await served.gateway.send(served.message, TRY_S)


async def test_garbage_is_not_final(served: Subject) -> None:
    pull(served.babble)
    with pytest.raises(GatewayUnavailable):
        await served.gateway.send(served.message, TRY_S)


async def test_a_service_that_hangs_costs_no_more_than_the_time_given(served: Subject) -> None:
    pull(served.hang)
    began = asyncio.get_running_loop().time()
    with pytest.raises(GatewayUnavailable, match="in time"):
        await served.gateway.send(served.message, SHORT_S)
    assert asyncio.get_running_loop().time() - began < TRY_S / 2


async def test_it_can_be_cancelled_while_the_service_hangs(served: Subject) -> None:
    pull(served.hang)
    task = asyncio.create_task(served.gateway.send(served.message, TRY_S))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_works_again_after_every_kind_of_failure(served: Subject) -> None:
    for lever in (served.hang, served.fail, served.refuse, served.babble):
        pull(lever)
        with pytest.raises((GatewayUnavailable, GatewayRefused)):
            await served.gateway.send(served.message, SHORT_S)
    pull(served.work)
    await served.gateway.send(replace(served.message, id="after"), TRY_S)
    assert served.ids()[-1] == "after"


@pytest.mark.parametrize("bad_id", ["a\r\nX-Evil: 1", "", "a b", "x" * 300])
async def test_an_id_that_would_break_a_header_is_refused(served: Subject, bad_id: str) -> None:
    with pytest.raises(GatewayRefused):
        await served.gateway.send(replace(served.message, id=bad_id), TRY_S)
    assert served.ids() == []


@pytest.mark.parametrize("to", ["", "bob", "+90532\r\nX: y", "+905321234567,+905321234568", "a@b.test\r\nRCPT TO:<c@d.test>"])
async def test_an_address_that_is_none_is_refused_and_nothing_is_sent(served: Subject, to: str) -> None:
    with pytest.raises(GatewayRefused) as caught:
        await served.gateway.send(replace(served.message, to=to), TRY_S)
    assert not to or to not in caught.value.message
    assert served.ids() == []


@pytest.mark.parametrize("text", ["half a pair \ud83d", "x" * 20_000])
async def test_a_text_that_cannot_travel_is_refused(served: Subject, text: str) -> None:
    with pytest.raises(GatewayRefused):
        await served.gateway.send(replace(served.message, text=text), TRY_S)


async def test_no_secret_and_no_code_gets_into_an_answer_an_error_or_a_log(
    served: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen = [(await served.gateway.send(served.message, TRY_S)).answer]
    for lever in (served.echo, served.refuse, served.fail):
        pull(lever)
        with pytest.raises((GatewayRefused, GatewayUnavailable)) as caught:
            await served.gateway.send(served.message, TRY_S)
        seen.append(f"{caught.value} {caught.value.message} {caught.value!r}")
    everything = " ".join([*seen, *(record.getMessage() for record in caplog.records)])
    for hidden in (SECRET, CODE, NUMBER, ADDRESS):
        assert hidden not in everything
    assert not any(SECRET in repr(part) for part in (served.gateway, vars(served.gateway)))
