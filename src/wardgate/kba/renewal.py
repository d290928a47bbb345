"""When a person has to set his answers anew."""

from collections.abc import Sequence
from enum import StrEnum

from wardgate.kba.answers import Answer, usable
from wardgate.kba.catalogue import Catalogue
from wardgate.kba.normalisation import VERSION


class Renewal(StrEnum):
    """Why answers are due."""

    CLOSED = "closed"
    MANDATORY_MISSING = "mandatory_missing"
    QUESTION_RETIRED = "question_retired"
    TOO_FEW = "too_few"
    RULES_STRICTER = "rules_stricter"
    OLD = "old"


def renewal_due(catalogue: Catalogue, answers: Sequence[Answer], closed: bool, now_ms: int) -> Renewal | None:
    """The first reason why a person should set answers; None while all is well. Who never set any has too few."""
    settings = catalogue.settings
    fitting = usable(answers, catalogue)
    ids = {answer.question_id for answer in fitting}
    if closed:
        return Renewal.CLOSED
    if any(question.mandatory and question.id not in ids for question in catalogue.all_live):
        return Renewal.MANDATORY_MISSING
    if len(fitting) < settings.set:
        return Renewal.QUESTION_RETIRED if len(fitting) < len(answers) else Renewal.TOO_FEW
    if any(answer.normalisation != VERSION or (settings.case_sensitive and not answer.case_sensitive) for answer in fitting):
        return Renewal.RULES_STRICTER
    after_ms = settings.renew_after_ms
    if after_ms is not None and any(answer.set_at + after_ms <= now_ms for answer in fitting):
        return Renewal.OLD
    return None
