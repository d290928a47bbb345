"""Authenticators of users in whichever directory: enrol, list, revoke, release."""

import base64
import secrets
from typing import Any
from urllib.parse import quote, urlencode

from wardgate.account import recovery_code
from wardgate.account.authenticator import (
    AuthenticatorState,
    create_shared_secret,
    enrolled_before,
    fingerprint,
    from_row,
)
from wardgate.account.subject import SubjectId, linked_subject
from wardgate.admin import fields
from wardgate.admin.office import Office
from wardgate.admin.owners import (
    Owner,
    account_of,
    act_of,
    authenticator_rows,
    check_room,
    commit_about,
    commit_for,
    event_of,
    revoked,
    whose,
)
from wardgate.admin.telling import Act
from wardgate.audit.events import Kind
from wardgate.clock import from_ms
from wardgate.crypto import KeyRing, Secret
from wardgate.errors import AlreadyExists, NotFound, UsageError
from wardgate.factors import BY_KIND
from wardgate.factors.port import SharedSecret
from wardgate.factors.totp import ALGORITHMS, DEFAULT_ALGORITHM, DEFAULT_DIGITS, DEFAULT_PERIOD_S, DIGITS, PERIODS_S
from wardgate.storage.port import Operation, Row, Update, Where

TOTP = "totp"
HOTP = "hotp"
GENERATED_SECRET_BYTES = 20
MAX_COUNTER = 2**53
ISSUER = "Wardgate"
_SHOWN_SETTINGS = ("digits", "period_s", "algorithm")


async def add_totp(
    office: Office,
    *,
    directory: str,
    name: str,
    secret_hex: str | None = None,
    digits: int = DEFAULT_DIGITS,
    period_s: int = DEFAULT_PERIOD_S,
    algorithm: str = DEFAULT_ALGORITHM,
    label: str = "",
) -> dict[str, Any]:
    """Enrol an authenticator app. Without a secret one is generated, and the otpauth URI is returned, once.

    Raises NotFound, UsageError, and AlreadyExists when the same secret is enrolled already.
    """
    _check_digits(digits)
    if period_s not in PERIODS_S:
        raise UsageError(f"period: one of {', '.join(map(str, PERIODS_S))} seconds")
    if algorithm not in ALGORITHMS:
        raise UsageError(f"algorithm: one of {', '.join(ALGORITHMS)}")
    settings: dict[str, str | int] = {"digits": digits, "period_s": period_s, "algorithm": algorithm}
    return await _add_secret(office, directory, name, TOTP, secret_hex, settings, 0, fields.label(label))


async def add_hotp(
    office: Office,
    *,
    directory: str,
    name: str,
    secret_hex: str | None = None,
    digits: int = DEFAULT_DIGITS,
    counter: int = 0,
    label: str = "",
) -> dict[str, Any]:
    """Enrol a counter-based device. `counter`: the next one that the device will use. Raises as `add_totp` does."""
    _check_digits(digits)
    if not 0 <= counter <= MAX_COUNTER:
        raise UsageError(f"counter: 0 to {MAX_COUNTER}")
    return await _add_secret(office, directory, name, HOTP, secret_hex, {"digits": digits}, counter, fields.label(label))


async def add_shared_secret(
    office: Office, *, directory: str, name: str, kind: str, secret_hex: str | None = None, label: str = ""
) -> dict[str, Any]:
    """Enrol a factor of any other kind that lives on a shared secret. A generated one is returned, once.

    Raises as `add_totp` does.
    """
    factor: object = BY_KIND.get(kind)
    if not isinstance(factor, SharedSecret):
        known = [TOTP, HOTP, *(each.kind for each in BY_KIND.values() if isinstance(each, SharedSecret))]
        raise UsageError(f"no authenticator is enrolled as {kind[:64]!r}: {', '.join(known)}, recovery")
    settings = dict(factor.secret_settings)
    return await _add_secret(office, directory, name, kind, secret_hex, settings, 0, fields.label(label))


async def add_recovery_codes(office: Office, *, directory: str, name: str, label: str = "") -> dict[str, Any]:
    """A new sheet of recovery codes, returned once. An older sheet ends with it, as it may be what was lost. Raises NotFound."""

    def build(owner: Owner) -> tuple[list[Operation], dict[str, Any], Act | None]:
        older = [row for row in owner.live if row["kind"] == recovery_code.KIND]
        check_room(owner, replaced=len(older))
        authenticator_id, codes, unit = recovery_code.create_recovery_codes(
            office.ring, owner.subject_id, fields.label(label), office.now_ms()
        )
        for row in older:
            unit += revoked(office, owner, row)
        unit.append(event_of(office, Kind.AUTHENTICATOR_ADDED, owner, authenticator_id, recovery_code.KIND))
        return unit, {"id": authenticator_id, "kind": recovery_code.KIND, "codes": codes}, Act("codes_renewed")

    return await commit_for(office, directory, name, build)


async def list_authenticators(office: Office, *, directory: str, name: str) -> dict[str, Any]:
    """What a user can prove himself with, and what was revoked. Never secrets. Raises NotFound."""
    account = await account_of(office, directory, name)
    subject_id = await linked_subject(office.storage, account.directory, account.immutable_id)
    return {"authenticators": await describe_all(office, subject_id) if subject_id is not None else []}


