"""Metadata that was fetched: kept, renewed in time, and believed for as long as it says or the operator allows.

What is taken is checked whole before it replaces what is there: an address that answers with an error, with somebody else's
metadata or with nothing changes nothing, and the last good document counts until its own end. Every node reads what one has
fetched.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import Clock, to_ms
from wardgate.errors import MetadataUnavailable, SettingsError, WardgateError
from wardgate.federation.building import build_party
from wardgate.federation.checking import read_metadata
from wardgate.federation.fetching import Resolver, fetch, resolve
from wardgate.federation.pem_files import read_certificates
from wardgate.federation.saml.values import SpMetadata
from wardgate.federation.settings import MetadataSettings, SamlApplicationSettings
from wardgate.federation.signing_keys import TOPIC
from wardgate.storage.port import Announce, Committed, Delete, Operation, Reader, Row, Storage, Upsert, Where

TABLE: Final = "party_metadata"
# How often a worker looks whether anything is due.
LOOKED_EVERY_S: Final = 60.0
LEAST_REFRESH_S: Final = 300
# After a failure: soon, then less and less often, and never less often than without one.
FIRST_RETRY_S: Final = 60
MAX_PROBLEM_CHARS: Final = 500
MAX_ROWS: Final = 1_000
MAX_TOLD: Final = 20
# Addresses that are dead or slow keep the others waiting as little as a server with hundreds of applications can afford.
MAX_AT_ONCE: Final = 4

log = structlog.get_logger("wardgate.federation")


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of one application's address. Times are milliseconds; `fetched_at`: 0 before the first success."""

    application: str
    url: str
    document: str = ""
    entity_id: str = ""
    fetched_at: int = 0
    valid_until: int | None = None
    next_at: int = 0
    failures: int = 0
    problem: str = ""


async def load_stored(storage: Reader) -> dict[str, Stored]:
    """All of it, by application."""
    rows = await storage.find(TABLE, order_by="application", limit=MAX_ROWS)
    return {str(row["application"]): _from_row(row) for row in rows}


def usable(settings: SamlApplicationSettings, stored: Stored | None) -> SpMetadata:
    """What was fetched for these settings, with its end. Raises SettingsError when there is nothing, or not for these settings."""
    metadata = settings.metadata or MetadataSettings()
    if stored is None or stored.url != metadata.url:
        raise SettingsError("its metadata has not been fetched yet")
    if not stored.document:
        raise SettingsError(f"its metadata has not been fetched yet: {stored.problem or 'it is due'}")
    found = read_metadata(stored.document.encode(), settings.entity_id or "", signers(metadata))
    return replace(found, valid_until=stored.valid_until)


def signers(metadata: MetadataSettings) -> tuple[bytes, ...]:
    """The certificates that the document must be signed with. Raises SettingsError for a file without any."""
    return read_certificates(metadata.signed_by) if metadata.signed_by is not None else ()


