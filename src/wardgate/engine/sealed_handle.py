"""A handle that carries its login itself: the State of a question for which nothing was sent.

As long as a login has only been asked for a code that the person reads from something he holds, all that is known of it fits
into the State, sealed: no row is needed until the first answer. The first answer makes the handle's row, and whoever makes it
took the step; from a wrong answer on the login is a row like any other. So a State is used once, tries are counted and an
identical packet gets its outcome, on any worker and node and after a restart, as with rows.

It is sealed under a key of its hour, because random nonces are good for four thousand million values under one key, and it is bound
to the epoch, because a restore ends all logins that were open.
"""

import hashlib
import struct
from functools import lru_cache

from wardgate.crypto import KeyRing, same
from wardgate.engine.terms import NO_TERMS, dump_terms, load_terms
from wardgate.engine.transaction import Transaction
from wardgate.errors import SealError
from wardgate.factors import KERBEROS, KINDS
from wardgate.values import quick_value

# RFC 2865 section 5.24: an attribute holds 253 octets.
MAX_SEALED_BYTES = 253
# What is shorter is the handle of a row.
MIN_SEALED_BYTES = 100
_MARK_BYTES = 12
_HEAD = struct.Struct(">16s16s8sBBBQQ12s12s")
_CODED = (*KINDS, KERBEROS)
_NUMBERS = {kind: bytes((number,)) for number, kind in enumerate(_CODED)}
# The kinds stand as numbers: a sealed handle of a program that counts them otherwise does not open.
# So do refusals; the mark of the form tells it from the form of an earlier release.
_REFUSALS = ("", "password_expired", "must_change")
_FORM = 3
# Beside the number of lists, which is small: the last text tells the terms of the login.
_HAS_TERMS = 0x80
# The same for its score.
_HAS_RISK = 0x40
_LISTS = 0x3F
_CONTEXT = hashlib.blake2b("\0".join((*_CODED, *_REFUSALS, str(_FORM))).encode(), digest_size=8).hexdigest()
# No name that can be looked up is this one; and no binding, for they begin with their door.
_ANOTHER_NAME = "\0"
ANOTHER_BINDING = "?"


@quick_value
class SealedLogin:
    """What an opened sealed handle says. `here`: it was given to the NAS that brings it."""

    transaction: Transaction
    here: bool


def seal_login(ring: KeyRing, transaction: Transaction, factor: str, binding: str, epoch: str) -> bytes | None:
    """The handle for a fresh login that is asked for this factor; None when it does not fit (long names, a login by grace)."""
    if transaction.grace or transaction.fail_open or transaction.device or transaction.held or transaction.lane:
        return None
    terms = dump_terms(transaction.terms)
    texts = (
        transaction.application,
        transaction.realm,
        transaction.directory,
        transaction.immutable_id,
        transaction.user_name,
        transaction.language,
        transaction.rule,
        *transaction.floors,
        *((terms,) if terms else ()),
        *((transaction.risk,) if transaction.risk else ()),
    )
    try:
        head = _HEAD.pack(
            bytes.fromhex(transaction.id),
            bytes.fromhex(transaction.subject_id),
            transaction.reference.encode(),
            transaction.step,
            transaction.tries_left,
            _REFUSALS.index(transaction.refusal),
            transaction.created_at,
            transaction.expires_at,
            mark(binding),
            mark(transaction.name_key),
        )
        tail = "\0".join(texts).encode()
    except (ValueError, struct.error):
        return None
    if tail.count(b"\0") != len(texts) - 1:
        # A text with the separator in it would be read back as another login.
        return None
    kinds = (*transaction.steps, transaction.proved, (factor,))
    try:
        lists = b"".join([bytes((len(each),)) + b"".join([_NUMBERS[kind] for kind in each]) for each in kinds])
    except KeyError:
        # What a session proved before may be no factor of policies: that a PIN unlocked a passkey, a trusted device.
        return None
    has = (_HAS_TERMS if terms else 0) | (_HAS_RISK if transaction.risk else 0)
    body = b"".join((head, bytes((len(kinds) | has,)), lists, tail))
    value = ring.seal_for_an_hour(body, _bound_to(epoch), transaction.created_at)
    return value if MIN_SEALED_BYTES <= len(value) <= MAX_SEALED_BYTES else None


def open_login(ring: KeyRing, value: bytes, binding: str, name_key: str, epoch: str, now_ms: int) -> SealedLogin | None:
    """What a sealed handle says to who brings it under this name; None for anything but one of ours of the last hour or two.

    Its transaction has this name only if it was begun under it.
    """
    if not MIN_SEALED_BYTES <= len(value) <= MAX_SEALED_BYTES:
        return None
    try:
        body = ring.open_for_an_hour(value, _bound_to(epoch), now_ms)
    except SealError:
        return None
    (transaction_id, subject_id, reference, step, tries_left, refusal, created_at, expires_at, bound, named) = _HEAD.unpack_from(
        body
    )
    at = at_lists = _HEAD.size + 1
    lists: list[tuple[str, ...]] = []
    for _ in range(body[at - 1] & _LISTS):
        end = at + 1 + body[at]
        lists.append(tuple([_CODED[number] for number in body[at + 1 : end]]))
        at = end
    application, realm, directory, immutable_id, user_name, language, rule, *floors = body[at:].decode().split("\0")
    risk = floors.pop() if body[at_lists - 1] & _HAS_RISK else ""
    terms = load_terms(floors.pop()) if body[at_lists - 1] & _HAS_TERMS else NO_TERMS
    *steps, proved, (factor,) = lists
    transaction = Transaction(
        id=transaction_id.hex(),
        reference=reference.decode(),
        application=application,
        subject_id=subject_id.hex(),
        realm=realm,
        directory=directory,
        immutable_id=immutable_id,
        user_name=user_name,
        name_key=name_key if same(named, mark(name_key)) else _ANOTHER_NAME,
        language=language,
        steps=tuple(steps),
        rule=rule,
        step=step,
        factor=factor,
        proved=proved,
        tries_left=tries_left,
        created_at=created_at,
        expires_at=expires_at,
        memory={factor: {}},
        floors=tuple(floors),
        refusal=_REFUSALS[refusal],
        terms=terms,
        risk=risk,
    )
    return SealedLogin(transaction, same(bound, mark(binding)))


# Of each binding, and of a name at both ends of its login.
@lru_cache(maxsize=4096)
def mark(text: str) -> bytes:
    """What a sealed handle keeps of a binding or a name: enough to know it again."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_MARK_BYTES).digest()


def _bound_to(epoch: str) -> str:
    return f"sealed-handle:{epoch}:{_CONTEXT}"
