"""Who may import whom. Arrows point inward: doors to the engine, the engine to policy and ports, adapters to their own port.

A new arrow is a decision: it is written down here, in the list, or the test fails. Imports inside functions count like others.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
PACKAGE = "wardgate"

# Rooms and single modules, from the innermost outward. What each may import besides itself and BASE.
BASE = frozenset({"errors", "clock", "crypto", "jsons", "texts", "values"})
ALLOWED: dict[str, frozenset[str]] = {
    # the base
    "errors": frozenset(),
    "clock": frozenset(),
    "jsons": frozenset(),
    "texts": frozenset(),
    "values": frozenset(),
    "crypto": frozenset({"errors"}),
    "contacts": frozenset(),
    "durations": frozenset(),
    "fair_queue": frozenset(),
    "foreign_hashes": frozenset(),
    "hash_making": frozenset({"foreign_hashes"}),
    "passwords": frozenset({"fair_queue", "foreign_hashes", "hash_making"}),
    "certificates": frozenset(),
    "brand": frozenset(),
    "metrics": frozenset(),
    "storage": frozenset(),
    "policy": frozenset({"durations"}),
    "risk": frozenset({"storage"}),
    # what the engine stands on
    "account": frozenset({"audit", "directory", "storage"}),
    "audit": frozenset({"durations", "storage"}),
    "session": frozenset({"account", "audit", "storage"}),
    "delivery": frozenset({"config", "contacts", "storage"}),
    "directory": frozenset(
        {"audit", "brand", "config", "contacts", "fair_queue", "foreign_hashes", "hash_making", "passwords", "storage"}
    ),
    # Tickets of browsers: a port of the engine's, and its adapter.
    "kerberos": frozenset(),
    "kba": frozenset({"account", "audit", "directory", "durations", "passwords", "storage"}),
    "factors": frozenset({"account", "contacts", "delivery", "engine", "kba", "storage"}),
    "engine": frozenset(
        {
            "account",
            "audit",
            "contacts",
            "delivery",
            "directory",
            "factors",
            "kba",
            "kerberos",
            "policy",
            "risk",
            "session",
            "storage",
        }
    ),
    # doors
    "radius": frozenset({"audit", "config", "engine", "factors", "metrics", "policy", "storage"}),
    "web": frozenset({"admin", "audit", "brand", "certificates", "delivery", "metrics", "storage", "watch"}),
    "pages": frozenset({"account", "audit", "engine", "factors", "kba", "metrics", "session", "storage", "web"}),
    "portal": frozenset({"account", "audit", "directory", "engine", "factors", "pages", "session", "storage", "web"}),
    "federation": frozenset({"audit", "engine", "factors", "pages", "policy", "session", "storage", "web"}),
    # looks at everything, decides nothing
    "watch": frozenset({"certificates", "delivery", "leases", "metrics", "storage"}),
    "simulator": frozenset({"config", "factors", "radius"}),
    # management: uses the ports to manage things, never to log anyone in
    "config": frozenset(
        {"audit", "brand", "delivery", "directory", "engine", "factors", "federation", "kba", "policy", "radius", "risk", "storage"}
    ),
    "settings": frozenset({"config", "storage"}),
    "logs": frozenset({"settings"}),
    "control": frozenset(),
    "leases": frozenset({"storage"}),
    "clock_watch": frozenset({"audit", "storage"}),
    "janitor": frozenset({"audit", "delivery", "engine", "storage"}),
    "installation": frozenset({"audit", "certificates", "config", "settings", "storage"}),
    "admin": frozenset(
        {
            "account",
            "audit",
            "brand",
            "certificates",
            "clock_watch",
            "config",
            "contacts",
            "control",
            "delivery",
            "directory",
            "durations",
            "engine",
            "factors",
            "federation",
            "foreign_hashes",
            "installation",
            "kba",
            "kerberos",
            "leases",
            "passwords",
            "policy",
            "radius",
            "risk",
            "session",
            "settings",
            "storage",
        }
    ),
    # Backups work beside a server, or in its place: what they make safe they know by its tables and by management.
    "backup": frozenset(
        {
            "account",
            "admin",
            "audit",
            "clock_watch",
            "config",
            "delivery",
            "directory",
            "engine",
            "factors",
            "federation",
            "installation",
            "passwords",
            "settings",
            "storage",
        }
    ),
    "cli": frozenset(
        {
            "admin",
            "app",
            "audit",
            "backup",
            "config",
            "control",
            "durations",
            "installation",
            "passwords",
            "radius",
            "settings",
            "simulator",
            "watch",
        }
    ),
    # who knows all names
    "runtime": frozenset(
        {
            "brand",
            "config",
            "delivery",
            "directory",
            "engine",
            "factors",
            "federation",
            "kba",
            "kerberos",
            "passwords",
            "policy",
            "radius",
            "risk",
            "storage",
        }
    ),
    "demo": frozenset({"account", "admin", "config", "delivery", "directory", "engine", "factors", "radius", "storage", "web"}),
    "turns": frozenset(),
    "systemd": frozenset(),
    "sockets": frozenset({"settings"}),
    "child": frozenset({"control"}),
    "supervisor": frozenset({"child", "systemd"}),
    "worker": frozenset(
        {
            "admin",
            "audit",
            "clock_watch",
            "config",
            "control",
            "delivery",
            "directory",
            "engine",
            "federation",
            "installation",
            "janitor",
            "kerberos",
            "leases",
            "metrics",
            "passwords",
            "portal",
            "radius",
            "runtime",
            "sockets",
            "storage",
            "watch",
            "web",
        }
    ),
    "app": frozenset(
        {
            "child",
            "cli",
            "clock_watch",
            "config",
            "control",
            "demo",
            "installation",
            "logs",
            "passwords",
            "settings",
            "sockets",
            "storage",
            "supervisor",
            "systemd",
            "turns",
            "worker",
        }
    ),
    "__main__": frozenset({"cli"}),
}

# Where an arrow between two rooms is allowed for some modules of the target only.
ONLY: dict[tuple[str, str], frozenset[str]] = {
    ("account", "storage"): frozenset({"storage.port"}),
    # Our profile of a person stands beside what the directory tells of him.
    ("account", "directory"): frozenset({"directory.names", "directory.port"}),
    ("audit", "storage"): frozenset({"storage.port"}),
    ("delivery", "storage"): frozenset({"storage.port"}),
    ("directory", "storage"): frozenset({"storage.port"}),
    ("pages", "kba"): frozenset({"kba.normalisation", "kba.rules", "kba.settings"}),
    ("kba", "storage"): frozenset({"storage.port"}),
    ("kba", "audit"): frozenset({"audit.events"}),
    ("kba", "account"): frozenset({"account.subject"}),
    # What a person is called is no answer to anything.
    ("kba", "directory"): frozenset({"directory.port"}),
    ("config", "kba"): frozenset({"kba.settings"}),
    ("config", "brand"): frozenset({"brand.settings"}),
    ("directory", "brand"): frozenset({"brand.settings"}),
    ("web", "brand"): frozenset({"brand.looks"}),
    ("factors", "storage"): frozenset({"storage.port"}),
    ("risk", "storage"): frozenset({"storage.port"}),
    ("engine", "storage"): frozenset({"storage.port"}),
    ("radius", "storage"): frozenset({"storage.port"}),
    ("web", "storage"): frozenset({"storage.port"}),
    ("watch", "storage"): frozenset({"storage.port"}),
    ("watch", "delivery"): frozenset({"delivery.outage", "delivery.outbox"}),
    ("config", "storage"): frozenset({"storage.port"}),
    ("janitor", "storage"): frozenset({"storage.port"}),
    ("janitor", "engine"): frozenset({"engine.held_password"}),
    ("demo", "storage"): frozenset({"storage.port"}),
    ("runtime", "storage"): frozenset({"storage.port"}),
    # The engine knows directories and gateways by their ports, never one kind of them.
    ("engine", "directory"): frozenset({"directory.names", "directory.port", "directory.realm", "directory.settings"}),
    ("engine", "kerberos"): frozenset({"kerberos.port"}),
    ("runtime", "kerberos"): frozenset({"kerberos.port"}),
    ("engine", "delivery"): frozenset({"delivery.gsm", "delivery.outbox", "delivery.port"}),
    ("engine", "audit"): frozenset({"audit.events", "audit.timeline"}),
    # Factors never see a transport, a NAS or a gateway; of the engine they know the settings of codes.
    ("factors", "delivery"): frozenset({"delivery.port"}),
    ("factors", "engine"): frozenset({"engine.settings"}),
    ("directory", "audit"): frozenset({"audit.events"}),
    # How the document names a secret, in the settings of a NAS and of a gateway.
    ("radius", "config"): frozenset({"config.reference"}),
    ("delivery", "config"): frozenset({"config.reference"}),
    ("directory", "config"): frozenset({"config.reference"}),
    # A door translates: requests in, outcomes out. Release rules share the policy's conditions and nothing else of it.
    ("radius", "engine"): frozenset({"engine.engine", "engine.outcome", "engine.request", "engine.settings"}),
    ("radius", "policy"): frozenset({"policy.conditions", "policy.facts", "policy.groups"}),
    ("federation", "audit"): frozenset({"audit.events"}),
    ("federation", "engine"): frozenset({"engine.brakes", "engine.outcome", "engine.session_first", "engine.settings"}),
    ("federation", "storage"): frozenset({"storage.port"}),
    ("config", "federation"): frozenset({"federation.checking", "federation.settings"}),
    # Claims share the names of groups with policy, and nothing else of it.
    ("federation", "policy"): frozenset({"policy.groups"}),
    ("web", "admin"): frozenset({"admin.links"}),
    # Management changes settings and lifts brakes; it has no way to begin or answer a login.
    ("admin", "engine"): frozenset(
        {
            "engine",
            *("engine.brake_label", "engine.brake_rows", "engine.brakes", "engine.finding", "engine.holders", "engine.lifting"),
            *("engine.sending", "engine.settings", "engine.transaction", "engine.wide_brakes"),
            # What the help desk does is told to the person by the same notices.
            *("engine.freezing", "engine.notices", "engine.runtime", "engine.terms", "engine.wording"),
        }
    ),
    ("config", "engine"): frozenset({"engine.settings"}),
    ("backup", "engine"): frozenset({"engine.settings"}),
    ("backup", "factors"): frozenset({"factors.totp"}),
    # Keys that had given way sign nothing again.
    ("backup", "federation"): frozenset({"federation.relying_party", "federation.signing_keys"}),
    ("backup", "admin"): frozenset(
        {"admin", "admin.alone", "admin.keys", "admin.nas", "admin.office", "admin.questions", "admin.users"}
    ),
    ("app", "cli"): frozenset({"cli.demo_table"}),
    ("app", "storage"): frozenset({"storage.postgres", "storage.sqlite_client", "storage.writer"}),
    ("worker", "storage"): frozenset({"storage.port"}),
}

# Only these import app.py.
ENTRY_POINTS = frozenset({"cli.serve", "cli.demo"})
DOORS = ("radius", "portal", "federation")

# Rooms that are pure: no I/O, no clock, no chance.
IO_AND_CHANCE = """
    aiosmtplib asyncio concurrent datetime httpx io logging multiprocessing os pathlib random secrets select selectors shutil
    signal socket sqlite3 ssl structlog subprocess tempfile threading time urllib uvloop
