"""The templated HTTP gateway over real sockets and TLS: what is on the wire, and what it does not do."""

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.delivery.fakes import CODE, NUMBER, SMS, TEXT, Authority, HttpService, http_service, make_authority, resolve_to
from wardgate.config.reference import EnvReference
from wardgate.delivery.port import Gateway
from wardgate.delivery.registry import build_gateway
from wardgate.delivery.sms.answer import AcceptedSettings
from wardgate.delivery.sms.http import MAX_ANSWER_BYTES, HttpSmsSettings
from wardgate.delivery.sms.template import HttpRequestSettings
from wardgate.errors import GatewayRefused, GatewayUnavailable

SECRET = "kJ8-very+secret/word"
TRY_S = 5.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the gateways trust; its server is called localhost."""
    return make_authority(Path(tmp_path_factory.mktemp("authority")), "localhost")


@pytest.fixture
async def service(authority: Authority) -> AsyncIterator[HttpService]:
    """A service behind TLS."""
    async with http_service(authority.server) as service:
        yield service


def settings(service: HttpService, authority: Authority, **fields: object) -> HttpSmsSettings:
    """A gateway that posts JSON."""
    request = HttpRequestSettings(
        url=f"https://localhost:{service.port}/send",
        headers={"Authorization": "Bearer {secret}"},
        json={"to": "{number}", "text": "{text}", "sender": "ACME", "unicode": True},
    )
    given = HttpSmsSettings(name="sms", kind="http", request=request, secret=EnvReference(env="X"), ca_file=authority.ca_file)
    return replace(given, **fields)  # type: ignore[arg-type]


def build(configured: HttpSmsSettings) -> Gateway:
    """The gateway with its secret."""
    return build_gateway(configured, resolve_to(SECRET))


async def test_a_json_service_gets_what_it_asked_for(service: HttpService, authority: Authority) -> None:
    service.answer(202, b'{"id": "SM991"}')
    text = 'Kod: 493817 "çağrı"\n@acme.test #493817'
    receipt = await build(settings(service, authority)).send(replace(SMS, text=text), TRY_S)
    (request,) = service.requests
    assert (request.method, request.target) == ("POST", "/send")
    assert request.header("Authorization") == f"Bearer {SECRET}"
    assert request.header("Idempotency-Key") == SMS.id
    assert request.header("Content-Type") == "application/json"
    assert request.header("Host") == f"localhost:{service.port}"
    assert json.loads(request.body) == {"to": NUMBER, "text": text, "sender": "ACME", "unicode": True}
    assert receipt.answer == '202 {"id": "SM991"}'


async def test_a_form_service_gets_what_it_asked_for(service: HttpService, authority: Authority) -> None:
    request = HttpRequestSettings(
        method="PUT",
        url=f"https://localhost:{service.port}/accounts/{{username}}/messages?v=2",
        headers={"X-Request-Id": "{id}"},
        form={"To": "{number}", "Body": "{text}", "Key": "{secret}"},
        query={"sender": "ACME & Co"},
    )
    await build(settings(service, authority, request=request, username="acme/1")).send(SMS, TRY_S)
    (seen,) = service.requests
    assert seen.method == "PUT"
    assert seen.target == "/accounts/acme%2F1/messages?v=2&sender=ACME%20%26%20Co"
    assert seen.header("X-Request-Id") == SMS.id
    assert seen.header("Idempotency-Key") is None
    assert parse_qs(seen.body.decode()) == {"To": [NUMBER], "Body": [TEXT], "Key": [SECRET]}


@pytest.mark.parametrize(("number_format", "number"), [("e164", NUMBER), ("digits", "905321234567"), ("national", "05321234567")])
async def test_a_query_service_gets_the_number_in_its_own_notation(
    service: HttpService, authority: Authority, number_format: str, number: str
) -> None:
    request = HttpRequestSettings(
        method="GET", url=f"https://localhost:{service.port}/send", query={"to": "{number}", "msg": "{text}", "key": "{secret}"}
    )
    await build(settings(service, authority, request=request, number_format=number_format)).send(SMS, TRY_S)
    (seen,) = service.requests
    assert seen.method == "GET"
    assert seen.body == b""
    assert parse_qs(urlsplit(seen.target).query) == {"to": [number], "msg": [TEXT], "key": [SECRET]}


async def test_a_certificate_of_an_unknown_authority_is_not_accepted(
    service: HttpService, authority: Authority, tmp_path: Path
) -> None:
    other = make_authority(tmp_path, "localhost")
    for ca_file in (other.ca_file, None):
        with pytest.raises(GatewayUnavailable, match="certificate does not verify") as caught:
            await build(settings(service, authority, ca_file=ca_file)).send(SMS, TRY_S)
        assert "ca_file" in caught.value.message
    assert service.requests == []


async def test_a_certificate_for_another_host_is_not_accepted(service: HttpService, authority: Authority) -> None:
    request = replace(settings(service, authority).request, url=f"https://127.0.0.1:{service.port}/send")
    with pytest.raises(GatewayUnavailable, match="certificate does not verify"):
        await build(settings(service, authority, request=request)).send(SMS, TRY_S)
    assert service.requests == []


async def test_a_redirect_does_not_carry_the_code_to_another_place(service: HttpService, authority: Authority) -> None:
    async with http_service() as elsewhere:
        service.answer(307, b"", f"Location: http://127.0.0.1:{elsewhere.port}/")
        with pytest.raises(GatewayUnavailable):
            await build(settings(service, authority)).send(SMS, TRY_S)
        assert len(service.requests) == 1
        assert elsewhere.requests == []


async def test_a_proxy_in_the_environment_does_not_see_the_message(
    service: HttpService, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with http_service() as proxy:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await build(settings(service, authority)).send(SMS, TRY_S)
        assert proxy.requests == []


async def test_cookies_of_one_message_do_not_travel_with_the_next(service: HttpService, authority: Authority) -> None:
    gateway = build(settings(service, authority))
    service.answer(200, b"", "Set-Cookie: session=1; Path=/")
    await gateway.send(SMS, TRY_S)
    await gateway.send(SMS, TRY_S)
    assert service.requests[1].header("Cookie") is None


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 302])
async def test_a_status_that_is_not_named_is_a_failure_and_not_a_refusal(
    service: HttpService, authority: Authority, status: int
) -> None:
    service.answer(status)
    with pytest.raises(GatewayUnavailable, match=str(status)):
        await build(settings(service, authority)).send(SMS, TRY_S)


async def test_a_wrong_secret_is_told_with_its_cure(service: HttpService, authority: Authority) -> None:
    service.answer(401, f"bad key {SECRET}".encode())
    with pytest.raises(GatewayUnavailable, match="check the secret") as caught:
        await build(settings(service, authority)).send(SMS, TRY_S)
    assert SECRET not in caught.value.message


async def test_a_200_with_an_error_inside_is_not_taken_for_success(service: HttpService, authority: Authority) -> None:
    service.answer(200, b'{"status": "error", "reason": "no credit"}')
    accepted = AcceptedSettings(json_path="status", json_equals="ok")
    with pytest.raises(GatewayUnavailable, match="no credit"):
        await build(settings(service, authority, accepted=accepted)).send(SMS, TRY_S)


async def test_the_operator_decides_which_status_is_a_refusal(service: HttpService, authority: Authority) -> None:
    service.answer(404)
    accepted = AcceptedSettings(refused_status=(404,))
    with pytest.raises(GatewayRefused):
        await build(settings(service, authority, accepted=accepted)).send(SMS, TRY_S)


async def test_an_endless_answer_is_cut(service: HttpService, authority: Authority) -> None:
    service.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n" + b"x" * (MAX_ANSWER_BYTES * 4)
    receipt = await build(settings(service, authority)).send(SMS, TRY_S)
    assert len(receipt.answer) == 200


async def test_a_compressed_answer_is_not_blown_up(service: HttpService, authority: Authority) -> None:
    service.answer(200, b"\x1f\x8b\x08\x00", "Content-Encoding: gzip")
    accepted = AcceptedSettings(matches="OK")
    with pytest.raises(GatewayUnavailable):
        await build(settings(service, authority, accepted=accepted)).send(SMS, TRY_S)
    assert service.requests[0].header("Accept-Encoding") is None


async def test_a_header_that_echoes_secret_and_code_does_not_reach_the_debug_log(
    service: HttpService, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service.answer(200, b"", f"X-Echo: {SECRET} {CODE} {NUMBER}")
    request = HttpRequestSettings(
        method="GET", url=f"https://localhost:{service.port}/", query={"to": "{number}", "t": "{text}", "key": "{secret}"}
    )
    await build(settings(service, authority, request=request)).send(SMS, TRY_S)
    logged = " ".join(record.getMessage() for record in caplog.records)
    assert not any(hidden in logged for hidden in (SECRET, "secret%2Fword", CODE, NUMBER[1:]))


async def test_a_service_that_is_not_there_is_told_with_where_to_look(authority: Authority) -> None:
    async with http_service() as service:
        pass
    with pytest.raises(GatewayUnavailable, match="cannot be reached"):
        await build(settings(service, authority)).send(SMS, TRY_S)


async def test_a_text_that_does_not_fit_into_a_url_is_refused(service: HttpService, authority: Authority) -> None:
    request = HttpRequestSettings(
        method="GET", url=f"https://localhost:{service.port}/", query={"to": "{number}", "t": "{text}", "k": "{secret}"}
    )
    with pytest.raises(GatewayRefused, match="URL"):
        await build(settings(service, authority, request=request)).send(replace(SMS, text="ş" * 1500), TRY_S)


async def test_plain_http_to_this_machine_works() -> None:
    async with http_service() as service:
        request = HttpRequestSettings(url=f"http://127.0.0.1:{service.port}/", json=["{number}", "{text}"])
        await build(HttpSmsSettings(name="sms", kind="http", request=request)).send(SMS, TRY_S)
        assert len(service.requests) == 1
