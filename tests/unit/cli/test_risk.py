"""Risk on the command line: what `policy explain` says of a login's score, and what `check` warns of."""

import re
from pathlib import Path

from tests.mmdb import write_mmdb

from .conftest import Cli

PASSWORD = "a lantern over the lake"
DOCUMENT = """
realms: [{name: default, default: true, directories: [local]}]
directories: [{name: local, kind: local}]
nas: [{name: fw, addresses: [192.0.2.1], secret: {value: s3cret-of-the-firewall}, application: vpn}]
applications: [{name: vpn, policy: remote}]
policies:
  - name: remote
    rules:
      - {name: abroad, when: {country: [de]}, then: {deny: true}}
      - {name: staff, when: {risk: [safe, low]}, then: {steps: [[password]]}}
"""
RISK = """
risk:
  enabled: true
  country_file: COUNTRIES
  reputation: [{name: scanners, cidr: [203.0.113.0/28], points: 15}]
"""


def apply(cli: Cli, tmp_path: Path, text: str) -> None:
    document = tmp_path / "document.yaml"
    document.write_text(text)
    assert cli("config", "apply", str(document)).code == 0


def test_an_explanation_says_the_score_with_its_reasons(cli: Cli, tmp_path: Path) -> None:
    countries = write_mmdb(tmp_path / "countries.mmdb", {"203.0.113.0/24": "TR", "198.51.100.0/24": "DE"})
    apply(cli, tmp_path, DOCUMENT + RISK.replace("COUNTRIES", countries))
    assert cli("user", "add", "ada", "--password-stdin", stdin=PASSWORD).code == 0
    asked = ("policy", "explain", "--user", "ada", "--nas", "fw", "--from", "203.0.113.7")
    told = cli(*asked)
    assert told.code == 0
    assert "  country tr, risk low\n  scores 35, low\n" in told.out
    assert "      20  first_login: never let in before: there is nothing to compare with\n" in told.out
    assert "      15  reputation: the address stands on the list scanners\n" in told.out
    result = cli(*asked, "--json").json("policy-explain")
    assert (result["rule"], result["assessment"]["score"]) == ("staff", 35)
    abroad = cli(*asked[:-1], "198.51.100.7", "--json").json("policy-explain")
    assert (abroad["rule"], abroad["reason"], abroad["facts"]["country"]) == ("abroad", "rule_denies", "de")


def test_an_explanation_says_nothing_of_scores_while_they_are_off(cli: Cli, tmp_path: Path) -> None:
    apply(cli, tmp_path, DOCUMENT)
    assert cli("user", "add", "ada", "--password-stdin", stdin=PASSWORD).code == 0
    told = cli("policy", "explain", "--user", "ada", "--nas", "fw", "--from", "203.0.113.7")
    assert "scores" not in told.out
    assert "refused: no rule matches" in told.out


def test_check_warns_of_files_that_cannot_be_used_and_conditions_that_nothing_meets(alone: Cli, tmp_path: Path) -> None:
    apply(alone, tmp_path, DOCUMENT + RISK.replace("COUNTRIES", str(tmp_path / "none.mmdb")))
    told = re.sub(r"\s+", " ", alone("check").out)
    assert f"risk: {tmp_path}/none.mmdb cannot be used, or not whole: No such file or directory" in told
    apply(alone, tmp_path, DOCUMENT)
    told = re.sub(r"\s+", " ", alone("check").out)
    assert "policy remote: a condition asks for the risk, which nothing tells" in told
    assert "policy remote: a condition asks for the country, which nothing tells" in told
