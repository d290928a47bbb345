"""The form in which a person sets challenge questions, on the account's pages and within a login alike.

What was chosen and the questions that he wrote come back with the page; an answer never does, right or wrong: it stands in no page
and in no step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from wardgate.crypto import Secret
from wardgate.engine.self_service.own_questions import BUSY, OWN, Entry, Place, RefusedEntries, Standing
from wardgate.factors.port import answer_to_all
from wardgate.kba.normalisation import normalise
from wardgate.kba.rules import MAX_ANSWER_CHARS, Rule
from wardgate.kba.settings import MAX_QUESTION_CHARS
from wardgate.pages.browser import Form
from wardgate.texts import Text

MAX_ID_CHARS: Final = 64
BUSY_STATUS: Final = 503
_RETRY_S: Final = 60
# What an answer can be, and more than that, which is told as too long.
MAX_ANSWER_BYTES: Final = 1024
# Which field a broken rule is about; the others are about the answer.
_OF_CHOICE: Final = frozenset({Rule.UNKNOWN_QUESTION, Rule.QUESTION_TWICE, Rule.TOO_MANY_OWN})
_OF_OWN: Final = frozenset({Rule.QUESTION_LENGTH, Rule.QUESTION_HOLDS_ANSWER, Rule.QUESTIONS_ALIKE})


@dataclass(frozen=True, slots=True)
class Row:
    """A place of the form as a page shows it. `wrong`: the field that `error` is about."""

    place: Place
    chosen: str
    own_text: str
    error: Text | None = None
    wrong: str = ""


def answers_to(form: Form) -> bytes:
    """The answers to all questions of a round, for the factor that asked them; empty where one was left out, which is no try.

    One that is too long for any answer stays so when it is cut.
    """
    given: list[str] = []
    while (typed := form.fields.get(f"answer_{len(given) + 1}")) is not None:
        given.append(typed[: MAX_ANSWER_CHARS + 1])
    return answer_to_all(given) if given and all(each.strip() for each in given) else b""


def entries_of(form: Form, standing: Standing) -> tuple[Entry, ...]:
    """What was filled in, place by place."""
    return tuple(_entry(form, place) for place in standing.places)


def _entry(form: Form, place: Place) -> Entry:
    number = place.number
    chosen = place.fixed.id if place.fixed is not None else form.text(f"question_{number}", MAX_ID_CHARS)
    own_text = form.text(f"own_{number}", MAX_QUESTION_CHARS) if chosen == OWN else ""
    return Entry(chosen, own_text, Secret(form.secret(f"answer_{number}")[:MAX_ANSWER_BYTES]))


def kept_of(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """What of the entries may be kept while the person proves that it is him: everything but the answers."""
    return {"chosen": [entry.question_id for entry in entries], "own": [_kept_text(entry) for entry in entries]}


def entries_in(kept: Mapping[str, Any]) -> tuple[Entry, ...]:
    """What `kept_of` kept."""
    pairs = zip(kept["chosen"], kept["own"], strict=True)
    return tuple(Entry(str(chosen), str(own), Secret(b"")) for chosen, own in pairs)


def rows_of(standing: Standing, entries: Sequence[Entry] = (), refused: RefusedEntries | None = None) -> list[Row]:
    """The places, with what was chosen before and what was wrong with it."""
    filled = {place.number: entry for place, entry in zip(standing.places, entries, strict=False)}
    rules = dict(zip(filled, refused.rules, strict=True)) if refused is not None else {}
    return [_row(place, filled.get(place.number), rules.get(place.number)) for place in standing.places]


def _row(place: Place, entry: Entry | None, rule: Rule | None) -> Row:
    if entry is None:
        return Row(place, "", "")
    if rule is None:
        return Row(place, entry.question_id, _kept_text(entry))
    wrong = "question" if rule in _OF_CHOICE else "own" if rule in _OF_OWN else "answer"
    return Row(place, entry.question_id, _kept_text(entry), rule.text, wrong)


def _kept_text(entry: Entry) -> str:
    """The question that he wrote; not where it holds its answer, which would be sent back with it."""
    told = normalise(entry.answer.reveal().decode("utf-8", "replace"))
    return "" if told and told in normalise(entry.own_text) else entry.own_text


def said(refused: Text) -> tuple[Text, int]:
    """What the person is told of answers that nothing was wrong with, and the page's status."""
    if refused == BUSY:
        return refused, BUSY_STATUS
    return (Text("kba.changed") if refused.id == "flow.done_elsewhere" else refused), 409


def told_to_wait(response: Response) -> Response:
    """The page; with the time to wait, where it says that there is too much to do."""
    if response.status_code == BUSY_STATUS:
        response.headers["retry-after"] = str(_RETRY_S)
    return response


def form_values(standing: Standing, rows: Sequence[Row]) -> dict[str, object]:
    """What the template of the form is given."""
    wrong = [row for row in rows if row.error is not None]
    return {"standing": standing, "rows": rows, "wrong_rows": wrong, "own_word": OWN}