class Refreshing:
    """Fetches what is due: a job of one worker at a time."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        applications: Callable[[], Sequence[SamlApplicationSettings]],
        resolver: Resolver = resolve,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._applications = applications
        self._resolver = resolver

    async def run_once(self) -> None:
        """Fetch whatever is due, a few at once, and forget what no application names any more."""
        known = await load_stored(self._storage)
        wanted = {each.name: each for each in self._applications() if each.metadata is not None and each.metadata.url is not None}
        gone = [name for name in known if name not in wanted]
        if gone:
            await self._storage.commit([Delete(TABLE, (Where("application", "=", name),)) for name in gone])
        now_ms = to_ms(self._clock.now())
        due = iter([(each, known.get(name)) for name, each in wanted.items() if is_due(each, known.get(name), now_ms)])
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(MAX_AT_ONCE):
                    group.create_task(self._fetch_from(due))
        except ExceptionGroup as failed:
            # The job's owner tells one problem; storage that is away is the same for all.
            raise failed.exceptions[0] from failed

    async def _fetch_from(self, due: Iterator[tuple[SamlApplicationSettings, Stored | None]]) -> None:
        """Fetch one after the other of those that nobody has taken yet."""
        for settings, before in due:
            await self.fetch(settings, before)

    async def fetch(self, settings: SamlApplicationSettings, before: Stored | None) -> Stored:
        """Fetch one now, and store how it went."""
        metadata = settings.metadata or MetadataSettings()
        if before is None or before.url != metadata.url:
            before = Stored(settings.name, metadata.url or "")
        try:
            document = await fetch(metadata, self._resolver)
            after = self._taken(settings, before, document)
        except (MetadataUnavailable, SettingsError) as error:
            after = self._failed(metadata, before, error)
        await self._storage.commit(self._unit(settings, before, after))
        return after

    def _taken(self, settings: SamlApplicationSettings, before: Stored, document: bytes) -> Stored:
        metadata, now_ms = settings.metadata or MetadataSettings(), to_ms(self._clock.now())
        found = read_metadata(document, settings.entity_id or "", signers(metadata))
        if before.entity_id and found.entity_id != before.entity_id:
            told = f"the address now answers for {found.entity_id[:200]!r} and no more for {before.entity_id[:200]!r}"
            raise SettingsError(f"{told}: if that is meant, remove the application and add it anew")
        if found.valid_until is not None and found.valid_until <= now_ms:
            raise SettingsError("what the address answers with has expired already")
        build_party(settings, found)
        until = now_ms + metadata.max_age_s * 1000
        return Stored(
            application=settings.name,
            url=metadata.url or "",
            document=document.decode(),
            entity_id=found.entity_id,
            fetched_at=now_ms,
            valid_until=until if found.valid_until is None else found.valid_until,
            next_at=now_ms + 1000 * _refresh_s(metadata, found),
        )

    def _failed(self, metadata: MetadataSettings, before: Stored, error: WardgateError) -> Stored:
        now_ms, failures = to_ms(self._clock.now()), before.failures + 1
        wait_s = min(FIRST_RETRY_S * 2 ** min(before.failures, 12), metadata.refresh_s)
        log.warning("metadata_not_fetched", application=before.application, problem=error.message, failures=failures)
        problem = error.message[:MAX_PROBLEM_CHARS]
        return replace(before, failures=failures, problem=problem, next_at=now_ms + wait_s * 1000)

    def _unit(self, settings: SamlApplicationSettings, before: Stored, after: Stored) -> list[Operation]:
        unit: list[Operation] = [Upsert(TABLE, row_of(after))]
        if after.document != before.document or after.valid_until != before.valid_until:
            unit.append(Announce(TOPIC, settings.name))
        if after.document != before.document:
            details = {"application": settings.name, **_changes(settings, before, after)}
            unit.append(record(AuditEvent(Kind.PARTY_METADATA_TAKEN, after.fetched_at, "server", details=details)))
        return unit


async def forget(storage: Storage, application: str) -> bool:
    """Forget what was fetched for an application. Whether there was anything."""
    commit = await storage.commit([Delete(TABLE, (Where("application", "=", application),)), Announce(TOPIC, application)])
    return isinstance(commit, Committed) and bool(commit.results[0])


def is_due(settings: SamlApplicationSettings, stored: Stored | None, now_ms: int) -> bool:
    """Whether the address is to be asked now. A time further ahead than any refresh was written by a clock that was wrong."""
    metadata = settings.metadata or MetadataSettings()
    if stored is None or stored.url != metadata.url:
        return True
    return not now_ms < stored.next_at <= now_ms + 1000 * metadata.refresh_s


def _refresh_s(metadata: MetadataSettings, found: SpMetadata) -> int:
    """As the operator says, sooner where the application asks for it, and never so often that it hurts anybody."""
    if found.cache_duration_s is None:
        return metadata.refresh_s
    return max(LEAST_REFRESH_S, min(metadata.refresh_s, found.cache_duration_s))


def _changes(settings: SamlApplicationSettings, before: Stored, after: Stored) -> dict[str, object]:
    """What an auditor looks for: where responses go from now on, and how many keys came and went."""
    old = _parsed(settings, before)
    new = _parsed(settings, after)
    told: dict[str, object] = {
        "entity_id": after.entity_id[:200],
        "acs": [each.url[:200] for each in new.acs[:MAX_TOLD]] if new else [],
    }
    if old is not None and new is not None:
        went, came = set(old.signing_certificates), set(new.signing_certificates)
        told |= {"acs_before": [each.url[:200] for each in old.acs[:MAX_TOLD]]} if old.acs != new.acs else {}
        told |= {"keys_added": len(came - went), "keys_removed": len(went - came)} if came != went else {}
    return told


def _parsed(settings: SamlApplicationSettings, stored: Stored) -> SpMetadata | None:
    try:
        return read_metadata(stored.document.encode(), settings.entity_id or "") if stored.document else None
    except SettingsError:
        return None


def row_of(stored: Stored) -> Row:
    """It as it is stored."""
    return {
        "application": stored.application,
        "url": stored.url,
        "document": stored.document,
        "entity_id": stored.entity_id,
        "fetched_at": stored.fetched_at,
        "valid_until": stored.valid_until,
        "next_at": stored.next_at,
        "failures": stored.failures,
        "problem": stored.problem,
    }


def _from_row(row: Row) -> Stored:
    until = row["valid_until"]
    return Stored(
        application=str(row["application"]),
        url=str(row["url"]),
        document=str(row["document"]),
        entity_id=str(row["entity_id"]),
        fetched_at=int(row["fetched_at"] or 0),
        valid_until=int(until) if until is not None else None,
        next_at=int(row["next_at"] or 0),
        failures=int(row["failures"] or 0),
        problem=str(row["problem"]),
    )
