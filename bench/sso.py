"""Single sign-on over SAML: from an AuthnRequest to the signed Response on a live session, beside SimpleSAMLphp, in one run.

    python -m bench.sso [--clients 1 2 8 64] [--seconds 2] [--rounds 3] [--live 10000] [--storm 50] [--json | --markdown]
                        [--into docs/performance.md]

**A Response.** Wardgate is served over HTTPS on SQLite as in production, with session store, policy, brakes, claims, single use and
audit. A browser that has a session comes with an AuthnRequest by the Redirect binding and gets the form with the signed Response.
CPU time is that of the server's whole process tree. SimpleSAMLphp does the same, but keeps no audit
and does not remember which requests it answered. Slices of both go round, ratios are taken within a round and their
middle counts. The floor is `openssl speed` in the same run.

**Live sessions.** So many people sign in for an application by password (remembered, so that none is hashed), and stay. Told: what
memory (PSS of all processes) and database grew by, for each 10,000. What each sign-in leaves is in it: its audit, its used request,
and what the application was told.

**A storm.** So many applications send the same browser here at the same moment, on one session.

Exit code 1 when anybody got no answer, or a bar is missed.
"""

import argparse
import json
import sqlite3
import ssl
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import simplesamlphp
from bench.portal import trusting
from bench.processes import tree_pss_mib
from bench.report import Bar, Table, about, machine, markdown_table, progress, put_into, text_table
from bench.saml import openssl_ms
from bench.simplesamlphp import Peer
from bench.sso_client import Browser, Slice, at_once, granted, in_threads, quantile_ms, request_path, run_slice
from bench.wardgate_server import Account, Running, accounts, command, install, running, ssha

# The most of them are judged, as all budgets are meant at 64. One or two write nothing together; the table tells what that costs.
CLIENTS = (1, 2, 8, 64)
MUST_MS, AIM_MS = 2.0, 1.0
MUST_RATIO, AIM_RATIO = 2.0, 4.0
RSA, P256, PEER = "Wardgate, RSA-2048", "Wardgate, P-256", "SimpleSAMLphp, RSA-2048"
PARTIES = {RSA: "wiki", P256: "wiki256"}
FLOORS = {"rsa2048": "RSA-2048", "ecdsap256": "P-256"}
SIGN_INS_AT_ONCE = 8
WARMING = 20
STORMS = 5
WARMING_S = 0.5


@dataclass(slots=True)
class Told:
    """Everything that was measured."""

    machine: Mapping[str, object]
    clients: Sequence[int]
    floors: Mapping[str, float] = field(default_factory=dict)
    slices: dict[tuple[str, int], list[Slice]] = field(default_factory=dict)
    live: Mapping[str, float] = field(default_factory=dict)
    storm: Mapping[str, float] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)

    def median(self, label: str, clients: int, of: Callable[[Slice], float]) -> float:
        """The middle of the rounds."""
        return statistics.median(of(each) for each in self.slices[label, clients])

    def against(self, clients: int, of: Callable[[Slice, Slice], float]) -> float | None:
        """The middle of the ratios to the peer, each within its round."""
        pairs = zip(self.slices.get((RSA, clients), ()), self.slices.get((PEER, clients), ()), strict=False)
        ratios = [of(ours, theirs) for ours, theirs in pairs if ours.answers and theirs.answers]
        return statistics.median(ratios) if ratios else None

    def bars(self) -> list[Bar]:
        """What is demanded."""
        most = max(self.clients)
        note = f"{most} clients"
        cpu = self.median(RSA, most, lambda each: each.cpu_ms)
        less = self.against(most, lambda ours, theirs: theirs.cpu_ms / ours.cpu_ms)
        return [
            Bar("a signed Response on a live session, RSA-2048, CPU", cpu, MUST_MS, AIM_MS, " ms", False, note),
            Bar("SimpleSAMLphp's CPU for the same, as a multiple of ours", less, MUST_RATIO, AIM_RATIO, "x", True, note),
        ]

    @property
    def sound(self) -> bool:
        """Whether everybody got what he came for."""
        return not self.faults and all(each.answers for (label, _), all_ in self.slices.items() if label != PEER for each in all_)


# --- the installation ----------------------------------------------------------------------------------------------------------


def entity_id(name: str) -> str:
    """What an application calls itself."""
    return f"https://{name}.acme.test/sp"


