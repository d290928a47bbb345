"""Our keys that sign for relying parties: made, kept, changed with an overlap.

Applications believe a key because its certificate stands in our metadata, or was copied from there by hand, so no change of keys
can be sudden: the next one is published long before it signs, and the one before it stays published after it. Which key signs is
a matter of time alone, so that all nodes change over by themselves at the same moment. Making one is an insert of a numbered row:
of two nodes that make the first key at once one finds it taken and uses the other's.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import Clock, from_ms, to_ms
from wardgate.crypto import KeyRing, Secret
from wardgate.errors import Conflict, UsageError
from wardgate.federation.relying_party import KeyKind
from wardgate.federation.saml.keys import load_signer
from wardgate.federation.saml.values import Signer
from wardgate.storage.port import Announce, Committed, Delete, Insert, Operation, Reader, Row, Storage, Update, Where

TABLE: Final = "federation_key"
TOPIC: Final = "federation"
RSA_BITS: Final = (2048, 3072, 4096)
USUAL_RSA_BITS: Final = 2048
CERTIFICATE_DAYS: Final = 3650
# Clocks of applications may be behind ours.
_BACKDATED_BY: Final = timedelta(days=1)
DAY_MS: Final = 24 * 3_600_000
# How long the next key is published before it signs: applications read metadata once a day, people are slower.
USUAL_NOTICE_DAYS: Final = 7
USUAL_STAY_DAYS: Final = 7
MAX_NOTICE_DAYS: Final = 365
# Certificates that end within this are warned of: changing one everywhere takes its time.
WARNED_DAYS: Final = 60
MAX_KEYS: Final = 40


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key. Times are milliseconds; `published_until`: None while no other follows it."""

    kind: KeyKind
    number: int
    signer: Signer
    created_at: int
    signs_from: int
    published_until: int | None
    ends_at: int

    @property
    def name(self) -> str:
        """What operators call it."""
        return f"{self.kind.value}-{self.number}"

    @property
    def certificate(self) -> bytes:
        """The certificate that our metadata shows, DER."""
        return self.signer.certificate

    def is_published(self, now_ms: int) -> bool:
        """Whether applications shall believe it now."""
        return self.published_until is None or now_ms < self.published_until


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """All keys, oldest first."""

    all: tuple[SigningKey, ...] = ()

    def signing(self, kind: KeyKind, now_ms: int) -> SigningKey | None:
        """The key of this kind that signs now; None while none was made."""
        ready = [key for key in self.all if key.kind is kind and key.signs_from <= now_ms]
        return ready[-1] if ready else None

    def signer(self, kind: KeyKind, now_ms: int) -> Signer | None:
        """What signs for applications with this kind of key now."""
        key = self.signing(kind, now_ms)
        return key.signer if key is not None else None

    def published(self, now_ms: int) -> tuple[SigningKey, ...]:
        """The keys that our metadata shows. First those that sign now, for applications that read one only; RSA before P-256."""
        shown = [key for key in self.all if key.is_published(now_ms)]
        kinds = list(KeyKind)
        return tuple(sorted(shown, key=lambda key: (self.signing(key.kind, now_ms) != key, kinds.index(key.kind), -key.number)))

    def next(self, kind: KeyKind, now_ms: int) -> SigningKey | None:
        """The key of this kind that is published and does not sign yet."""
        return next((key for key in self.all if key.kind is kind and key.signs_from > now_ms), None)

    def ending(self, now_ms: int) -> tuple[SigningKey, ...]:
        """Keys that sign now and whose certificate ends soon, or has ended, and that none follows in time."""
        soon = now_ms + WARNED_DAYS * DAY_MS
        return tuple(
            key
            for kind in KeyKind
            if (key := self.signing(kind, now_ms)) is not None and key.ends_at < soon and self.next(kind, now_ms) is None
        )


def bound_to(kind: str, number: int) -> str:
    """What seals a private key to its row."""
    return f"federation_key:{kind}:{number}"


async def load_keys(storage: Reader, ring: KeyRing) -> SigningKeys:
    """All keys. Raises SealError for one that is not sealed by this installation."""
    rows = await storage.find(TABLE, order_by="number", limit=MAX_KEYS)
    return SigningKeys(tuple(_from_row(row, ring) for row in rows))


async def make_first_keys(storage: Storage, ring: KeyRing, clock: Clock, kinds: Iterable[KeyKind]) -> bool:
    """Make the first key of every kind that has none. Whether any was made; one that another node made meanwhile is as good."""
    made = False
    for kind in dict.fromkeys(kinds):
        if await storage.find(TABLE, (Where("kind", "=", kind.value),), limit=1):
            continue
        now_ms = to_ms(clock.now())
        row = await asyncio.to_thread(_made, kind, 1, USUAL_RSA_BITS, now_ms, now_ms, ring)
        unit = [Insert(TABLE, row), _event(row, "server", {}), Announce(TOPIC, kind.value)]
        made = isinstance(await storage.commit(unit), Committed) or made
    return made


@dataclass(frozen=True, slots=True)
class Change:
    """How a key is changed. `notice_days`: how long the next is published before it signs; `stay_days`: the old one after that."""

    kind: KeyKind = KeyKind.RSA
    bits: int = USUAL_RSA_BITS
    notice_days: int = USUAL_NOTICE_DAYS
    stay_days: int = USUAL_STAY_DAYS


