"""What the users of a page have enrolled: a few reads for all of them instead of a few for each."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from wardgate.account.authenticator import MAX_AUTHENTICATORS, AuthenticatorState, active_and_held
from wardgate.account.contact import TABLE as CONTACT
from wardgate.account.subject import NO_SUBJECT, SubjectId
from wardgate.admin.impact.rest import Rest
from wardgate.admin.office import Office
from wardgate.directory.port import USERS_PER_PAGE, DirectoryUser
from wardgate.engine.holders import holder_of
from wardgate.factors import SECOND_FACTORS
from wardgate.kba.answers import TABLE as ANSWERS
from wardgate.kba.asking import Questioner
from wardgate.kba.standing import Answered
from wardgate.storage.port import MAX_IN_VALUES, Row, Where

PAGE: Final = min(USERS_PER_PAGE, MAX_IN_VALUES)
_KEPT: Final = Where("state", "in", (AuthenticatorState.ACTIVE.value, AuthenticatorState.HELD.value))


async def enrolled_of(
    office: Office, directory: str, users: Sequence[DirectoryUser], rest: Rest, questioner: Questioner | None = None
) -> list[frozenset[str]]:
    """The factors that each of these users of one directory has, as the engine would see it; at most `PAGE` of them.

    `questioner`: None where no policy names challenge questions.
    """
    ids = tuple(user.immutable_id for user in users)
    links = await office.storage.find("subject_link", [Where("directory", "=", directory), Where("immutable_id", "in", ids)])
    subjects = {str(row["immutable_id"]): str(row["subject_id"]) for row in links}
    theirs = tuple(dict.fromkeys(subjects.values()))
    authenticators, contacts = await _rows_of(office, theirs)
    answers = await _answers_of(office, theirs) if questioner is not None else {}
    found = []
    for user in users:
        subject = SubjectId(subjects.get(user.immutable_id, NO_SUBJECT))
        active, held = active_and_held(authenticators.get(subject, ())[: 2 * MAX_AUTHENTICATORS])
        answered = Answered(questioner is not None and subject in answers and questioner.is_enough(answers[subject]))
        holder = holder_of(office.ring, subject, user, active, held, contacts.get(subject, ()), answered)
        kinds = [factor.kind for factor in SECOND_FACTORS if factor.enrolled(holder)]
        # What is held is enrolled all the same, as it is for the engine.
        found.append(frozenset([*kinds, *(each.kind for each in held)]))
        await rest.now_and_then()
    return found


async def _rows_of(office: Office, subjects: tuple[str, ...]) -> tuple[Mapping[str, Sequence[Row]], Mapping[str, Sequence[Row]]]:
    """Authenticators and contacts by subject, the oldest first."""
    if not subjects:
        return {}, {}
    theirs = Where("subject_id", "in", subjects)
    authenticators = await office.storage.find("authenticator", [theirs, _KEPT], order_by="created_at")
    contacts = await office.storage.find(CONTACT, [theirs], order_by="created_at")
    return _by_subject(authenticators), _by_subject(contacts)


async def _answers_of(office: Office, subjects: tuple[str, ...]) -> Mapping[str, Sequence[Row]]:
    """Answers to challenge questions by subject."""
    if not subjects:
        return {}
    return _by_subject(await office.storage.find(ANSWERS, [Where("subject_id", "in", subjects)], order_by="number"))


def _by_subject(rows: Sequence[Row]) -> Mapping[str, Sequence[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[str(row["subject_id"])].append(row)
    return found