def make(data: Path, people: Sequence[Account], names: Sequence[str]) -> None:
    """An installation with these people and these applications, which a password opens."""
    install(data)
    claims = "{mail: user_name, givenName: user_name, sn: user_name, department: {constant: [Research]}, groups: groups}"
    parties = "\n".join(
        f"  - {{name: {name}, kind: saml, policy: web, entity_id: '{entity_id(name)}', acs: ['{entity_id(name)}/acs'], "
        f"key: {'p256' if name == PARTIES[P256] else 'rsa'}, sign: assertion, claims: {claims}}}"
        for name in names
    )
    document = f"""
realms: [{{name: default, default: true, directories: [local]}}]
directories: [{{name: local, kind: local, keep_hashes: true, verified_cache_s: 3600}}]
applications:
  - {{name: portal, kind: portal, policy: web}}
{parties}
policies:
  - name: web
    rules: [{{name: everybody, then: {{steps: [[password]]}}}}]
"""
    command("config", "apply", "-", "--data", str(data), stdin=document)
    file = data.parent / "people.csv"
    file.write_text("\n".join(["username,password_hash", *(f"{each.name},{ssha(each.password)}" for each in people), ""]))
    command("user", "import", str(file), "--silent", "--keep-hashes", "--data", str(data))


@dataclass(frozen=True, slots=True)
class Ours:
    """Our server, and what its browsers need."""

    server: Running
    context: ssl.SSLContext

    def browser(self, number: int, cookies: Mapping[str, str] | None = None) -> Browser:
        """One that comes from somewhere of its own."""
        return Browser(self.server.https, self.context, f"10.{number // 200}.{number % 200}.1", dict(cookies or {}))

    def path(self, party: str) -> str:
        """A fresh request of an application."""
        destination = f"https://127.0.0.1:{self.server.https}/saml/sso"
        return request_path("/saml/sso", destination, entity_id(party), f"{entity_id(party)}/acs")

    def signed_in(self, number: int, account: Account, party: str) -> Browser:
        """A browser in which this person has signed in for this application."""
        browser = self.browser(number)
        granted(browser.signs_in(self.path(party), username=account.name, password=account.password))
        return browser


@contextmanager
def serving(people: Sequence[Account], names: Sequence[str], workers: int | None) -> Iterator[tuple[Ours, Path]]:
    """Wardgate, and its data folder."""
    with tempfile.TemporaryDirectory(prefix="wardgate-bench-") as folder:
        data = Path(folder) / "data"
        make(data, people, names)
        with running(data, cheap_hash=True, workers=workers, proxied=True) as server:
            yield Ours(server, trusting(data)), data


# --- Responses -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contestant:
    """One series: its browsers, which are signed in, the address that each asks, and whose CPU time counts."""

    label: str
    browsers: Sequence[Browser]
    asks: Callable[[int], str]
    pids: Sequence[int]


def measure_responses(told: Told, ours: Ours, people: Sequence[Account], seconds: float, rounds: int) -> None:
    """All series, round by round."""
    with ExitStack() as stack:
        found = [_ours(ours, label, party, people) for label, party in PARTIES.items()]
        if why := simplesamlphp.missing():
            told.missing.append(f"peer missing: SimpleSAMLphp ({why})")
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wardgate-bench-"))) / "peer"
            peer = stack.enter_context(simplesamlphp.serving(folder, entity_id("wiki"), f"{entity_id('wiki')}/acs"))
            found.append(_peer(peer, len(people)))
        for each in found:
            run_slice(each.browsers, each.asks, min(WARMING_S, seconds), each.pids)
        for _ in range(rounds):
            for clients in told.clients:
                for each in found:
                    _slice(told, each, clients, seconds)


def _slice(told: Told, one: Contestant, clients: int, seconds: float) -> None:
    result = run_slice(one.browsers[:clients], one.asks, seconds, one.pids)
    told.slices.setdefault((one.label, clients), []).append(result)
    told.faults.update({f"{one.label}: {fault}": count for fault, count in result.faults.items()})
    progress(
        f"{one.label}, {clients} clients: {result.per_second:.0f} a second, {result.cpu_ms:.2f} ms CPU, p99 {result.p99_ms:.1f} ms"
    )


def _ours(ours: Ours, label: str, party: str, people: Sequence[Account]) -> Contestant:
    browsers = [ours.signed_in(number, account, party) for number, account in enumerate(people)]
    return Contestant(label, browsers, lambda _: ours.path(party), [ours.server.pid])


