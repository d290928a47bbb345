"""The stock of hardware tokens: seeds as their maker delivered them, given to people by serial number and taken back.

What a token has spent goes with it: a code that was good for one person is never good for the next. Nothing here ever tells a seed.
"""

import asyncio
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from wardgate.account.authenticator import AuthenticatorState, enrolled_before, fingerprint
from wardgate.account.authenticator import from_row as authenticator_from
from wardgate.account.token import (
    TABLE,
    Token,
    TokenState,
    assignment,
    create_token,
    from_row,
    in_step,
    returned,
    serial_of,
    stocked_again,
    unchanged,
)
from wardgate.admin.office import Office
from wardgate.admin.owners import Owner, act_of, check_room, commit_about, commit_for, event_of, revoked, whose
from wardgate.admin.seed_files import Seed, checked
from wardgate.admin.telling import Act
from wardgate.audit.events import AuditEvent, Kind
from wardgate.clock import from_ms
from wardgate.crypto import Secret, same
from wardgate.errors import AlreadyExists, Conflict, NotFound, UsageError
from wardgate.factors.totp import DEFAULT_DIGITS, hotp
from wardgate.storage.port import Committed, Delete, Operation, Refused, Row, Update, Where

MAX_PIECE: Final = 500
PAGE_ROWS: Final = 500
# How far ahead two codes in a row are looked for: 10,000 presses, and one chance in 10^8 for two that are guessed.
RESYNC_AHEAD: Final = 10_000
# After so many of them somebody else has a turn.
RESYNC_TURN: Final = 250
_TOLD_SERIALS: Final = 20
_IN_STOCK: Final = (TokenState.SPARE, TokenState.RETURNED, TokenState.HELD)
_TRIES: Final = 5


# --- the stock -----------------------------------------------------------------------------------------------------------


async def import_tokens(office: Office, piece: Secret, *, replace: bool = False) -> dict[str, Any]:
    """Put the tokens of one piece into the stock: a JSON list of at most MAX_PIECE seeds, as `seed_values` makes them.

    A serial number that is known is refused. `replace`: where its seed is gone or lies here unused, take the new one; what the
    token has spent stays spent. Bad ones are told by their place and do not stop the others. Raises UsageError and Conflict.
    """
    seeds = _seeds(piece)
    for _ in range(_TRIES):
        known = {token.serial: token for token in await _tokens(office, [seed.serial for _, seed in seeds])}
        ended = await _ended(office, known.values())
        unit: list[Operation] = []
        problems, taken = [], dict[str, int]()
        for place, seed in seeds:
            reason = _not_taken(known.get(seed.serial), ended, replace)
            if seed.serial in taken:
                reason = f"the serial number stands at {taken[seed.serial]} already"
            if reason is not None:
                problems.append({"place": place, "reason": reason})
                continue
            taken[seed.serial] = place
            unit += await _stocked(office, seed, known.get(seed.serial))
        if taken:
            unit.append(_imported(office, [*taken]))
        if not unit or isinstance(await office.storage.commit(unit), Committed):
            return {"imported": len(taken), "refused": len(problems), "problems": problems}
    raise Conflict("the stock is being changed by somebody else")


def seed_values(place: int, seed: Seed) -> dict[str, Any]:
    """A seed as it travels to the server's own socket."""
    settings = {"digits": seed.digits, "period_s": seed.period_s, "algorithm": seed.algorithm, "counter": seed.counter}
    return {
        "place": place,
        "serial": seed.serial,
        "kind": seed.kind,
        "secret": seed.secret.reveal().hex(),
        "model": seed.model,
        **settings,
    }


def _seeds(piece: Secret) -> list[tuple[int, Seed]]:
    try:
        values = json.loads(piece.reveal())
        if not isinstance(values, list) or len(values) > MAX_PIECE:
            raise UsageError(f"a piece is a list of at most {MAX_PIECE} seeds")
        return [
            (int(each.pop("place")), checked(**{**each, "secret": bytes.fromhex(each["secret"])}))
            for each in [dict(value) for value in values]
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"a piece is a list of seeds: {type(error).__name__}") from None


