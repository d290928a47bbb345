"""Opens a new epoch: makes storage that is older than what happened safe to serve from.

After a restore, or the promotion of a standby that had not got every commit, the database does not know what was spent since.
So nothing that could have been spent may count: TOTP counters rise to the present step and the allowed skew beyond it; devices
that count, recovery codes and whatever else is not bound to time are held until the person has proved another strong factor or
an operator releases them, and so are trusted devices; open logins, handles, links and sessions end, and messages that wait are
not sent.

The epoch's row changes in the last unit, together with the first event of the new audit chain: an opening that is cut short has
only taken rights away, and is begun anew.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from wardgate.account.authenticator import AuthenticatorState, from_row
from wardgate.account.device import TABLE as DEVICES
from wardgate.account.device import DeviceState
from wardgate.account.token import TABLE as STOCK
from wardgate.account.token import TokenState
from wardgate.account.token import from_row as token_from
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.trail import chain_for
from wardgate.clock import Clock, to_ms
from wardgate.config.store import load_current
from wardgate.crypto import KeyRing
from wardgate.delivery.outbox import LIVE
from wardgate.engine.settings import CodeSettings
from wardgate.errors import Conflict, SettingsError, WardgateError
from wardgate.factors.totp import DEFAULT_PERIOD_S, time_step
from wardgate.installation import CHAIN_WRITER, EPOCH_OPENED_AT
from wardgate.storage.port import Committed, Delete, Operation, Refused, Row, Storage, Update, Upsert, Value, Where

PAGE_ROWS: Final = 500
DELETE_ROWS: Final = 500
TIME_BASED: Final = "totp"
EPOCH_ID_BYTES: Final = 8
# An event has room for so many.
MAX_HEADS: Final = 50
_LIVE_ROWS: Final[tuple[tuple[str, Where], ...]] = (
    ("handle", Where("handle_mac", "not_null")),
    ("login_transaction", Where("id", "not_null")),
    ("page_step", Where("step_mac", "not_null")),
    ("self_service", Where("id", "not_null")),
    ("sso_session", Where("session_mac", "not_null")),
    ("saml_participant", Where("session_id", "not_null")),
    ("saml_request", Where("replay_mac", "not_null")),
    ("mail_link", Where("link_mac", "not_null")),
    ("short_link", Where("link_mac", "not_null")),
    ("activation", Where("subject_id", "not_null")),
    ("password_write", Where("account_mac", "not_null")),
    ("admin_pass", Where("pass_mac", "not_null")),
    ("lease", Where("name", "not_null")),
    ("hand_over", Where("application", "not_null")),
    ("outbox", Where("state", "in", tuple(state.value for state in LIVE))),
)


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch that was opened. `id`: its number and a random part, as two restores of one backup have the same number.

    `raised`: TOTP authenticators; `held`: others, and trusted devices; `closed`: rows of open logins and the like, by table.
    """

    number: int
    id: str
    raised: int
    held: int
    closed: Mapping[str, int]


@dataclass(slots=True)
class _Count:
    raised: int = 0
    held: int = 0
    closed: dict[str, int] = field(default_factory=dict)


async def open_epoch(
    storage: Storage,
    ring: KeyRing,
    clock: Clock,
    actor: str,
    cause: Mapping[str, object],
    heads: Sequence[str] = (),
    known_epoch: int = 0,
    writer: str = CHAIN_WRITER,
) -> Epoch:
    """Open the next epoch. Nobody else writes meanwhile. `cause`: what the first event tells; `heads`: the last ones known.

    `known_epoch`: the newest one that is known from elsewhere: the number of the new one is above it. `writer`: whose chain
    the first event begins.

    Afterwards `storage` appends to the new epoch's chain. Raises Conflict when somebody else opened one.
    """
    row = await storage.get("installation", {"name": "epoch"})
    if row is None:
        raise SettingsError("the database names no epoch: it is not the database of an installation")
    before = int(str(row["value"]))
    number = max(before, known_epoch) + 1
    count = _Count()
    await _spend(storage, clock, count)
    await _spend_stock(storage, clock, count)
    count.held += await _hold_devices(storage)
    for table, where in _LIVE_ROWS:
        count.closed[table] = await _clear(storage, table, where)
    epoch_id = f"{number}-{secrets.token_hex(EPOCH_ID_BYTES)}"
    details = {
        "epoch_id": epoch_id,
        "before": before,
        **cause,
        "heads": list(heads[:MAX_HEADS]),
        "totp_raised": count.raised,
        "held": count.held,
        "closed": count.closed,
    }
    storage.use_chain(chain_for(ring, writer, number))
    now_ms = to_ms(clock.now())
    unit: list[Operation] = [
        Update("installation", {"name": "epoch"}, {"value": str(number)}, where=(Where("value", "=", str(before)),)),
        Upsert("installation", {"name": "epoch_id", "value": epoch_id}),
        # What was used a moment before is not known any more: until it has run out by itself, nothing of its kind is taken.
        Upsert("installation", {"name": EPOCH_OPENED_AT, "value": str(now_ms)}),
        record(AuditEvent(Kind.EPOCH_OPENED, now_ms, actor, details=details)),
    ]
    if isinstance(await storage.commit(unit), Refused):
        raise Conflict("somebody else opened an epoch meanwhile: stop every server of this database first")
    return Epoch(number, epoch_id, count.raised, count.held, count.closed)


