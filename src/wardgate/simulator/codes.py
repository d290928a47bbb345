"""Where the simulated person gets one-time codes from: a secret that the script or the demo tells, or the demo's outbox."""

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from wardgate.crypto import Secret
from wardgate.errors import ServerUnavailable, UsageError
from wardgate.factors.totp import ALGORITHMS, DIGITS, hotp

OUTBOX_PATIENCE_S = 10.0
OUTBOX_POLL_S = 0.15
# As long as a code lives: an older message belongs to another login.
CODE_LIFE_S = 180.0
MAX_SECRET_HEX = 256
# The outbox tells times in whole milliseconds.
ROUNDING_S = 0.002

Channel = Literal["sms", "email"]


@dataclass(frozen=True, slots=True)
class Outbox:
    """The demo's outbox page."""

    url: str
    ca_file: str | None = None


class TotpCodes:
    """The codes of one app, none of them twice: a server refuses the second use.

    The step after the present one is within every server's skew, so two logins in a row need not wait half a minute.
    """

    def __init__(self, secret_hex: str, digits: int = 6, period_s: int = 30, algorithm: str = "SHA1") -> None:
        self._secret = secret_of(secret_hex)
        if digits not in DIGITS or algorithm not in ALGORITHMS or not 1 <= period_s <= 3600:
            raise UsageError("a TOTP code has 6 to 8 digits, a period of 1 to 3600 s, and SHA1, SHA256 or SHA512")
        self._digits, self._period_s, self._algorithm = digits, period_s, algorithm
        self._last_step = -1

    async def fresh(self) -> str:
        """A code that was not given before; waits for the time in which the server takes it."""
        step = max(int(time.time()) // self._period_s, self._last_step + 1)
        early_s = (step - 1) * self._period_s - time.time()
        if early_s > 0:
            await asyncio.sleep(early_s)
        self._last_step = step
        return hotp(self._secret, step, self._digits, self._algorithm)

    def at(self, shift_steps: int) -> str:
        """The code of the present step, or of one so many steps away, whether it was given before or not."""
        step = int(time.time()) // self._period_s + shift_steps
        self._last_step = max(self._last_step, step)
        return hotp(self._secret, step, self._digits, self._algorithm)


class HotpCodes:
    """The codes of one counting device."""

    def __init__(self, secret_hex: str, counter: int = 0, digits: int = 6) -> None:
        self._secret = secret_of(secret_hex)
        if digits not in DIGITS or counter < 0:
            raise UsageError("a HOTP code has 6 to 8 digits, and its counter is 0 or more")
        self._counter, self._digits = counter, digits

    def next(self) -> str:
        """The next code."""
        code = hotp(self._secret, self._counter, self._digits)
        self._counter += 1
        return code


@dataclass(slots=True)
class OutboxCodes:
    """Codes out of the outbox, each message once."""

    outbox: Outbox
    _used: set[str] = field(default_factory=set)

    async def fresh(self, user: str, channel: Channel, not_before: float) -> str:
        """The code of the newest message to `user` since `not_before` (seconds since 1970).

        A login that was joined to an open one brings no message of its own: then the last one that still lives counts.
        Raises ServerUnavailable when there is none.
        """
        deadline = time.monotonic() + OUTBOX_PATIENCE_S
        while True:
            messages = await self._messages(user, channel)
            recent = [each for each in messages if created_at(each) >= not_before - ROUNDING_S]
            if not recent and time.monotonic() >= deadline:
                recent = [each for each in messages if created_at(each) >= time.time() - CODE_LIFE_S]
                if not recent:
                    raise ServerUnavailable(f"no message by {channel} for {user} came to the outbox {self.outbox.url}")
            if recent:
                self._used.add(str(recent[0]["id"]))
                return str(recent[0]["code"])
            await asyncio.sleep(OUTBOX_POLL_S)

    async def _messages(self, user: str, channel: str) -> list[Mapping[str, Any]]:
        """Newest first, without those that bring no code or whose code was given away."""
        listed = await read_outbox(self.outbox)
        return [
            each
            for each in listed
            if str(each["user"]).lower() == bare_name(user)
            and each["channel"] == channel
            and each["code"]
            and each["id"] not in self._used
        ]


async def read_outbox(outbox: Outbox) -> Sequence[Mapping[str, Any]]:
    """Every message in the outbox, newest first. Raises ServerUnavailable."""
    # Only here: most runs never read an outbox.
    import httpx

    try:
        context = ssl.create_default_context(cafile=outbox.ca_file)
        async with httpx.AsyncClient(verify=context, timeout=OUTBOX_PATIENCE_S, trust_env=False) as client:
            answer = await client.get(outbox.url, headers={"Accept": "application/json"})
            answer.raise_for_status()
            return list(answer.json())
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise ServerUnavailable(f"the outbox {outbox.url} cannot be read: {error}") from error


def secret_of(secret_hex: str) -> Secret:
    """A secret from its hexadecimal form. Raises UsageError."""
    try:
        value = bytes.fromhex(secret_hex) if len(secret_hex) <= MAX_SECRET_HEX else b""
    except ValueError:
        value = b""
    if not value:
        raise UsageError("the secret of a device must be hexadecimal digits")
    return Secret(value)


def bare_name(user: str) -> str:
    """The name without a domain, as the outbox has it."""
    return user.rpartition("\\")[2].partition("@")[0].lower()


def created_at(message: Mapping[str, Any]) -> float:
    """When a message was put there, in seconds since 1970."""
    value = message["created_at"]
    if isinstance(value, int | float):
        return value / 1000
    return datetime.fromisoformat(str(value)).astimezone(UTC).timestamp()
