"""Who or what has to wait, and lifting it; what messages cost."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from wardgate.admin.office import Office
from wardgate.admin.subjects import lift_waits_of, names_at_brakes
from wardgate.audit.events import AuditEvent, Kind
from wardgate.clock import from_ms
from wardgate.config.document import Document
from wardgate.config.store import load_current
from wardgate.directory.names import canonical_name
from wardgate.engine import brakes, lifting, wide_brakes
from wardgate.engine.brake_label import Label, masked_name, read_label
from wardgate.engine.brake_rows import DAY_MS, number
from wardgate.engine.sending import ALL, SOURCE_MESSAGES, TABLE, source_messages_key
from wardgate.engine.settings import SendingSettings
from wardgate.errors import DirectoryUnavailable, NotFound, UsageError
from wardgate.storage.port import Commit, Committed, Operation, Row, Where

MAX_LISTED = 1_000
MAX_REASON_CHARS = 256
# A typed name's rows hold nobody, and a mark that somebody was told is no lock.
_SILENT = ("name_source", "name", "name_directory", "notice")
_LIFT_PIECE = 200


# --- listing -------------------------------------------------------------------------------------------------------------


async def list_locks(
    office: Office, *, kind: str | None = None, user: str | None = None, limit: int = MAX_LISTED
) -> dict[str, Any]:
    """What holds now, the latest end first. `kind`: only brakes of this kind. `user`: only those of this login name."""
    _, document = await load_current(office.storage)
    if user is not None:
        rows = await _of_user(office, document, user.strip(), limit + 1, kind)
    else:
        rows = await _holding(office, document, limit + 1, kind)
    return {"locks": [_described(office, row) for row in rows[:limit]], "more": len(rows) > limit}


async def _of_user(office: Office, document: Document, user: str, limit: int, kind: str | None) -> list[Row]:
    """His, by their keys, however many others hold; and by their words those of a person whose directory cannot be asked."""
    typed = [f"{realm.name}:{canonical_name(user) or ''}" for realm in document.realms]
    try:
        known = await names_at_brakes(office, user)
    except DirectoryUnavailable:
        known = []
    now_ms = office.now_ms()
    rows = await lifting.rows_of(office.storage, office.ring, [*typed, *known], now_ms, limit)
    rows = [row for row in rows if kind in (None, row["kind"]) and _holds(row, document, now_ms)]
    wanted = {user.casefold(), masked_name(user).casefold()}
    for row in await _holding(office, document, limit, kind):
        label = read_label(office.ring, row)
        if label is not None and label.user.casefold() in wanted:
            rows.append(row)
    found = {(row["kind"], row["key"]): row for row in rows}
    return sorted(found.values(), key=lambda row: number(row, "locked_until"), reverse=True)


def _holds(row: Row, document: Document, now_ms: int) -> bool:
    if row["kind"] in _SILENT:
        return False
    stopped = row["kind"] == brakes.USER and number(row, "failures") >= document.brakes.user_failures
    return number(row, "locked_until") > now_ms or (stopped and number(row, "expires_at") > now_ms)


async def _holding(office: Office, document: Document, limit: int, kind: str | None = None) -> list[Row]:
    """Rows that make somebody wait: until a moment, or, of a user who failed too often from anywhere, until they are lifted."""
    if kind in _SILENT:
        return []
    now_ms, find = office.now_ms(), office.storage.find
    # Left out by storage: there are as many as of persons, and what is left of a page of them might be nothing.
    shown = [Where("kind", "!=", each) for each in _SILENT]
    timed = [Where("locked_until", ">", now_ms), *([Where("kind", "=", kind)] if kind else shown)]
    rows = await find("brake", timed, order_by="locked_until", descending=True, limit=limit)
    if kind in (None, brakes.USER):
        stopped = (
            Where("kind", "=", brakes.USER),
            Where("failures", ">=", document.brakes.user_failures),
            Where("expires_at", ">", now_ms),
        )
        rows = [*await find("brake", stopped, order_by="failures", descending=True, limit=limit), *rows]
    return rows[:limit]


def _described(office: Office, row: Row) -> dict[str, Any]:
    label = read_label(office.ring, row)
    words = label or Label()
    until = number(row, "locked_until")
    return {
        "brake": row["kind"],
        "held": _held(str(row["kind"]), label),
        "user": words.user or None,
        "known": words.known,
        "client": words.client or None,
        "nas": words.nas or None,
        "network": words.network or None,
        "since": from_ms(words.at).isoformat() if words.at else None,
        "until": from_ms(until).isoformat() if until else None,
        "failures": words.failures or number(row, "failures"),
        "level": number(row, "level"),
    }


def _held(kind: str, label: Label | None) -> str:
    """Who or what it is, in a few words."""
    if kind in (wide_brakes.GLOBAL, wide_brakes.GLOBAL_MESSAGES):
        return "all strangers"
    if label is None:
        # Sealed by a key that was rotated away, or not written yet.
        return "unknown"
    if label.user:
        where = f" from {label.client}" if label.client else f" through {label.nas}" if label.nas else ""
        return f"{label.user}{where}"
    return label.to or label.network or label.client or label.nas or "unknown"


# --- lifting -------------------------------------------------------------------------------------------------------------


async def clear_locks(
    office: Office,
    *,
    user: str | None = None,
    directory: str | None = None,
    source: str | None = None,
    nas: str | None = None,
    everything: bool = False,
    reason: str = "",
) -> dict[str, Any]:
    """Lift waits: of a user, of a client address or network, of a NAS, or all that hold. Raises UsageError, NotFound.

    That a source is known as somebody's is kept.
    """
    if sum([user is not None, source is not None, nas is not None, everything]) != 1:
        raise UsageError("say what to lift: a user, --source, --nas, or --all")
    reason = reason.strip()[:MAX_REASON_CHARS]
    if user is not None:
        return {"lifted": await _clear_user(office, user, directory, reason), "what": user}
    _, document = await load_current(office.storage)
    if everything:
        return {"lifted": await _clear_all(office, document, reason), "what": "all"}
    keys = _of_source(office, source, document) if source is not None else _of_nas(office, str(nas), document)
    what = source if source is not None else str(nas)
    return {"lifted": await _lift(office, keys, {"what": what, "reason": reason}), "what": what}


async def _clear_user(office: Office, name: str, directory: str | None, reason: str) -> int:
    """His waits wherever they come from; or those of a name that is nobody's."""
    try:
        _, rows = await lift_waits_of(office, name, directory, reason)
    except NotFound:
        _, document = await load_current(office.storage)
        owners = [f"{realm.name}:{canonical_name(name) or ''}" for realm in document.realms]
        lifted = await lifting.lift_user(office.storage, office.ring, owners, office.now_ms())
        commit = await office.storage.commit([*lifted, _event(office, {"what": masked_name(name), "reason": reason})])
        rows = sum(number for number in _results(commit)[: len(lifted)] if isinstance(number, int))
    return rows


