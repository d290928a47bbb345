"""The command line beside a real server: what it prints, and that logins go on while keys are rotated."""

import subprocess
from pathlib import Path
from typing import Any

from tests.functional.harness import (
    COMMAND,
    ROOT,
    Served,
    Wire,
    cli,
    cli_json,
    ended,
    environment,
    hotp_code,
    message_of,
    serve_demo,
    totp_code,
)
from tests.unit.cli.schemas import validate
from wardgate.radius.packet import Code


def user_of(served: Served, name: str) -> dict[str, Any]:
    """What the demo told of a user."""
    return dict(next(user for user in served.told["users"] if user["name"] == name))


def test_what_the_demo_prints_first_follows_its_schema(demo: Served) -> None:
    validate(demo.told, "demo")


def test_a_simulated_login_and_its_trace_follow_their_schemas(demo: Served) -> None:
    told = cli_json("simulate", "generic", "--user", "bob", "--auto", data=demo.data)
    validate(told, "simulate-generic")
    assert told["outcome"] == "accept"
    traced = cli_json("trace", "--user", "bob", "--last", data=demo.data)
    validate(traced, "trace")
    again = cli_json("trace", traced["entries"][0]["reference"], data=demo.data)
    assert again["entries"][0] == traced["entries"][0]


def test_check_finds_nothing_wrong_with_a_running_server(demo: Served) -> None:
    checked = cli_json("check", "--online", data=demo.data)
    validate(checked, "check")
    assert checked["ok"] is True


def test_logins_go_on_while_keys_are_rotated(tmp_path: Path) -> None:
    with ended(serve_demo(tmp_path / "data")) as served:
        ada, erin = user_of(served, "ada"), user_of(served, "erin")
        device = erin["factors"][0]
        with Wire(served, served.told["radius"]["secret"]) as wire:
            waiting = wire.log_in("ada", ada["password"])
            rotation = subprocess.Popen(
                [*COMMAND, "key", "rotate", "--json", "--data", str(served.data)],
                stdout=subprocess.PIPE,
                text=True,
                env=environment(),
                cwd=ROOT,
            )
            counter, during = device["counter"], 0
            while rotation.poll() is None:
                with Wire(served, served.told["radius"]["secret"]) as other:
                    challenge = other.log_in("erin", erin["password"])
                    reply = other.answer("erin", hotp_code(device["secret_hex"], counter), challenge)
                assert reply.code is Code.ACCESS_ACCEPT
                counter, during = counter + 1, during + 1
            out, _ = rotation.communicate(timeout=60)
            assert rotation.returncode == 0
            assert during > 0
            # The challenge from before the rotation is answered after it.
            assert wire.answer("ada", totp_code(ada["factors"][0]["secret_hex"]), waiting).code is Code.ACCESS_ACCEPT
        assert '"dropped": [1]' in out
        assert cli_json("audit", "verify", data=served.data)["findings"] == []
        served.stop()
        # And everything opens with what is left of the keys.
        assert cli_json("check", data=served.data)["ok"] is True
        assert cli("user", "show", "erin", data=served.data).returncode == 0


def test_who_has_to_wait_is_listed_and_let_go_while_the_server_runs(tmp_path: Path) -> None:
    with ended(serve_demo(tmp_path / "data")) as served:
        ada, bad = user_of(served, "ada"), "not the password"
        with Wire(served, served.told["radius"]["secret"]) as wire:
            for _ in range(5):
                assert wire.log_in("ada", bad).code == Code.ACCESS_REJECT
                assert wire.log_in("hunter2", bad).code == Code.ACCESS_REJECT
            listed = cli_json("lock", "list", data=served.data)
            validate(listed, "lock-list")
            assert {(lock["brake"], lock["user"]) for lock in listed["locks"]} == {
                ("user_source", "ada"),
                ("user_source", "h*** (7)"),
            }
            asked = wire.log_in("ada", ada["password"])
            assert "Too many tries" in message_of(asked), (
                "no password is looked at: a strong factor is asked for first, or he waits"
            )
            lifted = cli_json("lock", "clear", "ada", "--reason", "ticket 4711", data=served.data)
            validate(lifted, "lock-clear")
            assert lifted["lifted"] >= 1
            let_go = wire.log_in("ada", ada["password"])
            assert let_go.code == Code.ACCESS_CHALLENGE
            assert "Too many tries" not in message_of(let_go)
            assert cli_json("lock", "clear", "hunter2", data=served.data)["lifted"] >= 1
        assert cli_json("lock", "list", data=served.data)["locks"] == []
        validate(cli_json("gateway", "costs", data=served.data), "gateway-costs")
        served.stop()
