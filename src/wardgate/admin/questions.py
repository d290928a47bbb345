"""An operator's work on challenge questions: import prepared answers, look at who set which, clear, open. Never an answer."""

import csv
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from wardgate.account.subject import SubjectId, create_subject, linked_subject
from wardgate.admin.findings import Finding, Level, split
from wardgate.admin.office import Office
from wardgate.admin.people import TIMEOUT_S, found_person, opened, settings_of
from wardgate.admin.telling import Act, Whose, word_of
from wardgate.audit.events import AuditEvent, Kind
from wardgate.clock import from_ms
from wardgate.config.document import Document
from wardgate.config.store import load_current
from wardgate.crypto import Secret
from wardgate.directory.port import Directory, DirectoryUser
from wardgate.directory.realm import Realm, Realms, names_meant, parse_login_name
from wardgate.directory.settings import realm_words
from wardgate.errors import Conflict, NotFound, SettingsError, UsageError, WardgateError
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.kba.answers import Answer, Source, answers_in, kept_answers, kept_state, state_in, text_of
from wardgate.kba.asking import Questioner, reopened
from wardgate.kba.catalogue import Catalogue, compile_catalogue
from wardgate.kba.enrolment import About, Broken, Enrolment, Given, Prepared, about
from wardgate.kba.renewal import renewal_due
from wardgate.kba.rules import Rule
from wardgate.policy.rules import compile_policy
from wardgate.storage.port import Committed, Operation, Refused

MAX_PIECE_ROWS: Final = 500
MAX_ROW_BYTES: Final = 4_096
MAX_REPORTED: Final = 1_000
_COLUMNS: Final = ("username", "subject", "directory", "question", "answer")
_DELIMITERS: Final = ",;\t"
_TRIES: Final = 5
_BOM: Final = b"\xef\xbb\xbf"


# --- looking -------------------------------------------------------------------------------------------------------------


async def list_questions(office: Office) -> dict[str, Any]:
    """The catalogue in force, retired questions too, and the settings in a few numbers."""
    _, document = await load_current(office.storage)
    catalogue = _catalogue(document)
    settings = catalogue.settings
    described = [
        {
            "id": question.id,
            "kind": "mandatory" if question.mandatory else "optional",
            "form": question.form,
            "texts": dict(question.texts),
            "common": len(question.common - catalogue.common),
            "retired": question.retired,
        }
        for question in sorted(catalogue.questions.values(), key=lambda each: (each.retired, not each.mandatory))
    ]
    numbers = {name: getattr(settings, name) for name in ("offered", "set", "asked", "own", "strikes", "preload")}
    return {"questions": described, **numbers}


def question_findings(document: Document) -> Iterator[Finding]:
    """Which policies still count on questions, for `wardgate check`: what was meant for a migration must not be forgotten."""
    for settings in document.policies:
        try:
            policy = compile_policy(settings, KINDS, STRONG_KINDS, document.networks)
        except SettingsError as error:
            yield Finding(Level.ERROR, *split(error))
            continue
        service = policy.self_service
        alone = [
            name for name, goal in service.goals.items() if goal.accept_weaker is not None and service.by_questions_alone(name)
        ]
        mandatory = sum(each.kind == "mandatory" and not each.retired for each in document.questions)
        if alone and mandatory < document.kba.asked:
            what = f"policy {settings.name}: two names of one person, a login name and a mail address, are asked the same"
            cure = f"make {document.kba.asked} questions mandatory (kba.asked): everybody is asked those, and they tell of nobody"
            yield Finding(Level.WARNING, what, cure)
        for name in alone:
            weaker = service.goals[name].accept_weaker
            until = "" if weaker is None else f" until {weaker.until} ({weaker.reason})"
            what = f"policy {settings.name} lets challenge questions alone do for {name}{until}"
            yield Finding(Level.WARNING, what, "take `alone: [kba]` and `accept_weaker` out once people have something better")
        if policy.uses_questions and not alone:
            what = f"policy {settings.name} counts on challenge questions"
            yield Finding(Level.INFO, what, "take `kba` out of it once people have something better")


