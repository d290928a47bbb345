"""Authenticators of users in whichever directory: enrol, list, revoke.

Of two operators who enrol the same secret at once, the second must find it enrolled, instead of making a second row that takes the
same code once more. A local user's account is raised with each change on condition that nobody else did; of other directories'
users the row of a secret has an id that is made of the secret, which only one of them can insert.
"""

import base64
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from wardgate.account import recovery_code
from wardgate.account.authenticator import MAX_AUTHENTICATORS, AuthenticatorState, create_authenticator, from_row, revocation
from wardgate.account.subject import SubjectId, create_subject, linked_subject
from wardgate.admin import fields
from wardgate.admin.office import Office
from wardgate.admin.people import found_person
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import from_ms
from wardgate.crypto import KeyRing, Secret
from wardgate.directory.local import TABLE, row_by_name
from wardgate.errors import AlreadyExists, Conflict, NotFound, UsageError
from wardgate.factors import BY_KIND
from wardgate.factors.port import SharedSecret
from wardgate.factors.totp import ALGORITHMS, DEFAULT_ALGORITHM, DEFAULT_DIGITS, DEFAULT_PERIOD_S, DIGITS, PERIODS_S
from wardgate.storage.port import MAX_IN_VALUES, Delete, Operation, Refused, Row, Update, Where

TOTP = "totp"
HOTP = "hotp"
GENERATED_SECRET_BYTES = 20
MAX_COUNTER = 2**53
ISSUER = "Wardgate"
_SHOWN_SETTINGS = ("digits", "period_s", "algorithm")
_TRIES = 10


@dataclass(frozen=True, slots=True)
class _Account:
    """A directory's user. `unchanged`: what is refused when somebody else changed a local one since he was read."""

    directory: str
    immutable_id: str
    name: str
    unchanged: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class _Owner:
    """Whose authenticators, as read just now. `rows`: all of his authenticators, revoked ones too."""

    account: _Account
    subject_id: SubjectId
    first: tuple[Operation, ...]
    rows: tuple[Row, ...]

    @property
    def live(self) -> list[Row]:
        """Those that may prove something, now or once they are released."""
        return [row for row in self.rows if row["state"] != AuthenticatorState.REVOKED]


Build = Callable[[_Owner], tuple[list[Operation], dict[str, Any]]]


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

    def build(owner: _Owner) -> tuple[list[Operation], dict[str, Any]]:
        older = [row for row in owner.live if row["kind"] == recovery_code.KIND]
        _check_room(owner, replaced=len(older))
        authenticator_id, codes, unit = recovery_code.create_recovery_codes(
            office.ring, owner.subject_id, fields.label(label), office.now_ms()
        )
        for row in older:
            unit += _revocation(office, owner, row)
        unit.append(_event(office, Kind.AUTHENTICATOR_ADDED, owner, authenticator_id, recovery_code.KIND))
        return unit, {"id": authenticator_id, "kind": recovery_code.KIND, "codes": codes}

    return await _commit_for(office, directory, name, build)


async def list_authenticators(office: Office, *, directory: str, name: str) -> dict[str, Any]:
    """What a user can prove himself with, and what was revoked. Never secrets. Raises NotFound."""
    account = await _account(office, directory, name)
    subject_id = await linked_subject(office.storage, account.directory, account.immutable_id)
    return {"authenticators": await describe_all(office, subject_id) if subject_id is not None else []}


async def revoke_authenticator(
    office: Office, *, directory: str | None = None, name: str = "", authenticator_id: str
) -> dict[str, Any]:
    """End an authenticator and destroy its secret. Raises NotFound when the user has no such active one.

    Without a directory, whosever it is: no directory is asked, so that a lost device can be ended while one is down.
    """

    def build(owner: _Owner) -> tuple[list[Operation], dict[str, Any]]:
        for row in owner.live:
            if row["id"] == authenticator_id:
                return _revocation(office, owner, row), {"id": authenticator_id, "kind": row["kind"], "revoked": True}
        raise NotFound(f"{owner.account.name} has no active authenticator {authenticator_id[:64]}")

    return await _commit_about(office, lambda: _whose(office, directory, name, authenticator_id), build)


