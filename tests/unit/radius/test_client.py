"""The client: which replies it believes, and how it behaves on the wire."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from wardgate.crypto import Secret
from wardgate.errors import PacketError, UnavailableError
from wardgate.radius.client import NoReply, RadiusClient, build_access_request, build_status_server, check_reply
from wardgate.radius.packet import Code, Packet, SharedSecret, Type, decode, encode, encode_reply

SECRET = SharedSecret(Secret(b"a shared secret of 28 octets"))
OTHER_SECRET = SharedSecret(Secret(b"something else"))
Answer = Callable[[bytes, int], list[bytes]]
SOON_S = 0.05


def ask(user: str = "ada", identifier: int = 9, **options: object) -> Packet:
    return build_access_request(user, "secret", SECRET, identifier=identifier, **options)  # type: ignore[arg-type]


def unsigned(request: Packet, code: Code, *attributes: tuple[int, bytes]) -> bytes:
    """A reply with a right Response Authenticator and no Message-Authenticator, as servers made them for decades."""
    octets = encode(code, request.identifier, request.authenticator, attributes)
    return octets[:4] + SECRET.md5_then_secret(octets) + octets[20:]


class TestCheckReply:
    def test_right_reply(self) -> None:
        request = ask()
        reply = check_reply(request, encode_reply(request, Code.ACCESS_CHALLENGE, [(24, b"state")], SECRET), SECRET)
        assert reply.first(Type.STATE) == b"state"

    def refused(self, request: Packet, datagram: bytes, **options: bool) -> str:
        with pytest.raises(PacketError) as caught:
            check_reply(request, datagram, SECRET, **options)
        return caught.value.code

    def test_reply_to_another_request(self) -> None:
        request = ask()
        assert self.refused(request, encode_reply(ask(), 2, (), SECRET)) == "radius_reply_authenticator"
        assert self.refused(request, encode_reply(ask(identifier=10), 2, (), SECRET)) == "radius_reply_identifier"

    def test_reply_with_another_secret(self) -> None:
        request = ask()
        assert self.refused(request, encode_reply(request, 2, (), OTHER_SECRET)) == "radius_reply_authenticator"

    @pytest.mark.parametrize("code", [1, 4, 5, 12])
    def test_what_is_no_reply(self, code: int) -> None:
        request = ask()
        assert self.refused(request, encode_reply(request, code, (), SECRET)) == "radius_reply_code"

    def test_accept_without_message_authenticator_is_refused_unless_allowed(self) -> None:
        request = ask()
        assert self.refused(request, unsigned(request, Code.ACCESS_ACCEPT)) == "radius_reply_message_authenticator"
        accepted = check_reply(request, unsigned(request, Code.ACCESS_ACCEPT), SECRET, require_message_authenticator=False)
        assert accepted.code is Code.ACCESS_ACCEPT

    def test_wrong_message_authenticator_is_refused_always(self) -> None:
        request = ask()
        forged = unsigned(request, Code.ACCESS_ACCEPT, (80, bytes(16)))
        for required in (True, False):
            code = self.refused(request, forged, require_message_authenticator=required)
            assert code == "radius_reply_message_authenticator"

    def test_proxy_state_that_we_did_not_send_is_the_mark_of_a_forged_reply(self) -> None:
        request = ask()
        forged = unsigned(request, Code.ACCESS_ACCEPT, (Type.PROXY_STATE, b"collision block"))
        assert self.refused(request, forged, require_message_authenticator=False) == "radius_reply_proxy_state"

    def test_every_flipped_bit_is_noticed(self) -> None:
        request = ask()
        octets = encode_reply(request, Code.ACCESS_REJECT, [(18, b"no")], SECRET)
        for at in range(len(octets) * 8):
            changed = bytearray(octets)
            changed[at // 8] ^= 1 << at % 8
            with pytest.raises(PacketError):
                check_reply(request, bytes(changed), SECRET)


class Server(asyncio.DatagramProtocol):
    """Answers as the test says; keeps what came and who sent it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.received: list[bytes] = []
        self.ports: set[int] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.append(data)
        self.ports.add(addr[1])
        for datagram in self.answer(data, len(self.received)):
            self.transport.sendto(datagram, addr)


