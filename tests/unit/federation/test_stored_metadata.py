"""Metadata that was fetched: taken whole or not at all, kept until its end, renewed in time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.federation.parties import ACS, ENTITY_ID, certificate, metadata, pem, settings
from wardgate.audit.trail import chain_for, verify
from wardgate.clock import FixedClock, to_ms
from wardgate.crypto import KeyRing, new_key
from wardgate.errors import MetadataUnavailable, SettingsError, StorageUnavailable
from wardgate.federation import stored_metadata
from wardgate.federation.saml.writing import instant
from wardgate.federation.settings import MetadataSettings, SamlApplicationSettings
from wardgate.federation.standing import Configured, Federation
from wardgate.federation.stored_metadata import Refreshing, Stored, load_stored, usable
from wardgate.storage.memory import MemoryStorage

URL = "https://wiki.acme.test/metadata"


class Bench:
    """An application whose metadata is fetched. `answer`: what its address says now."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FixedClock(datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
        self.ring = KeyRing({0: new_key(), 1: new_key()})
        self.storage = MemoryStorage()
        self.storage.use_chain(chain_for(self.ring, "test", 1))
        self.applications: tuple[SamlApplicationSettings, ...] = (self.wiki(),)
        self.answer: str | Exception = metadata()
        self.asked = 0
        monkeypatch.setattr(stored_metadata, "fetch", self._fetch)

    async def _fetch(self, wanted: MetadataSettings, resolver: object) -> bytes:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer.encode()

    def wiki(self, **changes: Any) -> SamlApplicationSettings:
        known = {key: changes.pop(key) for key in ("entity_id", "encrypt") if key in changes}
        return settings(metadata={"url": URL, **changes}, **known)

    @property
    def now_ms(self) -> int:
        return to_ms(self.clock.now())

    async def look(self, after_s: float = 0) -> None:
        self.clock.advance(after_s)
        await Refreshing(self.storage, self.clock, lambda: self.applications).run_once()

    async def stored(self) -> Stored:
        return (await load_stored(self.storage))["wiki"]

    async def party(self) -> Any:
        federation = Federation(self.storage, lambda: self.ring, self.clock, lambda: Configured(self.applications))
        await federation.refresh()
        return federation.parties.by_name("wiki", self.now_ms)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    made = Bench(monkeypatch)
    yield made
    assert not (await verify(made.storage, made.ring)).findings
    await made.storage.close()


async def test_what_was_never_fetched_makes_no_party(bench: Bench) -> None:
    assert await bench.party() is None
    with pytest.raises(SettingsError, match="has not been fetched yet"):
        usable(bench.applications[0], None)


async def test_metadata_is_fetched_and_makes_a_party(bench: Bench) -> None:
    await bench.look()
    party = await bench.party()
    assert party.entity_id == ENTITY_ID
    assert party.metadata.valid_until == bench.now_ms + 14 * 86_400_000


async def test_it_is_asked_for_again_when_it_is_due_and_not_before(bench: Bench) -> None:
    await bench.look()
    await bench.look(4 * 3600 - 1)
    assert bench.asked == 1
    await bench.look(1)
    assert bench.asked == 2


async def test_an_application_may_wish_to_be_asked_sooner_but_not_all_the_time(bench: Bench) -> None:
    bench.answer = metadata(entity=' cacheDuration="PT10M"')
    await bench.look()
    assert (await bench.stored()).next_at == bench.now_ms + 600_000
    bench.answer = metadata(entity=' cacheDuration="PT1S"')
    await bench.look(600)
    assert (await bench.stored()).next_at == bench.now_ms + 300_000


async def test_the_last_good_one_is_used_while_the_address_fails(bench: Bench) -> None:
    await bench.look()
    bench.answer = MetadataUnavailable("the connection is refused")
    await bench.look(4 * 3600)
    stored = await bench.stored()
    assert (stored.failures, stored.problem) == (1, "the connection is refused")
    assert (await bench.party()).entity_id == ENTITY_ID