async def release_authenticator(
    office: Office, *, directory: str | None = None, name: str = "", authenticator_id: str
) -> dict[str, Any]:
    """Let an authenticator prove something again that a new epoch had held: the operator knows that it was not used since.

    Raises NotFound when the user has no such one that is held. Without a directory, whosever it is.
    """

    def build(owner: _Owner) -> tuple[list[Operation], dict[str, Any]]:
        for row in owner.live:
            if row["id"] == authenticator_id and row["state"] == AuthenticatorState.HELD:
                held = (Where("state", "=", AuthenticatorState.HELD),)
                lifted = Update("authenticator", {"id": row["id"]}, {"state": AuthenticatorState.ACTIVE}, where=held)
                event = _event(office, Kind.AUTHENTICATOR_RELEASED, owner, authenticator_id, str(row["kind"]))
                return [lifted, event], {"id": authenticator_id, "kind": row["kind"], "released": True}
        raise NotFound(f"{owner.account.name} has no held authenticator {authenticator_id[:64]}")

    return await _commit_about(office, lambda: _whose(office, directory, name, authenticator_id), build)


async def describe_all(office: Office, subject_id: SubjectId) -> list[dict[str, Any]]:
    """A subject's authenticators as JSON values, oldest first."""
    described = []
    for row in await _authenticator_rows(office, subject_id):
        item = _describe(row)
        if row["kind"] == recovery_code.KIND:
            unused = [Where("authenticator_id", "=", row["id"]), Where("used_at", "is_null")]
            item["codes_left"] = await office.storage.count("recovery_code", unused)
        described.append(item)
    return described


def fingerprint(ring: KeyRing, subject_id: SubjectId, secret: Secret) -> str:
    """Tells whether a subject's two shared secrets are the same, without opening them, even after one was revoked.

    Enrolling a secret that was enrolled before must go on from the counter that it had: from the start again, its used codes
    would be good once more.
    """
    return ring.mac("authenticator-secret", subject_id.encode(), secret.reveal())[:16].hex()


def enrolled_before(rows: Iterable[Row], kind: str, settings: Mapping[str, str | int], mark: str) -> tuple[bool, int]:
    """Whether a subject has a live authenticator with this secret, and the counter that the secret has reached so far."""
    active, counter = False, 0
    for row in rows:
        known = from_row(row)
        if known.kind != kind or known.settings.get("fingerprint") != mark:
            continue
        active = active or row["state"] != AuthenticatorState.REVOKED
        if known.settings.get("period_s") == settings.get("period_s"):
            counter = max(counter, known.counter)
    return active, counter


def create_shared_secret(
    ring: KeyRing,
    subject_id: SubjectId,
    kind: str,
    label: str,
    settings: Mapping[str, str | int],
    secret: Secret,
    counter: int,
    at_ms: int,
    authenticator_id: str | None = None,
) -> tuple[str, Operation]:
    """A new row that holds a shared secret, with the secret's fingerprint among the settings."""
    marked = {**settings, "fingerprint": fingerprint(ring, subject_id, secret)}
    return create_authenticator(ring, subject_id, kind, label, marked, secret, counter, at_ms, authenticator_id)


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

    def build(owner: _Owner) -> tuple[list[Operation], dict[str, Any]]:
        _check_room(owner)
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
        return [insert, _event(office, Kind.AUTHENTICATOR_ADDED, owner, authenticator_id, kind)], result

    return await _commit_for(office, directory, name, build)


def _id_of_secret(ring: KeyRing, owner: _Owner, mark: str) -> str:
    """An id that two who enrol one secret for one person at once both come to: it counts how often that was done before."""
    before = sum(from_row(row).settings.get("fingerprint") == mark for row in owner.rows)
    return ring.mac("authenticator-id", owner.subject_id.encode(), mark.encode(), str(before).encode())[:16].hex()


async def _commit_for(office: Office, directory: str, name: str, build: Build) -> dict[str, Any]:
    """Commit what `build` makes of a user's authenticators."""
    return await _commit_about(office, lambda: _account(office, directory, name), build)


