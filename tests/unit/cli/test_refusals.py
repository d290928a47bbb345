"""Exit codes, one JSON object whatever happens, and what is refused."""

import json
import os
import sys
from pathlib import Path

import pytest

from wardgate.cli.main import run
from wardgate.installation import MARKER

from .conftest import Cli
from .schemas import validate

PASSWORD = "a lantern over the lake"


def test_wrong_usage_is_two(alone: Cli) -> None:
    for arguments in (
        ("usr",),
        ("user", "ad"),
        ("user", "add"),
        ("nas", "list", "--colour"),
        ("trace",),
    ):
        ran = alone(*arguments)
        assert (ran.code, ran.out) == (2, ""), arguments
        assert ran.err
        ran = alone(*arguments, "--json")
        assert ran.code == 2
        ran.json("error")


def test_a_group_alone_shows_its_commands(alone: Cli) -> None:
    ran = alone("nas")
    assert ran.code == 2
    assert "remove" in ran.err


def test_an_installation_that_is_not_there_is_told(alone: Cli, tmp_path: Path) -> None:
    ran = alone("user", "list", "--data", str(tmp_path / "nowhere"), "--json")
    assert (ran.code, ran.json("error")["error"]["code"]) == (1, "settings")
    assert "wardgate init" in ran.json()["error"]["message"]


def test_what_exists_already_is_a_conflict(cli: Cli) -> None:
    assert cli("user", "add", "ada", "--no-password").code == 0
    ran = cli("user", "add", "ADA", "--no-password", "--json")
    assert (ran.code, ran.json("error")["error"]["code"]) == (4, "already_exists")
    assert cli("nas", "add", "fw", "--address", "10.0.0.1", "--application", "vpn").code == 0
    assert cli("nas", "add", "FW", "--address", "10.0.0.2", "--application", "vpn").code == 4


def test_what_does_not_exist_is_one(cli: Cli) -> None:
    for arguments in (("user", "show", "nobody"), ("user", "show", "ada", "--directory", "nowhere"), ("nas", "remove", "none")):
        assert cli(*arguments).code == 1


