"""TOTP: a code from an authenticator app that changes with time. RFC 6238."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from wardgate.account.authenticator import Authenticator
from wardgate.clock import to_ms
from wardgate.crypto import Secret, same
from wardgate.delivery.port import Channel
from wardgate.factors.port import Asked, Holder, Right, Task, Verdict, Wrong, digits_of
from wardgate.storage.port import Update, Where
from wardgate.texts import Text

# SHA-1 here is what authenticator apps can do; HMAC does not need collision resistance. SHA-256 and SHA-512 are offered.
ALGORITHMS = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512}
_DIGESTS = {name: make().name for name, make in ALGORITHMS.items()}
DIGITS = range(6, 9)
PERIODS_S = (30, 60)
DEFAULT_DIGITS = 6
DEFAULT_PERIOD_S = 30
DEFAULT_ALGORITHM = "SHA1"
PROMPT = Text("code.ask_totp")
_IS_ACTIVE = Where("state", "=", "active")


def hotp(secret: Secret, counter: int, digits: int, algorithm: str = DEFAULT_ALGORITHM) -> str:
    """The code for a counter. RFC 4226 section 5.3."""
    digest = hmac.digest(secret.reveal(), counter.to_bytes(8, "big"), _DIGESTS[algorithm])
    offset = digest[-1] & 15
    value = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{value % 10**digits:0{digits}d}"


def time_step(at: datetime, period_s: int) -> int:
    """The number of the time step that `at` lies in. RFC 6238 section 4.2."""
    return int(at.timestamp()) // period_s


def verify_totp(
    secret: Secret,
    code: str,
    at: datetime,
    last_step: int,
    *,
    skew_steps: int = 1,
    digits: int = DEFAULT_DIGITS,
    period_s: int = DEFAULT_PERIOD_S,
    algorithm: str = DEFAULT_ALGORITHM,
) -> tuple[int | None, bool]:
    """The time step that `code` proves and whether it is a step that was used before.

    (None, False): the code belongs to no step within the skew. (step, True): it belongs to a step at or below `last_step`.
    The caller stores the step by a conditional write. RFC 6238 sections 4.2 and 5.2.
    """
    if len(code) != digits:
        return None, False
    present, typed = time_step(at, period_s), code.encode()
    found: int | None = None
    for offset in _nearest_first(skew_steps):
        step = present + offset
        if step >= 0 and same(hotp(secret, step, digits, algorithm).encode(), typed):
            if step > last_step:
                return step, False
            found = step
    return found, found is not None


@lru_cache(maxsize=16)
def _nearest_first(skew_steps: int) -> tuple[int, ...]:
    """The present step comes first: it is the one, nearly always."""
    return tuple(sorted(range(-skew_steps, skew_steps + 1), key=abs))


class TotpFactor:
    """Codes from an app."""

    kind = "totp"
    strong = True
    channel: Channel | None = None
    words: tuple[str, ...] = ("app", "totp")

    def enrolled(self, holder: Holder) -> bool:
        """Whether the subject has an app."""
        return holder.has(self.kind)

    def destination(self, holder: Holder) -> str | None:
        """Nothing is sent."""
        return None

    def ask(self, holder: Holder, task: Task, memory: Mapping[str, object]) -> Asked:
        """Ask for the code that the app shows."""
        return Asked(PROMPT)

    def repeat(self, holder: Holder, memory: Mapping[str, object]) -> Text:
        """Ask again."""
        return PROMPT

    def verify(self, holder: Holder, task: Task, memory: Mapping[str, object], answer: bytes) -> Verdict:
        """Try the code on each app of the subject."""
        code = digits_of(answer)
        if code is None:
            return Wrong("code_wrong")
        replayed = False
        for authenticator in holder.of_kind(self.kind):
            settings = authenticator.settings
            step, used = verify_totp(
                authenticator.open(task.ring),
                code,
                task.now,
                authenticator.counter,
                skew_steps=task.codes.totp_skew_steps,
                digits=int(settings.get("digits", DEFAULT_DIGITS)),
                period_s=int(settings.get("period_s", DEFAULT_PERIOD_S)),
                algorithm=str(settings.get("algorithm", DEFAULT_ALGORITHM)),
            )
            if step is not None and not used:
                return Right((_claim(authenticator, step, task),), authenticator_id=authenticator.id)
            replayed = replayed or used
        return Wrong("code_replayed", counted=False) if replayed else Wrong("code_wrong")


def _claim(authenticator: Authenticator, step: int, task: Task) -> Update:
    """A step counts once, for whoever writes it first."""
    return Update(
        "authenticator",
        {"id": authenticator.id},
        {"counter": step, "last_used_at": to_ms(task.now)},
        where=(Where("counter", "<", step), _IS_ACTIVE),
    )
