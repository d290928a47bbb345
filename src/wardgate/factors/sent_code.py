"""What SMS and e-mail codes share: made at random, remembered as a fingerprint, good for one transaction and a few minutes."""

from collections.abc import Mapping
from typing import Any, Final

from wardgate.clock import to_ms
from wardgate.crypto import KeyRing, numeric_code, same
from wardgate.delivery.port import Channel
from wardgate.factors.port import Asked, Right, Sending, Task, Verdict, Wrong, digits_of
from wardgate.texts import Text

MAX_CODES = 8
# Why a code that was right is not taken.
CODE_EXPIRED: Final = "code_expired"


def ask_with_code(channel: Channel, to: str, prompt: Text, task: Task, memory: Mapping[str, object]) -> Asked:
    """Make a code; earlier ones of this transaction still work until they run out."""
    code = numeric_code(task.codes.digits)
    now_ms = to_ms(task.now)
    made = {"mac": _mac(task.ring, task.transaction_id, code), "until": now_ms + task.codes.life_s * 1000}
    # Those that have run out stay, to be told from wrong ones.
    return Asked(
        prompt,
        {"codes": [*codes_in(memory)[-(MAX_CODES - 1) :], made], "masked": prompt.values.get("masked", "")},
        Sending(channel, to, code),
    )


def verify_sent_code(task: Task, memory: Mapping[str, object], answer: bytes) -> Verdict:
    """Compare with every code of this transaction. Its own step makes each single-use.

    One that has run out proves nothing, but it was the person's: that he was slow is no guess.
    """
    code = digits_of(answer)
    if code is None:
        return Wrong("code_wrong")
    given = _mac(task.ring, task.transaction_id, code)
    now_ms = to_ms(task.now)
    matches = [(same(str(each["mac"]).encode(), given.encode()), int(each["until"]) > now_ms) for each in codes_in(memory)]
    if (True, True) in matches:
        return Right()
    return Wrong(CODE_EXPIRED, counted=False) if (True, False) in matches else Wrong("code_wrong")


def codes_in(memory: Mapping[str, object]) -> list[dict[str, Any]]:
    """The codes that a transaction remembers."""
    codes = memory.get("codes")
    return list(codes) if isinstance(codes, list) else []


def masked_in(memory: Mapping[str, object]) -> str:
    """The masked address that the last prompt named."""
    return str(memory.get("masked", ""))


def _mac(ring: KeyRing, transaction_id: str, code: str) -> str:
    return ring.mac("sent-code", transaction_id.encode(), code.encode()).hex()
