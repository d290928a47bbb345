"""What `wardgate directory doctor` tells of Wardgate's own directory: how its accounts and their hashes stand."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from wardgate import foreign_hashes
from wardgate.clock import Clock, to_ms
from wardgate.directory.local.passwords import NewPasswords
from wardgate.directory.local.rows import TABLE, state_of, stored_password
from wardgate.directory.port import AccountState, Finding, Verdict
from wardgate.passwords import recognise
from wardgate.storage.port import Row, Storage, Where

PAGE_ROWS: Final = 1_000


@dataclass(slots=True)
class _Counts:
    users: int = 0
    without: int = 0
    expired: int = 0
    must_change: int = 0
    weak: int = 0
    states: Counter[AccountState] = field(default_factory=Counter)
    schemes: Counter[str] = field(default_factory=Counter)

    def take(self, row: Row, new: NewPasswords, now_ms: int) -> None:
        self.users += 1
        self.states[state_of(row, now_ms)] += 1
        self.must_change += bool(row["must_change"])
        stored = stored_password(row)
        if stored is None:
            self.without += 1
            return
        self.schemes[recognise(stored.hash) or "unknown"] += 1
        found = foreign_hashes.scheme_of(stored.hash)
        self.weak += found is None or found[0].weak
        self.expired += new.expired(row, now_ms)


async def examine(storage: Storage, directory: str, new: NewPasswords, clock: Clock) -> AsyncIterator[Finding]:
    """Point by point, after one walk over all users."""
    counts = await _count(storage, directory, new, to_ms(clock.now()))
    states = ", ".join(f"{count} {state.value}" for state, count in sorted(counts.states.items())) or "none"
    if counts.users:
        yield Finding("users", Verdict.GOOD, f"{counts.users} in all: {states}")
    else:
        yield Finding("users", Verdict.WARNING, "none yet", "wardgate user add NAME --directory DIRECTORY, or wardgate user import")
    if locked := counts.states[AccountState.LOCKED]:
        yield Finding("locked accounts", Verdict.WARNING, f"{locked}", "wardgate user unlock NAME lets one in again")
    if counts.without:
        cure = "they cannot log in: wardgate user set-password NAME, or leave them so"
        yield Finding("accounts without a password", Verdict.WARNING, f"{counts.without}", cure)
    schemes = ", ".join(f"{name}: {count}" for name, count in sorted(counts.schemes.items())) or "none"
    verdict = Verdict.WARNING if counts.weak else Verdict.GOOD
    cure = (
        "each is replaced by Argon2id at its next login (unless keep_hashes); reset those of people who never come"
        if counts.weak
        else ""
    )
    yield Finding("password hashes", verdict, schemes, cure)
    if new.max_age_ms:
        yield Finding("passwords past their age", Verdict.WARNING if counts.expired else Verdict.GOOD, f"{counts.expired}")
    yield Finding("passwords that must be changed", Verdict.GOOD, f"{counts.must_change}")
    yield _policy(new)


def _policy(new: NewPasswords) -> Finding:
    policy = new.policy
    told = f"at least {policy.min_length} characters, blocklist {'on' if policy.blocklist else 'off'}, history {policy.history}"
    if not policy.blocklist:
        return Finding("password policy", Verdict.WARNING, told, "set password_policy.blocklist: NIST SP 800-63B-4 demands one")
    return Finding("password policy", Verdict.GOOD, told)


async def _count(storage: Storage, directory: str, new: NewPasswords, now_ms: int) -> _Counts:
    counts, after = _Counts(), ""
    # By name: the unique index of directory and name finds each page at once.
    while rows := await storage.find(
        TABLE, [Where("directory", "=", directory), Where("name_key", ">", after)], order_by="name_key", limit=PAGE_ROWS
    ):
        for row in rows:
            counts.take(row, new, now_ms)
        after = str(rows[-1]["name_key"])
        await asyncio.sleep(0)
    return counts
