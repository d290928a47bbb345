"""`wardgate policy impact`, and for how many users `config diff` and `config apply --dry-run` say that the decision changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from wardgate.cli.progress import looking_through

from .conftest import Cli

PASSWORD = "a lantern over the lake"
DOCUMENT = """
realms: [{{name: default, default: true, directories: [local]}}]
directories: [{{name: local, kind: local}}]
gateways: [{{name: sms, kind: http, request: {{url: "https://sms.acme.test/", json: {{to: "{{number}}", text: "{{text}}"}}}}}}]
networks: [{{name: office, cidr: [10.0.0.0/8]}}]
applications: [{{name: vpn, policy: remote}}, {{name: wifi}}]
policies:
  - name: remote
    rules:
      - {{name: contractors, when: {{group: ["local:contractors"]}}, then: {{steps: [[password], {contractors}]}}}}
      - {{name: office, when: {{network: [office]}}, then: {{steps: [[password]{office}]}}}}
      - {{name: staff, then: {{steps: [[password], [totp, sms]]}}}}
"""


def text(contractors: str = "[totp, sms]", office: str = ", [totp, sms]") -> str:
    return DOCUMENT.format(contractors=contractors, office=office)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "now.yaml").write_text(text())
    (tmp_path / "strict.yaml").write_text(text(contractors="[totp]"))
    (tmp_path / "lax.yaml").write_text(text(office=""))
    return tmp_path


@pytest.fixture
def filled(cli: Cli, files: Path) -> Cli:
    """Ada has an app and a phone, Bob, who is a contractor, a phone; Eve is disabled."""
    assert cli("config", "apply", str(files / "now.yaml")).code == 0
    for name, phone, groups in (
        ("ada", "+905321234567", ["staff"]),
        ("bob", "+905321234568", ["staff", "contractors"]),
        ("eve", "+905321234569", ["contractors"]),
    ):
        arguments = [each for group in groups for each in ("--group", group)]
        assert cli("user", "add", name, "--phone", phone, "--password-stdin", *arguments, stdin=f"{PASSWORD}\n").code == 0
    assert cli("authenticator", "add", "ada", "totp").code == 0
    assert cli("user", "disable", "eve").code == 0
    return cli


def found(told: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, count in told["effects"].items() if count}


def test_who_would_be_locked_out_is_told_by_name_and_fails(filled: Cli, files: Path) -> None:
    ran = filled("policy", "impact", str(files / "strict.yaml"))

    assert ran.code == 1
    assert ran.out == (
        "3 users, 1 of them disabled or expired: the decision changes for 1.\n"
        "locked-out         1  come in now and would lack a factor that is asked for\n"
        "            bob (local) for vpn, office; has sms\n"
        "              now: password, then totp or sms; rule contractors\n"
        "              then: password, then totp; rule contractors\n"
        "application vpn: 1 locked-out\n"
        "  looked at from: office; elsewhere\n"
        "group local:contractors: 1 locked-out\n"
        "group local:staff: 1 locked-out\n"
    )
    told = filled("policy", "impact", str(files / "strict.yaml"), "--json").json("policy-impact")
    assert (told["version"], told["looked_at"], told["total"], told["complete"]) == (2, 3, 3, True)
    assert found(told) == {"locked_out": 1}


def test_the_exit_code_says_what_it_was_asked_for(filled: Cli, files: Path) -> None:
    lax, strict = str(files / "lax.yaml"), str(files / "strict.yaml")

    assert filled("policy", "impact", lax).code == 1
    assert filled("policy", "impact", lax, "--fail-on", "locked-out,denied").code == 0
    assert filled("policy", "impact", strict, "--fail-on", "weaker").code == 0
    assert filled("policy", "impact", strict, "--fail-on", "none").code == 0
    assert filled("policy", "impact", strict, "--fail-on", "everything").code == 2
    assert filled("policy", "impact", lax, "--from", "203.0.113.7").code == 0
    assert filled("policy", "impact", lax, "--application", "wifi").code == 0
    assert filled("policy", "impact", lax, "--application", "tv").code == 1


def test_nothing_that_decides_differs(filled: Cli, files: Path) -> None:
    ran = filled("policy", "impact", str(files / "now.yaml"))

    assert (ran.code, ran.out) == (
        0,
        "No decision can change: neither policies nor realms, networks, NAS or gateways differ in what decides.\n",
    )


def test_not_everybody_could_be_looked_at_is_a_finding_of_its_own(alone: Cli, files: Path) -> None:
    assert alone("config", "apply", str(files / "now.yaml")).code == 0
    there = text(contractors="[totp]").replace("directories: [local]", "directories: [local, hr]")
    missing = (
        f'{{name: hr, kind: sql, url: "sqlite:///{files}/missing.db", table: t, columns: {{id: i, username: u, password: p}}}}'
    )
    there = there.replace("kind: local}]", f"kind: local}}, {missing}]")
    (files / "more.yaml").write_text(there)
    ran = alone("policy", "impact", str(files / "more.yaml"))

    assert ran.code == 3
    assert "at least 0 of all users: the decision changes for 0." in ran.out
    assert "not complete: directory hr: " in ran.out


def test_a_comparison_tells_for_how_many_users(filled: Cli, files: Path) -> None:
    strict = str(files / "strict.yaml")
    told = filled("config", "diff", strict, "--json").json("config-diff")

    assert found(told["impact"]) == {"locked_out": 1}
    line = "  users: 3 users, 1 of them disabled or expired: the decision changes for 1 (1 locked-out)\n"
    assert line in filled("config", "diff", strict).out
    assert line in filled("config", "apply", strict, "--dry-run").out
    assert found(filled("config", "apply", strict, "--dry-run", "--json").json("config-apply")["impact"]) == {"locked_out": 1}


def test_a_comparison_tells_nothing_of_users_where_it_need_not(filled: Cli, files: Path) -> None:
    strict = str(files / "strict.yaml")

    assert filled("config", "diff", strict, "--no-impact", "--json").json("config-diff")["impact"] is None
    assert "users:" not in filled("config", "apply", strict, "--dry-run", "--no-impact").out
    assert filled("config", "diff", str(files / "now.yaml"), "--json").json("config-diff")["impact"] is None
    assert filled("config", "diff", "--json").json("config-diff")["impact"] is None
    assert "impact" not in filled("config", "apply", strict, "--json").json("config-apply")


def test_an_earlier_version_is_compared_as_it_was(filled: Cli, files: Path) -> None:
    strict, now = str(files / "strict.yaml"), str(files / "now.yaml")
    assert filled("config", "apply", strict).code == 0

    assert found(filled("config", "diff", "2", strict, "--json").json("config-diff")["impact"]) == {"locked_out": 1}
    assert found(filled("config", "diff", now, "--json").json("config-diff")["impact"]) == {"let_in": 1}


def test_a_document_that_cannot_be_applied_has_no_impact(filled: Cli, files: Path) -> None:
    (files / "wrong.yaml").write_text(text(contractors="[carrier-pigeon]"))

    ran = filled("policy", "impact", str(files / "wrong.yaml"), "--json")
    assert ran.code == 1
    assert "carrier-pigeon" in json.loads(ran.out or ran.err)["error"]["message"]


def test_the_walk_shows_how_far_it_is_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with looking_through("looking at users") as hear:
        hear({"looked_at": 500, "total": None})
        hear({"looked_at": 1_000, "total": 3_000})

    assert capsys.readouterr().out == ""
