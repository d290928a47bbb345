"""The help desk checks who is calling: the agent reads the questions out, types what the caller says, and sees right or wrong.

The same questions, strikes and hashes as anywhere else: an agent learns nothing that the caller did not say, and cannot guess more
often than a stranger can. A question of the caller's own is not asked, because agents do not read it.
"""

import json
from collections.abc import Mapping
from typing import Any

from wardgate.account.subject import SubjectId
from wardgate.admin.office import Office
from wardgate.admin.people import found_person
from wardgate.audit.events import AuditEvent, Kind
from wardgate.config.store import load_current
from wardgate.crypto import Secret
from wardgate.errors import Conflict, NotFound, SettingsError, UsageError
from wardgate.kba.asking import AskedQuestion, Questioner, Right, Who
from wardgate.kba.catalogue import compile_catalogue
from wardgate.storage.port import Committed
from wardgate.texts import language_of


async def questions_for_caller(office: Office, *, name: str, language: str = "en", directory: str | None = None) -> dict[str, Any]:
    """What to ask a caller. Raises NotFound where he has not answered enough, SettingsError where nobody may be asked."""
    details, _, asked, _ = await _asked(office, name, language, directory)
    return {**details, "questions": [{"id": each.id, "text": each.text, "form": each.form} for each in asked]}


async def check_caller(office: Office, *, name: str, answers: Secret, directory: str | None = None) -> dict[str, Any]:
    """Judge what a caller said, on record. `answers`: a JSON object of answers by the questions' ids.

    Raises Conflict where other questions are asked by now, and Overloaded; then nothing was counted.
    """
    details, who, asked, questioner = await _asked(office, name, "en", directory)
    given = _given(answers)
    if given.keys() != {each.id for each in asked}:
        raise Conflict("these are not the questions that are asked now: list them again")
    judged = await questioner.judge(who, [*given], given, office.actor, source="helpdesk")
    right = isinstance(judged, Right)
    claim = judged.claim if isinstance(judged, Right) else ()
    if isinstance(await office.storage.commit([*claim, _event(office, who, details, right)]), Committed):
        return {**details, "right": right}
    # It took too long, or the answers were changed meanwhile.
    await office.storage.commit([_event(office, who, details, False)])
    return {**details, "right": False}


async def _asked(
    office: Office, name: str, language: str, directory: str | None
) -> tuple[Mapping[str, str], Who, tuple[AskedQuestion, ...], Questioner]:
    _, document = await load_current(office.storage)
    if not document.kba.verbal:
        raise SettingsError("kba.verbal is false: set it to true to have the help desk check callers by their answers")
    async with found_person(office, name, directory) as person:
        details = {"directory": person.user.directory, "user": person.user.name}
        subject_id = person.subject_id
    questioner = Questioner(
        office.storage, lambda: office.ring, office.hasher, office.clock, compile_catalogue(document.kba, document.questions)
    )
    if subject_id is None or not await questioner.has_answers(SubjectId(subject_id), proved=False):
        raise NotFound(f"{details['user']} has not answered enough questions that can be asked on the telephone")
    who = Who("", details["user"], SubjectId(subject_id))
    return details, who, await questioner.ask(who, language_of(language)), questioner


def _given(answers: Secret) -> dict[str, Secret]:
    try:
        found = json.loads(answers.reveal())
    except ValueError:
        raise UsageError("the answers are no JSON object") from None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise UsageError("the answers are no JSON object of texts")
    return {name: Secret(each.encode("utf-8", "replace")) for name, each in found.items()}


def _event(office: Office, who: Who, details: Mapping[str, str], right: bool) -> Any:
    told = {**details, "right": right}
    return office.record(AuditEvent(Kind.QUESTIONS_CHECKED, office.now_ms(), office.actor, subject_id=who.subject_id, details=told))
