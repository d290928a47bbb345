"""How long `wardgate policy impact` takes over many users of Wardgate's own directory, and what whoever logs in meanwhile feels.

    python -m bench.impact [--users 100000] [--rules 60] [--json]

The users are on SQLite, in groups by department and branch, most with an app, some with a phone of their own, some with nothing.
The document that is tried asks contractors for an app, takes SMS away from a branch and adds a floor for administrators; its policy
has 60 rules of every kind beside. Measured is what the command asks the server to do, in one process, and how late the event loop
comes round meanwhile. Exit code 1 when the bar (30 s for 100,000 users) is not met.
"""

import argparse
import asyncio
import gc
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.report import Bar, machine
from wardgate.account.authenticator import create_authenticator
from wardgate.account.contact import Source, create_contact
from wardgate.account.subject import create_subject
from wardgate.admin.impact import Wanted, measure, unheard
from wardgate.admin.office import Office
from wardgate.audit.trail import chain_for
from wardgate.clock import SystemClock
from wardgate.config.document import Document, parse
from wardgate.crypto import KeyRing, Secret, new_id, new_key
from wardgate.directory.port import ContactKind
from wardgate.passwords import PasswordHasher
from wardgate.storage.backends import open_storage
from wardgate.storage.port import Insert, Operation, Storage
from wardgate.storage.settings import DatabaseSettings

MUST_S: Final = 30.0
AIM_S: Final = 15.0
FULL: Final = 100_000
ROWS_PER_UNIT: Final = 2_000
DEPARTMENTS, BRANCHES = 40, 25
NOW: Final = datetime(2026, 11, 23, tzinfo=UTC)


def documents(rules: int) -> tuple[Document, Document]:
    """The document in force, and the one that is tried."""
    return parse(_document(rules, tried=False)), parse(_document(rules, tried=True))


def _document(rules: int, tried: bool) -> dict[str, Any]:
    usual = {"steps": [["password"], ["totp", "sms", "email"]]}
    strict = {"steps": [["password"], ["totp"]]}
    many = [_rule(number, usual) for number in range(rules)]
    contractors = {"name": "contractors", "when": {"group": ["staff:contractors"]}, "then": strict if tried else usual}
    no_sms = {"steps": [["password"], ["totp", "email"]]}
    branch = {"name": "branch-3", "when": {"group": ["staff:branch-3"]}, "then": no_sms if tried else usual}
    office = {"name": "office", "when": {"network": ["office"]}, "then": {"steps": [["password"]]}}
    floors = [{"name": "admins", "when": {"group": ["staff:admins"]}, "then": {"strong_factors": 1}}] if tried else []
    policy = {"rules": [contractors, branch, *many, office, {"name": "staff", "then": usual}], "floors": floors}
    return {
        "realms": [{"name": "acme", "default": True, "directories": ["staff"]}],
        "directories": [{"name": "staff", "kind": "local"}],
        "gateways": [
            {
                "name": "sms",
                "kind": "http",
                "request": {"url": "https://sms.acme.test/send", "json": {"to": "{number}", "text": "{text}"}},
            }
        ],
        "networks": [{"name": "office", "cidr": ["10.0.0.0/8"]}, {"name": "lab", "cidr": ["10.9.0.0/16", "192.0.2.0/24"]}],
        "applications": [{"name": "vpn", "policy": "remote"}, {"name": "wifi", "policy": "remote"}],
        "policies": [{"name": "remote", **policy}],
    }


def _rule(number: int, then: dict[str, Any]) -> dict[str, Any]:
    forms: tuple[dict[str, Any], ...] = (
        {"group": [f"staff:department-{number}"], "network": ["lab"]},
        {"group": [f"staff:team-{number}"], "application": "vpn"},
        {"attribute": {"title": f"chief {number}"}, "application": "wifi"},
        {"enrolled_not": ["totp"], "group": [f"staff:branch-{number}"], "not": {"network": ["office"]}},
    )
    return {"name": f"r{number}", "when": forms[number % len(forms)], "then": then}


async def fill(storage: Storage, ring: KeyRing, users: int) -> None:
    """Put the users in: rows as the product makes them, with a password that nobody checks."""
    unit: list[Operation] = []
    for operations in _people(ring, users, random.Random(5)):
        unit += operations
        if len(unit) >= ROWS_PER_UNIT:
            await storage.commit(unit)
            unit = []
    await storage.commit(unit)


