"""The SMTP gateway against aiosmtpd: TLS from the first octet, STARTTLS, authentication, several servers."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP as Smtpd
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from tests.unit.delivery.fakes import ADDRESS, MAIL, NOW, Authority, clock, make_authority, resolve_to, smtp_service
from wardgate.clock import FixedClock, SystemClock
from wardgate.config.reference import EnvReference
from wardgate.delivery.registry import build_gateway
from wardgate.delivery.smtp import DOWN_S, SmtpGateway, SmtpSettings
from wardgate.errors import GatewayRefused, GatewayUnavailable

# Its own TLS is not what protects the port that speaks TLS from the first octet.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

PASSWORD = "p\u00e4ss word+/="
TRY_S = 5.0


@dataclass(slots=True)
class Mailroom:
    """What aiosmtpd received, and what it was told to answer."""

    rcpt: str = "250 2.1.5 ok"
    data: str = "250 2.0.0 taken"
    envelopes: list[Envelope] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    encrypted: list[bool] = field(default_factory=list)

    async def handle_RCPT(self, server: Smtpd, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        """aiosmtpd's hook."""
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, server: Smtpd, session: Session, envelope: Envelope) -> str:
        """aiosmtpd's hook."""
        if self.data.startswith("250"):
            self.envelopes.append(envelope)
            self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
        return self.data

    def authenticate(self, server: Smtpd, session: Session, envelope: Envelope, mechanism: str, login: LoginPassword) -> AuthResult:
        """aiosmtpd's hook."""
        self.logins.append(login.password)
        return AuthResult(success=login == LoginPassword(b"wardgate", PASSWORD.encode()), handled=False)

    def speak(self, **options: object) -> Smtpd:
        """A protocol for one connection."""
        return Smtpd(self, enable_SMTPUTF8=True, authenticator=self.authenticate, hostname="mail.test", **options)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the gateways trust; its server is called localhost."""
    return make_authority(Path(tmp_path_factory.mktemp("authority")), "localhost")


@contextlib.asynccontextmanager
async def listening(mailroom: Mailroom, context: ssl.SSLContext) -> AsyncIterator[Mailroom]:
    """aiosmtpd on three free ports, one for each kind of connection."""
    loop = asyncio.get_running_loop()
    factories = {
        "smtps": (lambda: mailroom.speak(auth_required=True, auth_require_tls=False), context),
        "smtp+starttls": (lambda: mailroom.speak(tls_context=context, require_starttls=True, auth_required=True), None),
        "smtp": (lambda: mailroom.speak(), None),
    }
    servers = []
    for scheme, (factory, tls) in factories.items():
        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=tls)
        mailroom.ports[scheme] = server.sockets[0].getsockname()[1]
        servers.append(server)
    try:
        yield mailroom
    finally:
        for server in servers:
            server.close()


@pytest.fixture
async def mailroom(authority: Authority) -> AsyncIterator[Mailroom]:
    """A mail server."""
    async with listening(Mailroom(), authority.server) as mailroom:
        yield mailroom


def settings(authority: Authority, *servers: str, **fields: object) -> SmtpSettings:
    """Settings with a login."""
    given = SmtpSettings(
        name="mail",
        kind="smtp",
        servers=servers,
        username="wardgate",
        password=EnvReference(env="X"),
        sender="Acme Login <login@acme.test>",
        ca_file=authority.ca_file,
        timeout_s=TRY_S,
    )
    return replace(given, **fields)  # type: ignore[arg-type]


def build(configured: SmtpSettings, at: FixedClock | None = None, password: str = PASSWORD) -> SmtpGateway:
    """The gateway with its password."""
    gateway = build_gateway(configured, resolve_to(password), at or clock())
    assert isinstance(gateway, SmtpGateway)
    return gateway


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_a_mail_travels_through_tls_after_a_login(mailroom: Mailroom, authority: Authority, scheme: str) -> None:
    gateway = build(settings(authority, f"{scheme}://localhost:{mailroom.ports[scheme]}"))
    receipt = await gateway.send(MAIL, TRY_S)
    (envelope,) = mailroom.envelopes
    assert mailroom.encrypted == [True]
    assert mailroom.logins == [PASSWORD.encode()]
    assert envelope.mail_from == "login@acme.test"
    assert envelope.rcpt_tos == [ADDRESS]
    assert receipt.answer == f"localhost:{mailroom.ports[scheme]} 250 2.0.0 taken"
    assert isinstance(envelope.content, bytes)
    mail = message_from_bytes(envelope.content, policy=policy.default)
    assert mail["From"] == "Acme Login <login@acme.test>"
    assert mail["To"] == ADDRESS
    assert mail["Subject"] == MAIL.subject
    assert mail["Message-ID"] == f"<{MAIL.id}@acme.test>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime == NOW
    assert str(mail.get_content()).strip() == MAIL.text  # type: ignore[attr-defined]


async def test_without_a_password_a_clear_server_will_do(mailroom: Mailroom, authority: Authority) -> None:
    given = settings(authority, f"smtp://localhost:{mailroom.ports['smtp']}", username=None, password=None)
    await build(given).send(MAIL, TRY_S)
    assert mailroom.encrypted == [False]


async def test_an_address_with_other_letters_travels_by_smtputf8(mailroom: Mailroom, authority: Authority) -> None:
    gateway = build(settings(authority, f"smtps://localhost:{mailroom.ports['smtps']}"))
    await gateway.send(replace(MAIL, to="çağrı@bücher.test", subject="Giriş kodunuz"), TRY_S)
    (envelope,) = mailroom.envelopes
    assert envelope.rcpt_tos == ["çağrı@xn--bcher-kva.test"]


async def test_a_line_with_a_single_dot_does_not_end_the_mail(mailroom: Mailroom, authority: Authority) -> None:
    gateway = build(settings(authority, f"smtps://localhost:{mailroom.ports['smtps']}"))
    await gateway.send(replace(MAIL, text="before\n.\n..\nMAIL FROM:<eve@evil.test>\nafter"), TRY_S)
    (envelope,) = mailroom.envelopes
    assert isinstance(envelope.content, bytes)
    lines = message_from_bytes(envelope.content, policy=policy.default).get_content().split()  # type: ignore[attr-defined]
    assert lines == ["before", ".", "..", "MAIL", "FROM:<eve@evil.test>", "after"]


# --- what must not happen ---------------------------------------------------------------------------------------------


async def test_a_stripped_starttls_does_not_make_us_speak_in_clear(authority: Authority) -> None:
    async with smtp_service() as service:
        service.capabilities = ("AUTH PLAIN",)
        gateway = build(settings(authority, f"smtp+starttls://localhost:{service.port}"))
        with pytest.raises(GatewayUnavailable, match="does not offer STARTTLS"):
            await gateway.send(MAIL, TRY_S)
        assert [command.split(" ")[0] for command in service.commands] == ["EHLO"]


async def test_a_starttls_that_is_offered_and_refused_does_not_make_us_speak_in_clear(authority: Authority) -> None:
    async with smtp_service() as service:
        service.capabilities = ("STARTTLS", "AUTH PLAIN")
        service.replies["STARTTLS"] = b"454 4.7.0 not now"
        gateway = build(settings(authority, f"smtp+starttls://localhost:{service.port}"))
        with pytest.raises(GatewayUnavailable, match="454"):
            await gateway.send(MAIL, TRY_S)
        assert [command.split(" ")[0] for command in service.commands] == ["EHLO", "STARTTLS"]


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_a_certificate_for_another_host_is_not_accepted(mailroom: Mailroom, authority: Authority, scheme: str) -> None:
    gateway = build(settings(authority, f"{scheme}://127.0.0.1:{mailroom.ports[scheme]}"))
    with pytest.raises(GatewayUnavailable, match="certificate that does not verify"):
        await gateway.send(MAIL, TRY_S)
    assert mailroom.logins == []


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_a_certificate_of_an_unknown_authority_is_not_accepted(
    mailroom: Mailroom, authority: Authority, scheme: str, tmp_path: Path
) -> None:
    other = make_authority(tmp_path, "localhost")
    gateway = build(settings(authority, f"{scheme}://localhost:{mailroom.ports[scheme]}", ca_file=other.ca_file))
    with pytest.raises(GatewayUnavailable, match="give ca_file"):
        await gateway.send(MAIL, TRY_S)
    assert mailroom.logins == []


async def test_a_wrong_password_is_told_with_its_cure_and_offered_only_once(mailroom: Mailroom, authority: Authority) -> None:
    gateway = build(settings(authority, f"smtps://localhost:{mailroom.ports['smtps']}"), password="wrong-one")
    with pytest.raises(GatewayUnavailable, match="check username and password") as caught:
        await gateway.send(MAIL, TRY_S)
    assert mailroom.logins == [b"wrong-one"]
    assert "wrong-one" not in caught.value.message
    assert mailroom.envelopes == []


async def test_a_server_that_echoes_the_password_does_not_bring_it_into_an_error(authority: Authority) -> None:
    async with smtp_service(authority.server) as service:
        service.replies["AUTH"] = f"535 5.7.8 not {PASSWORD}".encode()
        gateway = build(settings(authority, f"smtps://localhost:{service.port}"))
        with pytest.raises(GatewayUnavailable) as caught:
            await gateway.send(MAIL, TRY_S)
        assert PASSWORD not in caught.value.message


async def test_a_server_without_a_login_does_not_get_the_mail(authority: Authority) -> None:
    async with smtp_service(authority.server) as service:
        service.capabilities = ()
        gateway = build(settings(authority, f"smtps://localhost:{service.port}"))
        with pytest.raises(GatewayUnavailable, match="ways to log in"):
            await gateway.send(MAIL, TRY_S)
        assert service.mails == []


# --- refusals and failures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["rcpt", "data"])
async def test_a_permanent_answer_is_a_refusal_and_no_other_server_is_asked(
    mailroom: Mailroom, authority: Authority, hook: str
) -> None:
    setattr(mailroom, hook, f"550 5.1.1 <{ADDRESS}> unknown")
    async with listening(Mailroom(), authority.server) as second:
        servers = [f"smtps://localhost:{room.ports['smtps']}" for room in (mailroom, second)]
        with pytest.raises(GatewayRefused, match=r"550 5\.1\.1") as caught:
            await build(settings(authority, *servers)).send(MAIL, TRY_S)
        assert ADDRESS not in caught.value.message
        assert second.envelopes == []


@pytest.mark.parametrize("hook", ["rcpt", "data"])
async def test_a_temporary_answer_sends_the_mail_to_the_next_server(mailroom: Mailroom, authority: Authority, hook: str) -> None:
    setattr(mailroom, hook, "451 4.7.1 greylisted")
    async with listening(Mailroom(), authority.server) as second:
        servers = [f"smtps://localhost:{room.ports['smtps']}" for room in (mailroom, second)]
        gateway = build(settings(authority, *servers))
        await gateway.send(MAIL, TRY_S)
        assert len(second.envelopes) == 1
        # It was about this mail: the first server is still the first for others.
        setattr(mailroom, hook, "250 ok")
        await gateway.send(MAIL, TRY_S)
        assert (len(mailroom.envelopes), len(second.envelopes)) == (1, 1)


async def test_a_refused_sender_is_a_setting_and_not_the_mails_fault(authority: Authority) -> None:
    async with smtp_service(authority.server) as service:
        service.replies["MAIL"] = b"550 5.7.1 not your domain"
        with pytest.raises(GatewayUnavailable, match="check sender"):
            await build(settings(authority, f"smtps://localhost:{service.port}")).send(MAIL, TRY_S)


async def test_a_dead_server_is_passed_over_for_a_while_and_then_asked_again(authority: Authority) -> None:
    at = clock()
    async with smtp_service(authority.server) as first, smtp_service(authority.server) as second:
        first.replies["GREETING"] = b"421 4.3.2 closing"
        gateway = build(settings(authority, *(f"smtps://localhost:{service.port}" for service in (first, second))), at)
        await gateway.send(MAIL, TRY_S)
        del first.replies["GREETING"]
        await gateway.send(MAIL, TRY_S)
        assert (len(first.mails), len(second.mails)) == (0, 2)
        at.advance(DOWN_S)
        await gateway.send(MAIL, TRY_S)
        assert (len(first.mails), len(second.mails)) == (1, 2)


async def test_a_silent_server_leaves_time_for_the_next_one(authority: Authority) -> None:
    async with smtp_service(authority.server) as first, smtp_service(authority.server) as second:
        first.replies["GREETING"] = None
        servers = [f"smtps://localhost:{service.port}" for service in (first, second)]
        gateway = build_gateway(settings(authority, *servers), resolve_to(PASSWORD), SystemClock())
        async with asyncio.timeout(1.0):
            await gateway.send(MAIL, 1.0)
        assert len(second.mails) == 1


async def test_servers_that_are_all_silent_cost_no_more_than_the_time_given(authority: Authority) -> None:
    async with smtp_service(authority.server) as first, smtp_service(authority.server) as second:
        for service in (first, second):
            service.replies["GREETING"] = None
        servers = [f"smtps://localhost:{service.port}" for service in (first, second)]
        gateway = build_gateway(settings(authority, *servers), resolve_to(PASSWORD), SystemClock())
        async with asyncio.timeout(TRY_S / 2):
            with pytest.raises(GatewayUnavailable, match="in time"):
                await gateway.send(MAIL, 0.4)


async def test_when_all_servers_are_down_they_are_tried_all_the_same(authority: Authority) -> None:
    async with smtp_service(authority.server) as first, smtp_service(authority.server) as second:
        for service in (first, second):
            service.replies["GREETING"] = b"421 4.3.2 closing"
        gateway = build(settings(authority, *(f"smtps://localhost:{service.port}" for service in (first, second))))
        with pytest.raises(GatewayUnavailable) as caught:
            await gateway.send(MAIL, TRY_S)
        assert all(f"localhost:{service.port}" in caught.value.message for service in (first, second))
        for service in (first, second):
            service.replies.clear()
        await gateway.send(MAIL, TRY_S)
        assert len(first.mails) == 1


async def test_a_mail_that_was_taken_stays_taken_when_the_goodbye_hangs(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wardgate.delivery.smtp.GOODBYE_S", 0.05)
    async with smtp_service(authority.server) as service:
        service.replies["QUIT"] = None
        receipt = await build(settings(authority, f"smtps://localhost:{service.port}")).send(MAIL, TRY_S)
        assert "queued as 4F1" in receipt.answer


async def test_a_server_that_speaks_no_tls_is_told_with_where_to_look(authority: Authority) -> None:
    async with smtp_service() as service:
        with pytest.raises(GatewayUnavailable, match="is what port"):
            await build(settings(authority, f"smtps://localhost:{service.port}")).send(MAIL, TRY_S)


async def test_a_server_that_is_not_there_is_told_with_where_to_look(authority: Authority) -> None:
    async with smtp_service() as service:
        pass
    with pytest.raises(GatewayUnavailable, match="cannot be reached"):
        await build(settings(authority, f"smtps://localhost:{service.port}")).send(MAIL, TRY_S)


async def test_a_server_without_smtputf8_passes_such_an_address_on(authority: Authority) -> None:
    async with smtp_service(authority.server) as service:
        with pytest.raises(GatewayUnavailable, match="RFC 6531"):
            await build(settings(authority, f"smtps://localhost:{service.port}")).send(
                replace(MAIL, to="çağrı@example.test"), TRY_S
            )
