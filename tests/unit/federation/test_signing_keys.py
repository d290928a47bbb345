"""Our keys that sign for relying parties."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from wardgate.admin.keys import SEALED
from wardgate.audit.trail import chain_for, verify
from wardgate.clock import FixedClock, to_ms
from wardgate.crypto import KeyRing, new_key
from wardgate.errors import Conflict, SealError, UsageError
from wardgate.federation import signing_keys
from wardgate.federation.relying_party import KeyKind
from wardgate.federation.signing_keys import CERTIFICATE_DAYS, DAY_MS, TABLE, WARNED_DAYS, Change, SigningKeys
from wardgate.storage.memory import MemoryStorage

RSA, P256 = KeyKind.RSA, KeyKind.P256


class Bench:
    """A storage, a ring and a clock."""

    def __init__(self) -> None:
        self.clock = FixedClock(datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
        self.ring = KeyRing({0: new_key(), 1: new_key()})
        self.storage = MemoryStorage()
        self.storage.use_chain(chain_for(self.ring, "test", 1))

    @property
    def now_ms(self) -> int:
        return to_ms(self.clock.now())

    async def keys(self) -> SigningKeys:
        return await signing_keys.load_keys(self.storage, self.ring)

    async def make(self, *kinds: KeyKind) -> bool:
        return await signing_keys.make_first_keys(self.storage, self.ring, self.clock, kinds)

    async def roll(self, change: Change | None = None) -> signing_keys.SigningKey:
        return await signing_keys.roll_key(self.storage, self.ring, self.clock, change or Change(P256), "operator:olga")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    assert not (await verify(made.storage, made.ring)).findings
    await made.storage.close()


def names(keys: tuple[signing_keys.SigningKey, ...]) -> list[str]:
    return [key.name for key in keys]


async def test_the_first_key_is_made_once(bench: Bench) -> None:
    assert await bench.make(RSA, P256)
    before = await bench.keys()
    assert not await bench.make(P256, RSA)
    assert [key.certificate for key in (await bench.keys()).all] == [key.certificate for key in before.all]
    assert names(before.all) == ["p256-1", "rsa-1"]
    signer = before.signer(RSA, bench.now_ms)
    assert signer is not None
    assert isinstance(signer.key, RSAPrivateKey)
    assert signer.key.key_size == 2048


async def test_there_is_no_key_before_it_is_made(bench: Bench) -> None:
    keys = await bench.keys()
    assert keys.signer(RSA, bench.now_ms) is None
    assert keys.published(bench.now_ms) == ()


async def test_a_certificate_lives_long_and_began_before_anybodys_clock(bench: Bench) -> None:
    await bench.make(P256)
    [key] = (await bench.keys()).all
    certificate = x509.load_der_x509_certificate(key.certificate)
    assert certificate.not_valid_before_utc == bench.clock.now() - timedelta(days=1)
    assert certificate.not_valid_after_utc == bench.clock.now() + timedelta(days=CERTIFICATE_DAYS)
    assert key.ends_at == to_ms(certificate.not_valid_after_utc)


async def test_a_private_key_is_sealed_to_its_row(bench: Bench) -> None:
    await bench.make(P256)
    await bench.roll()
    rows = {int(row["number"] or 0): row for row in await bench.storage.find(TABLE)}
    first, second = rows[1]["sealed"], rows[2]["sealed"]
    assert isinstance(first, bytes)
    assert isinstance(second, bytes)
    bench.ring.open(first, "federation_key:p256:1")
    with pytest.raises(SealError):
        bench.ring.open(second, "federation_key:p256:1")


async def test_a_rotation_of_the_data_keys_reaches_them(bench: Bench) -> None:
    await bench.make(P256)
    [column] = [each for each in SEALED if each.table == TABLE]
    [row] = await bench.storage.find(TABLE)
    sealed = row["sealed"]
    assert isinstance(sealed, bytes)
    assert column.key == ("kind", "number")
    bench.ring.open(sealed, column.place(row))


async def test_the_next_key_is_published_before_it_signs_and_the_old_one_after(bench: Bench) -> None:
    await bench.make(P256)
    rolled = await bench.roll(Change(P256, notice_days=7, stay_days=3))
    keys, now_ms = await bench.keys(), bench.now_ms
    assert rolled.name == "p256-2"

    def state(days: float) -> tuple[str, list[str]]:
        at = now_ms + int(days * DAY_MS)
        signing = keys.signing(P256, at)
        return signing.name if signing else "", names(keys.published(at))

    assert state(0) == ("p256-1", ["p256-1", "p256-2"])
    assert state(6.99) == ("p256-1", ["p256-1", "p256-2"])
    assert state(7) == ("p256-2", ["p256-2", "p256-1"])
    assert state(9.99) == ("p256-2", ["p256-2", "p256-1"])
    assert state(10) == ("p256-2", ["p256-2"])


async def test_a_key_that_leaked_is_replaced_at_once(bench: Bench) -> None:
    await bench.make(P256)
    await bench.roll(Change(P256, notice_days=0, stay_days=0))
    keys = await bench.keys()
    assert names(keys.published(bench.now_ms)) == ["p256-2"]
    assert keys.signing(P256, bench.now_ms) == keys.all[1]


async def test_a_change_waits_for_the_one_before_it(bench: Bench) -> None:
    await bench.make(P256)
    await bench.roll()
    with pytest.raises(Conflict, match="p256-2 is published already and signs from 2026-01-12 08:00 UTC"):
        await bench.roll()
    bench.clock.advance(7 * 86_400)
    assert (await bench.roll()).name == "p256-3"


async def test_the_first_key_of_a_kind_signs_at_once(bench: Bench) -> None:
    assert (await bench.roll()).signs_from == bench.now_ms


async def test_a_longer_key_is_made_when_asked_for(bench: Bench) -> None:
    key = (await bench.roll(Change(RSA, bits=3072))).signer.key
    assert isinstance(key, RSAPrivateKey)
    assert key.key_size == 3072


@pytest.mark.parametrize("change", [Change(bits=1024), Change(bits=8192), Change(notice_days=-1), Change(stay_days=366)])
async def test_what_makes_no_sense_is_refused(bench: Bench, change: Change) -> None:
    with pytest.raises(UsageError):
        await bench.roll(change)


async def test_a_key_that_is_published_no_more_is_forgotten(bench: Bench) -> None:
    await bench.make(P256)
    await bench.roll()
    bench.clock.advance(14 * 86_400 - 1)
    await signing_keys.forget_old_keys(bench.storage, bench.clock)
    assert names((await bench.keys()).all) == ["p256-1", "p256-2"]
    bench.clock.advance(1)
    await signing_keys.forget_old_keys(bench.storage, bench.clock)
    assert names((await bench.keys()).all) == ["p256-2"]
    assert (await bench.roll()).name == "p256-3"


async def test_an_end_is_told_while_there_is_time_and_until_the_next_key_is_there(bench: Bench) -> None:
    await bench.make(P256)
    keys, end = await bench.keys(), bench.now_ms + CERTIFICATE_DAYS * DAY_MS
    assert keys.ending(end - WARNED_DAYS * DAY_MS) == ()
    assert names(keys.ending(end - WARNED_DAYS * DAY_MS + 1)) == ["p256-1"]
    bench.clock.advance((CERTIFICATE_DAYS - 30) * 86_400)
    await bench.roll()
    assert (await bench.keys()).ending(bench.now_ms) == ()


async def test_a_fingerprint_is_shown_as_applications_show_it(bench: Bench) -> None:
    await bench.make(P256)
    shown = signing_keys.fingerprint((await bench.keys()).all[0].certificate)
    assert len(shown.split(":")) == 32
    assert shown == shown.upper()