def _peer(peer: Peer, clients: int) -> Contestant:
    context = ssl.create_default_context(cafile=str(peer.certificate))
    destination = f"https://localhost:{peer.port}{simplesamlphp.ENTRY}"

    def asks(_: int) -> str:
        return request_path(simplesamlphp.ENTRY, destination, entity_id("wiki"), f"{entity_id('wiki')}/acs")

    browsers = [Browser(peer.port, context) for _ in range(clients)]
    for each in browsers:
        granted(each.signs_in(asks(0), username=simplesamlphp.USER, password=simplesamlphp.PASSWORD))
    return Contestant(PEER, browsers, asks, peer.pids)


# --- live sessions -------------------------------------------------------------------------------------------------------------


def measure_live(told: Told, ours: Ours, data: Path, people: Sequence[Account]) -> None:
    """What so many live sessions take. `people`: none of them has signed in before."""
    warming, people = people[:WARMING], people[WARMING:]
    _all_sign_in(told, ours, warming)
    memory, stored, tables_before = tree_pss_mib([ours.server.pid]), _database_bytes(data), _table_bytes(data)
    _all_sign_in(told, ours, people)
    share = 10_000 / max(1, len(people))
    told.live = {
        "sessions": len(people),
        "PSS before, MiB": memory,
        "PSS per 10,000 sessions, MiB": (tree_pss_mib([ours.server.pid]) - memory) * share,
        "database per 10,000 sessions, MiB": (_database_bytes(data) - stored) * share / 2**20,
        **{f"of it {name}, MiB": (size - tables_before[name]) * share / 2**20 for name, size in _table_bytes(data).items()},
    }


def _all_sign_in(told: Told, ours: Ours, people: Sequence[Account]) -> None:
    def some(start: int) -> None:
        for number in range(start, len(people), SIGN_INS_AT_ONCE):
            try:
                ours.signed_in(number, people[number], "wiki").close()
            except Exception as error:
                # Whatever it was, it is told, and ends in exit code 1.
                told.faults[f"sign-in: {type(error).__name__} {error}"] += 1

    in_threads(SIGN_INS_AT_ONCE, some)


@contextmanager
def _database(data: Path) -> Iterator[sqlite3.Connection]:
    file = next(each for each in sorted(data.glob("*.db")) + sorted(data.glob("*.sqlite*")))
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        yield connection
    finally:
        connection.close()


def _database_bytes(data: Path) -> int:
    with _database(data) as connection:
        return int(connection.execute("select page_count * page_size from pragma_page_count, pragma_page_size").fetchone()[0])


def _table_bytes(data: Path) -> dict[str, int]:
    """Of the tables that hold what lasts as long as the session, indexes included; nothing where this SQLite cannot say."""
    tables = ("sso_session", "saml_participant", "saml_request")
    ask = "select sum(pgsize) from dbstat join sqlite_schema using (name) where tbl_name = ?"
    with _database(data) as connection:
        try:
            return {name: int(connection.execute(ask, (name,)).fetchone()[0] or 0) for name in tables}
        except sqlite3.OperationalError:
            return {}


# --- a storm -------------------------------------------------------------------------------------------------------------------


def measure_storm(told: Told, ours: Ours, account: Account, names: Sequence[str]) -> None:
    """So many applications at once on one session, several times."""
    cookies = ours.signed_in(0, account, names[0]).cookies
    browsers = [ours.browser(0, cookies) for _ in names]
    # In the first of them every connection is new and makes its handshake: it is told by itself.
    first, faults = at_once(browsers, lambda at: ours.path(names[at]))
    took: list[float] = []
    for _ in range(STORMS):
        times, more = at_once(browsers, lambda at: ours.path(names[at]))
        took, faults = took + times, faults + more
    told.faults.update({f"storm: {fault}": many for fault, many in faults.items()})
    took.sort()
    told.storm = {
        "relying parties": len(names),
        "storms": STORMS,
        "answers": len(took),
        "errors": faults.total(),
        "p50 ms": quantile_ms(took, 0.5),
        "p99 ms": quantile_ms(took, 0.99),
        "longest ms": quantile_ms(took, 1.0),
        "longest with TLS handshakes, ms": quantile_ms(sorted(first), 1.0),
    }


# --- the run -------------------------------------------------------------------------------------------------------------------


