"""FreeRADIUS' radclient against every mode: another maker's idea of what we must accept and of what we must answer."""

import re
import subprocess
from dataclasses import dataclass

import pytest

from tests import neighbours
from tests.functional.harness import (
    SECRET,
    Served,
    message_count,
    newest_code,
    password_of,
    totp_code,
)
from tests.functional.plant import CHALLENGE, CODE_FIRST, CODE_ONLY, IPV6, JOINED, LENIENT, SEPARATED, USERS
from tests.functional.relay import Relay

pytestmark = pytest.mark.neighbour("radclient")

SIGNED = "Message-Authenticator = 0x00"


@dataclass(frozen=True, slots=True)
class Answer:
    """What radclient printed about a reply that it found authentic. `kind` is empty when none came."""

    kind: str
    attributes: dict[str, list[str]]
    output: str

    def one(self, name: str) -> str:
        """The only value of an attribute."""
        (value,) = self.attributes[name]
        return value


def radclient(
    server: str,
    secret: str,
    *lines: str,
    source: str | None = None,
    kind: str = "auth",
    tries: int = 1,
    timeout_s: float = 10,
) -> Answer:
    """Run radclient on one request, given as its attribute lines."""
    addressed = [f"Packet-Src-{'IPv6' if ':' in source else 'IP'}-Address = {source}"] if source else []
    request = "\n".join([*lines, *addressed]) + "\n"
    program = neighbours.executable("radclient")
    command = [program, "-x", "-r", str(tries), "-t", str(timeout_s), server, kind, secret]
    done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=60, check=False)
    output = done.stdout + done.stderr
    received = re.search(r"^Received (\S+) .*$((?:\n\t.*)*)", output, re.MULTILINE)
    if received is None:
        return Answer("", {}, output)
    attributes: dict[str, list[str]] = {}
    for name, value in re.findall(r"^\t(\S+) = (.*)$", received.group(2), re.MULTILINE):
        attributes.setdefault(name, []).append(value.strip('"'))
    return Answer(received.group(1), attributes, output)


def pap(user: str, password: str) -> tuple[str, str]:
    """Name and password, as radclient wants them."""
    return f'User-Name = "{user}"', f'User-Password = "{password}"'


def at(plant: Served, kind: str = "auth") -> str:
    """Where radclient sends to."""
    return f"127.0.0.1:{plant.port if kind == 'auth' else plant.accounting_port}"


def test_plain_radclient_logs_in_at_the_demo(demo: Served) -> None:
    radius = demo.told["radius"]
    server, secret = f"{radius['host']}:{radius['port']}", radius["secret"]
    before = message_count(demo, "bob")
    challenge = radclient(server, secret, *pap("bob", password_of(demo.told, "bob")))
    assert challenge.kind == "Access-Challenge", challenge.output
    code = newest_code(demo, "bob", "sms", before + 1)
    accept = radclient(server, secret, *pap("bob", code), f"State = {challenge.one('State')}")
    assert accept.kind == "Access-Accept", accept.output


@pytest.mark.parametrize("source", [CHALLENGE, LENIENT])
def test_challenge_mode_with_message_authenticator(plant: Served, source: str) -> None:
    ada = USERS.with_app()
    challenge = radclient(at(plant), SECRET, *pap(ada.name, ada.password), SIGNED, source=source)
    assert challenge.kind == "Access-Challenge", challenge.output
    assert challenge.one("Reply-Message") == "Enter the code from your app."
    assert int(challenge.one("Session-Timeout")) in range(170, 181)
    state = f"State = {challenge.one('State')}"
    wrong = radclient(at(plant), SECRET, *pap(ada.name, "000000"), state, SIGNED, source=source)
    assert wrong.kind == "Access-Challenge", wrong.output
    assert wrong.one("State") != challenge.one("State")
    state = f"State = {wrong.one('State')}"
    accept = radclient(at(plant), SECRET, *pap(ada.name, totp_code(ada.totp_hex)), state, SIGNED, source=source)
    assert accept.kind == "Access-Accept", accept.output
    assert accept.one("PaloAlto-User-Group") == "vpn-users"
    assert bytes.fromhex(accept.one("Class")[2:]) == b"OU=staff;"
    assert accept.one("Session-Timeout") == "28800"


def test_without_message_authenticator_only_where_that_is_allowed(plant: Served) -> None:
    ada = USERS.with_app()
    accepted = radclient(at(plant), SECRET, *pap(ada.name, ada.password), source=LENIENT)
    assert accepted.kind == "Access-Challenge", accepted.output
    # The reply carries one all the same: FortiOS drops replies without it.
    assert accepted.attributes["Message-Authenticator"]
    assert radclient(at(plant), SECRET, *pap(ada.name, ada.password), source=CHALLENGE, timeout_s=1).kind == ""


