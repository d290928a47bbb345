"""Enrolling an app by its picture and first code, and making recovery codes: on the account's pages and within a login alike.

What is being enrolled lives in the step of a browser until its first code was right: half an authenticator exists nowhere.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

import segno
from markupsafe import Markup

from wardgate.account.authenticator import MAX_AUTHENTICATORS, create_authenticator, revocation
from wardgate.account.freeze import unfrozen
from wardgate.account.nickname import MAX_CHARS, tidied
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.recovery_code import create_recovery_codes
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import to_ms
from wardgate.crypto import Secret, new_reference, random_bytes
from wardgate.engine.notices import notify
from wardgate.engine.wording import Whom, way_named
from wardgate.factors.port import MAX_ANSWER_BYTES, Holder, digits_of
from wardgate.factors.totp import DEFAULT_ALGORITHM, DEFAULT_DIGITS, DEFAULT_PERIOD_S, verify_totp
from wardgate.pages.browser import Form
from wardgate.pages.door import BrowserDoor
from wardgate.storage.port import Committed, Delete, Operation, Row, Where
from wardgate.texts import Text

TOTP: Final = "totp"
SECRET_BYTES: Final = 20
BY_PERSON: Final = "person"
SETTINGS: Final[Mapping[str, str | int]] = {
    "digits": DEFAULT_DIGITS,
    "period_s": DEFAULT_PERIOD_S,
    "algorithm": DEFAULT_ALGORITHM,
    "by": BY_PERSON,
}


@dataclass(frozen=True, slots=True)
class Whose:
    """Who enrols. `holder`: where he is told of it; `rows`: the rows of the authenticators that he has.

    `realm`, `device`: for the words of the message. `client`: the address that he is at, for the record.
    """

    subject_id: SubjectId
    user_name: str
    language: str
    holder: Holder
    rows: Sequence[Row]
    realm: str = ""
    device: str = ""
    client: str = ""

    @property
    def has_codes(self) -> bool:
        """Whether he has recovery codes."""
        return any(row["kind"] == RECOVERY_CODE for row in self.rows)

    @property
    def is_full(self) -> bool:
        """Whether he has as many authenticators as can be kept."""
        return len(self.rows) >= MAX_AUTHENTICATORS


def new_secret() -> str:
    """The key of a new app, in hexadecimal."""
    return random_bytes(SECRET_BYTES).hex()


def shown_key(door: BrowserDoor, user_name: str, secret: str) -> dict[str, object]:
    """What a page shows of a key: the picture, the words and the address for an app on the same phone."""
    encoded = base64.b32encode(bytes.fromhex(secret)).decode().rstrip("=")
    title = door.configuration().applications[door.portal()].title
    label = quote(f"{title}:{user_name}")
    uri = f"otpauth://totp/{label}?{urlencode({'secret': encoded, 'issuer': title}, quote_via=quote)}"
    groups = " ".join(encoded[at : at + 4] for at in range(0, len(encoded), 4))
    drawn = segno.make(uri, error="m", micro=False).svg_inline(border=4, omitsize=True, light="white", dark="black")
    picture = Markup(drawn)  # noqa: S704 - drawn here, from modules
    return {"uri": uri, "groups": groups, "picture": picture}


def first_code(door: BrowserDoor, secret: str, form: Form) -> int | Text:
    """The time step that the first code proves, or what is wrong with it."""
    code = digits_of(form.text("code", MAX_ANSWER_BYTES).encode("utf-8", "replace"))
    if not code:
        return Text("code.missing")
    proved, _ = verify_totp(Secret(bytes.fromhex(secret)), code, door.clock.now(), -1, skew_steps=1)
    return Text("account.totp_mismatch") if proved is None else proved


def nickname_in(form: Form) -> str:
    """The name that was typed for what is being set up, as far as it can be kept; empty where there is none."""
    return tidied(form.text("nickname", MAX_CHARS))


async def enrol_app(door: BrowserDoor, whose: Whose, secret: str, proved: int, form: Form) -> bool:
    """Enrol the app that showed a right code, which is used up by that. False while the account is frozen."""
    return isinstance(await door.storage.commit(app_operations(door, whose, secret, proved, form)), Committed)


def app_operations(door: BrowserDoor, whose: Whose, secret: str, proved: int, form: Form) -> list[Operation]:
    """What enrols it, with its event and word of it to the person; refused while the account is frozen."""
    label = nickname_in(form)
    now_ms = to_ms(door.clock.now())
    authenticator_id, insert = create_authenticator(
        door.ring(), whose.subject_id, TOTP, label, SETTINGS, Secret(bytes.fromhex(secret)), proved, now_ms
    )
    event = event_of(door, Kind.AUTHENTICATOR_ADDED, whose, authenticator_id, TOTP)
    return [unfrozen(whose.subject_id), insert, event, *notices(door, whose, "authenticator_added", TOTP, label)]


async def make_codes(door: BrowserDoor, whose: Whose) -> list[str] | None:
    """A new set of recovery codes, which ends the older one; None when another request was first, or the account is frozen."""
    now_ms = to_ms(door.clock.now())
    authenticator_id, codes, inserts = create_recovery_codes(door.ring(), whose.subject_id, "", now_ms, BY_PERSON)
    older: list[Operation] = []
    for row in whose.rows:
        if row["kind"] == RECOVERY_CODE:
            older += [revocation(row), Delete("recovery_code", (Where("authenticator_id", "=", row["id"]),))]
    event = event_of(door, Kind.AUTHENTICATOR_ADDED, whose, authenticator_id, RECOVERY_CODE)
    told = notices(door, whose, "codes_renewed", RECOVERY_CODE)
    made = await door.storage.commit([unfrozen(whose.subject_id), *older, *inserts, event, *told])
    return sorted(codes) if isinstance(made, Committed) else None


def event_of(door: BrowserDoor, kind: Kind, whose: Whose, authenticator_id: str, factor: str, lost: bool = False) -> Operation:
    """The record of what a person did with an authenticator of his."""
    details: dict[str, object] = {"user": whose.user_name, "kind": factor, "authenticator": authenticator_id}
    details |= ({"lost": True} if lost else {}) | ({"client": whose.client} if whose.client else {})
    return record(AuditEvent(kind, to_ms(door.clock.now()), "person", subject_id=whose.subject_id, details=details))


def notices(
    door: BrowserDoor, whose: Whose, happened: str, kind: str, label: str = "", lost: bool = False
) -> tuple[Operation, ...]:
    """Word to the person of an authenticator and what happened to it. `lost`: what goes may be in other hands."""
    said = (whose.language, whose.realm, whose.device)
    whom = Whom(whose.subject_id, whose.user_name, door.portal(), "", new_reference(), *said)
    values = {"what": way_named(kind, label, whose.language)}
    return notify(door.parts, whom, whose.holder, happened, lost=lost, values=values)
