"""Challenge questions: what the person answered once about himself. Weak, and by default nobody's (`kba/__init__.py` says why)."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from wardgate.clock import to_ms
from wardgate.delivery.port import Channel
from wardgate.errors import SealError
from wardgate.factors.port import Asked, Holder, Interview, More, Right, Task, Verdict, Wrong
from wardgate.kba import asking
from wardgate.kba.dialogue import Dialogue, Envelope, begin, remembered
from wardgate.storage.port import Operation
from wardgate.texts import Text

# As many answers as anybody is asked for at once, each as long as an answer may be and written with escapes.
_LONGEST: Final = 32 * 1024
_ENGINE: Final = "engine"


class KbaFactor:
    """Answers to the person's questions, which are right or wrong all together."""

    kind = "kba"
    strong = False
    channel: Channel | None = None
    words: tuple[str, ...] = ("questions", "sorular")
    longest_answer_bytes = _LONGEST

    def enrolled(self, holder: Holder) -> bool:
        """Whether he has answered enough of them. That they are closed is not told."""
        return holder.answered.enough

    def destination(self, holder: Holder) -> str | None:
        """Nothing is sent."""
        return None

    def ask(self, holder: Holder, task: Task, memory: Mapping[str, object]) -> Asked:
        """What is said where no question can be read."""
        return Asked(Text("kba.ask_any"))

    def repeat(self, holder: Holder, memory: Mapping[str, object]) -> Text:
        """The same."""
        return Text("kba.ask_any")

    def verify(self, holder: Holder, task: Task, memory: Mapping[str, object], answer: bytes) -> Verdict:
        """No single answer proves anything."""
        return Wrong("answers_wrong")

    # --- several questions -----------------------------------------------------------------------------------------------

    async def ask_for(self, task: Task, interview: Interview) -> Asked:
        """The questions for whoever it is, sealed to this transaction."""
        questions = await interview.questioner.ask(interview.who, interview.language, interview.proved)
        envelope = _envelope(task)
        return _asked(begin(questions, envelope), envelope)

    def put_again(self, task: Task, memory: Mapping[str, object]) -> Asked:
        """The question that is open; one that cannot be read any more has no words."""
        dialogue = remembered(memory)
        try:
            return Asked(Text("kba.ask_any"), memory) if dialogue is None else _asked(dialogue, _envelope(task))
        except SealError:
            return Asked(Text("kba.ask_any"), memory)

    async def judge(self, task: Task, interview: Interview, memory: Mapping[str, object], answer: bytes) -> Verdict | More:
        """Keep the answer until all are there; then all of them, whatever the first one was."""
        begun, envelope = remembered(memory), _envelope(task)
        if begun is None:
            return Wrong("answers_wrong")
        together = _all_of(answer, len(begun.questions))
        dialogue = Dialogue(begun.questions) if together is not None else begun
        for each in [answer] if together is None else together:
            dialogue = dialogue.take(envelope, each)
        afresh = Dialogue(begun.questions).memory()
        try:
            if not dialogue.is_complete:
                return More(_asked(dialogue, envelope))
            given = dialogue.answers(envelope)
        except SealError:
            # Sealed by a key that is no more.
            return Wrong("answers_wrong", counted=False, memory=afresh)
        judged = await interview.questioner.judge(interview.who, dialogue.asked, given, _ENGINE, interview.proved, interview.source)
        if isinstance(judged, asking.Wrong):
            return Wrong(judged.reason, memory=afresh)
        claim: tuple[Operation, ...] = judged.claim
        return Right(claim, refused=Wrong("answers_changed", counted=False, memory=afresh))


def _envelope(task: Task) -> Envelope:
    return Envelope(task.ring, task.transaction_id, to_ms(task.now))


def _asked(dialogue: Dialogue, envelope: Envelope) -> Asked:
    if not dialogue.questions:
        return Asked(Text("kba.ask_any"), dialogue.memory())
    return Asked(dialogue.prompt(envelope), dialogue.memory(), questions=dialogue.texts(envelope))


def _all_of(answer: bytes, wanted: int) -> Sequence[bytes] | None:
    """The answers to all questions, where there are as many; None for what is an answer to one."""
    if not answer.startswith(b"["):
        return None
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or len(found) != wanted or not all(isinstance(each, str) for each in found):
        return None
    return [each.encode("utf-8", "surrogatepass") for each in found]