async def test_a_failing_address_is_asked_less_and_less_often(bench: Bench) -> None:
    bench.answer = MetadataUnavailable("down")
    waits = []
    for _ in range(12):
        await bench.look()
        wait_ms = (await bench.stored()).next_at - bench.now_ms
        waits.append(wait_ms // 1000)
        bench.clock.advance(wait_ms / 1000)
    assert waits[:4] == [60, 120, 240, 480]
    assert max(waits) == 14_400


async def test_expired_metadata_is_used_no_more(bench: Bench) -> None:
    bench.answer = metadata(entity=f' validUntil="{instant(bench.now_ms + 3_600_000)}"')
    await bench.look()
    bench.answer = MetadataUnavailable("down")
    bench.clock.advance(3_599)
    assert await bench.party() is not None
    bench.clock.advance(1)
    assert await bench.party() is None


async def test_metadata_that_has_expired_already_is_not_taken(bench: Bench) -> None:
    await bench.look()
    bench.answer = metadata(acs="https://evil.test/acs", entity=f' validUntil="{instant(bench.now_ms - 1)}"')
    await bench.look(4 * 3600)
    assert (await bench.party()).metadata.acs[0].url == ACS
    assert "expired" in (await bench.stored()).problem


async def test_metadata_without_an_end_is_believed_for_as_long_as_the_operator_says(bench: Bench) -> None:
    bench.applications = (bench.wiki(max_age_s=7200),)
    await bench.look()
    bench.answer = MetadataUnavailable("down")
    await bench.look(7199)
    assert await bench.party() is not None
    bench.clock.advance(1)
    assert await bench.party() is None


async def test_an_address_that_answers_for_somebody_else_is_not_believed(bench: Bench) -> None:
    await bench.look()
    bench.answer = metadata("https://evil.test/saml", "https://evil.test/acs")
    await bench.look(4 * 3600)
    assert "the address now answers for 'https://evil.test/saml'" in (await bench.stored()).problem
    assert (await bench.party()).metadata.acs[0].url == ACS


async def test_an_address_that_answers_with_nonsense_changes_nothing(bench: Bench) -> None:
    await bench.look()
    for answer in ("<html>log in</html>", "", metadata()[:200], metadata().replace("SAML:2.0:protocol", "SAML:1.1:protocol")):
        bench.answer = answer
        await bench.look(5 * 3600)
        assert (await bench.stored()).document == metadata()
    assert (await bench.stored()).failures == 4


async def test_metadata_with_which_no_party_can_be_built_is_not_taken(bench: Bench) -> None:
    bench.applications = (bench.wiki(encrypt="aes256-gcm"),)
    bench.answer = metadata(keys=(certificate(),))
    await bench.look()
    bench.answer = metadata()
    await bench.look(4 * 3600)
    assert "no RSA certificate to encrypt for" in (await bench.stored()).problem
    assert (await bench.party()).response.encryption_certificate == certificate()


async def test_unsigned_metadata_is_refused_where_a_signature_is_asked_for(bench: Bench, tmp_path: Any) -> None:
    signer = tmp_path / "federation.pem"
    signer.write_text(pem(certificate()))
    bench.applications = (bench.wiki(signed_by=str(signer)),)
    await bench.look()
    assert (await bench.stored()).document == ""
    assert await bench.party() is None


async def test_what_was_fetched_unsigned_does_not_count_once_a_signature_is_asked_for(bench: Bench, tmp_path: Any) -> None:
    await bench.look()
    signer = tmp_path / "federation.pem"
    signer.write_text(pem(certificate()))
    bench.applications = (bench.wiki(signed_by=str(signer)),)
    assert await bench.party() is None


async def test_another_address_is_asked_at_once_and_the_old_answer_counts_no_more(bench: Bench) -> None:
    await bench.look()
    bench.applications = (settings(metadata={"url": "https://other.acme.test/metadata"}),)
    assert await bench.party() is None
    bench.answer = metadata("https://other.acme.test/saml", "https://other.acme.test/acs")
    await bench.look()
    assert (await bench.party()).entity_id == "https://other.acme.test/saml"


async def test_what_no_application_names_any_more_is_forgotten(bench: Bench) -> None:
    await bench.look()
    bench.applications = ()
    await bench.look()
    assert await load_stored(bench.storage) == {}


async def test_a_changed_consumer_is_in_the_audit_trail(bench: Bench) -> None:
    await bench.look()
    bench.answer = metadata(acs="https://wiki.acme.test/new", keys=(certificate(),))
    await bench.look(4 * 3600)
    await bench.look(4 * 3600)
    events = await bench.storage.find("audit_event", order_by="seq")
    assert [event["kind"] for event in events] == ["federation:metadata:taken"] * 2
    payload = str(events[1]["payload"])
    assert '"acs":["https://wiki.acme.test/new"]' in payload
    assert f'"acs_before":["{ACS}"]' in payload
    assert '"keys_added":1' in payload


async def test_a_clock_that_was_ahead_does_not_keep_the_address_from_being_asked(bench: Bench) -> None:
    await bench.look()
    stored = await bench.stored()
    assert stored_metadata.is_due(bench.applications[0], stored, bench.now_ms - 86_400_000)


async def test_a_database_that_fails_takes_no_application_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.look()
    federation = Federation(bench.storage, lambda: bench.ring, bench.clock, lambda: Configured(bench.applications))
    await federation.begin()
    before = federation.keys.all

    async def down(*_: object, **__: object) -> None:
        raise StorageUnavailable("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(bench.storage, "find", down)
        with pytest.raises(StorageUnavailable):
            await federation.refresh()
    assert [party.name for party in federation.parties] == ["wiki"]
    assert federation.keys.all == before
    assert [key.name for key in before] == ["rsa-1"]


class Addresses:
    """Addresses of many applications: those of `dead` answer nothing until they are let go."""

    def __init__(self, bench: Bench, count: int, dead: int) -> None:
        self.let_go = asyncio.Event()
        self.open = 0
        self.most = 0
        self.answered: list[str] = []
        self.enough = asyncio.Event()
        self._living = count - dead
        self._dead = {f"https://app{number}.acme.test/metadata" for number in range(dead)}
        self.applications = tuple(self._application(number) for number in range(count))
        bench.applications = self.applications

    @staticmethod
    def _application(number: int) -> SamlApplicationSettings:
        return replace(settings(metadata={"url": f"https://app{number}.acme.test/metadata"}), name=f"app{number}")

    async def fetch(self, wanted: MetadataSettings, resolver: object) -> bytes:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            if wanted.url in self._dead:
                await self.let_go.wait()
                raise MetadataUnavailable("the address did not answer within 20 seconds")
            await asyncio.sleep(0)
            self.answered.append(wanted.url or "")
            if len(self.answered) == self._living:
                self.enough.set()
            return metadata(f"{wanted.url}/entity").encode()
        finally:
            self.open -= 1


async def test_dead_addresses_do_not_keep_the_others_waiting(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = Addresses(bench, 12, 3)
    monkeypatch.setattr(stored_metadata, "fetch", addresses.fetch)
    looking = asyncio.create_task(bench.look())
    # All that live are fetched while the dead are still being waited for.
    await asyncio.wait_for(addresses.enough.wait(), 60)
    assert not looking.done()
    addresses.let_go.set()
    await looking
    found = await load_stored(bench.storage)
    assert sum(1 for each in found.values() if each.document) == 9
    assert sum(each.failures for each in found.values()) == 3


async def test_many_addresses_are_not_all_asked_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = Addresses(bench, 12, 0)
    monkeypatch.setattr(stored_metadata, "fetch", addresses.fetch)
    await bench.look()
    assert len(addresses.answered) == 12
    assert addresses.most == 4


async def test_storage_that_goes_away_while_several_are_fetched_is_one_problem(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = Addresses(bench, 12, 0)
    monkeypatch.setattr(stored_metadata, "fetch", addresses.fetch)

    async def down(*_: object, **__: object) -> None:
        raise StorageUnavailable("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(bench.storage, "commit", down)
        with pytest.raises(StorageUnavailable):
            await bench.look()
    assert addresses.open == 0
