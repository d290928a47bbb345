"""Proofs of self-service as an operator writes them, judged, and told: `sms=+905321234567`, `email=ada@home.test,age=2h`.

Behind the kind stands the number, mailbox or device that the proof came from; two of one source count once. Then, with commas:
`age=2h` (how long it has been there), `vouched` (set at activation or by the help desk), `typed` (given to say who one is),
`behind-password` (a mailbox that opens with the forgotten password), `lost`, and `verified` (a passkey, by PIN or finger).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from wardgate.contacts import normalise_phone
from wardgate.durations import seconds_of
from wardgate.errors import MessageError, SettingsError, UsageError
from wardgate.factors import KINDS
from wardgate.policy.explain import Looked, Needs
from wardgate.policy.needs import OTHER_PROOFS
from wardgate.policy.proofs import Judgement, Proof

MAX_PROOFS: Final = 20
MAX_PROOF_CHARS: Final = 400
_FLAGS: Final = {
    "vouched": "vouched",
    "typed": "typed",
    "behind-password": "behind_password",
    "lost": "lost",
    "verified": "user_verified",
}


def presented_proofs(texts: Sequence[str], at: datetime) -> list[Proof]:
    """The proofs that are meant, seen at this moment. Raises UsageError."""
    if len(texts) > MAX_PROOFS:
        raise UsageError(f"at most {MAX_PROOFS} proofs")
    return [_proof(text, at) for text in texts]


def self_service_told(judged: Judgement, needs: Needs, looked: Callable[[Looked], Mapping[str, Any]]) -> Mapping[str, Any]:
    """What is needed, what each proof counted for and what is missing, as values for JSON."""
    need, weaker = judged.need, needs.weaker
    return {
        "rule": need.name or None,
        "rules": [looked(each) for each in needs.rules],
        "need": {
            "proofs": need.proofs,
            "weight": need.weight,
            "strongest": need.strongest,
            "strong_factors": judged.strong_factors,
            "alone": sorted(need.alone),
            "never": sorted(need.never),
        },
        "login": {"strong_factors": judged.login.strong, "weight": judged.login.weight},
        "accept_weaker": None if weaker is None else {"reason": weaker.reason, "until": weaker.until.isoformat()},
        "enough": judged.enough,
        "proofs": [
            {
                "kind": each.proof.kind,
                "source": each.proof.source or None,
                "proofs": each.proofs,
                "weight": each.weight,
                "strong_factors": each.strong,
                "why_not": each.why_not or None,
            }
            for each in judged.counted
        ],
        "missing": [{"what": each.what, "has": each.has, "needed": each.needed} for each in judged.missing],
    }


def _proof(text: str, at: datetime) -> Proof:
    if len(text) > MAX_PROOF_CHARS:
        raise UsageError(f"a proof is longer than {MAX_PROOF_CHARS} characters")
    first, *others = text.split(",")
    kind, _, source = first.partition("=")
    if kind not in (*KINDS, *OTHER_PROOFS):
        raise UsageError(f"there is no proof {kind[:32]}: {', '.join(sorted((*KINDS, *OTHER_PROOFS)))}")
    return Proof(kind=kind, source=_source(kind, source.strip()), since=_since(others, at), **_flags(others))


def _source(kind: str, source: str) -> str:
    """One writing for each number and mailbox: two writings would count twice."""
    if kind != "sms" or not source:
        return source.casefold()
    try:
        return normalise_phone(source)
    except MessageError as error:
        raise UsageError(f"sms: {error.message}") from error


def _since(others: Iterable[str], at: datetime) -> datetime | None:
    ages = [each.removeprefix("age=") for each in others if each.startswith("age=")]
    try:
        return at - timedelta(seconds=seconds_of(ages[-1])) if ages else None
    except SettingsError as error:
        raise UsageError(f"age: {error.message}") from error


def _flags(others: Iterable[str]) -> Mapping[str, bool]:
    words = [each for each in others if not each.startswith("age=")]
    for word in words:
        if word not in _FLAGS:
            raise UsageError(f"nothing is known of a proof by {word[:32]!r}: age=SPAN, {', '.join(_FLAGS)}")
    return {_FLAGS[word]: True for word in words}