"""
IMPURE = frozenset(IO_AND_CHANCE.split())
PURE = {
    "policy": IMPURE - {"datetime"},  # facts carry a moment; nothing asks for the present one
    "risk.scoring": IMPURE,
    "risk.carried": IMPURE,
    "risk.mmdb": IMPURE,
    "risk.networks": IMPURE,
    "radius.packet": IMPURE,
    "radius.attributes": IMPURE - {"datetime"},
    "radius.pap": IMPURE,
    "radius.salted": IMPURE,
    "radius.release": IMPURE - {"datetime"},
    "radius.vendors": IMPURE,
    "radius.dictionaries": IMPURE,
    "radius.shared_secret": IMPURE,
    "factors": IMPURE - {"datetime"},
    "federation.claims": IMPURE,
    "engine.transaction": IMPURE - {"secrets"},
    "engine.outcome": IMPURE,
    # Of urllib only `parse`; dates are read and written, never asked for.
    "federation.saml": IMPURE - {"datetime", "urllib"},
}
# Challenge questions stand in storage, and answers are hashed in threads: the one kind of proof that cannot be pure.
ASKING = {"factors.port", "factors.kba"}
TRANSPORTS = "aiosmtplib fastapi flask http httpx select selectors socket ssl starlette urllib uvicorn uvloop"
NO_TRANSPORT = frozenset(TRANSPORTS.split())
CLOCK_CALLS = frozenset({"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns"})


@dataclass(frozen=True)
class Import:
    """One name that a module imports: of ours without the package's name, or the top package of somebody else's."""

    module: str
    name: str
    ours: bool
    typing_only: bool


def modules() -> dict[str, Path]:
    """Every module of ours by its name without `wardgate.`; the package itself is the empty name."""
    found = {}
    for path in sorted((SOURCE / PACKAGE).rglob("*.py")):
        parts = path.relative_to(SOURCE / PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def _known(name: str) -> str:
    """The module that a dotted name lies in: `engine.brakes.reserve` is of `engine.brakes`."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def imports(module: str) -> Iterator[Import]:
    tree = TREES[module]
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for each in node.body
        for inner in ast.walk(each)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide the arrow"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == PACKAGE:
                yield Import(module, _known(rest), True, node in typing_only)
            else:
                yield Import(module, top, False, node in typing_only)


