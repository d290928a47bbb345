"""E-mail: a code sent to the mail address in the user's record. Marked weak: NIST SP 800-63B does not count it as out-of-band."""

from collections.abc import Mapping

from wardgate.contacts import mask_mail
from wardgate.delivery.port import Channel
from wardgate.factors.port import Asked, Holder, Task, Verdict
from wardgate.factors.sent_code import ask_with_code, masked_in, verify_sent_code
from wardgate.texts import Text


class EmailFactor:
    """Codes by e-mail."""

    kind = "email"
    strong = False
    channel: Channel | None = Channel.EMAIL
    words: tuple[str, ...] = ("mail", "email", "e-mail")

    def enrolled(self, holder: Holder) -> bool:
        """Whether the subject has a mail address."""
        return holder.mail is not None

    def destination(self, holder: Holder) -> str | None:
        """The mail address."""
        return holder.mail

    def ask(self, holder: Holder, task: Task, memory: Mapping[str, object]) -> Asked:
        """Make a code and ask for it."""
        to = holder.mail or ""
        return ask_with_code(Channel.EMAIL, to, Text("code.ask_email", {"masked": mask_mail(to)}), task, memory)

    def repeat(self, holder: Holder, memory: Mapping[str, object]) -> Text:
        """Ask again for the code that is on its way."""
        return Text("code.ask_email", {"masked": masked_in(memory)})

    def verify(self, holder: Holder, task: Task, memory: Mapping[str, object], answer: bytes) -> Verdict:
        """Compare with the codes of this transaction."""
        return verify_sent_code(task, memory, answer)