async def roll_key(storage: Storage, ring: KeyRing, clock: Clock, change: Change, actor: str) -> SigningKey:
    """Publish the next key. Raises UsageError, and Conflict while an earlier change is under way or another one came first."""
    _check(change)
    now_ms = to_ms(clock.now())
    keys = await load_keys(storage, ring)
    waiting = keys.next(change.kind, now_ms)
    if waiting is not None:
        told = f"{waiting.name} is published already and signs from {from_ms(waiting.signs_from):%Y-%m-%d %H:%M} UTC"
        raise Conflict(f"{told}: a further change can follow then")
    mine = [key for key in keys.all if key.kind is change.kind]
    number, signs_from = max((key.number for key in mine), default=0) + 1, now_ms + (change.notice_days * DAY_MS if mine else 0)
    until = signs_from + change.stay_days * DAY_MS
    row = await asyncio.to_thread(_made, change.kind, number, change.bits, now_ms, signs_from, ring)
    unit: list[Operation] = [Insert(TABLE, row)]
    unit += [
        Update(TABLE, {"kind": change.kind.value, "number": key.number}, {"published_until": until}, (_still(key),))
        for key in mine
        if key.published_until is None
    ]
    unit += [_event(row, actor, {"before_until": until} if mine else {}), Announce(TOPIC, change.kind.value)]
    if not isinstance(await storage.commit(unit), Committed):
        raise Conflict("somebody else changed the keys meanwhile: wardgate relying-party keys shows them")
    return _from_row(row, ring)


async def succeed_key(
    storage: Storage, ring: KeyRing, clock: Clock, kind: KeyKind, lost: int, until: int, made_at: int, event: tuple[str, str]
) -> SigningKey | None:
    """Have a new key sign at once in the place of those before key number `lost`, which had taken theirs and is not here.

    For a restore: what had given way, perhaps because others knew it, signs nothing again, and is published no longer than it would
    have been, `until`. None where nothing would: there is no such key, or one was made since the lost one was, at `made_at`.
    `event`: who does it, and which event is repeated by it. Raises Conflict.
    """
    mine = [key for key in (await load_keys(storage, ring)).all if key.kind is kind]
    if not any(key.number < lost for key in mine) or any(key.created_at > made_at for key in mine):
        return None
    now_ms, (actor, repeated) = to_ms(clock.now()), event
    row = await asyncio.to_thread(_made, kind, max(lost, *(key.number for key in mine)) + 1, USUAL_RSA_BITS, now_ms, now_ms, ring)
    unit: list[Operation] = [Insert(TABLE, row)]
    for key in mine:
        ends = until if key.published_until is None else min(until, key.published_until)
        unit.append(Update(TABLE, {"kind": kind.value, "number": key.number}, {"published_until": ends}, (_still(key),)))
    unit += [_event(row, actor, {"before_until": until, "replayed": repeated}), Announce(TOPIC, kind.value)]
    if not isinstance(await storage.commit(unit), Committed):
        raise Conflict("somebody else changes the signing keys: stop every server of this database first")
    return _from_row(row, ring)


async def forget_old_keys(storage: Storage, clock: Clock) -> None:
    """Delete keys that are published no more: what nobody believes need not be kept."""
    await storage.commit([Delete(TABLE, (Where("published_until", "<=", to_ms(clock.now())),)), Announce(TOPIC, "keys")])


def fingerprint(certificate: bytes) -> str:
    """How people compare certificates: SHA-256, as applications show it."""
    return x509.load_der_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex(":").upper()


def _check(change: Change) -> None:
    if change.bits not in RSA_BITS:
        raise UsageError(f"an RSA key has {', '.join(map(str, RSA_BITS))} bits")
    for name, days in (("notice", change.notice_days), ("stay", change.stay_days)):
        if not 0 <= days <= MAX_NOTICE_DAYS:
            raise UsageError(f"{name}: between 0 and {MAX_NOTICE_DAYS} days")


def _still(key: SigningKey) -> Where:
    return (
        Where("published_until", "is_null") if key.published_until is None else Where("published_until", "=", key.published_until)
    )


def _made(kind: KeyKind, number: int, bits: int, now_ms: int, signs_from: int, ring: KeyRing) -> Row:
    """A fresh key as its row. In a thread: a long RSA key takes a second."""
    key = ec.generate_private_key(ec.SECP256R1()) if kind is KeyKind.P256 else rsa.generate_private_key(65537, bits)
    plain = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "kind": kind.value,
        "number": number,
        "sealed": ring.seal(plain, bound_to(kind.value, number)),
        "certificate": _certificate(key, from_ms(now_ms)).public_bytes(serialization.Encoding.DER),
        "created_at": now_ms,
        "signs_from": signs_from,
        "published_until": None,
    }


def _certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """A certificate that says nothing but the key: our metadata is where trust comes from."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Wardgate SAML signing")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED_BY)
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _from_row(row: Row, ring: KeyRing) -> SigningKey:
    kind, number = KeyKind(str(row["kind"])), int(row["number"] or 0)
    sealed, certificate, until = row["sealed"], row["certificate"], row["published_until"]
    if not isinstance(sealed, bytes) or not isinstance(certificate, bytes):
        raise TypeError("a signing key's columns hold bytes")
    signer = load_signer(Secret(ring.open(sealed, bound_to(kind.value, number))), certificate)
    ends_at = to_ms(x509.load_der_x509_certificate(certificate).not_valid_after_utc)
    published_until = int(until) if until is not None else None
    return SigningKey(kind, number, signer, int(row["created_at"] or 0), int(row["signs_from"] or 0), published_until, ends_at)


def _event(row: Row, actor: str, more: dict[str, object]) -> Operation:
    details = {"key": row["kind"], "number": row["number"], "signs_from": row["signs_from"], **more}
    return record(AuditEvent(Kind.FEDERATION_KEY_MADE, int(row["created_at"] or 0), actor, details=details))
