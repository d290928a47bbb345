"""What plans say beside their steps, over UDP: lifetimes, demands that are put off, and a portal's login that is handed over."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.harness import (
    SECRET,
    Served,
    Wire,
    cli,
    cli_json,
    ended,
    make_installation,
    message_of,
    reason_of,
    serve,
    totp_code,
)
from wardgate.cli.performing import Performer
from wardgate.radius.packet import Code, Type

TOTP_HEX = "3132333435363738393031323334353637383930"
PASSWORD = "correct horse battery staple"
ADDRESS = "203.0.113.7"
DOCUMENT = f"""\
realms: [{{name: acme, default: true, directories: [staff], reply_floor_ms: 0}}]
directories: [{{name: staff, kind: local}}]
nas:
  - {{name: hq, addresses: [127.0.0.1], secret: {{value: {SECRET}}}, vendor: paloalto, application: vpn}}
applications:
  - {{name: vpn, policy: remote, hand_over_s: 60}}
policies:
  - name: remote
    rules:
      - {{name: all, then: {{steps: [[password], [totp]], text: {{en: "Acme staff only."}}}}}}
    actions:
      - {{name: devices, when: {{user: [carol]}}, then: [{{enrol: hotp, level: forced, deferrals: 1}}]}}
      - {{name: at-once, when: {{user: [dave]}}, then: [{{enrol: hotp, level: forced, deferrals: 0}}]}}
    lifetimes:
      - {{name: all, then: {{session: 4h, idle: 15m, transaction: 2m}}}}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a policy that says all of it; everybody has an app."""
    data = Path(tmp_path_factory.mktemp("plans")) / "data"
    make_installation(data, DOCUMENT)
    with Performer(data) as performer:
        for name in ("ada", "bob", "carol", "dave", "erin"):
            performer.do("user.add", {"name": name, "password": PASSWORD})
            performer.do("authenticator.add_totp", {"name": name, "secret_hex": TOTP_HEX})
    with ended(serve(data)) as server:
        yield server
        server.stop()


def test_an_accept_says_how_long_and_a_challenge_for_how_long(served: Served) -> None:
    with Wire(served) as nas:
        question = nas.log_in("ada", PASSWORD, client=ADDRESS)
        assert int.from_bytes(question.first(Type.SESSION_TIMEOUT) or b"") == 120
        assert message_of(question).startswith("Acme staff only. ")
        accepted = nas.answer("ada", totp_code(TOTP_HEX), question, client=ADDRESS)
        assert accepted.code is Code.ACCESS_ACCEPT
        assert int.from_bytes(accepted.first(Type.SESSION_TIMEOUT) or b"") == 4 * 3600
        assert int.from_bytes(accepted.first(Type.IDLE_TIMEOUT) or b"") == 900


def test_what_was_spent_at_the_portal_opens_the_gateway_once(served: Served) -> None:
    code = totp_code(TOTP_HEX)
    with Wire(served) as portal, Wire(served) as gateway:
        question = portal.log_in("bob", PASSWORD, client=ADDRESS)
        assert portal.answer("bob", code, question, client=ADDRESS).code is Code.ACCESS_ACCEPT
        elsewhere = gateway.log_in("bob", code, client="203.0.113.8")
        assert reason_of(served, elsewhere) == "credential_replay"
        assert gateway.log_in("bob", code, client=ADDRESS).code is Code.ACCESS_ACCEPT
        assert reason_of(served, gateway.log_in("bob", code, client=ADDRESS)) == "credential_replay"
    events = cli_json("audit", "search", "--kind", "engine:login:granted", "--json", data=served.data)
    assert any("handed_over" in str(event) for event in events["events"])


def test_the_simulator_plays_a_portal_and_a_gateway_that_is_handed_over_to(served: Served) -> None:
    options = [
        "--server",
        f"127.0.0.1:{served.port}",
        "--secret-stdin",
        "--password-stdin",
        "--user",
        "erin",
        "--client-ip",
        ADDRESS,
    ]
    code, typed = totp_code(TOTP_HEX), f"{SECRET}\n{PASSWORD}\n"
    ran = cli("simulate", "paloalto", *options, "--code", code, "--hand-over", "--json", data=served.data, stdin=typed)
    told = json.loads(ran.stdout)
    assert [(login["outcome"], login["expected"]) for login in told["logins"]] == [
        ("accept", True),
        ("accept", True),
        ("reject", False),
    ]
    assert (told["outcome"], told["complaints"]) == ("accept", [])


@pytest.mark.parametrize(("name", "code"), [("carol", Code.ACCESS_ACCEPT), ("dave", Code.ACCESS_REJECT)])
def test_a_demand_is_told_once_everything_is_proved(served: Served, name: str, code: Code) -> None:
    with Wire(served) as nas:
        refused = nas.log_in(name, "guess")
        assert "second step" not in message_of(refused)
        reply = nas.answer(name, totp_code(TOTP_HEX), nas.log_in(name, PASSWORD))
        assert reply.code is code
        assert "second step" in message_of(reply)
        if code is Code.ACCESS_REJECT:
            assert reason_of(served, reply) == "action_required"
