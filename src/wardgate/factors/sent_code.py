"""What SMS and e-mail codes share: made at random, remembered as a fingerprint, good for one transaction and a few minutes."""

from collections.abc import Mapping
from typing import Any

from wardgate.clock import to_ms
from wardgate.crypto import KeyRing, numeric_code, same
from wardgate.delivery.port import Channel
from wardgate.factors.port import Asked, Right, Sending, Task, Verdict, Wrong, digits_of
from wardgate.texts import Text

MAX_CODES = 8


def ask_with_code(channel: Channel, to: str, prompt: Text, task: Task, memory: Mapping[str, object]) -> Asked:
    """Make a code; earlier ones of this transaction still work until they run out."""
    code = numeric_code(task.codes.digits)
    now_ms = to_ms(task.now)
    alive = [each for each in codes_in(memory) if int(each["until"]) > now_ms][-(MAX_CODES - 1) :]
    alive.append({"mac": _mac(task.ring, task.transaction_id, code), "until": now_ms + task.codes.life_s * 1000})
    return Asked(prompt, {"codes": alive, "masked": prompt.values.get("masked", "")}, Sending(channel, to, code))


def verify_sent_code(task: Task, memory: Mapping[str, object], answer: bytes) -> Verdict:
    """Compare with every code of this transaction that is still alive. The transaction's own step makes it single-use."""
    code = digits_of(answer)
    if code is None:
        return Wrong("code_wrong")
    given = _mac(task.ring, task.transaction_id, code)
    now_ms = to_ms(task.now)
    matches = [same(str(each["mac"]).encode(), given.encode()) and int(each["until"]) > now_ms for each in codes_in(memory)]
    return Right() if any(matches) else Wrong("code_wrong")


def codes_in(memory: Mapping[str, object]) -> list[dict[str, Any]]:
    """The codes that a transaction remembers."""
    codes = memory.get("codes")
    return list(codes) if isinstance(codes, list) else []


def masked_in(memory: Mapping[str, object]) -> str:
    """The masked address that the last prompt named."""
    return str(memory.get("masked", ""))


def _mac(ring: KeyRing, transaction_id: str, code: str) -> str:
    return ring.mac("sent-code", transaction_id.encode(), code.encode()).hex()