async def _commit_about(office: Office, find: Callable[[], Awaitable[_Account]], build: Build) -> dict[str, Any]:
    """Commit what `build` makes of an account's authenticators; once more when somebody else changed them between."""
    for _ in range(_TRIES):
        account = await find()
        owner = await _owner(office, account)
        unit, result = build(owner)
        if not isinstance(await office.storage.commit([*account.unchanged, *owner.first, *unit]), Refused):
            return {"directory": account.directory, "user": account.name, **result}
    raise Conflict("the user's authenticators are being changed by somebody else")


async def _account(office: Office, directory: str, name: str) -> _Account:
    """The user with this login name. Raises NotFound, and DirectoryUnavailable of a directory that is not ours."""
    row = await row_by_name(office.storage, directory, name)
    if row is not None:
        return _local(row)
    async with found_person(office, name, directory) as person:
        found = _Account(directory, person.user.immutable_id, person.user.name)
    return await _local_where_it_is(office, found)


async def _whose(office: Office, directory: str | None, name: str, authenticator_id: str) -> _Account:
    """Whose authenticator it is meant to be; without a directory the first account that its subject is linked to."""
    if directory is not None:
        return await _account(office, directory, name)
    row = await office.storage.get("authenticator", {"id": authenticator_id})
    links = await office.storage.find("subject_link", [Where("subject_id", "=", row["subject_id"])]) if row is not None else []
    accounts = [
        await _local_where_it_is(office, _Account(str(link["directory"]), str(link["immutable_id"]), str(link["immutable_id"])))
        for link in sorted(links, key=lambda link: int(link["created_at"] or 0))
    ]
    # One of our own has a name that can be told.
    for account in [*(each for each in accounts if each.unchanged), *accounts]:
        return account
    raise NotFound(f"there is no authenticator {authenticator_id[:64]}; wardgate authenticator list NAME shows the ids")


async def _local_where_it_is(office: Office, account: _Account) -> _Account:
    row = await office.storage.get(TABLE, {"id": account.immutable_id})
    return _local(row) if row is not None and row["directory"] == account.directory else account


def _local(row: Row) -> _Account:
    same_version = (Where("version", "=", row["version"]),)
    unchanged = Update(TABLE, {"id": row["id"]}, {}, where=same_version, add={"version": 1})
    return _Account(str(row["directory"]), str(row["id"]), str(row["name"]), (unchanged,))


async def _owner(office: Office, account: _Account) -> _Owner:
    subject_id = await linked_subject(office.storage, account.directory, account.immutable_id)
    if subject_id is not None:
        return _Owner(account, subject_id, (), tuple(await _authenticator_rows(office, subject_id)))
    subject_id, inserts = create_subject(account.directory, account.immutable_id, office.now_ms())
    details = {"directory": account.directory, "user": account.name}
    met = record(AuditEvent(Kind.SUBJECT_CREATED, office.now_ms(), office.actor, subject_id=subject_id, details=details))
    return _Owner(account, subject_id, (*inserts, met), ())


async def _authenticator_rows(office: Office, subject_id: SubjectId) -> list[Row]:
    mine = [Where("subject_id", "=", subject_id)]
    return await office.storage.find("authenticator", mine, order_by="created_at", limit=MAX_IN_VALUES)


def _revocation(office: Office, owner: _Owner, row: Row) -> list[Operation]:
    unit: list[Operation] = [revocation(row)]
    if row["kind"] == recovery_code.KIND:
        unit.append(Delete("recovery_code", (Where("authenticator_id", "=", row["id"]),)))
    unit.append(_event(office, Kind.AUTHENTICATOR_REVOKED, owner, str(row["id"]), str(row["kind"])))
    return unit


def _event(office: Office, kind: Kind, owner: _Owner, authenticator_id: str, factor: str) -> Operation:
    details = {
        "directory": owner.account.directory,
        "user": owner.account.name,
        "authenticator_id": authenticator_id,
        "factor": factor,
    }
    return record(AuditEvent(kind, office.now_ms(), office.actor, subject_id=owner.subject_id, details=details))


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


def _check_room(owner: _Owner, replaced: int = 0) -> None:
    if len(owner.live) - replaced >= MAX_AUTHENTICATORS:
        raise UsageError(f"{owner.account.name} already has {MAX_AUTHENTICATORS} authenticators; revoke one first")


def _check_digits(digits: int) -> None:
    if digits not in DIGITS:
        raise UsageError(f"digits: {DIGITS[0]} to {DIGITS[-1]}")
