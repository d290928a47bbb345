"""`wardgate config`: rehearsed, compared, looked back on; from one file or several, with and without a server."""

import json
from pathlib import Path

import jsonschema
import pytest

from .conftest import Cli

DOCUMENT = """\
realms: [{name: default, default: true, directories: [local]}]
directories: [{name: local, kind: local}]
applications: [{name: vpn, policy: web}, {name: wifi}]
policies: [{name: web, rules: [{name: all, then: {steps: [[password]]}}]}]
"""
NAS = """\
nas:
  - {name: fw, addresses: [10.0.0.1], secret: {value: s3cret-of-the-firewall}, application: vpn}
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "conf" / "wardgate.yaml"
    (file.parent / "nas").mkdir(parents=True)
    file.write_text("include: [nas/*.yaml]\n" + DOCUMENT)
    (file.parent / "nas" / "fw.yaml").write_text(NAS)
    return file


def test_a_document_is_validated_without_an_installation(alone: Cli, document: Path, tmp_path: Path) -> None:
    alone.data = tmp_path / "nowhere"
    right = alone("config", "validate", str(document), "--json").json("config-validate")
    assert right == {"valid": True, "files": 2, "faults": []}
    assert alone("config", "validate", str(document)).out == "Nothing is wrong in 2 files.\n"
    assert not alone.data.exists()


def test_validate_tells_the_same_faults_as_apply(cli: Cli, document: Path) -> None:
    part = document.parent / "nas" / "fw.yaml"
    part.write_text(NAS.replace("application: vpn", "application: vpm, vendr: x"))
    ran = cli("config", "validate", str(document), "--json")
    (fault,) = ran.json("config-validate")["faults"]
    assert (ran.code, fault["file"], fault["line"], fault["column"]) == (1, str(part), 2, 98)
    assert fault["problem"] == "unknown key; did you mean 'vendor'?"
    part.write_text(NAS.replace("application: vpn", "application: vpm"))
    told = cli("config", "validate", str(document)).out.splitlines()[0]
    assert told == f"{part}:2:80: nas[0].application: no application has the name 'vpm': did you mean 'vpn'?"
    refused = cli("config", "apply", str(document))
    assert refused.code == 1
    assert told in refused.err
    assert "s3cret" not in refused.err


def test_a_document_of_several_files_is_applied_and_compared(cli: Cli, document: Path) -> None:
    applied = cli("config", "apply", str(document), "--json").json("config-apply")
    assert "nas fw" in applied["added"]
    (document.parent / "nas" / "branch.yaml").write_text(NAS.replace("fw", "branch").replace("10.0.0.1", "10.0.0.2"))
    diff = cli("config", "diff", str(document), "--json").json("config-diff")
    assert (diff["version"], diff["to"], diff["added"]) == (2, None, ["nas branch"])
    assert f"+++ {document}" in diff["unified"]


def test_standard_input_includes_no_files(cli: Cli) -> None:
    ran = cli("config", "apply", "-", stdin="include: [nas/*.yaml]\n")
    assert ran.code == 1
    assert "line 1, column 11: include[0]: standard input has no directory" in ran.err


def test_a_secret_that_the_server_lacks_is_told_in_its_file(cli: Cli, document: Path) -> None:
    part = document.parent / "nas" / "fw.yaml"
    part.write_text(NAS.replace("{value: s3cret-of-the-firewall}", "{env: NOBODY_SET_THIS}"))
    assert cli("config", "validate", str(document)).code == 0
    assert f"{part}:2:39: nas[0].secret: the server has no environment variable" in cli("config", "apply", str(document)).err
    part.write_text(NAS.replace("{value: s3cret-of-the-firewall}", "{sealed: AAAA}"))
    assert f"{part}:2:39: nas[0].secret: the sealed value does not open here" in cli("config", "apply", str(document)).err


def test_a_rehearsal_shows_the_difference_and_whom_it_reaches_and_changes_nothing(cli: Cli, document: Path) -> None:
    cli("config", "apply", str(document))
    document.write_text("include: [nas/*.yaml]\n" + DOCUMENT.replace("[[password]]", "[[password], [totp]]"))
    dry = cli("config", "apply", str(document), "--dry-run", "--json").json("config-apply")
    assert (dry["version"], dry["applied"], dry["changed"]) == (2, False, ["policies web (rules)"])
    assert dry["touches"] == [{"what": "policies web", "realms": [], "applications": ["vpn"], "nas": ["fw"], "note": ""}]
    assert "[totp]" in dry["unified"]
    shown = cli("config", "apply", str(document), "--dry-run").out
    assert "  policies web -> applications vpn; nas fw\n" in shown
    assert "Nothing was changed; version 2 is in force." in shown
    assert [each["version"] for each in cli("config", "history", "--json").json()["versions"]] == [2, 1]


def test_a_rehearsal_runs_every_check(cli: Cli, document: Path) -> None:
    document.write_text("include: [nas/*.yaml]\n" + DOCUMENT.replace("policy: web", "policy: wep"))
    assert cli("config", "apply", str(document), "--dry-run").code == 1
    document.write_text("include: [nas/*.yaml]\n" + DOCUMENT)
    (document.parent / "nas" / "fw.yaml").write_text(NAS.replace("{value: s3cret-of-the-firewall}", "{env: NOBODY_SET_THIS}"))
    assert cli("config", "apply", str(document), "--dry-run").code == 1


def test_the_history_says_what_each_version_changed_wherever_it_came_from(cli: Cli, document: Path) -> None:
    cli("config", "apply", str(document), "--reason", "the beginning")
    cli("nas", "add", "lab", "--address", "10.9.0.1", "--application", "wifi")
    cli("config", "rollback", "2", "--reason", "no lab")
    rows = cli("config", "history", "--json").json("config-history")["versions"]
    assert [(row["version"], row["reason"]) for row in rows[:3]] == [
        (4, "rollback to version 2: no lab"),
        (3, "nas add lab"),
        (2, "the beginning"),
    ]
    assert [row["changes"]["removed"] for row in rows[:2]] == [["nas lab"], []]
    assert rows[1]["changes"] == {"added": ["nas lab"], "changed": [], "removed": []}
    assert all(row["author"].startswith("cli:") for row in rows[:3])
    assert rows[3]["changes"]["added"] == ["realms default", "directories local"]
    assert "+ nas lab" in cli("config", "history").out


def test_every_change_is_an_audit_event_with_author_reason_and_what_changed(alone: Cli, document: Path) -> None:
    alone("config", "apply", str(document), "--reason", "the beginning")
    alone("nas", "add", "lab", "--address", "10.9.0.1", "--application", "wifi")
    alone("config", "rollback", "1", "--reason", "start again")
    lines = [json.loads(line) for line in alone("audit", "export").out.splitlines()]
    texts = [line["payload"] for line in lines if line.get("kind") == "config:document:applied"]
    for reason, change in (("the beginning", "nas fw"), ("nas add lab", "nas lab"), ("start again", "nas fw")):
        assert any(reason in text and change in text and "cli:" in text for text in texts), (reason, texts)
    assert "s3cret" not in "".join(texts)


def test_versions_are_compared_with_each_other_with_the_one_in_force_and_with_a_file(cli: Cli, document: Path) -> None:
    cli("config", "apply", str(document))
    cli("nas", "add", "lab", "--address", "10.9.0.1", "--application", "wifi")

    def diff(*words: str) -> tuple[int, int | None, list[str], list[str]]:
        found = cli("config", "diff", *words, "--json").json("config-diff")
        return found["version"], found["to"], found["added"], found["removed"]

    assert diff() == (2, 3, ["nas lab"], [])
    assert diff("2") == (2, 3, ["nas lab"], [])
    assert diff("3", "2") == (3, 2, [], ["nas lab"])
    assert diff("1", "3")[2][-3:] == ["applications vpn", "applications wifi", "policies web"]
    assert diff(str(document)) == (3, None, [], ["nas lab"])
    assert diff("2", str(document)) == (2, None, [], [])
    assert cli("config", "diff", str(document), "3").code == 2
    assert cli("config", "diff", "77").code == 1


def test_the_first_version_is_compared_with_nothing(cli: Cli) -> None:
    found = cli("config", "diff", "--json").json("config-diff")
    assert (found["version"], found["to"], found["added"]) == (0, 1, ["realms default", "directories local"])


def test_a_file_named_by_a_number_is_written_with_its_directory(cli: Cli, document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(document.parent)
    Path("1").write_text(DOCUMENT)
    assert cli("config", "diff", "./1", "--json").json("config-diff")["to"] is None


def test_every_step_can_be_rolled_back(cli: Cli, document: Path) -> None:
    """Each earlier version comes back as it was, from whatever came after it."""
    cli("config", "apply", str(document))
    cli("nas", "add", "lab", "--address", "10.9.0.1", "--application", "wifi")
    document.write_text("include: [nas/*.yaml]\n" + DOCUMENT.replace("name: default, default", "name: other, default"))
    cli("config", "apply", str(document))
    kept = {version: cli("config", "export", "--version", str(version)).out for version in (1, 2, 3, 4)}
    for version in (1, 2, 3, 4, 1, 4, 2):
        assert cli("config", "rollback", str(version)).code == 0
        assert cli("config", "export").out == kept[version]


def test_the_schema_is_printed_and_takes_what_is_exported(cli: Cli, document: Path) -> None:
    schema = cli("config", "schema", "--json").json("config-schema")
    assert json.loads(cli("config", "schema").out) == schema
    cli("config", "apply", str(document))
    jsonschema.Draft202012Validator(schema).validate(cli("config", "export", "--json").json()["document"])


def test_a_policy_whose_test_fails_is_refused_before_and_at_apply(cli: Cli, document: Path) -> None:
    tests = "tests: [{given: {user: ada}, expect: {steps: [[password], [totp]]}}]"
    document.write_text("include: [nas/*.yaml]\n" + DOCUMENT.replace("{name: web, ", f"{{name: web, {tests}, "))
    ran = cli("config", "validate", str(document), "--json")
    (fault,) = ran.json("config-validate")["faults"]
    assert (ran.code, fault["file"], fault["line"], fault["column"]) == (1, str(document), 5, 24)
    assert fault["path"] == "policies[0].tests"
    for command in (("apply", str(document), "--dry-run"), ("apply", str(document))):
        assert cli("config", *command).code == 1
    document.write_text(
        "include: [nas/*.yaml]\n" + DOCUMENT.replace("{name: web, ", f"{{name: web, {tests}, ").replace(", [totp]]}}]", "]}}]")
    )
    assert cli("config", "validate", str(document)).code == 0


def test_the_history_of_one_version_shows_who_why_and_every_line(cli: Cli) -> None:
    cli("nas", "add", "lab", "--address", "10.9.0.1", "--application", "vpn", "--reason", "change 4711")
    shown = cli("config", "history", "2", "--json").json("config-history")
    [version] = shown["versions"]
    assert (version["version"], version["reason"]) == (2, "nas add lab: change 4711")
    assert version["author"].startswith("cli:")
    assert "+- name: lab" in shown["unified"]
    plain = cli("config", "history", "2").out
    assert "change 4711" in plain
    assert "name: lab" in plain
    assert cli("config", "history", "77").code == 1