ALL = [each for module in MODULES for each in imports(module)]


def room(module: str) -> str:
    return module.partition(".")[0]


def within(module: str, place: str) -> bool:
    return module == place or module.startswith(f"{place}.")


def test_the_walk_sees_the_whole_package() -> None:
    """So that an empty walk does not pass for a clean one."""
    assert len(MODULES) > 100
    assert {"engine.engine", "radius.packet", "app", "cli.serve"} <= set(MODULES)
    assert Import("engine.engine", "engine.brakes", True, False) in ALL
    assert Import("radius.server", "asyncio", False, False) in ALL
    assert any(each.typing_only for each in ALL)


def test_every_room_is_listed_and_every_listed_room_exists() -> None:
    assert {room(module) for module in MODULES if module} == set(ALLOWED)


@pytest.mark.parametrize("source", sorted(ALLOWED))
def test_arrows_point_inward(source: str) -> None:
    used = {room(each.name) for each in ALL if each.ours and room(each.module) == source and each.name} - {source}
    assert used <= ALLOWED[source] | BASE, f"{source} must not import {sorted(used - ALLOWED[source] - BASE)}"


def test_no_allowed_arrow_is_unused() -> None:
    """A list that allows more than there is stops nothing."""
    used = {(room(each.module), room(each.name)) for each in ALL if each.ours}
    unused = {(source, target) for source, targets in ALLOWED.items() for target in targets if (source, target) not in used}
    assert unused == set()