def _not_taken(known: Token | None, ended: Collection[str], replace: bool) -> str | None:
    """Why a seed is not taken; None when it is."""
    if known is None:
        return None
    if known.state is TokenState.ASSIGNED and known.serial not in ended:
        return "somebody has this token: take it back first"
    return None if replace else "this serial number is in the stock already; --replace takes the new seed"


async def _stocked(office: Office, seed: Seed, known: Token | None) -> list[Operation]:
    """The operations that put a token into the stock, in place of one whose seed is replaced."""
    settings: dict[str, str | int] = {"digits": seed.digits}
    if seed.kind == "totp":
        settings |= {"period_s": seed.period_s, "algorithm": seed.algorithm}
    if known is None:
        made = create_token(office.ring, seed.serial, seed.kind, seed.model, settings, seed.secret, seed.counter, office.now_ms())
        return [made]
    # Whose it was may have been erased, and with that what it has spent: nobody knows then, as after a restore.
    spent = await _spent(office, known)
    held = spent is None or known.state is TokenState.HELD
    had_owner = known.authenticator_id is not None or known.state is TokenState.RETURNED
    state = stocked_again(seed.kind, held) if had_owner else TokenState.HELD if held else TokenState.SPARE
    counter = max(seed.counter, known.counter, spent or 0)
    made = create_token(office.ring, seed.serial, seed.kind, seed.model, settings, seed.secret, counter, office.now_ms(), state)
    as_read = unchanged(known)
    this = (Where("serial", "=", known.serial), *as_read)
    return [Update(TABLE, {"serial": known.serial}, {}, where=as_read), Delete(TABLE, this), made]


async def _spent(office: Office, token: Token) -> int | None:
    """How far the authenticator came that a token was last; None when that is not known any more."""
    if token.authenticator_id is None:
        return token.counter
    row = await office.storage.get("authenticator", {"id": token.authenticator_id})
    return int(row["counter"] or 0) if row is not None else None


def _imported(office: Office, serials: Sequence[str]) -> Operation:
    details = {"count": len(serials), "serials": list(serials[:_TOLD_SERIALS])}
    return office.record(AuditEvent(Kind.TOKENS_IMPORTED, office.now_ms(), office.actor, details=details))


async def list_tokens(office: Office, *, after: str = "", state: str | None = None) -> dict[str, Any]:
    """A page of the stock, by serial number. `after`: the last one of the page before. Raises UsageError."""
    if state is not None and state not in [each.value for each in TokenState]:
        raise UsageError(f"state: {', '.join(TokenState)}")
    where = [Where("serial", ">", after[:256])]
    if state in _IN_STOCK:
        where.append(Where("state", "=", state))
    elif state is not None:
        # Whether one that was given out ended since is known by its authenticator.
        where.append(Where("state", "in", (TokenState.ASSIGNED.value, TokenState.ENDED.value)))
    rows = await office.storage.find(TABLE, where, order_by="serial", limit=PAGE_ROWS)
    tokens = await _described(office, rows)
    shown = [each for each in tokens if state is None or each["state"] == state]
    return {"tokens": shown, "next": str(rows[-1]["serial"]) if len(rows) == PAGE_ROWS else None}


async def remove_token(office: Office, *, serial: str) -> dict[str, Any]:
    """Take a token that nobody has out of the stock; its seed is destroyed. Raises NotFound, Conflict."""
    token = await _token(office, serial)
    [told] = await _described(office, [await _row(office, token.serial)])
    if told["state"] == TokenState.ASSIGNED:
        raise Conflict(f"somebody has {token.serial}: wardgate token return {token.serial} takes it back")
    event = AuditEvent(Kind.TOKEN_REMOVED, office.now_ms(), office.actor, details={"serial": token.serial})
    as_read = Update(TABLE, {"serial": token.serial}, {}, where=unchanged(token))
    gone = Delete(TABLE, (Where("serial", "=", token.serial),))
    if isinstance(await office.storage.commit([as_read, gone, office.record(event)]), Refused):
        raise Conflict("the token is being changed by somebody else")
    return {"serial": token.serial, "removed": True}


# --- people --------------------------------------------------------------------------------------------------------------