def _of_source(office: Office, source: str, document: Document) -> list[tuple[str, bytes]]:
    try:
        if "/" not in source:
            address = str(ipaddress.ip_address(source))
            own = [(brakes.SOURCE, brakes.source_key(office.ring, address))]
            return [*own, (SOURCE_MESSAGES, source_messages_key(office.ring, address))]
        first = str(ipaddress.ip_network(source, strict=False).network_address)
    except ValueError as error:
        raise UsageError(f"{source[:64]!r} is neither an address nor a network") from error
    network = wide_brakes.network_of(first, document.brakes) or ""
    if ipaddress.ip_network(network) != ipaddress.ip_network(source, strict=False):
        raise UsageError(f"networks are counted as {network.partition('/')[2]} bits wide: say {network}")
    return _buckets(office, document, (wide_brakes.NETWORK, wide_brakes.NETWORK_MESSAGES), network)


def _of_nas(office: Office, nas: str, document: Document) -> list[tuple[str, bytes]]:
    known = {each.name for each in document.nas}
    if nas not in known:
        raise NotFound(f"there is no NAS {nas[:64]}; wardgate nas list shows them")
    return _buckets(office, document, (wide_brakes.NAS, wide_brakes.NAS_MESSAGES), f"radius:{nas}")


def _buckets(office: Office, document: Document, kinds: Sequence[str], what: str) -> list[tuple[str, bytes]]:
    return [
        (kind, key)
        for kind in kinds
        for key in wide_brakes.bucket_keys(office.ring, kind, what, wide_brakes.limit_of(kind, document.brakes))
    ]


