"""`wardgate simulate` as an operator uses it: by hand, with the demo's codes, and unattended by a script."""

import fcntl
import json
import os
import pty
import re
import select
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.functional.harness import (
    COMMAND,
    ROOT,
    SECRET,
    Served,
    cli,
    environment,
    factor_of,
    free_udp_ports,
    message_count,
    newest_code,
    password_of,
    totp_code,
)
from tests.functional.plant import USERS
from tests.unit.cli.schemas import validate


def simulate(demo: Served, *arguments: str, expect: int = 0, stdin: str = "") -> dict[str, Any]:
    """Run it against the demo, and return what it tells as JSON, which is as its published schema says."""
    told = dict(json.loads(cli("simulate", *arguments, "--json", data=demo.data, expect=expect, stdin=stdin).stdout))
    validate(told, f"simulate-{arguments[0]}")
    return told


def test_globalprotect_logs_in_at_portal_and_gateway_and_names_the_replay_between(demo: Served) -> None:
    told = simulate(demo, "paloalto", "--user", "bob", "--auto")
    assert told["outcome"] == "accept"
    assert [(login["at"], login["outcome"]) for login in told["logins"]] == [
        ("portal", "accept"),
        ("gateway with the portal's credentials", "reject"),
        ("gateway", "accept"),
    ]
    replay = told["logins"][1]
    assert replay["reason"] == "credential_replay"
    assert not replay["expected"]
    assert told["complaints"] == []
    assert told["logins"][2]["exchanges"][-1]["attributes"]["PaloAlto-User-Group"] == ["vpn-users"]


def test_with_a_cookie_the_gateway_does_not_ask(demo: Served) -> None:
    told = simulate(demo, "paloalto", "--user", "erin", "--auto", "--cookie")
    assert [login["at"] for login in told["logins"]] == ["portal"]


def test_chap_first_is_refused_and_the_login_goes_on(demo: Served) -> None:
    told = simulate(demo, "paloalto", "--user", "carol", "--auto", "--cookie", "--chap-first", "--no-message-authenticator")
    received = [exchange["received"] for exchange in told["logins"][0]["exchanges"]]
    assert received == ["access_reject", "access_challenge", "access_accept"]


def test_a_refused_user_ends_with_exit_code_1_and_the_reason(demo: Served) -> None:
    told = simulate(demo, "paloalto", "--user", "frank", "--auto", expect=1)
    assert told["outcome"] == "reject"
    assert told["logins"][-1]["reason"] == "no_factor"


def test_nobody_there_ends_with_exit_code_3_after_the_retransmissions() -> None:
    (port,) = free_udp_ports(1)
    options = ["--server", f"127.0.0.1:{port}", "--secret-stdin", "--user", "ada", "--password", "x"]
    done = cli(
        "simulate", "generic", *options, "--retransmit", "2", "--timeout", "0.2", "--json", expect=3, stdin="between-nas-and-us\n"
    )
    exchange = json.loads(done.stdout)["logins"][0]["exchanges"][0]
    assert exchange["sendings"] == 3
    assert exchange["received"] is None


def test_the_transcript_shows_every_packet_and_no_secret(demo: Served) -> None:
    done = cli("simulate", "paloalto", "--user", "dave", "--code", totp_code(_dave(demo)), "--cookie", data=demo.data)
    assert re.search(r"\d+\.\d ms  -> Access-Request \d+, \d+ octets", done.stdout)
    assert re.search(r"<- Access-Challenge \d+, \d+ octets, after \d+\.\d ms", done.stdout)
    assert "PaloAlto-Client-Source-IP: 203.0.113.7" in done.stdout
    assert "the person sees: Enter the code from your app." in done.stdout
    assert "dave was let in (portal)" in done.stdout
    assert "\x1b" not in done.stdout
    for secret in (password_of(demo.told, "dave"), demo.told["radius"]["secret"], totp_code(_dave(demo))):
        assert secret not in done.stdout


def _dave(demo: Served) -> str:
    return str(factor_of(demo.told, "dave", "totp")["secret_hex"])


def test_any_server_can_be_named_with_everything_secret_on_standard_input(plant: Served) -> None:
    ada = USERS.with_app()
    typed = f"{SECRET}\n{ada.password}\n000000\n{totp_code(ada.totp_hex)}\n"
    done = cli(
        "simulate",
        "generic",
        "--server",
        f"[::1]:{plant.port}",
        "--secret-stdin",
        "--user",
        ada.name,
        "--password-stdin",
        "--json",
        stdin=typed,
    )
    received = [exchange["received"] for exchange in json.loads(done.stdout)["logins"][0]["exchanges"]]
    assert received == ["access_challenge", "access_challenge", "access_accept"]


def test_a_code_that_nobody_types_is_wrong_usage(demo: Served) -> None:
    done = cli("simulate", "generic", "--user", "bob", data=demo.data, expect=2)
    assert "nobody is there to type one" in done.stderr


