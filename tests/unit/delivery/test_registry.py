"""Settings that could not work are refused when the document is applied, by name and with the cure."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.delivery.fakes import clock, make_authority, resolve_to
from wardgate.config.reference import EnvReference
from wardgate.crypto import Secret
from wardgate.delivery.kind import GatewaySettings
from wardgate.delivery.pickup import PickupGateway, PickupSettings
from wardgate.delivery.port import Channel
from wardgate.delivery.registry import KINDS, build_gateway, check_settings
from wardgate.delivery.sms.answer import AcceptedSettings
from wardgate.delivery.sms.http import HttpSmsGateway, HttpSmsSettings
from wardgate.delivery.sms.template import HttpRequestSettings
from wardgate.delivery.smtp import Security, Server, SmtpGateway, SmtpSettings, parse_server
from wardgate.errors import SettingsError

PASSWORD = EnvReference(env="P")
SMTP = SmtpSettings(
    name="mail",
    kind="smtp",
    servers=("smtps://mail.acme.test:465",),
    username="wardgate",
    password=PASSWORD,
    sender="login@acme.test",
)
HTTP = HttpSmsSettings(
    name="sms",
    kind="http",
    request=HttpRequestSettings(
        url="https://sms.acme.test/send", headers={"Authorization": "Bearer {secret}"}, json={"to": "{number}", "text": "{text}"}
    ),
    secret=PASSWORD,
)
PICKUP = PickupSettings(name="pick", kind="pickup", channel="sms")


@pytest.mark.parametrize(
    ("settings", "kind", "channel"),
    [
        (SMTP, SmtpGateway, Channel.EMAIL),
        (HTTP, HttpSmsGateway, Channel.SMS),
        (PICKUP, PickupGateway, Channel.SMS),
        (replace(PICKUP, channel="email"), PickupGateway, Channel.EMAIL),
    ],
)
async def test_each_kind_is_built_from_its_settings(settings: GatewaySettings, kind: type, channel: Channel) -> None:
    check_settings(settings)
    gateway = build_gateway(settings, resolve_to("pass"), clock())
    assert isinstance(gateway, kind)
    assert (gateway.name, gateway.channel) == (settings.name, channel)
    await gateway.close()


def test_every_kind_takes_settings_of_its_own() -> None:
    assert len({kind.settings for kind in KINDS}) == len(KINDS) == 3


@pytest.mark.parametrize(
    ("settings", "setting", "cure"),
    [
        (replace(SMTP, servers=()), "servers", "at least one"),
        (replace(SMTP, servers=("smtps://a.test",) * 11), "servers", "at most 10"),
        (replace(SMTP, servers=("mail.acme.test",)), "servers", "smtps://host:465"),
        (replace(SMTP, servers=("https://mail.acme.test",)), "servers", "smtps://host:465"),
        (replace(SMTP, servers=("smtps://",)), "servers", "no host"),
        (replace(SMTP, servers=("smtps://mail.acme.test:0",)), "servers", "malformed"),
        (replace(SMTP, servers=("smtps://mail.acme.test:x",)), "servers", "smtps://host:465"),
        (replace(SMTP, servers=("smtps://mail acme.test",)), "servers", "malformed"),
        (replace(SMTP, servers=("smtps://u:p@mail.acme.test",)), "servers", "use username and password"),
        (replace(SMTP, servers=("smtps://mail.acme.test/x",)), "servers", "behind host and port"),
        (replace(SMTP, servers=("smtps://mail.acme.test", "smtp://mail.acme.test")), "servers", "in clear"),
        (replace(SMTP, username=None), "username", "both or none"),
        (replace(SMTP, password=None), "username", "both or none"),
        (replace(SMTP, username="a\r\nb"), "username", "control characters"),
        (replace(SMTP, sender="nobody"), "sender", "login@example.test"),
        (replace(SMTP, sender="a@b.test\r\nBcc: c@d.test"), "sender", "login@example.test"),
        (replace(SMTP, timeout_s=0), "timeout_s", "seconds"),
        (replace(SMTP, timeout_s=90), "timeout_s", "30 seconds"),
        (replace(SMTP, ca_file="/nonexistent/ca.pem"), "ca_file", "check the path"),
        (replace(HTTP, timeout_s=float("nan")), "timeout_s", "seconds"),
        (replace(HTTP, ca_file="/nonexistent/ca.pem"), "ca_file", "check the path"),
        (replace(HTTP, secret=None), "secret", "missing"),
        (replace(HTTP, number_format="e.164"), "number_format", "e164, digits, national"),
        (replace(HTTP, accepted=AcceptedSettings(matches="[")), "accepted.matches", "regular expression"),
        (replace(HTTP, request=replace(HTTP.request, url="http://sms.acme.test/")), "request.url", "in clear"),
        (replace(HTTP, request=replace(HTTP.request, json={"to": "{number}"})), "request", "{text}"),
        (replace(PICKUP, channel="pigeon"), "channel", "sms, email"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(settings: GatewaySettings, setting: str, cure: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_settings(settings)
    assert caught.value.message.startswith(f"gateways.{settings.name}.{setting}: ")
    assert cure in caught.value.message


def test_a_password_is_not_sent_in_clear() -> None:
    with pytest.raises(SettingsError, match="in clear"):
        build_gateway(replace(SMTP, servers=("smtp://127.0.0.1:25",)), resolve_to("pass"))


def test_a_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing here\n")
    with pytest.raises(SettingsError, match="holds no certificate"):
        check_settings(replace(HTTP, ca_file=str(tmp_path / "ca.pem")))
    check_settings(replace(HTTP, ca_file=make_authority(tmp_path, "localhost").ca_file))


@pytest.mark.parametrize("value", ["", "with\nline end", "trailing space ", "ümlaut", b"\xff\xfe"])
def test_a_secret_that_would_break_its_header_is_refused_without_being_shown(value: str | bytes) -> None:
    with pytest.raises(SettingsError) as caught:
        build_gateway(HTTP, resolve_to(value))
    assert caught.value.message.startswith("gateways.sms.secret: ")
    assert not value or str(value) not in caught.value.message


def test_a_secret_in_the_body_may_be_any_text() -> None:
    request = HttpRequestSettings(url="https://sms.acme.test/", json=["{number}", "{text}", "{secret}"])
    build_gateway(replace(HTTP, request=request), resolve_to("ümlaut with spaces "))


@pytest.mark.parametrize("value", [b"", b"a\0b"])
def test_a_mail_password_that_cannot_be_sent_is_refused(value: bytes) -> None:
    with pytest.raises(SettingsError, match=r"gateways\.mail\.password"):
        build_gateway(SMTP, lambda setting: Secret(value))


def test_a_username_in_a_header_must_fit_there() -> None:
    request = replace(HTTP.request, headers={"X-User": "{username}", "X-Key": "{secret}"})
    check_settings(replace(HTTP, request=request, username="acme"))
    with pytest.raises(SettingsError, match=r"gateways\.sms\.username"):
        check_settings(replace(HTTP, request=request, username="acme\r\nX: y"))


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtps://mail.acme.test", Server(Security.TLS, "mail.acme.test", 465)),
        ("smtp+starttls://mail.acme.test", Server(Security.STARTTLS, "mail.acme.test", 587)),
        ("smtp://mail.acme.test/", Server(Security.CLEAR, "mail.acme.test", 25)),
        ("smtps://[2001:db8::1]:2465", Server(Security.TLS, "2001:db8::1", 2465)),
    ],
)
def test_a_server_is_read(url: str, server: Server) -> None:
    assert parse_server("mail", url) == server
