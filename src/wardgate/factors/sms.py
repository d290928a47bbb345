"""SMS: a code sent to the phone number in the user's record."""

from collections.abc import Mapping

from wardgate.contacts import mask_phone
from wardgate.delivery.port import Channel
from wardgate.factors.port import Asked, Holder, Task, Verdict
from wardgate.factors.sent_code import ask_with_code, masked_in, verify_sent_code
from wardgate.texts import Text


class SmsFactor:
    """Codes by text message."""

    kind = "sms"
    strong = False
    channel: Channel | None = Channel.SMS
    words: tuple[str, ...] = ("sms", "text")

    def enrolled(self, holder: Holder) -> bool:
        """Whether the subject has a phone number."""
        return holder.phone is not None

    def destination(self, holder: Holder) -> str | None:
        """The phone number."""
        return holder.phone

    def ask(self, holder: Holder, task: Task, memory: Mapping[str, object]) -> Asked:
        """Make a code and ask for it."""
        to = holder.phone or ""
        return ask_with_code(Channel.SMS, to, Text("code.ask_sms", {"masked": mask_phone(to)}), task, memory)

    def repeat(self, holder: Holder, memory: Mapping[str, object]) -> Text:
        """Ask again for the code that is on its way."""
        return Text("code.ask_sms", {"masked": masked_in(memory)})

    def verify(self, holder: Holder, task: Task, memory: Mapping[str, object], answer: bytes) -> Verdict:
        """Compare with the codes of this transaction."""
        return verify_sent_code(task, memory, answer)
