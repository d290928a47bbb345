"""The start code of an activation as a proof: asked and judged like a factor's code, but nobody enrols it and no policy names it.

It is what an operator gave by hand, so it stands beside a link that came by a message, or comes first where nothing was sent.
"""

from collections.abc import Mapping
from typing import Final

from wardgate.account.activation import Activation, same_code
from wardgate.account.authenticator import Authenticator
from wardgate.delivery.port import Channel
from wardgate.factors.port import MAX_ANSWER_BYTES, Asked, Holder, Right, Task, Verdict, Wrong
from wardgate.texts import Text

KIND: Final = "activation"
_MAC: Final = "code_mac"


class StartCode:
    """A factor by its shape."""

    kind = KIND
    strong = False
    channel: Channel | None = None
    words: tuple[str, ...] = ()

    def enrolled(self, holder: Holder) -> bool:
        """Whether a start code was issued and still counts."""
        return holder.has(self.kind)

    def destination(self, holder: Holder) -> str | None:
        """Nothing is sent."""
        return None

    def ask(self, holder: Holder, task: Task, memory: Mapping[str, object]) -> Asked:
        """Ask for it."""
        return Asked(Text("activate.ask_code"), {"asked": True})

    def repeat(self, holder: Holder, memory: Mapping[str, object]) -> Text:
        """Ask again."""
        return Text("activate.ask_code")

    def verify(self, holder: Holder, task: Task, memory: Mapping[str, object], answer: bytes) -> Verdict:
        """Right when it is the person's own. What uses it up is the activation, with the password that is set."""
        issued = holder.of_kind(self.kind)
        if not issued or len(answer) > MAX_ANSWER_BYTES:
            return Wrong("code_wrong")
        kept = bytes.fromhex(str(issued[0].settings[_MAC]))
        fits = same_code(task.ring, holder.subject_id, answer.decode("utf-8", "replace"), kept)
        return Right(authenticator_id=issued[0].id) if fits else Wrong("code_wrong")


START_CODE: Final = StartCode()


def held_code(activation: Activation, now_ms: int) -> tuple[Authenticator, ...]:
    """The start code as something that its person holds, while it counts."""
    if activation.code_mac is None or not activation.code_works(now_ms):
        return ()
    settings = {_MAC: activation.code_mac.hex()}
    return (Authenticator(f"code:{activation.id}", activation.subject_id, KIND, "", settings, 0, None),)