def _people(ring: KeyRing, users: int, chance: random.Random) -> Iterator[list[Operation]]:
    at_ms = int(NOW.timestamp() * 1000)
    for number in range(users):
        name, user_id = f"user-{number:07d}", new_id()
        groups = [f"department-{chance.randrange(DEPARTMENTS)}", f"branch-{chance.randrange(BRANCHES)}"]
        groups += ["contractors"] * (chance.random() < 0.1) + ["admins"] * (chance.random() < 0.01)
        title = f"chief {chance.randrange(1_000)}"
        subject_id, operations = create_subject("staff", user_id, at_ms)
        if chance.random() < 0.8:
            secret = Secret(b"\0" * 20)
            operations.append(create_authenticator(ring, subject_id, "totp", "", {"digits": 6}, secret, 0, at_ms)[1])
        if chance.random() < 0.2:
            operations += create_contact(ring, subject_id, ContactKind.PHONE, f"+9053{number:08d}", Source.OPERATOR, at_ms, at_ms)
        phone = f"+9055{number:08d}" if chance.random() < 0.5 else None
        yield [Insert("local_user", _row(user_id, name, groups, title, phone, at_ms)), *operations]


def _row(user_id: str, name: str, groups: list[str], title: str, phone: str | None, at_ms: int) -> dict[str, Any]:
    return {
        "id": user_id,
        "directory": "staff",
        "name": name,
        "name_key": name,
        "display_name": name.title(),
        "mail": None,
        "mail_key": None,
        "phone": phone,
        "language": None,
        "groups": json.dumps(groups),
        "attributes": json.dumps({"title": [title]}),
        "password_hash": None,
        "password_changed_at": None,
        "must_change": 0,
        "state": "active",
        "expires_at": None,
        "created_at": at_ms,
        "version": 1,
    }


async def run(users: int, rules: int) -> dict[str, Any]:
    """Fill a database and measure once."""
    with tempfile.TemporaryDirectory() as folder:
        ring, hasher = KeyRing({0: new_key(), 1: new_key()}), PasswordHasher(threads=1, max_waiting=1)
        storage = await open_storage(DatabaseSettings(), Path(folder))
        try:
            storage.use_chain(chain_for(ring, "bench", 1))
            await fill(storage, ring, users)
            office = Office(storage, ring, SystemClock(), hasher, "bench")
            before, after = documents(rules)
            # As every worker does when it begins to serve.
            gc.collect()
            gc.freeze()
            pauses: list[float] = []
            watch = asyncio.create_task(_watch(pauses))
            began, cpu = time.perf_counter(), time.process_time()
            told = await measure(office, before, after, Wanted(), unheard)
            took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
        finally:
            await storage.close()
            hasher.close()
    if told["looked_at"] != users or not told["complete"] or not told["effects"]["locked_out"]:
        raise SystemExit(f"not everybody was looked at, or nothing was found: {told['problems']}")
    pauses.sort()
    return {
        "users": users,
        "took_s": took_s,
        "cpu_s": cpu_s,
        "effects": told["effects"],
        "pause_ms": {
            "median": statistics.median(pauses) * 1e3,
            "p99": pauses[int(len(pauses) * 0.99)] * 1e3,
            "most": pauses[-1] * 1e3,
        },
    }


async def _watch(pauses: list[float]) -> None:
    """How long the loop takes to come round, as a login would feel it that waits for its turn."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        pauses.append(max(0.0, time.perf_counter() - began - 0.001))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the figures, and judge them."""
    given = _parser().parse_args(arguments)
    told = asyncio.run(run(given.users, given.rules))
    must, aim = (bar * given.users / FULL for bar in (MUST_S, AIM_S))
    bar = Bar(f"impact, {given.users:,} users", told["took_s"], must, aim, " s", least=False)
    if given.json:
        print(json.dumps({"machine": machine(), **told}))
    else:
        work, value, must_cell, aim_cell, verdict, _ = bar.cells()
        print(f"{work}: {value}, must {must_cell}, aim {aim_cell}: {verdict}")
        print(f"CPU time {told['cpu_s']:.1f} s; effects: {', '.join(f'{count} {name}' for name, count in told['effects'].items())}")
        median, p99, most = (f"{told['pause_ms'][name]:.1f}" for name in ("median", "p99", "most"))
        print(f"the event loop came round late by {median} ms (median), {p99} (p99), {most} (most)")
    return 1 if bar.verdict == "NOT MET" else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.impact", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=FULL, help=f"users to look at (default {FULL})")
    parser.add_argument("--rules", type=int, default=60, help="rules of the policy beside those that change (default 60)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
