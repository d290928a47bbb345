"""Recovery codes: ten codes on paper for the day when everything else is lost. Each is good once."""

from collections.abc import Mapping

from wardgate.account.recovery_code import KIND, code_mac, normalise
from wardgate.clock import to_ms
from wardgate.delivery.port import Channel
from wardgate.factors.port import MAX_ANSWER_BYTES, Asked, Holder, Right, Task, Verdict, Wrong
from wardgate.storage.port import Update, Where
from wardgate.texts import Text


class RecoveryCodeFactor:
    """A code from the sheet."""

    kind = KIND
    strong = True
    channel: Channel | None = None
    words: tuple[str, ...] = ("recovery", "kurtarma")

    def enrolled(self, holder: Holder) -> bool:
        """Whether the subject has a sheet."""
        return holder.has(self.kind)

    def destination(self, holder: Holder) -> str | None:
        """Nothing is sent."""
        return None

    def ask(self, holder: Holder, task: Task, memory: Mapping[str, object]) -> Asked:
        """Ask for one of the codes."""
        return Asked(Text("code.ask_recovery_code"))

    def repeat(self, holder: Holder, memory: Mapping[str, object]) -> Text:
        """Ask again."""
        return Text("code.ask_recovery_code")

    def verify(self, holder: Holder, task: Task, memory: Mapping[str, object], answer: bytes) -> Verdict:
        """Claim the unused code with this fingerprint: no row, or a used one, makes the claim fail."""
        code = normalise(answer.decode("utf-8", "replace")) if len(answer) <= MAX_ANSWER_BYTES else None
        sheets = holder.of_kind(self.kind)
        if code is None or not sheets:
            return Wrong("code_wrong")
        mac = code_mac(task.ring, sheets[0].id, code)
        now_ms = to_ms(task.now)
        claim = (
            Update(
                "recovery_code",
                {"authenticator_id": sheets[0].id, "code_mac": mac},
                {"used_at": now_ms},
                where=(Where("used_at", "is_null"),),
            ),
            Update("authenticator", {"id": sheets[0].id}, {"last_used_at": now_ms}, where=(Where("state", "=", "active"),)),
        )
        return Right(claim, refused=Wrong("code_wrong"), authenticator_id=sheets[0].id)