async def assign_token(office: Office, *, directory: str, name: str, serial: str) -> dict[str, Any]:
    """Give a token of the stock to a user. Raises NotFound, AlreadyExists, Conflict, UsageError."""
    token = await _token(office, serial)
    if token.state is TokenState.RETURNED:
        resync = f"wardgate token resync {token.serial} CODE CODE"
        raise Conflict(f"{token.serial} counts, and who had it may have noted codes: press it twice, then {resync}")
    if token.state not in _IN_STOCK:
        raise Conflict(f"{token.serial} is not in the stock: somebody has it, or its seed is gone")

    def build(owner: Owner) -> tuple[list[Operation], dict[str, Any], Act | None]:
        check_room(owner)
        mark = fingerprint(office.ring, owner.subject_id, token.open(office.ring))
        active, reached = enrolled_before(owner.rows, token.kind, token.settings, mark)
        if active:
            raise AlreadyExists(f"{owner.account.name} already has an authenticator with this seed")
        authenticator_id, unit = assignment(office.ring, token, owner.subject_id, reached, office.now_ms())
        unit.append(event_of(office, Kind.AUTHENTICATOR_ADDED, owner, authenticator_id, token.kind, serial=token.serial))
        told = {"serial": token.serial, "kind": token.kind, "id": authenticator_id, "held": token.state is TokenState.HELD}
        return unit, told, Act("authenticator_added", token.kind, token.serial)

    return await commit_for(office, directory, name, build)


async def return_token(office: Office, *, serial: str) -> dict[str, Any]:
    """Take a token back from whoever has it, into the stock, with what it has spent. Raises NotFound, Conflict.

    No directory is asked: a person who left may be gone from it.
    """
    token = await _token(office, serial)
    row = await _authenticator(office, token)
    known = authenticator_from(row)
    secret = known.open(office.ring)

    def build(owner: Owner) -> tuple[list[Operation], dict[str, Any], Act | None]:
        live = next((each for each in owner.live if each["id"] == known.id), None)
        if live is None:
            raise Conflict(f"{token.serial} ended meanwhile")
        # A code that is accepted between the reading and this commit would be forgotten.
        as_read = Update("authenticator", {"id": known.id}, {}, where=(Where("counter", "=", live["counter"]),))
        ended = revoked(office, owner, live)
        unit = [as_read, returned(office.ring, token, live, secret), *ended]
        return unit, {"serial": token.serial, "returned": True}, act_of("authenticator_removed", live)

    return await commit_about(office, lambda: whose(office, None, "", known.id), build)


async def resync_token(office: Office, *, serial: str, first: str, second: str) -> dict[str, Any]:
    """Bring a token that counts into step by two of its codes in a row (RFC 4226 section 7.4). Raises NotFound, UsageError.

    Both codes are spent by it, and all before them. One that was taken back may be given on then.
    """
    token = await _token(office, serial)
    if token.state is TokenState.RETURNED:
        return await _resync_returned(office, token, first, second)
    row = await _authenticator(office, token)
    known = authenticator_from(row)
    if known.kind != "hotp":
        raise UsageError("only a token that counts can fall out of step; one that goes by time needs its clock looked at")
    digits = int(known.settings.get("digits", DEFAULT_DIGITS))
    reached = await _reached(known.open(office.ring), digits, known.counter, first, second)

    def build(owner: Owner) -> tuple[list[Operation], dict[str, Any], Act | None]:
        live = (Where("counter", "<=", reached - 2), Where("state", "!=", AuthenticatorState.REVOKED))
        raised = Update("authenticator", {"id": known.id}, {"counter": reached}, where=live)
        event = event_of(office, Kind.AUTHENTICATOR_RESYNCED, owner, known.id, known.kind, serial=token.serial)
        told = {"serial": token.serial, "resynced": True, "skipped": reached - 2 - known.counter}
        # Nothing of what protects the account is another one now.
        return [raised, event], told, None

    return await commit_about(office, lambda: whose(office, None, "", known.id), build)