def test_password_then_code_without_separator(plant: Served) -> None:
    ada = USERS.with_app()
    code = totp_code(ada.totp_hex)
    accept = radclient(at(plant), SECRET, *pap(ada.name, ada.password + code), source=JOINED)
    assert accept.kind == "Access-Accept", accept.output
    again = radclient(at(plant), SECRET, *pap(ada.name, ada.password + code), source=JOINED)
    assert again.kind == "Access-Reject", again.output
    alone = radclient(at(plant), SECRET, *pap(ada.name, ada.password), source=JOINED)
    assert alone.kind == "Access-Reject", alone.output


def test_password_then_code_with_separator(plant: Served) -> None:
    ada = USERS.with_app()
    joined = f"{ada.password},{totp_code(ada.totp_hex)}"
    assert radclient(at(plant), SECRET, *pap(ada.name, joined), SIGNED, source=SEPARATED).kind == "Access-Accept"


def test_code_then_password(plant: Served) -> None:
    ada = USERS.with_app()
    joined = totp_code(ada.totp_hex) + ada.password
    assert radclient(at(plant), SECRET, *pap(ada.name, joined), SIGNED, source=CODE_FIRST).kind == "Access-Accept"


def test_code_only(plant: Served) -> None:
    ada, bob = USERS.with_app(), USERS.with_app()
    assert radclient(at(plant), SECRET, *pap(ada.name, totp_code(ada.totp_hex)), SIGNED, source=CODE_ONLY).kind == "Access-Accept"
    for never in (bob.password, totp_code(ada.totp_hex)):
        assert radclient(at(plant), SECRET, *pap(bob.name, never), SIGNED, source=CODE_ONLY).kind == "Access-Reject"


def test_over_ipv6(plant: Served) -> None:
    ada = USERS.with_app()
    server = f"[{IPV6}]:{plant.port}"
    challenge = radclient(server, SECRET, *pap(ada.name, ada.password), SIGNED)
    assert challenge.kind == "Access-Challenge", challenge.output
    state = f"State = {challenge.one('State')}"
    assert radclient(server, SECRET, *pap(ada.name, totp_code(ada.totp_hex)), state, SIGNED).kind == "Access-Accept"


def test_chap_is_refused_at_once_and_counts_nowhere(plant: Served) -> None:
    ada = USERS.with_app()
    for _ in range(8):
        refused = radclient(at(plant), SECRET, f'User-Name = "{ada.name}"', 'CHAP-Password = "x"', SIGNED, source=CHALLENGE)
        assert refused.kind == "Access-Reject", refused.output
    assert radclient(at(plant), SECRET, *pap(ada.name, ada.password), SIGNED, source=CHALLENGE).kind == "Access-Challenge"


@pytest.mark.parametrize(("port", "reply"), [("auth", "Access-Accept"), ("acct", "Accounting-Response")])
def test_status_server_is_answered_on_both_ports(plant: Served, port: str, reply: str) -> None:
    answer = radclient(at(plant, port), SECRET, SIGNED, source=CHALLENGE, kind="status")
    assert answer.kind == reply, answer.output
    assert set(answer.attributes) <= {"Message-Authenticator"}


def test_accounting_is_answered(plant: Served) -> None:
    lines = (
        'User-Name = "ada"',
        "Acct-Status-Type = Start",
        'Acct-Session-Id = "4711"',
        "NAS-IP-Address = 10.0.0.1",
    )
    answer = radclient(at(plant, "acct"), SECRET, *lines, source=CHALLENGE, kind="acct")
    assert answer.kind == "Accounting-Response", answer.output
    assert radclient(at(plant, "acct"), "not-the-secret", *lines, source=CHALLENGE, kind="acct", timeout_s=1).kind == ""


def test_a_retransmission_gets_the_same_octets_and_no_second_message(demo: Served) -> None:
    before = message_count(demo, "carol")
    with Relay(demo.port, "127.0.0.1", lose_replies=2) as relay:
        secret, password = demo.told["radius"]["secret"], password_of(demo.told, "carol")
        challenge = radclient(f"127.0.0.1:{relay.port}", secret, *pap("carol", password), SIGNED, tries=3, timeout_s=1)
        assert challenge.kind == "Access-Challenge", challenge.output
        assert len(relay.requests) == 3
        assert len(set(relay.requests)) == 1
        assert len(relay.replies) == 3
        assert len(set(relay.replies)) == 1
    assert newest_code(demo, "carol", "email", before + 1)
    assert message_count(demo, "carol") == before + 1


def test_of_many_logins_at_once_none_is_lost(plant: Served) -> None:
    program = neighbours.executable("radclient")
    ada = USERS.with_app()
    request = "\n".join([*pap(ada.name, ada.password), f"Packet-Src-IP-Address = {LENIENT}"]) + "\n"
    command = [program, "-q", "-s", "-c", "60", "-p", "20", "-r", "3", "-t", "10", at(plant), "auth", SECRET]
    done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=60, check=False)
    counts = dict(re.findall(r"^\s+(\S[^:]*?)\s*: (\d+)$", done.stdout, re.MULTILINE))
    # A challenge is neither accept nor reject to radclient's summary; what matters is that nothing was lost.
    assert counts["Lost"] == "0", done.stdout