def test_a_version_that_is_not_in_force_any_more_is_a_conflict(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "d.yaml"
    file.write_text(cli("config", "export").out + "codes: {life_s: 120}\n")
    assert cli("config", "apply", str(file), "--expect-version", "9").code == 4
    assert cli("config", "apply", str(file), "--expect-version", "1").code == 0


def test_a_lock_that_another_process_keeps_is_unavailable(alone: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from wardgate.installation import InstanceLock

    monkeypatch.setattr("wardgate.cli.performing.LOCK_WAIT_S", 0.0)
    with InstanceLock.take(alone.data):
        ran = alone("user", "list", "--json")
    assert (ran.code, ran.json("error")["error"]["code"]) == (3, "instance_locked")
    assert f"process {os.getpid()} holds" in ran.json()["error"]["message"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nas: [{name: fw, adresses: [10.0.0.1]}]", "nas[0].adresses: unknown key; did you mean 'addresses'?"),
        ("a: 1\na: 2", "stands here a second time"),
        ("x: [", "d.yaml:2:1: not YAML: "),
        ("a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20)), "holds too much"),
    ],
)  # fmt: skip
def test_a_wrong_document_is_refused_and_changes_nothing(cli: Cli, tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "d.yaml"
    file.write_text(text)
    for command in ("apply", "diff"):
        ran = cli("config", command, str(file), "--json")
        assert ran.code == 1
        assert told in ran.json("error")["error"]["message"]
    assert cli("config", "export", "--json").json()["version"] == 1


def test_a_secret_that_is_not_there_is_named_and_nothing_is_applied(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FW_SECRET", raising=False)
    file = tmp_path / "d.yaml"
    nas = "nas: [{name: fw, addresses: [10.0.0.1], secret: {env: FW_SECRET}, application: vpn}]\napplications: [{name: vpn}]\n"
    file.write_text(cli("config", "export").out + nas)
    for command in (("apply",), ("apply", "--dry-run")):
        ran = cli("config", *command, str(file), "--json")
        assert ran.code == 1
        assert "nas[0].secret: the server has no environment variable FW_SECRET" in ran.json("error")["error"]["message"]
    assert cli("config", "diff", str(file)).code == 0
    monkeypatch.setenv("FW_SECRET", "s3cret-s3cret-s3cret")
    assert cli("config", "apply", str(file)).code == 0


def test_a_sealed_secret_cannot_be_lent_to_another_nas(cli: Cli, tmp_path: Path) -> None:
    cli("nas", "add", "fw", "--address", "10.0.0.1", "--application", "vpn")
    file = tmp_path / "d.yaml"
    file.write_text(cli("config", "export").out.replace("name: fw", "name: thief"))
    ran = cli("config", "apply", str(file))
    assert ran.code == 1
    assert "nas[0].secret: the sealed value does not open here" in ran.err


def test_files_that_cannot_be_read_are_told(alone: Cli, tmp_path: Path) -> None:
    assert alone("config", "apply", str(tmp_path / "gone.yaml")).code == 2
    (tmp_path / "latin").write_bytes(b"a: \xff")
    assert "is not UTF-8" in alone("config", "apply", str(tmp_path / "latin")).err
    (tmp_path / "big").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    assert "larger than" in alone("config", "apply", str(tmp_path / "big")).err


def test_a_password_is_needed_from_somewhere(alone: Cli) -> None:
    ran = alone("user", "add", "ada")
    assert (ran.code, "--password-stdin" in ran.err) == (2, True)
    assert alone("user", "add", "ada", "--password-stdin", stdin="").code == 2
    assert alone("user", "add", "ada", "--password-stdin", stdin=b"\xff\xfe\n").code == 2
    assert alone("user", "add", "ada", "--password-stdin", stdin="x" * 5_000).code == 2
    assert alone("user", "add", "ada", "--password-stdin", stdin=" with blanks, and long \r\n").code == 0


def test_options_that_do_not_fit_are_told(alone: Cli) -> None:
    assert alone("authenticator", "add", "ada", "hotp", "--period", "60").code == 2
    assert alone("authenticator", "add", "ada", "totp", "--counter", "1").code == 2
    assert alone("authenticator", "add", "ada", "recovery", "--secret-hex", "aa").code == 2
    assert alone("authenticator", "add", "ada", "totp", "--secret-hex", "aa", "--secret-stdin", stdin="aa").code == 2
    assert alone("user", "change", "ada", "--group", "a", "--no-groups").code == 2
    assert alone("trace", "7H2K9QXA", "--user", "ada").code == 2
    assert alone("trace", "7H2K9QXA", "--last").code == 2


def test_a_broken_installation_is_a_finding_of_check(alone: Cli) -> None:
    (alone.data / "master.key").chmod(0o644)
    ran = alone("check", "--json")
    assert ran.code == 1
    finding = ran.json("check")["findings"][0]
    assert (finding["level"], finding["cure"]) == ("error", f"chmod 600 {alone.data / 'master.key'}")
    (alone.data / "master.key").chmod(0o600)
    (alone.data / "wardgate.toml").write_text("[radius]\nport = 'x'\n[server]\nwrokers = 2\n")
    faults = alone("check", "--json").json("check")["findings"]
    assert [each["what"].rpartition(" ")[2] for each in faults] == ["server.wrokers", "radius.port"]
    assert not any("\n" in each["what"] for each in faults)
    assert "\\n" not in alone("check").out
    (alone.data / MARKER).unlink()
    assert alone("check", "--json").json("check")["ok"] is False


def test_a_database_that_is_gone_is_told_and_no_empty_one_takes_its_place(alone: Cli) -> None:
    (alone.data / "wardgate.db").unlink()
    for command in (("user", "list"), ("check",)):
        refused = alone(*command)
        assert refused.code == 1
        assert "is missing" in refused.err + refused.out
    assert not (alone.data / "wardgate.db").exists()


def test_check_finds_what_is_weak_and_what_is_wrong(cli: Cli, tmp_path: Path) -> None:
    cli("nas", "add", "weak", "--address", "10.0.0.1", "--application", "vpn", "--secret-stdin",
        "--message-authenticator", "accept_missing", stdin="short")  # fmt: skip
    secret = tmp_path / "secret"
    secret.write_text("s3cret-s3cret-s3cret")
    secret.chmod(0o644)
    cli("nas", "add", "open", "--address", "10.0.0.2", "--application", "vpn", "--secret-file", str(secret))
    cli("nas", "add", "gone", "--address", "10.0.0.3", "--application", "vpn", "--secret-file", str(tmp_path / "gone"))
    users = tmp_path / "users.csv"
    users.write_text("username,password_hash\nada,{SSHA}" + "MTIzNDU2Nzg5MDEyMzQ1Njc4OTBhYmNk\n")
    assert cli("user", "import", str(users), "--keep-hashes").code == 0
    (cli.data / "tls" / "cert.pem").write_text("broken")
    (cli.data / "tls" / "key.pem").chmod(0o644)
    ran = cli("check", "--json")
    assert ran.code == 1
    told = {finding["what"]: finding["level"] for finding in ran.json("check")["findings"]}
    assert list(told.values()) == sorted(told.values(), key=["error", "warning", "info"].index)

    def level(part: str) -> str:
        return next(level for what, level in told.items() if part in what)

    assert level("NAS weak: its secret is shorter than 12") == "warning"
    assert level("NAS weak: requests without Message-Authenticator") == "warning"
    assert level(f"{secret} can be read by everybody") == "warning"
    assert level("1 ssha") == "warning"
    assert level("nas[2].secret: the server cannot read") == "error"
    assert level("holds no PEM certificate") == "error"
    assert level("the TLS key") == "error"


def test_fresh_demo_on_a_directory_of_somebody_else_is_refused(alone: Cli, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("precious")
    ran = alone("demo", "--data", str(tmp_path / "home"), "--fresh", "--json")
    assert ran.code == 1
    assert "nothing was changed" in ran.json("error")["error"]["message"]
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis.tex"]


def test_a_demo_does_not_run_on_real_users_nor_a_server_on_a_demo(alone: Cli, tmp_path: Path) -> None:
    ran = alone("demo")
    assert (ran.code, "is no demo" in ran.err) == (1, True)
    (alone.data / MARKER).write_text('{"format": 1, "kind": "demo"}')
    ran = alone("serve")
    assert (ran.code, "well known" in ran.err) == (1, True)


def test_init_makes_an_installation_and_tells_what_to_do_next(alone: Cli, tmp_path: Path) -> None:
    where = tmp_path / "new"
    made = alone("init", "--data", str(where), "--radius-address", "127.0.0.1", "--radius-port", "2812",
                 "--https-address", "127.0.0.1", "--https-port", "9443", "--json")  # fmt: skip
    told = made.json("init")
    assert told["link"].startswith("https://127.0.0.1:9443/admin/enter/")
    assert "port = 2812" in (where / "wardgate.toml").read_text()
    assert alone("init", "--data", str(where)).code == 1
    shown = alone("init", "--data", str(tmp_path / "other"), "--yes")
    for words in ("wardgate serve --data", "wardgate nas add", "wardgate admin link", "master.key"):
        assert words in shown.out
    assert alone("init", "--data", str(tmp_path / "third"), "--https-address", "all").code == 1
    assert not (tmp_path / "third").exists()


# --- secrets -------------------------------------------------------------------------------------------------------------


def test_no_secret_is_echoed_logged_or_stored_in_clear(cli: Cli, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    shown = [
        cli("user", "add", "ada", "--password-stdin", stdin=PASSWORD),
        cli("user", "add", "ada", "--password-stdin", "--json", stdin=PASSWORD),
        cli("user", "set-password", "nobody", "--password-stdin", "--json", stdin=PASSWORD),
        cli("nas", "add", "fw", "--address", "10.0.0.1", "--application", "vpn", "--secret-stdin", stdin=PASSWORD),
        cli("nas", "add", "fw", "--address", "10.0.0.1", "--application", "vpn", "--secret-stdin", "--json", stdin=PASSWORD),
        cli("nas", "add", "x:y", "--address", "10.0.0.9", "--application", "vpn", "--secret-stdin", "--json", stdin=PASSWORD),
        cli("authenticator", "add", "ada", "totp", "--secret-stdin", "--json", stdin="hunter2-hunter2 is not hexadecimal"),
        cli("config", "apply", "-", stdin=f"nas: [{{secret: {PASSWORD}}}]"),
        cli("config", "apply", "-", stdin=f"nas: [{{secret: {{value: {PASSWORD}"),
        cli("config", "export"),
        cli("config", "export", "--json"),
        cli("user", "show", "ada", "--json"),
        cli("nas", "show", "fw", "--json"),
        cli("audit", "export"),
        cli("check"),
    ]
    assert [ran.code for ran in shown[:8]] == [0, 4, 1, 0, 4, 1, 2, 1]
    assert all("hunter2" not in ran.out + ran.err for ran in shown)
    if "served" in request.node.name:
        log = request.getfixturevalue("server").log
        assert log
        assert "hunter2" not in repr(log)
    kept = b"".join(path.read_bytes() for path in cli.data.rglob("*") if path.is_file())
    assert b"hunter2" not in kept


def test_a_name_from_outside_does_not_drive_the_terminal(alone: Cli) -> None:
    ran = alone("user", "show", "ada\x1b[2J\x07")
    assert ran.code == 1
    assert "\x1b" not in ran.err
    assert "\\x1b[2J\\x07" in ran.err


def test_the_files_that_a_command_makes_are_its_owners_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from wardgate.cli.main import main

    monkeypatch.setattr(sys, "argv", ["wardgate", "--version"])
    before = os.umask(0o022)
    try:
        with pytest.raises(SystemExit):
            main()
        assert os.umask(0o022) == 0o077
    finally:
        os.umask(before)


def test_an_error_is_one_json_object_with_code_and_message(alone: Cli) -> None:
    ran = alone("gateway", "test", "none", "--to", "1", "--json")
    assert json.loads(ran.out).keys() == {"error"}
    validate(json.loads(ran.out), "error")
    assert ran.err == ""


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("wardgate 0.")