@asynccontextmanager
async def server(answer: Answer, host: str = "127.0.0.1") -> AsyncIterator[tuple[int, Server]]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Server(answer), local_addr=(host, 0))
    try:
        yield transport.get_extra_info("sockname")[1], protocol
    finally:
        transport.close()


def accept(datagram: bytes) -> bytes:
    return encode_reply(decode(datagram), Code.ACCESS_ACCEPT, (), SECRET)


class TestRadiusClient:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    async def test_request_and_reply(self, host: str) -> None:
        async with server(lambda data, _: [accept(data)], host) as (port, seen), RadiusClient(host, port, SECRET) as client:
            reply = await client.send(ask())
            assert reply.code is Code.ACCESS_ACCEPT
            assert seen.ports == {client.local_port}

    async def test_it_sends_the_same_octets_again_until_a_reply_comes(self) -> None:
        async with server(lambda data, number: [accept(data)] if number == 3 else []) as (port, seen):
            async with RadiusClient("127.0.0.1", port, SECRET, SOON_S, 5) as client:
                request = ask()
                assert (await client.send(request)).code is Code.ACCESS_ACCEPT
            assert seen.received == [request.raw] * 3

    async def test_it_gives_up_after_its_sendings_and_says_what_it_dropped(self) -> None:
        def answer(data: bytes, _: int) -> list[bytes]:
            return [encode_reply(decode(data), Code.ACCESS_ACCEPT, (), OTHER_SECRET), b"", b"\0", data[:2] + b"\0\x14"]

        async with server(answer) as (port, seen), RadiusClient("127.0.0.1", port, SECRET, SOON_S, 1) as client:
            with pytest.raises(NoReply, match=r"2 sendings.*Response Authenticator") as caught:
                await client.send(ask())
            assert isinstance(caught.value, UnavailableError)
            assert len(seen.received) == 2

    async def test_right_reply_after_a_forged_one_is_taken(self) -> None:
        def answer(data: bytes, _: int) -> list[bytes]:
            return [encode_reply(decode(data), Code.ACCESS_REJECT, (), OTHER_SECRET), accept(data)]

        async with server(answer) as (port, _), RadiusClient("127.0.0.1", port, SECRET) as client:
            assert (await client.send(ask())).code is Code.ACCESS_ACCEPT

    async def test_replies_in_another_order_find_their_requests(self) -> None:
        waiting: list[bytes] = []

        def answer(data: bytes, number: int) -> list[bytes]:
            waiting.append(accept(data))
            return waiting[::-1] if number == 20 else []

        async with server(answer) as (port, _), RadiusClient("127.0.0.1", port, SECRET) as client:
            requests = []
            for _ in range(20):
                requests.append(ask(identifier=client.identifier()))
            replies = await asyncio.gather(*(client.send(request) for request in requests))
            assert [reply.identifier for reply in replies] == [request.identifier for request in requests]

    async def test_no_server_is_silence(self) -> None:
        async with server(lambda data, _: []) as (port, _):
            pass
        async with RadiusClient("127.0.0.1", port, SECRET, SOON_S, 1) as client:
            with pytest.raises(NoReply):
                await client.send(build_status_server(SECRET, identifier=1))

    async def test_identifiers_in_use_are_passed_over_and_run_out(self) -> None:
        async with server(lambda data, _: []) as (port, seen), RadiusClient("127.0.0.1", port, SECRET, 30) as client:
            tasks = []
            for _ in range(256):
                tasks.append(asyncio.create_task(client.send(ask(identifier=client.identifier()))))
                await asyncio.sleep(0)
            with pytest.raises(NoReply, match="256"):
                client.identifier()
            with pytest.raises(NoReply, match="in use"):
                await client.send(ask(identifier=0))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert client.identifier() in range(256)
            assert len({datagram[1] for datagram in seen.received}) == len(seen.received)

    async def test_closed_client_says_so(self) -> None:
        with pytest.raises(NoReply, match="async with"):
            await RadiusClient("127.0.0.1", 1, SECRET).send(ask())