def measure(given: argparse.Namespace) -> Told:
    """Everything that is wanted, on one server."""
    told = Told(machine(), given.clients, openssl_ms())
    few, many = accounts(max(given.clients) + 1), accounts(given.live + WARMING if given.live else 0, "live")
    storm = [f"app{number:03d}" for number in range(given.storm)]
    with serving([*few, *many], [*PARTIES.values(), *storm], given.workers) as (ours, data):
        measure_responses(told, ours, few[1:], given.seconds, given.rounds)
        if storm:
            measure_storm(told, ours, few[0], storm)
        if many:
            measure_live(told, ours, data, many)
    return told


def tables(told: Told) -> Iterator[Table]:
    """Table by table."""
    yield "Bars", ("work", "measured", "must", "aim", "verdict", "at"), [bar.cells() for bar in told.bars()]
    columns = ("server", "clients", "Responses/s", "CPU ms", "p50 ms", "p99 ms", "of `openssl speed`", "generator ms")
    yield "Responses on live sessions", columns, [_row(told, *key) for key in sorted(told.slices, key=_order)]
    rows = [
        (str(clients), _ratio(told.against(clients, lambda a, b: b.cpu_ms / a.cpu_ms)), _ratio(told.against(clients, _rates)))
        for clients in told.clients
    ]
    yield (
        "Against SimpleSAMLphp (middle of the rounds, each within its round)",
        ("clients", "its CPU / ours", "our rate / its"),
        rows,
    )
    for title, figures in (("Live sessions", told.live), ("A storm of relying parties on one session", told.storm)):
        if figures:
            yield title, ("what", "value"), [(name, f"{value:.4g}") for name, value in figures.items()]


def _rates(ours: Slice, theirs: Slice) -> float:
    return ours.per_second / theirs.per_second


def _order(key: tuple[str, int]) -> tuple[int, int]:
    return (RSA, P256, PEER).index(key[0]), key[1]


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _row(told: Told, label: str, clients: int) -> tuple[str, ...]:
    floor = next((ms for key, ms in told.floors.items() if label.endswith(FLOORS[key])), None)
    cpu = told.median(label, clients, lambda each: each.cpu_ms)
    return (
        label,
        str(clients),
        f"{told.median(label, clients, lambda each: each.per_second):.0f}",
        f"{cpu:.2f}",
        f"{told.median(label, clients, lambda each: each.p50_ms):.1f}",
        f"{told.median(label, clients, lambda each: each.p99_ms):.1f}",
        "-" if floor is None else f"{cpu / floor:.1f}x {floor:.3f} ms",
        f"{told.median(label, clients, lambda each: each.own_cpu_ms):.2f}",
    )


def as_text(told: Told, markdown: bool) -> str:
    """For a terminal, or for the documents."""
    shape = markdown_table if markdown else text_table
    ended = [f"Not measured: {each}." for each in told.missing] + [f"{many} times: {fault}" for fault, many in told.faults.items()]
    return "\n\n".join([about(told.machine, "threads of Python"), *map(shape, tables(told)), *ended])


def as_json(told: Told) -> dict[str, Any]:
    """One object."""
    return {
        "machine": told.machine,
        "openssl_ms": told.floors,
        "bars": [{"work": each.work, "value": each.value, "must": each.must, "verdict": each.verdict} for each in told.bars()],
        "responses": [
            {
                "server": label,
                "clients": clients,
                "cpu_ms": [each.cpu_ms for each in all_],
                "rate": [each.per_second for each in all_],
            }
            for (label, clients), all_ in told.slices.items()
        ],
        "live": told.live,
        "storm": told.storm,
        "faults": told.faults,
        "missing": told.missing,
        "sound": told.sound,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell."""
    given = _parser().parse_args(arguments)
    told = measure(given)
    if given.into is not None:
        put_into(given.into, "sso", as_text(told, True))
    print(json.dumps(as_json(told)) if given.json else as_text(told, given.markdown))
    return 0 if told.sound and all(bar.verdict != "NOT MET" for bar in told.bars()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.sso", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    form.add_argument("--markdown", action="store_true", help="print Markdown tables on standard output")
    parser.add_argument("--into", type=Path, help="also put the Markdown tables into this document (docs/performance.md)")
    parser.add_argument(
        "--clients", type=int, nargs="+", default=CLIENTS, help="browsers at once, series by series (default 1 2 8 64)"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="of a slice (default 2)")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--workers", type=int, default=None, help="workers of the server; default: as many as it takes by itself")
    parser.add_argument("--live", type=int, default=10_000, help="live sessions (default 10000); 0: not measured")
    parser.add_argument("--storm", type=int, default=50, help="relying parties at once (default 50); 0: not measured")
    return parser


if __name__ == "__main__":
    sys.exit(main())