async def revoke_authenticator(
    office: Office, *, directory: str | None = None, name: str = "", authenticator_id: str
) -> dict[str, Any]:
    """End an authenticator and destroy its secret. Raises NotFound when the user has no such active one.

    Without a directory, whosever it is: no directory is asked, so that a lost device can be ended while one is down.
    """

    def build(owner: Owner) -> tuple[list[Operation], dict[str, Any], Act | None]:
        for row in owner.live:
            if row["id"] == authenticator_id:
                told = {"id": authenticator_id, "kind": row["kind"], "revoked": True}
                return revoked(office, owner, row), told, act_of("authenticator_removed", row)
        raise NotFound(f"{owner.account.name} has no active authenticator {authenticator_id[:64]}")

    return await commit_about(office, lambda: whose(office, directory, name, authenticator_id), build)


async def release_authenticator(
    office: Office, *, directory: str | None = None, name: str = "", authenticator_id: str
) -> dict[str, Any]:
    """Let an authenticator prove something again that a new epoch had held: the operator knows that it was not used since.

    Raises NotFound when the user has no such one that is held. Without a directory, whosever it is.
    """

    def build(owner: Owner) -> tuple[list[Operation], dict[str, Any], Act | None]:
        for row in owner.live:
            if row["id"] == authenticator_id and row["state"] == AuthenticatorState.HELD:
                held = (Where("state", "=", AuthenticatorState.HELD),)
                lifted = Update("authenticator", {"id": row["id"]}, {"state": AuthenticatorState.ACTIVE}, where=held)
                event = event_of(office, Kind.AUTHENTICATOR_RELEASED, owner, authenticator_id, str(row["kind"]))
                told = {"id": authenticator_id, "kind": row["kind"], "released": True}
                return [lifted, event], told, act_of("authenticator_released", row)
        raise NotFound(f"{owner.account.name} has no held authenticator {authenticator_id[:64]}")

    return await commit_about(office, lambda: whose(office, directory, name, authenticator_id), build)


async def describe_all(office: Office, subject_id: SubjectId) -> list[dict[str, Any]]:
    """A subject's authenticators as JSON values, oldest first."""
    described = []
    for row in await authenticator_rows(office, subject_id):
        item = _describe(row)
        if row["kind"] == recovery_code.KIND:
            unused = [Where("authenticator_id", "=", row["id"]), Where("used_at", "is_null")]
            item["codes_left"] = await office.storage.count("recovery_code", unused)
        described.append(item)
    return described


async def _add_secret(
    office: Office,
    directory: str,
    name: str,
    kind: str,
    secret_hex: str | None,
    settings: dict[str, str | int],
    counter: int,
    label: str,
) -> dict[str, Any]:
    given = secret_hex is not None
    secret = Secret(fields.secret_bytes(secret_hex) if secret_hex is not None else secrets.token_bytes(GENERATED_SECRET_BYTES))

    def build(owner: Owner) -> tuple[list[Operation], dict[str, Any], Act | None]:
        check_room(owner)
        mark = fingerprint(office.ring, owner.subject_id, secret)
        active, reached = enrolled_before(owner.rows, kind, settings, mark)
        if active:
            raise AlreadyExists(f"{owner.account.name} already has an authenticator with this secret")
        start = max(counter, reached)
        own_id = None if owner.account.unchanged else _id_of_secret(office.ring, owner, mark)
        authenticator_id, insert = create_shared_secret(
            office.ring, owner.subject_id, kind, label, settings, secret, start, office.now_ms(), own_id
        )
        result: dict[str, Any] = {"id": authenticator_id, "kind": kind, "label": label, **settings, "warnings": _warnings(secret)}
        if not given and kind in (TOTP, HOTP):
            result["otpauth_uri"] = _otpauth_uri(kind, owner.account.name, settings, secret, start)
        elif not given:
            result["secret_hex"] = secret.reveal().hex()
        added = event_of(office, Kind.AUTHENTICATOR_ADDED, owner, authenticator_id, kind)
        return [insert, added], result, Act("authenticator_added", kind, label)

    return await commit_for(office, directory, name, build)


def _id_of_secret(ring: KeyRing, owner: Owner, mark: str) -> str:
    """An id that two who enrol one secret for one person at once both come to: it counts how often that was done before."""
    before = sum(from_row(row).settings.get("fingerprint") == mark for row in owner.rows)
    return ring.mac("authenticator-id", owner.subject_id.encode(), mark.encode(), str(before).encode())[:16].hex()


def _describe(row: Row) -> dict[str, Any]:
    known = from_row(row)
    shown = {name: known.settings[name] for name in _SHOWN_SETTINGS if name in known.settings}
    used_at = row["last_used_at"]
    return {
        "id": known.id,
        "kind": known.kind,
        "label": known.label,
        "state": row["state"],
        **shown,
        "created_at": from_ms(int(row["created_at"] or 0)).isoformat(),
        "last_used_at": from_ms(used_at).isoformat() if isinstance(used_at, int) else None,
    }


def _otpauth_uri(kind: str, name: str, settings: dict[str, str | int], secret: Secret, counter: int) -> str:
    """The Key URI format that authenticator apps read from a QR code."""
    parameters = {
        "secret": base64.b32encode(secret.reveal()).decode().rstrip("="),
        "issuer": ISSUER,
        "digits": settings["digits"],
    }
    if kind == TOTP:
        parameters |= {"period": settings["period_s"], "algorithm": settings["algorithm"]}
    else:
        parameters |= {"counter": counter}
    return f"otpauth://{kind}/{quote(f'{ISSUER}:{name}', safe=':')}?{urlencode(parameters, quote_via=quote)}"


def _warnings(secret: Secret) -> list[str]:
    short = len(secret.reveal()) < fields.GOOD_SECRET_BYTES
    return [f"the secret is shorter than {fields.GOOD_SECRET_BYTES} bytes (RFC 4226 section 4)"] if short else []


def _check_digits(digits: int) -> None:
    if digits not in DIGITS:
        raise UsageError(f"digits: {DIGITS[0]} to {DIGITS[-1]}")
