"""What every file of the repository owes its readers: locks without hosts, no traces of one machine, docstrings, no stubs."""

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.bootstrap import pinned

ROOT = Path(__file__).resolve().parent.parent.parent
LOCKS = [
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-kerberos.lock",
    "tools/uv.lock.txt",
    "tools/kerberos-build.lock.txt",
]
# Spelled in pieces: this file is tracked too.
REGISTRIES = ["py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js.org", "deb.deb" + "ian.org", "crates" + ".io"]
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:" + "|".join(("ro" + "ot", "ho" + "me", "wo" + "rk")) + r")/")


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        return []
    # The checkout may belong to another user than the one who tests, as in containers.
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def tracked_texts() -> Iterator[tuple[str, int, str]]:
    """Yield name, line number and line of every tracked text file."""
    for path in tracked():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            yield str(path.relative_to(ROOT)), number, line


needs_git = pytest.mark.skipif(not tracked(), reason="not a git checkout: nothing says which files are tracked")


@needs_git
def test_no_file_names_a_package_registry() -> None:
    assert [(name, number) for name, number, line in tracked_texts() if any(host in line for host in REGISTRIES)] == []


@needs_git
def test_no_file_names_a_path_of_one_machine() -> None:
    assert [(name, number, line.strip()) for name, number, line in tracked_texts() if MACHINE_PATH.search(line)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_host(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i\b|-f\b|--index-url|--extra-index-url|--find-links|--trusted-host)", text, re.MULTILINE)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_every_package_by_version_and_hash(name: str) -> None:
    entries = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
    assert entries
    assert [
        entry
        for entry in entries
        if not re.match(r"[a-z0-9-]+(\[[a-z,]+\])?==\S+( ; [^-].*?)?(\s+--hash=sha256:[0-9a-f]{64})+$", entry)
    ] == []


def test_tests_run_on_the_versions_that_the_product_ships_with() -> None:
    runtime, dev = (pinned((ROOT / name).read_text()) for name in LOCKS[:2])
    assert runtime.items() <= dev.items()


def test_every_declared_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-dev.lock": project["dependency-groups"]["dev"],
        "requirements-kerberos.lock": project["project"]["optional-dependencies"]["kerberos"],
    }
    for lock, requirements in names.items():
        declared = {re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower() for requirement in requirements}
        assert declared - set(pinned((ROOT / lock).read_text())) == set(), lock


def test_the_licence_is_there_and_is_the_one_declared() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("script", ["run", "test", ".ci/run", "tools/kerberos", "tools/lock"])
def test_scripts_can_be_started(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111 == 0o111
    assert (ROOT / script).read_text().startswith("#!/usr/bin/env ")


def product() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "src").rglob("*.py")):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name, tree in product() if not ast.get_docstring(tree)] == []


def test_no_run_time_check_is_an_assert() -> None:
    """`python -O` leaves them out."""
    assert [(name, node.lineno) for name, tree in product() for node in ast.walk(tree) if isinstance(node, ast.Assert)] == []


def test_nothing_is_left_unwritten() -> None:
    nodes = [(name, node) for name, tree in product() for node in ast.walk(tree) if isinstance(node, ast.Name)]
    assert [(name, node.lineno) for name, node in nodes if node.id == "NotImplementedError"] == []


def test_no_error_is_swallowed() -> None:
    """`except: pass` and `except Exception: pass` do not exist; a named, expected error may be passed over."""

    def swallows(handler: ast.ExceptHandler) -> bool:
        broad = handler.type is None or (isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"})
        return broad and all(isinstance(statement, ast.Pass) for statement in handler.body)

    nodes = [(name, node) for name, tree in product() for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    assert [(name, node.lineno) for name, node in nodes if swallows(node)] == []