async def _resync_returned(office: Office, token: Token, first: str, second: str) -> dict[str, Any]:
    """The same of a token in the stock, which is nobody's."""
    digits = int(token.settings.get("digits", DEFAULT_DIGITS))
    reached = await _reached(token.open(office.ring), digits, token.counter, first, second)
    event = AuditEvent(Kind.AUTHENTICATOR_RESYNCED, office.now_ms(), office.actor, details={"serial": token.serial})
    if isinstance(await office.storage.commit([in_step(token, reached), office.record(event)]), Refused):
        raise Conflict("the token is being changed by somebody else")
    return {"serial": token.serial, "resynced": True, "skipped": reached - 2 - token.counter}


async def _reached(secret: Secret, digits: int, start: int, first: str, second: str) -> int:
    """The counter after both codes. Raises UsageError when they are not two in a row. Logins have their turns meanwhile."""
    wanted, before = f"{first} {second}".encode(), hotp(secret, start, digits)
    for counter in range(start + 1, start + RESYNC_AHEAD + 1):
        if not (counter - start) % RESYNC_TURN:
            await asyncio.sleep(0)
        code = hotp(secret, counter, digits)
        if same(f"{before} {code}".encode(), wanted):
            return counter + 1
        before = code
    raise UsageError("these are not two codes in a row of this token; press it twice and type both, in this order")


# --- parts ---------------------------------------------------------------------------------------------------------------


async def _row(office: Office, serial: str) -> Row:
    row = await office.storage.get(TABLE, {"serial": serial_of(serial)})
    if row is None:
        raise NotFound(f"there is no token {serial_of(serial)}; wardgate token list shows them")
    return row


async def _token(office: Office, serial: str) -> Token:
    return from_row(await _row(office, serial))


async def _tokens(office: Office, serials: Sequence[str]) -> list[Token]:
    if not serials:
        return []
    return [from_row(row) for row in await office.storage.find(TABLE, [Where("serial", "in", tuple(serials))], limit=MAX_PIECE)]


async def _ended(office: Office, tokens: Iterable[Token]) -> set[str]:
    """The serial numbers of those that were given out and whose seed is gone since."""
    given = {token.authenticator_id: token.serial for token in tokens if token.authenticator_id is not None}
    live = (Where("id", "in", tuple(given)), Where("state", "!=", AuthenticatorState.REVOKED))
    rows = await office.storage.find("authenticator", live, limit=len(given)) if given else []
    return set(given.values()) - {given[str(row["id"])] for row in rows}


async def _authenticator(office: Office, token: Token) -> Row:
    """What the token is for the person who has it. Raises Conflict when nobody has it."""
    row = None
    if token.state is TokenState.ASSIGNED and token.authenticator_id is not None:
        row = await office.storage.get("authenticator", {"id": token.authenticator_id})
    if row is None or row["state"] == AuthenticatorState.REVOKED:
        raise Conflict(f"nobody has {token.serial}")
    return row


async def _described(office: Office, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Tokens as JSON values, with whose they are."""
    ids = tuple(str(row["authenticator_id"]) for row in rows if row["authenticator_id"] is not None)
    found = await office.storage.find("authenticator", [Where("id", "in", ids)], limit=len(ids)) if ids else []
    by_id = {str(row["id"]): row for row in found}
    return [_description(row, by_id.get(str(row["authenticator_id"]))) for row in rows]


def _description(row: Row, authenticator: Row | None) -> dict[str, Any]:
    token = from_row(row)
    ended = authenticator is None or authenticator["state"] == AuthenticatorState.REVOKED
    state = TokenState.ENDED if token.state is TokenState.ASSIGNED and ended else token.state
    has_it = state is TokenState.ASSIGNED and authenticator is not None
    return {
        "serial": token.serial,
        "kind": token.kind,
        "model": token.model,
        "state": state.value,
        **_shown(token.settings),
        "subject_id": str(authenticator["subject_id"]) if has_it and authenticator is not None else None,
        "authenticator_id": token.authenticator_id if has_it else None,
        "imported_at": from_ms(int(row["created_at"] or 0)).isoformat(),
    }


def _shown(settings: Mapping[str, str | int]) -> dict[str, str | int | None]:
    return {name: settings.get(name) for name in ("digits", "period_s", "algorithm")}
