"""Audit events for people who shall see what happened and not to whom: names, ids and addresses become keyed pseudonyms.

One person has one pseudonym under one key, so that one can be followed through an export, and none can be looked up by whoever
has not the key. What is passed on stands in `PASSED_ON`, field by field for each kind of event, with what becomes of it; **nothing
else is**: a field that a later release adds leaks nothing until somebody decides about it here. Free text is never passed on.

Salt and commitment are left out, for with both a guessed payload can be confirmed; so are links and signed heads, which tie a line
to the original trail. Such an export proves nothing. Number and time of an event tell its order, and lead whoever holds the
original trail back to the event: this is pseudonymous data, not anonymous.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from wardgate.audit.events import Kind
from wardgate.audit.search import payload_of
from wardgate.jsons import dumps

FORMAT: Final = 1
OPENING: Final = "pseudonymised"
LEAST_KEY_BYTES: Final = 32
PSEUDONYM_CHARS: Final = 20
MAX_ITEMS: Final = 50
MAX_THING_CHARS: Final = 64
# Enough of an address to tell a company or a provider from another.
NETWORK_BITS: Final = {4: 24, 6: 48}
COLUMNS: Final = ("type", "writer", "epoch", "seq", "kind", "created_at", "transaction_id", "reference", "subject_id", "payload")
_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Parts of ours, and no people.
_OURS: Final = frozenset({"engine", "server", "demo", "admin link", "wardgate init", "wardgate restore"})


class As(Enum):
    """What becomes of a field. What does not have the shape that its treatment is for is left out."""

    NUMBER = "a number or a truth value, as it is"
    WORD = "a word of ours (lower case, no blanks), as it is"
    WORDS = "a list of such words"
    COUNTS = "such words with numbers"
    THING = "the name of something that is configured, as it is"
    USER = "a pseudonym of a name that was typed, whatever its case"
    ACTOR = "a part of ours as it is, or a pseudonym of an operator"
    SUBJECT = "the pseudonym of a person's id"
    ADDRESS = "a pseudonym of an address, with its network if that is wanted"
    CONTACT = "a pseudonym of what is told of a phone or mail address"
    NODE = "a pseudonym of a machine's name"
    ID = "a pseudonym of an id"


_LOGIN: Final = {
    "user": As.USER,
    "application": As.THING,
    "door": As.WORD,
    "nas": As.THING,
    "source": As.ADDRESS,
    "client": As.ADDRESS,
    "rule": As.THING,
    "reason": As.WORD,
    "factor": As.WORD,
    "factors": As.WORDS,
    "assurance": As.NUMBER,
    "grace": As.NUMBER,
    "fail_open": As.WORD,
}
_SELF_SERVICE: Final = {
    "user": As.USER,
    "goal": As.WORD,
    "application": As.THING,
    "door": As.WORD,
    "source": As.ADDRESS,
    "client": As.ADDRESS,
    "proofs": As.WORDS,
    "reason": As.WORD,
}
_PERSON: Final = {"directory": As.THING, "user": As.USER}
_USER: Final = {**_PERSON, "user_id": As.ID, "fields": As.WORDS, "state": As.WORD, "must_change": As.NUMBER, "forced": As.NUMBER}
_AUTHENTICATOR: Final = {**_PERSON, "authenticator_id": As.ID, "factor": As.WORD, "serial": As.THING, "client": As.ADDRESS}
_FREEZE: Final = {**_PERSON, "by": As.WORD, "authenticators": As.NUMBER, "contacts": As.NUMBER}
_CONTACT: Final = {
    **_PERSON,
    "contact": As.WORD,
    "value": As.CONTACT,
    "verified": As.NUMBER,
    "outcome": As.WORD,
    "client": As.ADDRESS,
}
_ACTIVATION: Final = {**_PERSON, "issuer": As.ACTOR, "activation": As.ID, "door": As.WORD, "source": As.ADDRESS}

PASSED_ON: Final[Mapping[Kind, Mapping[str, As]]] = {
    Kind.LOGIN_GRANTED: _LOGIN,
    Kind.LOGIN_DENIED: _LOGIN,
    Kind.LOGIN_CHALLENGED: _LOGIN,
    Kind.LOGIN_ANSWER_WRONG: _LOGIN,
    Kind.LOGIN_ACTION_REQUIRED: _LOGIN,
    Kind.SELF_SERVICE_BEGUN: _SELF_SERVICE,
    Kind.SELF_SERVICE_STEP: _SELF_SERVICE,
    Kind.SELF_SERVICE_DONE: _SELF_SERVICE,
    # Which questions somebody answered is his own; a question of his own bears an id that ties lines together.
    Kind.QUESTIONS_SET: {**_PERSON, "source": As.WORD, "client": As.ADDRESS},
    Kind.QUESTIONS_CLEARED: {**_PERSON, "answers": As.NUMBER, "client": As.ADDRESS},
    Kind.QUESTIONS_CLOSED: {"user": As.USER, "realm": As.THING},
    Kind.QUESTIONS_REOPENED: _PERSON,
    Kind.SESSION_BEGUN: {"session": As.ID, "application": As.THING, "factors": As.WORDS, "device": As.THING, "source": As.ADDRESS},
    Kind.SESSION_CONFIRMED: {"session": As.ID, "factors": As.WORDS},
    Kind.SESSION_STEPPED_UP: {"session": As.ID, "factors": As.WORDS, "application": As.THING},
    Kind.SESSION_ENDED: {"why": As.WORD},
    Kind.DEVICE_TRUSTED: {"user": As.USER, "application": As.THING, "life_s": As.NUMBER, "client": As.ADDRESS},
    Kind.DEVICE_RENAMED: {"device": As.ID, "user": As.USER, "client": As.ADDRESS},
    Kind.DEVICE_FORGOTTEN: {"device": As.ID, "why": As.WORD, "user": As.USER, "source": As.ADDRESS, "client": As.ADDRESS},
    Kind.BRAKE_LOCKED: {**_LOGIN, "brake": As.WORD, "wait_s": As.NUMBER, "level": As.NUMBER, "failures": As.NUMBER},
    Kind.BRAKE_RELEASED: _USER,
    Kind.CODE_SENT: {"channel": As.WORD, "message": As.ID},
    Kind.REMINDER_SENT: {**_PERSON, "why": As.WORD},
    Kind.LINK_SENT: {"channel": As.WORD, "message": As.ID, "purpose": As.WORD},
    Kind.LINK_PROVED: {**_LOGIN, "purpose": As.WORD},
    Kind.LOGIN_DISOWNED: _LOGIN,
    Kind.DOOR_REFUSALS: {"refused": As.COUNTS},
    Kind.SUBJECT_CREATED: _PERSON,
    Kind.SUBJECT_RELINKED: {
        **_PERSON,
        "immutable_id": As.ID,
        "from_subject": As.SUBJECT,
        "to_subject": As.SUBJECT,
        "moved": As.NUMBER,
        "revoked": As.NUMBER,
        "contacts_moved": As.NUMBER,
        "contacts_removed": As.NUMBER,
        "logins_ended": As.NUMBER,
    },
    Kind.AUTHENTICATOR_ADDED: _AUTHENTICATOR,
    Kind.AUTHENTICATOR_REVOKED: _AUTHENTICATOR,
    Kind.AUTHENTICATOR_RELEASED: _AUTHENTICATOR,
    Kind.AUTHENTICATOR_RENAMED: _AUTHENTICATOR,
    Kind.AUTHENTICATOR_RESYNCED: _AUTHENTICATOR,
    Kind.TOKENS_IMPORTED: {"count": As.NUMBER},
    Kind.TOKEN_REMOVED: {"serial": As.THING},
    Kind.USER_ADDED: _USER,
    Kind.USER_CHANGED: _USER,
    Kind.USER_REMOVED: _USER,
    Kind.PASSWORD_REFUSED: _LOGIN,
    Kind.PASSWORD_SET: {**_USER, "how": As.WORD, "proofs": As.WORDS, "client": As.ADDRESS},
    Kind.PASSWORD_UPGRADED: _USER,
    Kind.PASSWORD_TRIED: {**_PERSON, "verdict": As.WORD},
    Kind.DIRECTORY_EXAMINED: {"directory": As.THING, "scratch": As.USER},
    Kind.USERS_IMPORTED: {
        "directory": As.THING,
        **dict.fromkeys(("added", "changed", "unchanged", "refused", "authenticators_added", "authenticators_revoked"), As.NUMBER),
        **dict.fromkeys(("people_told", "silent"), As.NUMBER),
    },
    Kind.USERS_EXPORTED: {"directory": As.THING, "with_hashes": As.NUMBER},
    Kind.ACTIVATION_ISSUED: {**_ACTIVATION, "ways": As.WORDS},
    Kind.ACTIVATION_CANCELLED: _ACTIVATION,
    Kind.ACTIVATION_USED: _ACTIVATION,
    Kind.ACTIVATION_SPOILED: _ACTIVATION,
    Kind.CONTACT_ADDED: _CONTACT,
    Kind.CONTACT_REMOVED: _CONTACT,
    Kind.CONTACT_PREFERRED: _CONTACT,
    Kind.CONTACT_WRITTEN: _CONTACT,
    Kind.CONTACT_UNDONE: {**_CONTACT, "back": As.CONTACT},
    Kind.CHANGE_DISPUTED: _PERSON,
    Kind.ACCOUNT_FROZEN: {**_FREEZE, "disputed_at": As.NUMBER, "back": As.NUMBER},
    Kind.ACCOUNT_UNFROZEN: {**_FREEZE, "factors": As.WORDS, "brought_back": As.NUMBER},
    Kind.USER_NAMES_SENT: {"contact": As.WORD, "value": As.CONTACT, "accounts": As.NUMBER},
    # What was changed bears names that an operator chose, perhaps a person's: only how much.
    Kind.CONFIGURATION_APPLIED: dict.fromkeys(("version", "added_count", "changed_count", "removed_count"), As.NUMBER),
    Kind.FEDERATION_KEY_MADE: {"key": As.WORD, "number": As.NUMBER, "signs_from": As.NUMBER},
    Kind.PARTY_METADATA_TAKEN: {"application": As.THING},
    Kind.KEY_ROTATED: {"key": As.NUMBER},
    Kind.KEY_RESEALED: {"key": As.NUMBER},
    Kind.BACKUP_MADE: {"size": As.NUMBER},
    Kind.PAYLOADS_ERASED: {"by": As.WORD, "events": As.NUMBER, "classes": As.COUNTS},
    Kind.PERSON_ERASED: {"everything": As.NUMBER},
    Kind.EPOCH_OPENED: {"before": As.NUMBER, "totp_raised": As.NUMBER, "closed": As.COUNTS},
    Kind.ADMIN_LINK_MADE: {"life_s": As.NUMBER},
    Kind.ADMIN_LINK_USED: {"address": As.ADDRESS},
    Kind.SERVER_STARTED: {"workers": As.NUMBER, "worker": As.NUMBER},
    Kind.CLOCK_JUMPED: {"node": As.NODE, "seconds": As.NUMBER},
    Kind.CLOCK_DIFFERS: {"node": As.NODE, "seconds": As.NUMBER},
}
_BY_STORED: Final = {kind.stored: {"actor": As.ACTOR, **told} for kind, told in PASSED_ON.items()}


class Pseudonyms:
    """The pseudonyms of one key. `keep_network`: an address shows its network, /24 or /48."""

    def __init__(self, key: bytes, keep_network: bool = False) -> None:
        if len(key) < LEAST_KEY_BYTES:
            raise ValueError(f"a key has at least {LEAST_KEY_BYTES} bytes")
        self._key = hashlib.sha256(b"wardgate-audit-pseudonyms-1\0" + key).digest()
        self._keep_network = keep_network
        # Whether two exports follow the same people, without telling the key.
        self.key_id = hmac.digest(self._key, b"key-id", "sha256").hex()[:16]
        self._treat: Mapping[As, Callable[[object], object]] = {
            As.NUMBER: _number,
            As.WORD: _word,
            As.WORDS: _words,
            As.COUNTS: _counts,
            As.THING: _thing,
            As.USER: lambda value: self._of("user", _folded(value)),
            As.ACTOR: lambda value: value if isinstance(value, str) and value in _OURS else self._of("operator", value),
            As.SUBJECT: self.subject,
            As.ADDRESS: self._address,
            As.CONTACT: lambda value: self._of("contact", _folded(value)),
            As.NODE: lambda value: self._of("node", value),
            As.ID: lambda value: self._of("id", value),
        }

    def opening(self) -> dict[str, object]:
        """The first line of such an export."""
        return {
            "type": OPENING,
            "format": FORMAT,
            "key_id": self.key_id,
            "networks": self._keep_network,
            "note": "names, ids and addresses are pseudonyms; this cannot be verified against commitments, links or signed heads",
        }

    def event(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """An event of an export as it is passed on, `COLUMNS`."""
        kind = str(row["kind"])
        payload = row["payload"]
        # One process of a machine has the machine's pseudonym too.
        machine, dot, slot = str(row["writer"]).rpartition(".")
        writer = f"{self._of('node', machine)}.{slot}" if dot and slot.isdecimal() else self._of("node", row["writer"])
        return {
            "type": "event",
            "writer": writer,
            "epoch": row["epoch"],
            "seq": row["seq"],
            "kind": kind,
            "created_at": row["created_at"],
            "transaction_id": self._of("login", row["transaction_id"]),
            "reference": self._of("reference", row["reference"]),
            "subject_id": self.subject(row["subject_id"]),
            "payload": None if payload is None else dumps(self._payload(kind, payload_of(str(payload)))),
        }

    def subject(self, subject_id: object) -> str | None:
        """The pseudonym of a person's id."""
        return self._of("person", subject_id)

    def _payload(self, kind: str, told: Mapping[str, Any]) -> dict[str, object]:
        allowed = _BY_STORED.get(kind, {"actor": As.ACTOR})
        found = {name: self._treat[treatment](told[name]) for name, treatment in allowed.items() if name in told}
        return {name: value for name, value in found.items() if value is not None}

    def _of(self, what: str, value: object) -> str | None:
        if not isinstance(value, str) or not value:
            return None
        told = hmac.digest(self._key, what.encode() + b"\0" + value.encode("utf-8", "surrogatepass"), "sha256")
        return f"{what}-{told.hex()[:PSEUDONYM_CHARS]}"

    def _address(self, value: object) -> str | None:
        """A NAS writes other things there as well: the number of a phone, the address of a network card."""
        try:
            address = ipaddress.ip_address(value if isinstance(value, str) else "")
        except ValueError:
            return self._of("address", _folded(value))
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        address = mapped or address
        told = self._of("address", str(address).partition("%")[0])
        if not self._keep_network:
            return told
        plain = str(address).partition("%")[0]
        return f"{told}@{ipaddress.ip_network(f'{plain}/{NETWORK_BITS[address.version]}', strict=False)}"


def _folded(value: object) -> object:
    return value.strip().casefold() if isinstance(value, str) else None


def _number(value: object) -> object:
    return value if isinstance(value, bool | int | float) else None


def _word(value: object) -> object:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _words(value: object) -> object:
    return [each for each in value[:MAX_ITEMS] if _word(each)] if isinstance(value, list) else None


def _counts(value: object) -> object:
    if not isinstance(value, dict):
        return None
    return {name: count for name, count in list(value.items())[:MAX_ITEMS] if _word(name) and type(count) is int}


def _thing(value: object) -> object:
    return value if isinstance(value, str) and len(value) <= MAX_THING_CHARS and value.isprintable() else None
