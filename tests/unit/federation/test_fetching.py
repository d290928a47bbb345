"""Metadata is fetched from where it is said to be, and from nowhere else."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.federation.parties import metadata
from wardgate.certificates import self_signed
from wardgate.errors import MetadataUnavailable, SettingsError
from wardgate.federation import fetching
from wardgate.federation.fetching import MAX_OCTETS, fetch, plain_address, problem_of, resolve
from wardgate.federation.settings import MetadataSettings

HERE = ("127.0.0.1/32",)
PATIENCE_S = 60.0


class Site:
    """An HTTPS server on this machine. `answer`: all that it says, after it has heard a request."""

    def __init__(self, folder: Path) -> None:
        certificate, key = self_signed(datetime.now(UTC), "wiki.acme.test")
        self.authority, self._key = folder / "site.crt", folder / "site.key"
        self.authority.write_bytes(certificate)
        self._key.write_bytes(key)
        self.answer = ok(metadata())
        self.heard: list[str] = []
        self.port = 0

    async def start(self) -> asyncio.Server:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.authority, self._key)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(self.answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def settings(self, path: str = "/saml", host: str = "wiki.acme.test", allow: tuple[str, ...] = HERE) -> MetadataSettings:
        return MetadataSettings(url=f"https://{host}:{self.port}{path}", allow=allow, authority=str(self.authority))


def ok(body: str, *headers: str) -> bytes:
    return reply(200, body.encode(), *headers)


def reply(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def leads_to(*addresses: str) -> Callable[[str, int], "asyncio.Future[Sequence[str]]"]:
    def resolver(host: str, port: int) -> "asyncio.Future[Sequence[str]]":
        done: asyncio.Future[Sequence[str]] = asyncio.get_running_loop().create_future()
        done.set_result(addresses)
        return done

    return resolver


LOCAL = leads_to("127.0.0.1")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    server = await made.start()
    yield made
    server.close()


async def refusal(settings: MetadataSettings, resolver: fetching.Resolver = LOCAL, timeout_s: float = PATIENCE_S) -> str:
    with pytest.raises(MetadataUnavailable) as caught:
        await fetch(settings, resolver, timeout_s)
    return caught.value.message


async def test_metadata_is_fetched_by_the_name_of_its_host(site: Site) -> None:
    assert await fetch(site.settings("/saml?x=1"), LOCAL, PATIENCE_S) == metadata().encode()
    [request] = site.heard
    assert request.startswith("GET /saml?x=1 HTTP/1.1\r\n")
    assert f"host: wiki.acme.test:{site.port}\r\n" in request.lower()
    assert "cookie" not in request.lower()


async def test_a_file_without_an_authority_is_told(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(SettingsError, match=r"metadata\.authority"):
        await fetch(MetadataSettings(url="https://wiki.acme.test/", authority=str(empty)), LOCAL)


# --- attacks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "240.0.0.1",
        "198.18.0.1",
        "192.0.2.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2002:a00:1::",
        "2001:0:1:2:3:4:80ff:fffe",
        "nonsense",
    ],
)
def test_metadata_whose_name_leads_inward_is_not_asked_for(address: str) -> None:
    assert problem_of(address, ())


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"])
def test_a_public_address_is_asked(address: str) -> None:
    assert problem_of(address, ()) == ""


def test_an_operators_list_opens_the_networks_that_it_names_and_no_others() -> None:
    allowed = fetching._networks(MetadataSettings(allow=("10.1.0.0/16", "fd00::/8")))
    assert problem_of("10.1.2.3", allowed) == ""
    assert problem_of("::ffff:10.1.2.3", allowed) == ""
    assert problem_of("fd00::5", allowed) == ""
    assert problem_of("10.2.0.1", allowed)
    assert problem_of("127.0.0.1", allowed)


def test_nobodys_addresses_are_not_opened_by_any_list() -> None:
    everything = fetching._networks(MetadataSettings(allow=("0.0.0.0/0", "::/0")))
    for address in ("0.0.0.0", "::", "224.0.0.1", "ff02::1"):
        assert problem_of(address, everything)


def test_ipv4_inside_ipv6_is_seen() -> None:
    assert str(plain_address("::ffff:10.0.0.1")) == "10.0.0.1"
    assert str(plain_address("64:ff9b::10.0.0.1")) == "10.0.0.1"
    assert str(plain_address("::1")) == "::1"


async def test_a_host_written_as_a_number_in_disguise_is_resolved_before_it_is_judged() -> None:
    for host in ("2130706433", "0x7f.1", "127.1", "localhost"):
        assert "inside your network" in await refusal(MetadataSettings(url=f"https://{host}/"), resolve)


async def test_a_name_that_leads_inward_beside_outward_is_refused_whole(site: Site) -> None:
    told = await refusal(site.settings(allow=()), leads_to("93.184.216.34", "127.0.0.1"))
    assert told == "wiki.acme.test: 127.0.0.1 is inside your network, and metadata.allow (--allow) does not name it"
    assert site.heard == []


async def test_a_name_that_leads_elsewhere_after_the_check_gains_nothing(site: Site) -> None:
    """DNS rebinding: the name is asked for once, and the connection is made to the address that was checked."""
    asked = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    await fetch(site.settings(), rebinding, PATIENCE_S)
    assert asked == ["wiki.acme.test"]


async def test_a_redirect_is_not_followed(site: Site) -> None:
    site.answer = reply(302, b"", "Location: https://169.254.169.254/latest/meta-data/")
    assert await refusal(site.settings()) == "the address redirects elsewhere: write the address that it leads to"
    assert len(site.heard) == 1


async def test_a_certificate_for_another_name_is_refused(site: Site) -> None:
    assert "its TLS certificate does not hold: Hostname mismatch" in await refusal(site.settings(host="other.acme.test"))
    assert site.heard == []


async def test_a_certificate_of_nobody_is_refused(site: Site) -> None:
    settings = MetadataSettings(url=site.settings().url, allow=HERE)
    assert "its TLS certificate does not hold" in await refusal(settings)


@pytest.mark.parametrize("url", ["http://wiki.acme.test/", "file:///etc/passwd", "https://ada@wiki.acme.test/", "gopher://x", ""])
async def test_only_https_is_asked(url: str) -> None:
    assert await refusal(MetadataSettings(url=url)) == "the address is not https, or no address"


async def test_an_endless_answer_is_cut(site: Site) -> None:
    site.answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * (MAX_OCTETS + 65_536)
    assert await refusal(site.settings()) == "the metadata is larger than 2048 KiB"


async def test_a_packed_bomb_is_not_unpacked(site: Site) -> None:
    site.answer = ok("x", "Content-Encoding: gzip")
    assert "packs what it sends" in await refusal(site.settings())


async def test_an_address_that_says_nothing_does_not_keep_us(tmp_path: Path) -> None:
    met = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    told = await refusal(MetadataSettings(url=f"https://wiki.acme.test:{port}/", allow=HERE), LOCAL, 0.5)
    assert told == "the address did not answer within 0.5 seconds"
    assert met.is_set()
    server.close()


async def test_what_answers_otherwise_than_well_is_told(site: Site) -> None:
    site.answer = reply(404, b"gone")
    assert await refusal(site.settings()) == "the address answers with status 404"
    site.answer = b"SSH-2.0\r\n\r\n"
    assert await refusal(site.settings()) == "wiki.acme.test: the connection failed"


async def test_the_next_address_is_tried_when_one_is_dead(site: Site) -> None:
    settings = MetadataSettings(url=site.settings().url, allow=("127.0.0.0/8",), authority=str(site.authority))
    assert await fetch(settings, leads_to("127.0.0.2", "127.0.0.1"), PATIENCE_S) == metadata().encode()


async def test_a_name_that_leads_nowhere_is_told(site: Site) -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    assert await refusal(site.settings(), unknown) == "the name wiki.acme.test cannot be resolved"
    assert await refusal(site.settings(), leads_to()) == "the name wiki.acme.test leads to no address"