@pytest.mark.parametrize(("source", "target"), sorted(ONLY))
def test_narrow_arrows_stay_narrow(source: str, target: str) -> None:
    used = {each.name for each in ALL if each.ours and room(each.module) == source and room(each.name) == target}
    assert used <= ONLY[source, target], f"{source} must not import {sorted(used - ONLY[source, target])}"


def test_doors_never_import_each_other() -> None:
    for door in DOORS:
        for other in DOORS:
            assert door == other or other not in ALLOWED[door]
        # What they share to speak HTTP knows none of them.
        assert door not in ALLOWED["web"]


def test_only_entry_points_import_the_app() -> None:
    assert {each.module for each in ALL if each.ours and each.name == "app"} == ENTRY_POINTS


def test_nothing_that_logs_anybody_in_is_imported_by_management() -> None:
    users = {each.module for each in ALL if each.ours and each.name in ("engine.engine", "engine.answering", "engine.asking")}
    assert {room(module) for module in users} == {"engine", "pages", "portal", "radius", "worker"}


def test_the_engine_imports_no_web_framework_and_no_socket() -> None:
    for place in ("engine", "policy", "account", "audit", "factors"):
        used = {each.name for each in ALL if not each.ours and within(each.module, place)}
        assert not used & NO_TRANSPORT, place


@pytest.mark.parametrize("place", sorted(PURE))
def test_pure_rooms_do_no_io_and_read_no_clock(place: str) -> None:
    members = [module for module in MODULES if within(module, place)]
    assert members
    for module in members:
        used = {each.name for each in imports(module) if not each.ours and not each.typing_only}
        assert not used & PURE[place], f"{module}: {sorted(used & PURE[place])}"
        for node in ast.walk(TREES[module]):
            if isinstance(node, ast.Call):
                method, function = getattr(node.func, "attr", ""), getattr(node.func, "id", "")
                assert method not in CLOCK_CALLS, f"{module}:{node.lineno} asks for the time"
                assert function not in ("open", "print", "input"), f"{module}:{node.lineno} does I/O"


def test_pure_rooms_do_not_await() -> None:
    for module in sorted(set(MODULES) - ASKING):
        if any(within(module, place) for place in PURE):
            for node in ast.walk(TREES[module]):
                assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{module} awaits"


@pytest.mark.parametrize(
    "adapter", ["storage.memory", "storage.sqlite", "storage.postgres", "directory.local", "directory.memory", "delivery.smtp"]
)
def test_adapters_are_known_to_those_who_put_things_together_only(adapter: str) -> None:
    builders = {"runtime", "installation", "app", "demo", "admin", room(adapter)}
    assert {room(each.module) for each in ALL if each.ours and each.name == adapter} <= builders


def test_there_are_no_cycles_between_modules() -> None:
    """Neither at the top of a module nor hidden in a function. What is imported for its type alone draws no cycle."""
    edges: dict[str, set[str]] = {module: set() for module in MODULES}
    for each in ALL:
        if each.ours and each.name and not each.typing_only and each.name != each.module:
            edges[each.module].add(each.name)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for target in sorted(edges[module]):
                visit(target, (*path, module))
            done.add(module)

    for module in edges:
        visit(module, ())


@pytest.mark.parametrize("frame", ["door.html", "frame.html"])
def test_no_template_imports_from_its_frame(frame: str) -> None:
    """Jinja would draw the whole frame to have a macro of it: pieces of forms are in `fields.html` and `parts.html`."""
    for file in SOURCE.glob("wardgate/*/templates/*.html"):
        assert f'from "{frame}" import' not in file.read_text(), file.name
