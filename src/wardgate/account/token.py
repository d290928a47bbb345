"""A hardware token of the stock: bought with its seed, given to a person by its serial number.

The seed lies in exactly one place: in the token's row while nobody has it, in the person's authenticator afterwards. What it has
spent goes with it, so that a code that was used for one person is never good for the next.
"""

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from wardgate.account.authenticator import AuthenticatorState, create_shared_secret
from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing, Secret
from wardgate.errors import UsageError
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Insert, Operation, Row, Update, Where
from wardgate.values import quick_value

TABLE: Final = "token"
MAX_SERIAL_CHARS: Final = 64
MAX_MODEL_CHARS: Final = 64
_SERIAL: Final = re.compile(r"[0-9A-Z][0-9A-Z._/#-]{0,63}")


class TokenState(StrEnum):
    """What became of a token.

    RETURNED: it counts, and lies in the stock after somebody had it. He may have noted codes that come yet, so that it has to show
    where it stands before it is given on. HELD: in stock since before a restore, so that nobody knows which of its codes were used.
    ENDED: its seed is gone.
    """

    SPARE = "spare"
    RETURNED = "returned"
    HELD = "held"
    ASSIGNED = "assigned"
    ENDED = "ended"


@quick_value
class Token:
    """A row of `token`. `counter`: as an authenticator's; `authenticator_id`: who has it now, or had it last.

    In the stock: SPARE, RETURNED and HELD, and then the seed lies here.
    """

    serial: str
    kind: str
    model: str
    settings: Mapping[str, str | int]
    counter: int
    state: TokenState
    sealed: bytes | None = None
    authenticator_id: str | None = None

    def open(self, ring: KeyRing) -> Secret:
        """The seed in clear. Raises SealError when the row was tampered with, or the seed is elsewhere."""
        return Secret(ring.open(self.sealed or b"", bound_to(self.serial)))


def serial_of(text: str) -> str:
    """A serial number as it is compared: capitals, without blanks. Raises UsageError."""
    serial = re.sub(r"\s+", "", unicodedata.normalize("NFKC", text[: 4 * MAX_SERIAL_CHARS])).upper()
    if not _SERIAL.fullmatch(serial):
        raise UsageError(f"serial: 1 to {MAX_SERIAL_CHARS} letters, digits and . _ / # -")
    return serial


def bound_to(serial: str) -> str:
    """The associated data of a sealed seed."""
    return f"token:{serial}"


def from_row(row: Row) -> Token:
    """The typed value of a stored row."""
    sealed, whose = row["sealed"], row["authenticator_id"]
    return Token(
        serial=str(row["serial"]),
        kind=str(row["kind"]),
        model=str(row["model"]),
        settings=loads(str(row["settings"])),
        counter=int(row["counter"] or 0),
        state=TokenState(str(row["state"])),
        sealed=bytes(sealed) if isinstance(sealed, bytes) else None,
        authenticator_id=str(whose) if whose is not None else None,
    )


def create_token(
    ring: KeyRing,
    serial: str,
    kind: str,
    model: str,
    settings: Mapping[str, str | int],
    secret: Secret,
    counter: int,
    at_ms: int,
    state: TokenState = TokenState.SPARE,
) -> Insert:
    """Put a token into the stock. Refused (`exists`) when its serial number is there already."""
    return Insert(
        TABLE,
        {
            "serial": serial,
            "kind": kind,
            "model": model,
            "sealed": ring.seal(secret.reveal(), bound_to(serial)),
            "settings": dumps(dict(settings)),
            "counter": counter,
            "state": state,
            "authenticator_id": None,
            "created_at": at_ms,
        },
    )


def assignment(
    ring: KeyRing, token: Token, subject_id: SubjectId, counter: int, at_ms: int, by: str = ""
) -> tuple[str, list[Operation]]:
    """Give a token of the stock to a person: the authenticator's id and the operations, refused when it is not there any more.

    `counter`: what counts as spent from the start, at least what the token has spent.
    """
    settings = {**token.settings, "serial": token.serial, **({"by": by} if by else {})}
    label = f"{token.model} {token.serial}".strip()[:MAX_MODEL_CHARS]
    start, held = max(counter, token.counter), token.state is TokenState.HELD
    state = AuthenticatorState.HELD if held else AuthenticatorState.ACTIVE
    made = create_shared_secret(ring, subject_id, token.kind, label, settings, token.open(ring), start, at_ms, state=state)
    gone = {"sealed": None, "state": TokenState.ASSIGNED, "authenticator_id": made[0], "counter": start}
    return made[0], [Update(TABLE, {"serial": token.serial}, gone, where=unchanged(token)), made[1]]


def unchanged(token: Token) -> tuple[Where, ...]:
    """That a token is as it was read: its seed too, which an import may have replaced without changing anything else."""
    seed = Where("sealed", "is_null") if token.sealed is None else Where("sealed", "=", token.sealed)
    return (Where("state", "=", token.state), Where("counter", "=", token.counter), seed)


def in_step(token: Token, counter: int) -> Update:
    """Two codes in a row have shown where a token of the stock stands: codes that were noted before are spent."""
    return Update(TABLE, {"serial": token.serial}, {"state": TokenState.SPARE, "counter": counter}, where=unchanged(token))


def stocked_again(kind: str, held: bool) -> TokenState:
    """What a token is that lies in the stock after somebody had it. `held`: nobody knows which of its codes were used."""
    if kind == "hotp":
        return TokenState.RETURNED
    return TokenState.HELD if held else TokenState.SPARE


def returned(ring: KeyRing, token: Token, authenticator: Row, secret: Secret) -> Update:
    """Take a token back into the stock with what it has spent. The caller ends the authenticator in the same commit."""
    held = authenticator["state"] == AuthenticatorState.HELD
    back: Row = {
        "sealed": ring.seal(secret.reveal(), bound_to(token.serial)),
        "state": stocked_again(token.kind, held),
        "counter": int(authenticator["counter"] or 0),
        "authenticator_id": None,
    }
    his = (Where("state", "=", TokenState.ASSIGNED), Where("authenticator_id", "=", authenticator["id"]))
    return Update(TABLE, {"serial": token.serial}, back, where=his)