async def show_answers(office: Office, *, name: str, directory: str | None = None) -> dict[str, Any]:
    """Which questions a user has answered, when, and whether they are closed. Raises NotFound, DirectoryUnavailable."""
    _, document = await load_current(office.storage)
    catalogue = _catalogue(document)
    async with found_person(office, name, directory) as person:
        told: dict[str, Any] = {"directory": person.user.directory, "user": person.user.name, "subject_id": person.subject_id}
    if told["subject_id"] is None:
        return {**told, "answers": [], "closed": False, "answers_version": 0, "enough": False, "due": "too_few"}
    subject_id = SubjectId(told["subject_id"])
    states, rows = await office.storage.read([kept_state(subject_id), kept_answers(subject_id)])
    answers, state = answers_in(rows), state_in(states)
    questioner = _questioner(office, catalogue)
    closed = await questioner.is_closed(subject_id)
    due = renewal_due(catalogue, answers, closed, office.now_ms())
    return {
        **told,
        "answers": [_described(office, catalogue, answer) for answer in answers],
        "closed": closed,
        "answers_version": state.answers_version if state is not None else 0,
        "enough": await questioner.has_answers(subject_id, proved=True),
        "due": due.value if due is not None else None,
    }


def _described(office: Office, catalogue: Catalogue, answer: Answer) -> dict[str, Any]:
    """Of an own question that it is one: what it asks is the person's own affair."""
    question = catalogue.questions.get(answer.question_id)
    return {
        "id": answer.question_id,
        "text": None if answer.own else text_of(answer, catalogue, office.ring, "en"),
        "own": answer.own,
        "source": answer.source,
        "retired": not answer.own and (question is None or question.retired),
        "set_at": from_ms(answer.set_at).isoformat(),
    }


# --- clearing ------------------------------------------------------------------------------------------------------------


async def clear_answers(office: Office, *, name: str, directory: str | None = None) -> dict[str, Any]:
    """Remove every answer of a user, who may set new ones then. Raises NotFound, Conflict, DirectoryUnavailable."""
    _, document = await load_current(office.storage)
    enrolment = _enrolment(office, _catalogue(document))
    async with found_person(office, name, directory) as person:
        details = {"directory": person.user.directory, "user": person.user.name}
        subject_id, user = person.subject_id, person.user
    for _ in range(_TRIES):
        count, unit = await enrolment.clear(subject_id, details, office.actor) if subject_id is not None else (0, [])
        whose = Whose(user.directory, user.immutable_id, user.name, user, subject_id)
        told = await word_of(office, whose, Act("questions_cleared")) if count else ()
        if not count or isinstance(await office.storage.commit([*unit, *told]), Committed):
            return {**details, "cleared": count}
    raise Conflict("the user's answers are being changed by somebody else")


async def withdraw_answers(
    office: Office, subject_id: SubjectId, details: Mapping[str, object], question_ids: Collection[str] | None = None
) -> int:
    """Remove answers of a person, by default all: how many. Raises Conflict."""
    _, document = await load_current(office.storage)
    enrolment = _enrolment(office, _catalogue(document))
    [rows] = await office.storage.read([kept_answers(subject_id)])
    gone = [answer.question_id for answer in answers_in(rows) if question_ids is None or answer.question_id in question_ids]
    if not gone:
        return 0
    if len(gone) == len(rows):
        _, unit = await enrolment.clear(subject_id, details, office.actor)
    else:
        made = await enrolment.prepare(About(subject_id, details=details), (), office.actor, without=gone)
        unit = list(made.operations) if isinstance(made, Prepared) else []
    if not isinstance(await office.storage.commit(unit), Committed):
        raise Conflict("the user's answers are being changed by somebody else")
    return len(gone)


async def reopen_questions(office: Office, *, name: str, directory: str | None = None) -> dict[str, Any]:
    """Let a user be asked again who has answered wrongly too often. Raises NotFound, DirectoryUnavailable."""
    _, document = await load_current(office.storage)
    questioner = questioner_of(office, document)
    async with found_person(office, name, directory) as person:
        details = {"directory": person.user.directory, "user": person.user.name}
        subject_id = person.subject_id
    was_closed = subject_id is not None and await questioner.is_closed(subject_id)
    if subject_id is not None:
        event = AuditEvent(Kind.QUESTIONS_REOPENED, office.now_ms(), office.actor, subject_id=subject_id, details=details)
        await office.storage.commit([reopened(office.ring, subject_id), office.record(event)])
    return {**details, "was_closed": was_closed}


# --- importing -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """One prepared answer of the file. `who`: a login name, or a subject's id."""

    line: int
    who: str
    by_subject: bool
    directory: str
    question: str
    answer: Secret


@dataclass(slots=True)
class _Tally:
    """What became of the rows."""

    set: int = 0
    people: int = 0
    refused: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, line: int, reason: str) -> None:
        self.refused += 1
        if len(self.problems) < MAX_REPORTED:
            self.problems.append({"line": line, "reason": reason})


