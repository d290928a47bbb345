"""The load generators: what they believe of a server's replies decides every figure."""

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.generator import Mode, Slice, build, compiler, generator
from bench.load import PERIOD_S, Present, User, totp
from bench.processes import tree, tree_cpu_s, tree_pss_mib
from wardgate.crypto import Secret
from wardgate.radius.packet import Code, Packet, SharedSecret, Type, check_message_authenticator, decode, encode_reply
from wardgate.radius.packet import MessageAuthenticator as Signature
from wardgate.radius.pap import reveal

SECRET = "testing a generator"
USERS = 40


def users() -> list[User]:
    return [User(b"user%d" % number, b"a password of more than sixteen", b"%020d" % number) for number in range(USERS)]


class Server(threading.Thread):
    """Answers a login in two steps, and before each right reply sends one with a wrong authenticator."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.secret = SharedSecret(Secret(SECRET))
        self.states: set[bytes] = set()
        self.proofs: list[tuple[bytes, bytes]] = []
        self.faults: list[str] = []

    def run(self) -> None:
        while True:
            data, peer = self.socket.recvfrom(4096)
            if data == b"stop":
                return
            packet = decode(data)
            if check_message_authenticator(packet, self.secret) is not Signature.VALID:
                self.faults.append("a request is not signed")
            reply = self.reply(packet)
            self.socket.sendto(reply[:-1] + bytes((reply[-1] ^ 1,)), peer)
            self.socket.sendto(reply, peer)

    def reply(self, packet: Packet) -> bytes:
        proof = reveal(packet.first(Type.USER_PASSWORD) or b"", packet.authenticator, self.secret)
        state = packet.first(Type.STATE)
        if state is None:
            self.states.add(handle := secrets.token_bytes(40))
            if proof != users()[0].password:
                self.faults.append("a wrong password")
            return encode_reply(packet, Code.ACCESS_CHALLENGE, [(Type.STATE, handle)], self.secret)
        if state not in self.states:
            self.faults.append("a State that nobody gave out")
        self.proofs.append((packet.first(Type.USER_NAME) or b"", proof))
        return encode_reply(packet, Code.ACCESS_ACCEPT, [(Type.REPLY_MESSAGE, b"welcome")], self.secret)


@contextmanager
def a_server() -> Iterator[Server]:
    server = Server()
    server.start()
    try:
        yield server
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"stop", ("127.0.0.1", server.port))
        server.join(10)
        server.socket.close()


@pytest.fixture(params=["C", "Python"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "C" and compiler() is None:
        pytest.skip("no C compiler here")
    if request.param == "Python":
        monkeypatch.setattr("bench.generator.compiler", lambda: None)
    return str(request.param)


def test_logs_in_with_right_codes_and_believes_no_reply_without_both_authenticators(kind: str, tmp_path: Path) -> None:
    with a_server() as server, generator(tmp_path, users(), SECRET) as load:
        result = load.run(server.port, Slice(4, 5.0, logins=20), [os.getpid()])
    assert not server.faults
    assert (result.logins, result.refused, result.unanswered, result.exhausted) == (20, 0, 0, False)
    assert result.bad == 2 * result.logins
    assert result.login_ms[0] >= result.first_ms[0] > 0
    by_name = {user.name: user for user in users()}
    assert len({name for name, _ in server.proofs}) == 20, "each user once before anybody comes again"
    for name, code in server.proofs:
        secret = by_name[name].secret
        now = int(os.stat(tmp_path).st_mtime) // PERIOD_S
        assert code in {totp(secret, step) for step in range(now - 1, now + 4)}


def test_a_code_is_sent_once_and_again_only_when_asked(kind: str, tmp_path: Path) -> None:
    with a_server() as server, generator(tmp_path, users(), SECRET) as load:
        once = load.run(server.port, Slice(4, 5.0))
        again = load.run(server.port, Slice(4, 0.2, Mode.AGAIN, logins=3 * USERS))
    # Two codes each, and one more where half a minute ended in between.
    assert once.exhausted
    assert 2 * USERS <= once.logins <= 3 * USERS
    assert len(set(server.proofs[: once.logins])) == once.logins
    assert not again.exhausted
    assert again.logins > 0


def test_present_codes_are_never_ahead_of_their_time() -> None:
    choose = Present(users())
    chosen = [choose() for _ in range(USERS)]
    assert all(each is not None and each[1] is None for each in chosen)


def test_the_program_is_built_once(tmp_path: Path) -> None:
    if compiler() is None:
        pytest.skip("no C compiler here")
    program = build(tmp_path)
    assert program is not None
    made_at = program.stat().st_mtime_ns
    assert build(tmp_path) == program
    assert program.stat().st_mtime_ns == made_at


def test_a_process_tree_has_cpu_time_and_memory() -> None:
    here = os.getpid()
    assert here in tree([here])
    assert tree_cpu_s([here]) > 0
    assert tree_pss_mib([here]) > 1
