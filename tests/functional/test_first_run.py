"""What the first start promises: one line of JSON, data that stays, ports that are told, and an end without a trace."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.harness import (
    COMMAND,
    ROOT,
    Served,
    Wire,
    cli,
    ended,
    factor_of,
    hotp_code,
    password_of,
    serve_demo,
    totp_code,
    wait_for,
)
from wardgate.radius.packet import Code

FACTOR_KEYS = {
    "totp": {"kind", "secret_hex", "digits", "period_s"},
    "hotp": {"kind", "secret_hex", "digits", "counter"},
    "sms": {"kind", "address"},
    "email": {"kind", "address"},
    "recovery_code": {"kind", "codes"},
}
FACTORS = {
    "ada": ["totp"],
    "bob": ["sms"],
    "carol": ["email"],
    "dave": ["totp", "sms", "email", "recovery_code"],
    "erin": ["hotp"],
    "frank": [],
}


def test_the_first_line_names_everything_that_a_visitor_needs(demo: Served) -> None:
    told = demo.told
    assert set(told) == {"radius", "https", "outbox_url", "admin_url", "users"}
    assert set(told["radius"]) == {"host", "port", "acct_port", "secret", "message_authenticator"}
    assert told["radius"]["host"] == "127.0.0.1"
    assert 0 < told["radius"]["port"] != told["radius"]["acct_port"] > 0
    assert told["radius"]["message_authenticator"] == "accept_missing"
    assert len(told["radius"]["secret"]) >= 16
    assert set(told["https"]) == {"url", "ca_file"}
    assert told["https"]["url"].startswith("https://127.0.0.1:")
    assert told["outbox_url"].startswith(told["https"]["url"])
    assert told["admin_url"].startswith(told["https"]["url"])
    assert {user["name"]: [factor["kind"] for factor in user["factors"]] for user in told["users"]}.items() >= FACTORS.items()
    assert "disabled" in [user["name"] for user in told["users"]]


def test_every_factor_tells_what_is_needed_to_use_it(demo: Served) -> None:
    for user in demo.told["users"]:
        assert set(user) == {"name", "password", "factors"}
        assert user["password"]
        for factor in user["factors"]:
            assert set(factor) == FACTOR_KEYS[factor["kind"]]


def test_the_certificate_verifies_against_the_file_that_is_named(demo: Served) -> None:
    assert Path(demo.told["https"]["ca_file"]) == demo.ca_file.resolve()
    with demo.web() as web:
        assert web.get("/healthz").text == "ok"
        assert web.get("/readyz").json()["ready"] is True


def test_outbox_and_log_are_open_on_this_machine(demo: Served) -> None:
    with demo.web() as web:
        for url in (demo.told["outbox_url"], demo.told["admin_url"]):
            page = web.get(url)
            assert page.status_code == 200
            assert page.headers["content-type"].startswith("text/html")
        messages = web.get(demo.told["outbox_url"], headers={"Accept": "application/json"})
        assert isinstance(messages.json(), list)


def test_under_serve_the_outbox_does_not_exist_and_the_log_is_closed(plant: Served) -> None:
    with plant.web() as web:
        assert web.get("/outbox").status_code == 404
        assert web.get("/outbox", headers={"Accept": "application/json"}).status_code == 404
        assert web.get("/admin/log").status_code == 403
    with contextlib.closing(plant.operator()) as operator:
        assert operator.get("/admin/log").status_code == 200


def test_a_second_start_continues_with_the_same_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with ended(serve_demo(data, "--fresh")) as first, Wire(first, first.told["radius"]["secret"]) as wire:
        erin, secret_hex = password_of(first.told, "erin"), factor_of(first.told, "erin", "hotp")["secret_hex"]
        assert wire.answer("erin", hotp_code(secret_hex, 0), wire.log_in("erin", erin)).code is Code.ACCESS_ACCEPT
        first.stop()
    with ended(serve_demo(data)) as second, Wire(second, second.told["radius"]["secret"]) as wire:
        assert second.told["radius"]["secret"] == first.told["radius"]["secret"]
        assert [user["password"] for user in second.told["users"]] == [user["password"] for user in first.told["users"]]
        # What was spent stays spent, and the line tells the counter as it is now.
        assert factor_of(second.told, "erin", "hotp")["counter"] == 1
        again = wire.answer("erin", hotp_code(secret_hex, 0), wire.log_in("erin", erin))
        assert again.code is Code.ACCESS_CHALLENGE
        second.stop()


def test_fresh_begins_anew_in_a_directory_of_ours(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with ended(serve_demo(data, "--fresh")) as first:
        first.stop(signal.SIGINT)
    with ended(serve_demo(data, "--fresh")) as second:
        assert second.told["radius"]["secret"] != first.told["radius"]["secret"]
        second.stop()


def test_fresh_deletes_nothing_in_a_directory_that_is_not_ours(tmp_path: Path) -> None:
    stranger = tmp_path / "thesis"
    stranger.mkdir()
    (stranger / "chapter-1.txt").write_text("years of work")
    done = cli("demo", "--json", "--radius-port", "0", "--https-port", "0", "--fresh", data=stranger, expect=1)
    told = json.loads(done.stdout)
    assert "not ours" in told["error"]["message"]
    assert (stranger / "chapter-1.txt").read_text() == "years of work"
    assert [entry.name for entry in stranger.iterdir()] == ["chapter-1.txt"]


def test_nothing_but_the_one_line_goes_to_standard_output(tmp_path: Path) -> None:
    with ended(serve_demo(tmp_path / "data", "--fresh")) as served:
        with Wire(served, served.told["radius"]["secret"]) as wire:
            wire.log_in("frank", password_of(served.told, "frank"))
        served.process.send_signal(signal.SIGTERM)
        rest, _ = served.process.communicate(timeout=20)
        assert rest == b""
        assert served.process.returncode == 0


def test_a_port_that_is_taken_moves_on_to_the_next_free_one_and_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with ended(serve_demo(tmp_path / "data", "--fresh", "--radius-port", str(port))) as served:
            assert port < served.port < port + 50
            with Wire(served, served.told["radius"]["secret"]) as wire:
                assert wire.log_in("bob", password_of(served.told, "bob")).code is Code.ACCESS_CHALLENGE
            served.stop()


def test_a_second_server_on_the_same_data_is_refused(demo: Served) -> None:
    done = cli("demo", "--json", "--radius-port", "0", "--accounting-port", "0", "--https-port", "0", data=demo.data, expect=3)
    assert str(demo.pid) in json.loads(done.stdout)["error"]["message"]
    assert demo.process.poll() is None


def test_the_run_script_starts_the_demo_and_passes_the_end_on(tmp_path: Path) -> None:
    command = (sys.executable, str(ROOT / "run"))
    with ended(serve_demo(tmp_path / "data", "--fresh", command=command)) as served:
        ada = factor_of(served.told, "ada", "totp")
        with Wire(served, served.told["radius"]["secret"]) as wire:
            challenge = wire.log_in("ada", password_of(served.told, "ada"))
            assert wire.answer("ada", totp_code(ada["secret_hex"]), challenge).code is Code.ACCESS_ACCEPT
        served.stop()


def test_without_json_the_demo_prints_what_to_try_and_no_colour(tmp_path: Path) -> None:
    log, out = tmp_path / "err", tmp_path / "out"
    arguments = [
        *COMMAND,
        "demo",
        "--data",
        str(tmp_path / "data"),
        "--radius-port",
        "0",
        "--accounting-port",
        "0",
        "--https-port",
        "0",
    ]
    with log.open("wb") as errors, out.open("wb") as shown:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=shown, stderr=errors, cwd=ROOT)
    try:
        wait_for(lambda: "radclient" in out.read_text(), 30)
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert "\x1b" not in out.read_text()
    assert "simulate paloalto --user ada" in out.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_while_logins_are_under_way(tmp_path: Path, number: signal.Signals) -> None:
    with ended(serve_demo(tmp_path / "data", "--fresh")) as served, Wire(served, served.told["radius"]["secret"]) as wire:
        for name in ("bob", "carol", "nobody"):
            wire.send(wire.request(name, "not-the-password"))
        served.stop(number)