async def import_answers(office: Office, piece: Secret, *, directory: str | None = None) -> dict[str, Any]:
    """Set prepared answers out of one piece of a CSV file: its header row and at most MAX_PIECE_ROWS lines.

    Each person's answers are one unit with its event. What a person has answered himself is not replaced. Bad rows are told by line
    and reason, never by content, and do not stop the others. Raises UsageError for a file that cannot be one, and SettingsError
    where the document does not allow prepared answers.
    """
    _, document = await load_current(office.storage)
    if not document.kba.preload:
        raise SettingsError("kba.preload is false: prepared answers are not taken; set it to true to import them")
    tally = _Tally()
    people: dict[tuple[str, bool, str], list[_Row]] = {}
    for row in _rows(piece.reveal(), tally):
        people.setdefault((row.who, row.by_subject, row.directory or directory or ""), []).append(row)
    async with _open_people(office, document) as finder:
        for (who, by_subject, where), rows in people.items():
            await _import_for(office, document, finder, who, by_subject, where, rows, tally)
    return {"set": tally.set, "people": tally.people, "refused": tally.refused, "problems": sorted(tally.problems, key=_line)}


async def _import_for(
    office: Office,
    document: Document,
    finder: "_Finder",
    who: str,
    by_subject: bool,
    directory: str,
    rows: Sequence[_Row],
    tally: _Tally,
) -> None:
    """One person's rows."""
    try:
        for _ in range(_TRIES):
            person, first = await finder.by_subject(who) if by_subject else await finder.by_name(who, directory)
            taken, unit = await _unit(office, document, person, rows)
            if not unit or not isinstance(await office.storage.commit([*first, *unit]), Refused):
                break
        else:
            raise Conflict("being changed by somebody else")
    except WardgateError as error:
        for row in rows:
            tally.refuse(row.line, error.message)
        return
    for row in rows:
        if (reason := taken[row.line]) is None:
            tally.set += 1
        else:
            tally.refuse(row.line, reason)
    tally.people += bool(unit)


async def _unit(
    office: Office, document: Document, person: About, rows: Sequence[_Row]
) -> tuple[dict[int, str | None], tuple[Operation, ...]]:
    """Which rows are taken (None, or why not), and the operations that set them."""
    [kept] = await office.storage.read([kept_answers(person.subject_id)])
    own_answers = {answer.question_id for answer in answers_in(kept) if answer.source != Source.PREPARED}
    told: dict[int, str | None] = {}
    left: dict[str, _Row] = {}
    for row in rows:
        told[row.line] = None
        if row.question in own_answers:
            told[row.line] = "the person has answered this question himself"
        elif row.question in left:
            told[row.line] = f"line {left[row.question].line} answers the same question for the same person"
        else:
            left[row.question] = row
    enrolment = _enrolment(office, _catalogue(document))
    while left:
        given = [Given(row.answer, row.question) for row in left.values()]
        made = await enrolment.prepare(person, given, office.actor, Source.PREPARED)
        if not isinstance(made, Broken):
            return told, made.operations
        for row, rule in zip([*left.values()], made.rules, strict=True):
            if rule is not None:
                told[row.line] = _REASONS.get(rule, rule.value)
                del left[row.question]
    return told, ()


_REASONS: Final[Mapping[Rule, str]] = {
    Rule.EMPTY: "the answer is empty",
    Rule.TOO_SHORT: "the answer is shorter than kba.min_length",
    Rule.TOO_LONG: "the answer is too long",
    Rule.NOT_DIGITS: "the question asks for digits",
    Rule.NOT_A_DATE: "the question asks for a date, such as 31.12.1999 or 1999-12-31",
    Rule.UNKNOWN_QUESTION: "the catalogue has no such question, or it is retired",
}


