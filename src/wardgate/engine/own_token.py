"""A person takes a hardware token that was handed to him, by its serial number and a code that only who holds it can read.

Without the code nothing is said of a serial number, and guesses are few: whoever guessed right would only have somebody else's
spare token, of which the stock knows from then on that it is his.
"""

from typing import Final

from wardgate.account.authenticator import MAX_AUTHENTICATORS, enrolled_before, fingerprint
from wardgate.account.freeze import unfrozen
from wardgate.account.subject import SubjectId
from wardgate.account.token import TABLE, Token, TokenState, assignment, from_row, serial_of
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import to_ms
from wardgate.crypto import new_reference, same
from wardgate.engine import turns
from wardgate.engine.notices import notify
from wardgate.engine.runtime import EngineParts
from wardgate.engine.wording import Whom, way_named
from wardgate.errors import UsageError
from wardgate.factors.port import Holder, digits_of
from wardgate.factors.totp import DEFAULT_ALGORITHM, DEFAULT_DIGITS, DEFAULT_PERIOD_S, hotp, verify_totp
from wardgate.storage.port import Committed, Row
from wardgate.texts import Text

BY_PERSON: Final = "person"
# Its button may have been pressed on the way from its maker.
LOOK_AHEAD: Final = 100
TRIES: Final = "token_try"
TRIES_PER_HOUR: Final = 10
TRIES_PER_DAY: Final = 30
NOT_THIS: Final = Text("token.mismatch")


async def take_token(parts: EngineParts, whom: Whom, holder: Holder, rows: list[Row], serial: str, typed: str) -> Text | None:
    """Give a spare token to the person who typed its serial number and a code. None: done; else what to tell him.

    `rows`: the authenticators that he has. Of two who take one token, one is told that it does not match.
    """
    ring, now_ms = parts.ring(), to_ms(parts.clock.now())
    code = digits_of(typed.encode("utf-8", "replace"))
    if not serial.strip():
        return Text("token.serial_missing")
    if not code:
        return Text("code.missing")
    key = ring.mac("brake-token", whom.subject_id.encode())
    counted = await parts.storage.commit([turns.take_turn(TRIES, key, now_ms, TRIES_PER_HOUR, TRIES_PER_DAY)])
    wait_s = counted.results[0] if isinstance(counted, Committed) else 0
    if not isinstance(counted, Committed) or wait_s:
        return Text("wait.person", {"min": max(1, -(-int(str(wait_s)) // 60)), "ref": whom.reference})
    token = await _spare(parts, serial)
    proved = _proved(parts, token, code) if token is not None else None
    if token is None or proved is None or len(rows) >= MAX_AUTHENTICATORS:
        return NOT_THIS
    mark = fingerprint(ring, SubjectId(whom.subject_id), token.open(ring))
    active, reached = enrolled_before(rows, token.kind, token.settings, mark)
    if active or reached > proved:
        return NOT_THIS
    authenticator_id, unit = assignment(ring, token, SubjectId(whom.subject_id), proved, now_ms, BY_PERSON)
    details = {"user": whom.user_name, "kind": token.kind, "authenticator": authenticator_id, "serial": token.serial}
    details |= {"client": whom.client} if whom.client else {}
    event = AuditEvent(Kind.AUTHENTICATOR_ADDED, now_ms, BY_PERSON, subject_id=whom.subject_id, details=details)
    values = {"what": way_named(token.kind, token.serial, whom.language)}
    told = notify(parts, whom, holder, "authenticator_added", values=values)
    made = await parts.storage.commit([unfrozen(SubjectId(whom.subject_id)), *unit, record(event), *told])
    if isinstance(made, Committed):
        return None
    return Text("freeze.on") if made.position == 0 else NOT_THIS


def whom_of(subject_id: str, user_name: str, application: str, language: str, realm: str, client: str) -> Whom:
    """Who is told of it."""
    return Whom(SubjectId(subject_id), user_name, application, "", new_reference(), language, realm, client=client)


async def _spare(parts: EngineParts, serial: str) -> Token | None:
    """The token of the stock with this number, whatever blanks and small letters were typed."""
    try:
        row = await parts.storage.get(TABLE, {"serial": serial_of(serial)})
    except UsageError:
        return None
    token = from_row(row) if row is not None else None
    return token if token is not None and token.state not in (TokenState.ASSIGNED, TokenState.ENDED) else None


def _proved(parts: EngineParts, token: Token, code: str) -> int | None:
    """What counts as spent once this code was taken: an authenticator's counter. None: it is no code of the token."""
    digits, secret = int(token.settings.get("digits", DEFAULT_DIGITS)), token.open(parts.ring())
    if token.kind == "totp":
        step, used = verify_totp(
            secret,
            code,
            parts.clock.now(),
            token.counter,
            skew_steps=parts.configuration().codes.totp_skew_steps,
            digits=digits,
            period_s=int(token.settings.get("period_s", DEFAULT_PERIOD_S)),
            algorithm=str(token.settings.get("algorithm", DEFAULT_ALGORITHM)),
        )
        return None if used else step
    ahead = range(token.counter, token.counter + LOOK_AHEAD)
    return next((each + 1 for each in ahead if same(hotp(secret, each, digits).encode(), code.encode())), None)
