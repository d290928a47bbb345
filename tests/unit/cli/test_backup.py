"""Backups at the command line: the same with and without a server, every output held to its schema."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Cli
from .schemas import validate


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup makes its process wait for others: not this one, which runs all the tests."""
    monkeypatch.setattr(os, "nice", lambda steps: steps)


@pytest.fixture
def key(cli: Cli, tmp_path: Path) -> Path:
    """The operator's key, as the command prints it."""
    path = tmp_path / "operator.key"
    made = cli("backup", "key")
    assert made.code == 0
    assert "AGE-SECRET-KEY-1" in made.out
    assert "AGE-SECRET-KEY-1" not in made.err
    path.write_text(made.out)
    return path


def make(cli: Cli, to: Path, *options: str) -> dict[str, object]:
    made = cli("backup", "--to", str(to), *options, "--json")
    assert made.code == 0, made
    return dict(made.json("backup"))


def test_a_backup_is_made_verified_and_restored(cli: Cli, key: Path, tmp_path: Path) -> None:
    file, target = tmp_path / "monday.age", tmp_path / "new"
    assert cli("user", "add", "ada", "--no-password").code == 0
    added = cli("authenticator", "add", "ada", "recovery", "--json").json()
    made = make(cli, file)
    assert made["recorded"]
    told = cli("backup", "verify", str(file), "--identity", str(key), "--json")
    assert told.code == 0
    assert told.json("backup-verify")["ok"]
    done = cli("restore", str(file), "--identity", str(key), "--data", str(target), "--json")
    assert done.code == 0
    assert done.json("restore")["held"] == 1

    listed = cli("authenticator", "list", "ada", "--data", str(target), "--json")
    assert [each["state"] for each in listed.json("authenticator-list")["authenticators"]] == ["held"]
    cli("user", "show", "ada", "--data", str(target), "--json").json("user-show")
    released = cli("authenticator", "release", str(added["id"]), "--data", str(target), "--json")
    assert released.json("authenticator-release")["user"] == "ada"
    assert cli("authenticator", "release", str(added["id"]), "--data", str(target)).code == 1

    opened = cli("epoch", "open", "--reason", "a test", "--data", str(target), "--json")
    assert opened.json("epoch-open")["epoch"] == 3
    verified = cli("audit", "verify", "--data", str(target), "--json")
    assert verified.code == 0, verified


def test_people_are_told_what_they_have(cli: Cli, key: Path, tmp_path: Path) -> None:
    file = tmp_path / "monday.age"
    made = cli("backup", "--to", str(file))
    assert "note it down outside" in made.out
    told = cli("backup", "verify", str(file), "--identity", str(key))
    assert told.out.splitlines()[-1] == "It can be restored."
    done = cli("restore", str(file), "--identity", str(key), "--data", str(tmp_path / "new"))
    assert "Epoch 2-" in done.out
    replaced = cli("restore", str(file), "--identity", str(key), "--data", str(tmp_path / "new"), "--replace")
    assert "before-restore-" in replaced.out


def test_recipients_that_are_there_already_are_taken_and_remembered(cli: Cli, key: Path, tmp_path: Path) -> None:
    public = [line.partition("recipient: ")[2] for line in key.read_text().splitlines() if "recipient" in line]
    listed = tmp_path / "recipients"
    listed.write_text("# both\n" + "\n".join(public) + "\n")
    told = cli("backup", "key", "--recipients-file", str(listed), "--json")
    assert told.json("backup-key") == {"identity": None, "recipients": public, "replaced": []}
    assert "AGE-SECRET-KEY" not in cli("backup", "key", "--recipient", public[0]).out
    assert make(cli, tmp_path / "one.age")["recipients"] == public


def test_a_new_key_says_which_one_opens_later_backups_no_more(cli: Cli, key: Path) -> None:
    public = next(line.partition("recipient: ")[2] for line in key.read_text().splitlines() if "recipient" in line)
    again = cli("backup", "key")
    assert f"do not open any more with the key of {public}" in again.err
    assert cli("backup", "key", "--json").json("backup-key")["replaced"] != [public]


def test_a_backup_is_never_written_in_clear(cli: Cli, tmp_path: Path) -> None:
    refused = cli("backup", "--to", str(tmp_path / "clear.age"))
    assert refused.code == 2
    assert "backup key" in refused.err
    assert not list(tmp_path.glob("clear*"))
    assert cli("backup", "--to", str(tmp_path / "clear.age"), "--recipient", "age1nobody").code == 2


@pytest.mark.parametrize("arguments", [[], ["--to", "-", "--json"]])
def test_a_backup_without_a_place_is_refused(cli: Cli, key: Path, arguments: list[str]) -> None:
    assert cli("backup", *arguments).code == 2


def test_a_backup_to_standard_output_is_the_same_file(cli: Cli, key: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wardgate", "backup", "--to", "-", "--data", str(cli.data)]
    ran = subprocess.run(command, capture_output=True, timeout=60, check=True, env={**os.environ, "PYTHONPATH": "src"})
    file = tmp_path / "piped.age"
    file.write_bytes(ran.stdout)
    digest = ran.stderr.decode().rpartition(" ")[2].strip()
    told = cli("backup", "verify", str(file), "--identity", str(key), "--sha256", digest, "--json")
    assert told.json("backup-verify")["sha256"] == digest


def test_a_damaged_backup_is_a_finding(cli: Cli, key: Path, tmp_path: Path) -> None:
    file = tmp_path / "monday.age"
    make(cli, file)
    file.write_bytes(file.read_bytes()[:-5])
    for command in (["backup", "verify"], ["restore", "--data", str(tmp_path / "new")]):
        told = cli(*command, str(file), "--identity", str(key), "--json")
        assert told.code == 1
        error = json.loads(told.out)
        validate(error, "error")
        assert error["error"]["code"] == "backup_damaged"


def test_the_master_key_is_replaced_without_a_server_only(alone: Cli) -> None:
    before = (alone.data / "master.key").read_bytes()
    told = alone("key", "replace-master", "--json")
    assert told.code == 0, told
    assert told.json("key-replace-master")["data_keys"] == 2
    assert (alone.data / "master.key").read_bytes() != before
    assert alone("user", "list").code == 0
    assert "new key" in alone("key", "replace-master").out