async def _clear_all(office: Office, document: Document, reason: str) -> int:
    lifted = 0
    while rows := await _holding(office, document, _LIFT_PIECE):
        keys = [(str(row["kind"]), key) for row in rows if isinstance(key := row["key"], bytes)]
        lifted += await _lift(office, keys, {"what": "all", "reason": reason})
    return lifted


async def _lift(office: Office, keys: Sequence[tuple[str, bytes]], details: dict[str, object]) -> int:
    operations = [lifting.lift(kind, key, office.now_ms()) for kind, key in keys]
    commit = await office.storage.commit([*operations, _event(office, details)])
    return sum(result == 1 for result in _results(commit)[: len(operations)])


def _results(commit: Commit) -> tuple[object, ...]:
    return commit.results if isinstance(commit, Committed) else ()


def _event(office: Office, details: dict[str, object]) -> Operation:
    return office.record(AuditEvent(Kind.BRAKE_RELEASED, office.now_ms(), office.actor, details=details))


# --- what messages cost --------------------------------------------------------------------------------------------------


async def delivery_costs(office: Office, *, since: str | None = None, until: str | None = None) -> dict[str, Any]:
    """Messages with codes of each day, channel and prefix, and what they cost by the prices of the document.

    `since` and `until`: days, UTC, as in 2026-11-22; both belong to it. Without them, the last thirty days.
    """
    _, document = await load_current(office.storage)
    sending, today = document.sending, office.now_ms() // DAY_MS
    last = _day(until) if until else today
    first = _day(since) if since else last - 29
    if first > last:
        raise UsageError("the first day comes after the last one")
    rows = await office.storage.find(TABLE, [Where("day", ">=", first), Where("day", "<=", last)], order_by="day")
    lines = [_line(row, sending) for row in rows if row["channel"] != "sms" or row["prefix"] != ALL]
    return {
        "from": _date(first),
        "to": _date(last),
        "currency": sending.currency,
        "days": lines,
        "totals": _totals(lines),
        "caps": {
            "sms_prefixes": list(sending.sms_prefixes),
            "sms_per_prefix_per_day": sending.sms_per_prefix_per_day or None,
            "sms_per_day": sending.sms_per_day or None,
            "email_per_day": sending.email_per_day or None,
            "sms_per_source_per_hour": sending.sms_per_source_per_hour or None,
        },
    }


def _line(row: Row, sending: SendingSettings) -> dict[str, Any]:
    channel, prefix, messages = str(row["channel"]), str(row["prefix"]), number(row, "messages")
    price = _price(channel, prefix, sending)
    return {
        "day": _date(number(row, "day")),
        "channel": channel,
        "prefix": prefix if channel == "sms" else None,
        "messages": messages,
        "refused": number(row, "refused"),
        "cost": None if price is None else round(price * messages, 6),
    }


def _price(channel: str, prefix: str, sending: SendingSettings) -> float | None:
    """Of the longest prefix that has one; else of the channel. None: nobody said."""
    if channel == "sms":
        priced = [each for each in sending.prices if each.startswith("+") and prefix.startswith(each)]
        if priced:
            return sending.prices[max(priced, key=len)]
    return sending.prices.get(channel)


def _totals(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str | None], dict[str, Any]] = {}
    for line in lines:
        place = (line["channel"], line["prefix"])
        nothing = {"channel": place[0], "prefix": place[1], "messages": 0, "refused": 0, "cost": None}
        total = found.setdefault(place, nothing)
        total["messages"] += line["messages"]
        total["refused"] += line["refused"]
        if line["cost"] is not None:
            total["cost"] = round((total["cost"] or 0.0) + line["cost"], 6)
    return sorted(found.values(), key=lambda total: (-total["messages"], total["channel"], total["prefix"] or ""))


def _day(text: str) -> int:
    try:
        return int(datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC).timestamp() * 1000) // DAY_MS
    except ValueError as error:
        raise UsageError(f"{text[:32]!r} is no day: write it as 2026-11-22") from error


def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