def test_at_a_terminal_it_asks_for_the_code_and_prints_in_colour(demo: Served) -> None:
    before = message_count(demo, "carol")
    ours, theirs = pty.openpty()
    surroundings = {**environment(), "TERM": "xterm"}
    del surroundings["NO_COLOR"]
    command = [*COMMAND, "simulate", "generic", "--user", "carol", "--data", str(demo.data)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=surroundings, cwd=ROOT)
    os.close(theirs)
    try:
        shown = _read_until(ours, b"Code: ")
        os.write(ours, newest_code(demo, "carol", "email", before + 1).encode() + b"\n")
        shown += _read_until(ours, b"carol was let in")
        assert process.wait(20) == 0
    finally:
        process.kill()
        os.close(ours)
    assert b"\x1b[33mAccess-Challenge\x1b[0m" in shown
    assert b"\x1b[32mAccess-Accept\x1b[0m" in shown


def test_a_password_from_a_pipe_leaves_the_terminal_to_ask_for_the_code(demo: Served) -> None:
    before = message_count(demo, "carol")
    ours, theirs = pty.openpty()
    command = [*COMMAND, "simulate", "generic", "--user", "carol", "--password-stdin", "--data", str(demo.data)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=theirs,
        stderr=theirs,
        env=environment(),
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    try:
        assert process.stdin is not None
        process.stdin.write(password_of(demo.told, "carol").encode() + b"\n")
        process.stdin.close()
        _read_until(ours, b"Code: ")
        os.write(ours, newest_code(demo, "carol", "email", before + 1).encode() + b"\n")
        _read_until(ours, b"carol was let in")
        assert process.wait(20) == 0
    finally:
        process.kill()
        os.close(ours)


def _read_until(terminal: int, words: bytes) -> bytes:
    shown = b""
    while words not in shown:
        ready, _, _ = select.select([terminal], [], [], 20)
        assert ready, shown
        shown += os.read(terminal, 65_536)
    return shown


# --- scripts ---------------------------------------------------------------------------------------------------------------

GOOD = """
steps:
  - name: status
    send: {kind: status}
    expect: accept
  - name: password
    send: {user: bob, copies: 2}
    expect: challenge
    contains: Enter the code sent to
    within_s: 5
  - name: wrong code
    send: {code: "000000"}
    expect: challenge
    contains: 2 tries left
  - name: right code
    send: {code: {outbox: sms}, copies: 3}
    expect: accept
    attributes: {PaloAlto-User-Group: vpn-users}
  - name: a State that was used
    send: {code: "123456", state: 3}
    expect: reject
  - name: recovery code of dave
    send: {user: dave}
    expect: challenge
  - send: {code: recovery}
    expect: challenge
    contains: recovery codes
  - send: {code: {demo: recovery_code}}
    expect: accept
  - name: a Proxy-State without Message-Authenticator
    send: {user: carol, message_authenticator: none, attributes: {Proxy-State: "0x0102"}}
    expect: nothing
  - name: wrong password, by CHAP and by PAP
    send: {user: carol, password: wrong, chap: true}
    expect: reject
    within_s: 0.25
  - send: {user: carol, password: wrong}
    expect: reject
    contains: The user name or password is not right
"""


def test_a_script_runs_unattended(demo: Served, tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(GOOD)
    told = simulate(demo, "paloalto", "--script", str(script), "--timeout", "2", "--retransmit", "0")
    assert told["ok"], told
    assert len(told["steps"]) == told["steps_in_script"]


def test_a_script_stops_at_the_first_step_that_goes_wrong(demo: Served, tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(
        "steps:\n"
        "  - {send: {user: frank}, expect: reject, contains: second factor}\n"
        "  - {send: {user: frank}, expect: accept}\n"
        "  - {send: {user: frank}, expect: reject}\n"
    )
    told = simulate(demo, "generic", "--script", str(script), expect=1)
    assert [len(step["problems"]) for step in told["steps"]] == [0, 1]
    assert told["steps_in_script"] == 3
    shown = cli("simulate", "generic", "--script", str(script), data=demo.data, expect=1).stdout
    assert "expected accept, got reject" in shown


def test_a_script_that_expects_an_answer_from_nobody_ends_with_exit_code_3(tmp_path: Path) -> None:
    (port,) = free_udp_ports(1)
    script = tmp_path / "script.yaml"
    script.write_text("timeout_s: 0.2\nretransmit: 0\nsteps:\n  - {send: {user: ada, password: x}, expect: reject}\n")
    cli(
        "simulate",
        "generic",
        "--script",
        str(script),
        "--server",
        f"127.0.0.1:{port}",
        "--secret-stdin",
        expect=3,
        stdin="secret\n",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("steps: [{send: {user: ada}, expect: maybe}]", "steps[0].expect"),
        ("steps: [{send: {user: ada, pasword: x}, expect: reject}]", "pasword: unknown key; did you mean 'password'?"),
        ("steps: [{send: {code: {totp: 00, hotp: 00}}, expect: reject}]", "must name one of totp, hotp, outbox and demo"),
        ("steps: []", "must be 1 to"),
        ("steps: [{send: {user: ada, state: 1}, expect: reject}]", "number of an earlier step"),
        ("- just a list", "must be keys with values"),
    ],
)
def test_a_script_with_a_mistake_is_refused_with_its_place(demo: Served, text: str, problem: str) -> None:
    done = cli("simulate", "generic", "--script", "-", data=demo.data, expect=2, stdin=text)
    assert problem in done.stderr
