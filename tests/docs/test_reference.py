"""The generated reference is up to date, and what it is made from says something everywhere."""

import ast
import dataclasses
import inspect
import os
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT
from tools.reference import settings_page
from wardgate.audit.events import Kind
from wardgate.audit.incidents import IncidentKind
from wardgate.settings import StartSettings
from wardgate.texts import LANGUAGES, catalogue

REFERENCE = ROOT / "docs" / "reference"
PORTS = sorted((ROOT / "src" / "wardgate").rglob("port.py"))


def test_the_reference_is_what_the_code_says() -> None:
    """In an environment without settings of ours, which would show as defaults."""
    ran = subprocess.run(
        [sys.executable, "-m", "tools.reference", "--check"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr


def test_every_setting_says_what_it_does() -> None:
    rows = [line for line in settings_page() if line.startswith("| `")]
    assert len(rows) > 90
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_setting_with_a_unit_in_its_name_says_the_unit() -> None:
    """A number of what? `_s` and `_ms` stand in the name; the page says it in full."""
    silent = [
        line
        for line in settings_page()
        if re.match(r"\| `[\w.]+_(s|ms)` ", line) and not re.search(r"\((milli)?seconds\) \|$", line)
    ]
    assert silent == []


def test_every_audit_event_has_a_grammatical_name_and_a_sentence() -> None:
    for kind in Kind:
        assert re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z_]+", kind.stored), kind
        assert kind.help[0].isupper(), kind
        assert kind.help.endswith("."), kind
    assert len({kind.stored for kind in Kind}) == len(Kind)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_incident_has_a_title_and_a_cure(language: str) -> None:
    sentences = catalogue(language)
    for kind in IncidentKind:
        assert sentences[f"incident.{kind.value}"]
        assert sentences[f"cure.{kind.value}"]


def protocols(path: Path) -> Iterator[ast.ClassDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases):
            yield node


@pytest.mark.parametrize("path", PORTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_port_says_what_each_of_its_parts_must_do(path: Path) -> None:
    for protocol in protocols(path):
        assert ast.get_docstring(protocol), protocol.name
        for member in protocol.body:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                assert ast.get_docstring(member), f"{protocol.name}.{member.name}"


def test_every_port_is_named_in_a_page() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    names = [str(path.relative_to(ROOT / "src" / "wardgate")) for path in PORTS]
    assert len(names) >= 4
    assert [name for name in names if name not in text] == []


def test_every_port_that_is_listened_on_is_in_the_operator_guide() -> None:
    guide = (ROOT / "docs" / "operator-guide.md").read_text()
    settings = StartSettings()
    for port in (settings.radius.port, settings.radius.accounting_port, settings.https.port):
        assert re.search(rf"\b{port}\b", guide), port


def test_every_setting_of_the_start_has_help() -> None:
    for table in dataclasses.fields(StartSettings):
        kind = typing.get_type_hints(StartSettings)[table.name]
        cls = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind
        assert inspect.getdoc(cls)
        assert all(each.metadata.get("help") for each in dataclasses.fields(cls)), table.name