# --- authenticators ------------------------------------------------------------------------------------------------------


async def _spend(storage: Storage, clock: Clock, count: _Count) -> None:
    """Go through every authenticator that may prove something now."""
    skew = await _skew_steps(storage)
    beyond: tuple[Where, ...] = ()
    while rows := await storage.find("authenticator", beyond, order_by="id", limit=PAGE_ROWS):
        unit = [change for row in rows if (change := _spent(row, clock, skew, count)) is not None]
        if unit and not isinstance(await storage.commit(unit), Committed):
            raise Conflict("authenticators change while the epoch is opened: stop every server of this database first")
        beyond = (Where("id", ">", rows[-1]["id"]),)


def _spent(row: Row, clock: Clock, skew: int, count: _Count) -> Update | None:
    """What keeps an authenticator's past proofs from counting again, or None when they cannot."""
    if row["state"] == AuthenticatorState.REVOKED:
        return None
    known = from_row(row)
    if known.kind == TIME_BASED:
        step = time_step(clock.now(), int(known.settings.get("period_s", DEFAULT_PERIOD_S))) + skew
        if known.counter >= step:
            return None
        count.raised += 1
        return Update("authenticator", {"id": known.id}, {"counter": step}, where=(Where("counter", "<", step),))
    if row["state"] in (AuthenticatorState.HELD, AuthenticatorState.FROZEN):
        return None
    count.held += 1
    active = (Where("state", "=", AuthenticatorState.ACTIVE.value),)
    return Update("authenticator", {"id": known.id}, {"state": AuthenticatorState.HELD.value}, where=active)


async def _spend_stock(storage: Storage, clock: Clock, count: _Count) -> None:
    """A token in the stock may have been given out since, and its codes used by whoever had it."""
    skew = await _skew_steps(storage)
    spare = Where("state", "=", TokenState.SPARE.value)
    beyond: tuple[Where, ...] = ()
    while rows := await storage.find(STOCK, [spare, *beyond], order_by="serial", limit=PAGE_ROWS):
        unit: list[Operation] = []
        for known in map(token_from, rows):
            change: dict[str, Value] = {"state": TokenState.HELD.value}
            if known.kind == TIME_BASED:
                change = {"counter": time_step(clock.now(), int(known.settings.get("period_s", DEFAULT_PERIOD_S))) + skew}
            count.raised += int("counter" in change)
            count.held += int("state" in change)
            unit.append(Update(STOCK, {"serial": known.serial}, change, where=(spare,)))
        if not isinstance(await storage.commit(unit), Committed):
            raise Conflict("the stock of tokens changes while the epoch is opened: stop every server of this database first")
        beyond = (Where("serial", ">", rows[-1]["serial"]),)


async def _hold_devices(storage: Storage) -> int:
    """Trusted devices may have been forgotten since: none stands for a factor until its person has proved a strong one."""
    held, active = 0, Where("state", "=", DeviceState.ACTIVE.value)
    while rows := await storage.find(DEVICES, [active], order_by="id", limit=PAGE_ROWS):
        unit = [Update(DEVICES, {"id": row["id"]}, {"state": DeviceState.HELD.value}, where=(active,)) for row in rows]
        if not isinstance(await storage.commit(unit), Committed):
            raise Conflict("trusted devices change while the epoch is opened: stop every server of this database first")
        held += len(rows)
    return held


async def _skew_steps(storage: Storage) -> int:
    """How far a code may be ahead: as configured, and no less than usual, as the setting may have been changed since."""
    usual = CodeSettings().totp_skew_steps
    try:
        _, document = await load_current(storage)
    except WardgateError:
        return usual
    return max(usual, document.codes.totp_skew_steps)


async def _clear(storage: Storage, table: str, where: Where) -> int:
    """Remove the rows that meet the condition, some at a time."""
    gone = 0
    while True:
        step: list[Operation] = [Delete(table, (where,), limit=DELETE_ROWS)]
        commit = await storage.commit(step)
        went = commit.results[0] if isinstance(commit, Committed) else 0
        if not isinstance(went, int) or not went:
            return gone
        gone += went
