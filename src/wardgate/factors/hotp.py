"""HOTP: a code from a device that counts. RFC 4226."""

from collections.abc import Mapping

from wardgate.clock import to_ms
from wardgate.crypto import same
from wardgate.delivery.port import Channel
from wardgate.factors.port import Asked, Holder, Right, Task, Verdict, Wrong, digits_of
from wardgate.factors.totp import DEFAULT_DIGITS, hotp
from wardgate.storage.port import Update, Where
from wardgate.texts import Text

# How far back a used code is recognised as such, for the person's message and the timeline only.
RECOGNISE_USED = 5


class HotpFactor:
    """Codes from a counting device."""

    kind = "hotp"
    strong = True
    channel: Channel | None = None
    words: tuple[str, ...] = ("device", "hotp")

    def enrolled(self, holder: Holder) -> bool:
        """Whether the subject has a device."""
        return holder.has(self.kind)

    def destination(self, holder: Holder) -> str | None:
        """Nothing is sent."""
        return None

    def ask(self, holder: Holder, task: Task, memory: Mapping[str, object]) -> Asked:
        """Ask for the device's next code."""
        return Asked(Text("code.ask_hotp"))

    def repeat(self, holder: Holder, memory: Mapping[str, object]) -> Text:
        """Ask again."""
        return Text("code.ask_hotp")

    def verify(self, holder: Holder, task: Task, memory: Mapping[str, object], answer: bytes) -> Verdict:
        """Look for the code from the expected counter on, RFC 4226 section 7.4; codes that are skipped are spent with it."""
        code = digits_of(answer)
        if code is None:
            return Wrong("code_wrong")
        used = False
        for authenticator in holder.of_kind(self.kind):
            digits = int(authenticator.settings.get("digits", DEFAULT_DIGITS))
            secret = authenticator.open(task.ring)
            expected = authenticator.counter
            for counter in range(max(0, expected - RECOGNISE_USED), expected + task.codes.hotp_look_ahead + 1):
                if len(code) != digits or not same(hotp(secret, counter, digits).encode(), code.encode()):
                    continue
                if counter >= expected:
                    claim = Update(
                        "authenticator",
                        {"id": authenticator.id},
                        {"counter": counter + 1, "last_used_at": to_ms(task.now)},
                        where=(Where("counter", "<=", counter), Where("state", "=", "active")),
                    )
                    return Right((claim,), authenticator_id=authenticator.id)
                used = True
        return Wrong("code_replayed", counted=False) if used else Wrong("code_wrong")
