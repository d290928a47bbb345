"""Servers that DNS names: an own resolver before a name server that answers, cuts off, lies or stays silent."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.directory.ldap.clients import client
from wardgate.clock import FixedClock
from wardgate.directory.ldap import discovery, srv
from wardgate.directory.ldap.client import MAX_REMEMBERED_SERVERS
from wardgate.directory.ldap.discovery import Discovery, secured
from wardgate.directory.ldap.srv import ResolverFailed, Target, in_order, resolve, system_resolvers
from wardgate.errors import DirectoryUnavailable

NAME = "_ldap._tcp.acme.test"
Answer = Callable[[bytes], bytes | None]


def name(text: str) -> bytes:
    """A name without compression."""
    return b"".join(bytes((len(label),)) + label.encode() for label in text.split(".") if label) + b"\x00"


def answer(question: bytes, targets: list[Target], flags: int = 0x8180, code: int = 0) -> bytes:
    """A response; the owners' names point back to the question's."""
    records = b""
    for target in targets:
        data = struct.pack("!3H", target.priority, target.weight, target.port) + name(target.host)
        records += b"\xc0\x0c" + struct.pack("!HHIH", 33, 1, 300, len(data)) + data
    return question[:2] + struct.pack("!5H", flags | code, 1, len(targets), 0, 0) + question[12:] + records


def _on_one_port() -> tuple[socket.socket, socket.socket]:
    while True:
        listener = socket.create_server(("127.0.0.1", 0))
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            datagrams.bind(listener.getsockname())
        except OSError:  # somebody else's
            datagrams.close()
            listener.close()
        else:
            return datagrams, listener


@contextmanager
def name_server(udp: Answer, tcp: Answer = lambda question: None) -> Iterator[tuple[str, int]]:
    """A name server on loopback; its address."""
    datagrams, listener = _on_one_port()

    def serve_udp() -> None:
        with suppress(OSError):
            while True:
                question, whence = datagrams.recvfrom(4096)
                if not question:
                    return
                reply = udp(question)
                if reply is not None:
                    datagrams.sendto(reply, whence)

    def serve_tcp() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with sock:
                    question = sock.recv(4096)[2:]
                    reply = tcp(question)
                    if reply is not None:
                        sock.sendall(len(reply).to_bytes(2) + reply)

    threads = [threading.Thread(target=each, daemon=True) for each in (serve_udp, serve_tcp)]
    for thread in threads:
        thread.start()
    try:
        yield datagrams.getsockname()
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", datagrams.getsockname())
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)
        listener.close()
        datagrams.close()


DC1, DC2 = Target(0, 100, 389, "dc1.acme.test"), Target(10, 100, 389, "dc2.acme.test")


async def test_servers_come_by_priority() -> None:
    with name_server(lambda question: answer(question, [DC2, DC1])) as address:
        assert await resolve(NAME, [address]) == (DC1, DC2)


async def test_an_answer_that_was_cut_is_asked_for_by_tcp() -> None:
    with name_server(lambda q: answer(q, [], flags=0x8380), lambda q: answer(q, [DC1])) as address:
        assert await resolve(NAME, [address]) == (DC1,)


async def test_the_next_resolver_is_asked_when_one_is_silent_or_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srv, "TRY_S", 0.3)
    with name_server(lambda q: None) as silent, name_server(lambda q: answer(q, [], code=2)) as broken:
        with name_server(lambda q: answer(q, [DC1])) as good:
            assert await resolve(NAME, [silent, broken, good]) == (DC1,)
        with pytest.raises(ResolverFailed):
            await resolve(NAME, [silent, broken])


@pytest.mark.parametrize(
    "forged",
    [
        lambda q: bytes((q[0] ^ 1,)) + answer(q, [Target(0, 0, 389, "evil.test")])[1:],  # another id
        lambda q: answer(q[:12] + name("_ldap._tcp.evil.test") + q[-4:], [Target(0, 0, 389, "evil.test")]),  # another question
        lambda q: q,  # no response at all
    ],
)
async def test_an_answer_to_another_question_is_not_looked_at(forged: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srv, "TRY_S", 0.3)
    with name_server(forged) as address, pytest.raises(ResolverFailed, match="in time"):
        await resolve(NAME, [address])


def test_a_forged_srv_answer_cannot_send_passwords_to_another_domain() -> None:
    found = secured(
        "acme.test", [DC1, Target(0, 0, 636, "evil.test"), Target(0, 0, 636, "evilacme.test"), Target(0, 0, 3268, "acme.test")]
    )
    assert [each.name for each in found] == ["dc1.acme.test:636", "acme.test:3269"]
    assert not any(each.starttls for each in found)


@given(st.binary(max_size=120))
def test_random_answers_end_in_a_refusal(data: bytes) -> None:
    with suppress(srv._Malformed, srv._Refused, struct.error, IndexError, UnicodeDecodeError):
        srv._read(b"\x00\x00\x81\x80\x00\x01\x00\x02" + data)


def test_names_that_point_in_a_circle_end() -> None:
    with pytest.raises(srv._Malformed):
        srv._name(b"\xc0\x00", 0)


def test_weights_draw_among_equals() -> None:
    light, heavy = Target(0, 0, 389, "a"), Target(0, 1000, 389, "b")
    firsts = [in_order([light, heavy])[0] for _ in range(200)]
    assert firsts.count(heavy) > 150
    assert in_order([]) == ()


def test_resolvers_are_read_from_the_system(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# comment\nsearch acme.test\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver nonsense\nnameserver\n")
    assert system_resolvers(file) == (("192.0.2.1", 53), ("fe80::1%eth0", 53))
    assert system_resolvers(tmp_path / "missing") == (("127.0.0.1", 53),)


async def test_what_dns_said_is_remembered_and_kept_while_dns_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    down = False

    async def answered(question: str) -> tuple[Target, ...]:
        nonlocal asked
        asked += 1
        if down:
            raise ResolverFailed("down")
        return (DC1,) if asked == 1 else (DC1, DC2)

    monkeypatch.setattr(discovery.srv, "resolve", answered)
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    found = Discovery(("ldaps+srv://acme.test", "ldaps://spare.acme.test"), clock)
    soon = asyncio.get_running_loop().time() + 10
    found.known()
    await asyncio.sleep(0.05)
    assert [each.name for each in found.known() or ()] == ["dc1.acme.test:636", "spare.acme.test:636"]
    assert asked == 1
    clock.advance(discovery.REFRESH_S + 1)
    found.known()
    await asyncio.sleep(0.05)
    assert len(await found.find(soon)) == 3
    down = True
    clock.advance(discovery.REFRESH_S + 1)
    found.known()
    await asyncio.sleep(0.05)
    assert asked == 3
    assert len(found.known() or ()) == 3


async def test_without_any_answer_the_directory_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(question: str) -> tuple[Target, ...]:
        raise ResolverFailed("no such name")

    monkeypatch.setattr(discovery.srv, "resolve", down)
    found = Discovery(("ldaps+srv://acme.test",), FixedClock(datetime(2026, 11, 22, tzinfo=UTC)))
    assert found.known() is None
    with pytest.raises(DirectoryUnavailable, match="no such name"):
        await found.find(asyncio.get_running_loop().time() + 10)


async def renewed(found: Discovery, clock: FixedClock) -> list[str]:
    """What is known after DNS was asked once more."""
    clock.advance(discovery.REFRESH_S + 1)
    found.known()
    asking = found._asking
    assert asking is not None
    await asking
    return [each.name for each in found.known() or ()]


async def test_an_answer_that_names_nobody_inside_the_domain_takes_no_server_away(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(DC1,), (), (Target(0, 0, 389, "dc1.acme.test.evil.test"),), (DC2,)]

    async def answered(question: str) -> tuple[Target, ...]:
        return answers.pop(0)

    monkeypatch.setattr(discovery.srv, "resolve", answered)
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    found = Discovery(("ldaps+srv://acme.test",), clock)
    told = [await renewed(found, clock) for _ in range(4)]
    assert told == [["dc1.acme.test:636"]] * 3 + [["dc2.acme.test:636"]]


async def test_ever_new_servers_of_forged_answers_fill_no_memory_and_hold_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = 0

    async def answered(question: str) -> tuple[Target, ...]:
        nonlocal turn
        turn += 1
        return tuple(Target(0, 0, 389, f"dc{turn}-{number}.acme.test") for number in range(discovery.MAX_SERVERS))

    monkeypatch.setattr(discovery.srv, "resolve", answered)
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    asking = client("ldaps+srv://acme.test", clock=clock)
    names = await renewed(asking._discovery, clock)
    asking.status()
    asking.stick("ada", names[0])
    assert asking.stuck("ada") == names[0]
    for _ in range(8):
        await renewed(asking._discovery, clock)
        asking.stick("ada", names[0])
        assert len(asking.status()) == discovery.MAX_SERVERS
        assert asking.stuck("ada") is None
    assert len(asking._servers) <= MAX_REMEMBERED_SERVERS + discovery.MAX_SERVERS
    await asking.close()
