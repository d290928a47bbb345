"""Between the engine and factors that ask several questions: who is asked on whose behalf, and what is read of him for it.

Nothing is read where no policy names questions (`EngineConfiguration.questioner` is None then), and of a login only where its own
policy does.
"""

from collections.abc import Mapping, Sequence

from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.engine.runtime import EngineConfiguration, EngineParts
from wardgate.engine.transaction import Transaction
from wardgate.factors import QUESTIONING
from wardgate.factors.port import Asked, Factor, Holder, Interview, More, Task, Verdict
from wardgate.kba.asking import Who, reopened
from wardgate.kba.standing import NOT_ANSWERED, Answered
from wardgate.policy.rules import Policy
from wardgate.storage.port import Find, Operation, Row


def reads(configuration: EngineConfiguration, policy: Policy, subject_id: SubjectId) -> list[Find]:
    """What to read of somebody for `read`, together with whatever else is read of him; nothing where policy names no questions."""
    questioner = configuration.questioner
    return [] if questioner is None or not policy.reads_questions else questioner.reads(subject_id)


def read(configuration: EngineConfiguration, rows: Sequence[Sequence[Row]]) -> Answered:
    """What came of reading it."""
    questioner = configuration.questioner
    return NOT_ANSWERED if questioner is None or not rows else questioner.standing(*rows)


def of_login(configuration: EngineConfiguration, transaction: Transaction, source: str = "") -> Interview | None:
    """With whom a login speaks. None where no policy names questions any more."""
    if configuration.questioner is None:
        return None
    who = Who(transaction.realm, transaction.name_key, SubjectId(transaction.subject_id))
    return Interview(configuration.questioner, who, transaction.language, bool(transaction.proved), source)


async def ask(factor: Factor, holder: Holder, task: Task, interview: Interview | None, memory: Mapping[str, object]) -> Asked:
    """Begin a challenge, whatever kind of factor it is."""
    questioning = QUESTIONING.get(factor.kind)
    if questioning is None or interview is None:
        return factor.ask(holder, task, memory)
    return await questioning.ask_for(task, interview)


def put_again(factor: Factor, holder: Holder, task: Task, memory: Mapping[str, object]) -> Asked:
    """What is asked at this moment, once more."""
    questioning = QUESTIONING.get(factor.kind)
    return Asked(factor.repeat(holder, memory), memory) if questioning is None else questioning.put_again(task, memory)


async def judge(
    factor: Factor, holder: Holder, task: Task, interview: Interview | None, memory: Mapping[str, object], answer: bytes
) -> Verdict | More:
    """Judge an answer, whatever kind of factor it is. Raises Overloaded."""
    questioning = QUESTIONING.get(factor.kind)
    if questioning is None or interview is None:
        return factor.verify(holder, task, memory, answer)
    return await questioning.judge(task, interview, memory, answer)


async def opened_by_grant(parts: EngineParts, transaction: Transaction, now_ms: int) -> list[Operation]:
    """What opens closed questions again, for the commit of a grant with a strong factor: it was the person himself."""
    questioner, subject_id = parts.configuration().questioner, SubjectId(transaction.subject_id)
    if questioner is None or not await questioner.is_closed(subject_id):
        return []
    details = {"user": transaction.user_name, "directory": transaction.directory}
    event = AuditEvent(
        Kind.QUESTIONS_REOPENED,
        now_ms,
        "engine",
        transaction_id=transaction.id,
        reference=transaction.reference,
        subject_id=subject_id,
        details=details,
    )
    return [reopened(parts.ring(), subject_id), record(event)]
