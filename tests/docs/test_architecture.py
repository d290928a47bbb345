"""Arrows point inward, as docs/architecture.md says: what each room may import, checked on every import of the sources."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parent.parent.parent / "src" / "wardgate"

BASE = {"errors", "clock", "crypto", "jsons", "texts"}
# A room, and what it may import beside BASE. `room.module`: only this module of it.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "clock": set(),
    "jsons": set(),
    "texts": set(),
    "crypto": set(),
    "certificates": set(),
    "foreign_hashes": set(),
    "metrics": set(),
    "passwords": {"foreign_hashes"},
    "storage": set(),
    "policy": set(),
    "account": {"storage"},
    "audit": {"storage"},
    "directory": {"audit", "passwords", "storage"},
    "delivery": {"config.reference", "storage"},
    "factors": {"account", "delivery", "engine.settings", "storage"},
    "engine": {"account", "audit", "delivery", "directory", "factors", "policy", "storage"},
    "config": {"audit", "delivery", "directory", "engine.settings", "factors", "policy", "radius", "storage"},
    "radius": {"audit", "config.reference", "engine", "factors", "metrics", "policy", "storage"},
    "web": {"admin.links", "audit", "delivery", "metrics", "storage"},
    "admin": {
        "account", "audit", "certificates", "config", "control", "delivery", "directory", "engine", "factors", "foreign_hashes",
        "installation", "passwords", "radius", "storage",
    },
    "simulator": {"config.reading", "config.faults", "factors.totp", "radius"},
    "control": set(),
    "settings": {"config.faults"},
    "logs": {"settings"},
    "janitor": {"delivery", "storage"},
    "installation": {"audit", "certificates", "config", "settings", "storage"},
    "cli": {"admin", "app", "control", "installation", "passwords", "radius", "settings", "simulator"},
    "runtime": {"config", "delivery", "directory", "engine", "factors", "passwords", "policy", "radius", "storage"},
    "demo": {"account", "admin", "config", "delivery", "directory", "engine", "factors", "radius", "storage", "web"},
}  # fmt: skip
# Knows all names.
PUTS_TOGETHER = {"app", "__main__", "__init__"}
# Decisions are taken without a socket, a web framework, a database driver or a network library in reach.
NO_IO = ("engine", "policy", "factors", "account")
IO = {
    "socket",
    "ssl",
    "http",
    "httpx",
    "aiosmtplib",
    "starlette",
    "uvicorn",
    "sqlite3",
    "sqlalchemy",
    "subprocess",
    "urllib.request",
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCES.rglob("*.py")):
        names = path.relative_to(SOURCES).with_suffix("").parts
        yield ".".join(names[:-1] if names[-1] == "__init__" and len(names) > 1 else names), path


MODULES = dict(modules())
ROOMS = {name.partition(".")[0] for name in MODULES}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            is_module = [name.removeprefix("wardgate.") in MODULES for name in inner]
            yield from (name if known else str(node.module) for name, known in zip(inner, is_module, strict=True))


def ours(path: Path) -> set[str]:
    return {name.removeprefix("wardgate.") for name in imports(path) if name.startswith("wardgate.")}


def test_every_room_has_its_place() -> None:
    assert set(MAY_IMPORT) == ROOMS - PUTS_TOGETHER


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_lies_further_in(room: str) -> None:
    allowed = MAY_IMPORT[room] | (BASE if room not in BASE else {"errors"}) | {room}
    strangers = {
        f"{module} imports {name}"
        for module, path in MODULES.items()
        if module.partition(".")[0] == room
        for name in ours(path)
        if not any(name == each or name.startswith(f"{each}.") for each in allowed)
    }
    assert strangers == set()


def test_only_what_starts_the_server_imports_what_puts_it_together() -> None:
    assert {module for module, path in MODULES.items() if "app" in ours(path)} <= {"cli.serve", "cli.demo"}


def test_doors_do_not_import_each_other() -> None:
    doors = {"radius", "web"}
    for module, path in MODULES.items():
        if (room := module.partition(".")[0]) in doors:
            assert not {name.partition(".")[0] for name in ours(path)} & (doors - {room}), module


@pytest.mark.parametrize("room", NO_IO)
def test_where_decisions_are_taken_nothing_can_reach_outside(room: str) -> None:
    for module, path in MODULES.items():
        if module.partition(".")[0] == room:
            assert not {name for name in imports(path) if any(name == each or name.startswith(f"{each}.") for each in IO)}, module


def test_policy_knows_nothing_but_values() -> None:
    """Pure: no clock, no keys, no storage."""
    for module, path in MODULES.items():
        if module.startswith("policy"):
            assert {name.partition(".")[0] for name in ours(path)} <= {"errors", "policy"}, module