class _Finder:
    """Finds many people one after another, with each directory opened once."""

    def __init__(self, office: Office, document: Document, stack: AsyncExitStack) -> None:
        self._office = office
        self._document = document
        self._stack = stack
        self._directories: dict[str, Directory] = {}

    async def by_name(self, name: str, directory: str) -> tuple[About, list[Operation]]:
        """Whom a login name means, and what has to be written where he has no subject yet. Raises NotFound."""
        for wanted, typed in self._meant(name, directory):
            user = await (await self._opened(wanted)).find(typed, TIMEOUT_S)
            if user is not None:
                return await self._met(user)
        raise NotFound("nobody answers to this login name, or more than one does")

    async def by_subject(self, subject_id: str) -> tuple[About, list[Operation]]:
        """The person of a subject id; the directory is not asked. Raises NotFound."""
        if await self._office.storage.get("subject", {"id": subject_id}) is None:
            raise NotFound("there is no such subject")
        return About(SubjectId(subject_id)), []

    def _meant(self, name: str, directory: str) -> Iterator[tuple[str, str]]:
        if directory:
            yield directory, name
            return
        realm, typed = parse_login_name(name, Realms([Realm(each, ()) for each in self._document.realms]))
        for each in names_meant(name, typed):
            for wanted in realm.settings.directories:
                yield wanted, each

    async def _opened(self, name: str) -> Directory:
        if name not in self._directories:
            settings = settings_of(self._document, name)
            self._directories[name] = await self._stack.enter_async_context(opened(self._office, self._document, settings))
        return self._directories[name]

    async def _met(self, user: DirectoryUser) -> tuple[About, list[Operation]]:
        office = self._office
        words = [*realm_words(self._document.realms, user.directory), *self._document.kba.organisation]
        linked = await linked_subject(office.storage, user.directory, user.immutable_id)
        if linked is not None:
            return about(user, linked, words), []
        subject_id, inserts = create_subject(user.directory, user.immutable_id, office.now_ms())
        details = {"directory": user.directory, "user": user.name}
        event = AuditEvent(Kind.SUBJECT_CREATED, office.now_ms(), office.actor, subject_id=subject_id, details=details)
        return about(user, subject_id, words), [*inserts, office.record(event)]


@asynccontextmanager
async def _open_people(office: Office, document: Document) -> AsyncIterator[_Finder]:
    async with AsyncExitStack() as stack:
        yield _Finder(office, document, stack)


def _rows(piece: bytes, tally: _Tally) -> Iterator[_Row]:
    """The typed rows; bad ones go into the tally. Raises UsageError when it is no list of answers."""
    header, *lines = piece.removeprefix(_BOM).split(b"\n")
    columns, delimiter = _header(header)
    if len(lines) > MAX_PIECE_ROWS + 1:
        raise UsageError(f"more than {MAX_PIECE_ROWS} rows in one piece")
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        try:
            yield _row(number, line, columns, delimiter)
        except UsageError as error:
            tally.refuse(number, error.message)


def _header(raw: bytes) -> tuple[tuple[str, ...], str]:
    if len(raw) > MAX_ROW_BYTES:
        raise UsageError(f"the header row is longer than {MAX_ROW_BYTES} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise UsageError("the header row is not UTF-8; save the file as CSV UTF-8") from None
    delimiter = max(_DELIMITERS, key=text.count)
    columns = tuple(name.strip().strip('"').lower() for name in text.strip().split(delimiter))
    known = [name for name in columns if name in _COLUMNS]
    if len(set(known)) != len(known) or not {"question", "answer"} <= set(known) or not {"username", "subject"} & set(known):
        raise UsageError("the header row must name question, answer, and username or subject, each once; directory is optional")
    return columns, delimiter


def _row(number: int, line: bytes, columns: Sequence[str], delimiter: str) -> _Row:
    if len(line) > MAX_ROW_BYTES:
        raise UsageError(f"longer than {MAX_ROW_BYTES} bytes")
    try:
        [cells] = csv.reader([line.decode().rstrip("\r")], delimiter=delimiter, strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError):
        raise UsageError("not CSV in UTF-8") from None
    if len(cells) != len(columns):
        raise UsageError(f"{len(cells)} cells under {len(columns)} columns")
    named = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
    name, subject = named.get("username", ""), named.get("subject", "")
    if bool(name) == bool(subject):
        raise UsageError("give either a username or a subject")
    return _Row(number, name or subject, bool(subject), named.get("directory", ""), named["question"], Secret(named["answer"]))


# --- parts ---------------------------------------------------------------------------------------------------------------


def questioner_of(office: Office, document: Document) -> Questioner:
    """Who asks by this document."""
    return _questioner(office, _catalogue(document))


def _questioner(office: Office, catalogue: Catalogue) -> Questioner:
    return Questioner(office.storage, lambda: office.ring, office.hasher, office.clock, catalogue)


def _catalogue(document: Document) -> Catalogue:
    return compile_catalogue(document.kba, document.questions)


def _enrolment(office: Office, catalogue: Catalogue) -> Enrolment:
    return Enrolment(office.storage, office.ring, office.hasher, office.clock, catalogue)


def _line(problem: Mapping[str, Any]) -> int:
    return int(problem["line"])
