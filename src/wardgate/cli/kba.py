"""`wardgate kba ...`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer

from wardgate.cli.inputs import is_interactive, read_text
from wardgate.cli.options import DEFAULT_DATA, AnyDirectory, Data, Json, Ticket, example, for_ticket, group
from wardgate.cli.output import EXIT_DONE, EXIT_REFUSED, emit, facts, note, say, table
from wardgate.cli.performing import Performer, perform
from wardgate.cli.progress import counting
from wardgate.errors import UsageError

# As the operation: each answer costs a hash, and logins wait for the same threads.
PIECE_ROWS: Final = 100
MAX_LINE_BYTES: Final = 8_192
MAX_PROBLEMS: Final = 1_000
COUNTS: Final = ("set", "people", "refused")

app = group("Challenge questions: the catalogue, prepared answers, and who has set which. Answers are never shown.")

Language = Annotated[str, typer.Option(help="In which language the questions are shown: en or tr.")]
User = Annotated[str, typer.Argument(help="Login name, with its realm where it is not the default one.")]


@app.command(epilog=example("wardgate kba questions"))
def questions(data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """List the questions that can be asked: those of the configuration document, and those that come with the program."""
    emit(perform(data, "kba.questions", {}), as_json, _show_questions)


@app.command(epilog=example("wardgate kba show ada"))
def show(name: User, data: Data = DEFAULT_DATA, directory: AnyDirectory = None, as_json: Json = False) -> None:
    """Show which questions a user has answered, when, and whether they are closed."""
    emit(perform(data, "kba.show", {"name": name, "directory": directory}), as_json, _show_answers)


@app.command(epilog=example("wardgate kba clear ada"))
def clear(
    name: User, data: Data = DEFAULT_DATA, directory: AnyDirectory = None, ticket: Ticket = "", as_json: Json = False
) -> None:
    """Remove all answers of a user."""
    result = perform(data, "kba.clear", {"name": name, "directory": directory} | for_ticket(ticket))
    emit(result, as_json, lambda told: say(f"{told['cleared']} answers of {told['user']} were removed."))


@app.command(epilog=example("wardgate kba reopen ada"))
def reopen(
    name: User, data: Data = DEFAULT_DATA, directory: AnyDirectory = None, ticket: Ticket = "", as_json: Json = False
) -> None:
    """Let a user be asked again whose questions too many wrong answers have closed."""
    emit(perform(data, "kba.reopen", {"name": name, "directory": directory} | for_ticket(ticket)), as_json, _show_reopened)


@app.command(epilog=example("wardgate kba ask ada", "wardgate kba ask ada --language tr"))
def ask(
    name: User, data: Data = DEFAULT_DATA, language: Language = "en", directory: AnyDirectory = None, as_json: Json = False
) -> None:
    """Show what to ask a caller who says that he is this user. The configuration has to allow it: kba.verbal."""
    emit(perform(data, "kba.ask", {"name": name, "language": language, "directory": directory}), as_json, _show_asked)


@app.command(epilog=example("wardgate kba check ada", "wardgate kba check ada --answers - < said.txt"))
def check(
    name: User,
    data: Data = DEFAULT_DATA,
    answers: Annotated[
        Path | None, typer.Option(help="What the caller said, one line for each question of `ask`; `-` is standard input.")
    ] = None,
    language: Language = "en",
    directory: AnyDirectory = None,
    as_json: Json = False,
) -> None:
    """Check a caller by his answers: right or wrong, and nothing else. Wrong rounds are counted like anybody's.

    What is typed is not shown. Exit code 1 when the answers are wrong.
    """
    with Performer(data) as performer:
        asked = performer.do("kba.ask", {"name": name, "language": language, "directory": directory})["questions"]
        said = _said(asked) if answers is None else _read(answers, len(asked))
        given = json.dumps({each["id"]: typed for each, typed in zip(asked, said, strict=True)})
        result = performer.do("kba.check", {"name": name, "answers": given, "directory": directory})
    emit(result, as_json, lambda told: say("The answers are right." if told["right"] else "The answers are wrong."))
    raise typer.Exit(EXIT_DONE if result["right"] else EXIT_REFUSED)


def _said(asked: Sequence[Mapping[str, Any]]) -> list[str]:
    if not is_interactive():
        raise UsageError("nobody can be asked here: give the answers with --answers")
    return [str(typer.prompt(each["text"], hide_input=True, default="", show_default=False, err=True)) for each in asked]


def _read(file: Path, count: int) -> list[str]:
    lines = read_text(file, MAX_LINE_BYTES).splitlines()
    if len(lines) != count:
        raise UsageError(f"{len(lines)} lines for {count} questions: one line for each, in the order of `wardgate kba ask`")
    return lines


@app.command("import", epilog=example("wardgate kba import answers.csv", "wardgate kba import answers.csv --directory staff"))
def import_(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8 with a header row.")],
    data: Data = DEFAULT_DATA,
    directory: AnyDirectory = None,
    as_json: Json = False,
) -> None:
    """Import prepared answers, such as staff numbers. The configuration has to allow it: kba.preload.

    Columns: question (its id), answer, and username or subject (a subject's id); directory is optional. An answer that the user
    gave himself is not replaced. Bad rows are told by their line and do not stop the others; exit code 1 when there were any.
    """
    try:
        with file.open("rb") as stream, Performer(data) as performer:
            result = _import(stream, performer, directory)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    emit(result, as_json, _show_import)
    raise typer.Exit(1 if result["refused"] else 0)


def _import(stream: BinaryIO, performer: Performer, directory: str | None) -> dict[str, Any]:
    """Send the file piece by piece and add up what became of its rows."""
    total: dict[str, Any] = {**dict.fromkeys(COUNTS, 0), "problems": []}
    header = stream.readline(MAX_LINE_BYTES)
    done = 0
    with counting("importing") as advance:
        for first_line, lines in _pieces(stream):
            csv = (header.rstrip(b"\r\n") + b"\n" + b"".join(lines)).decode("utf-8", "surrogateescape")
            part = performer.do("kba.import_piece", {"csv": csv, "directory": directory})
            for count in COUNTS:
                total[count] += part[count]
            moved = [{**problem, "line": problem["line"] + first_line - 2} for problem in part["problems"]]
            total["problems"] = [*total["problems"], *moved][:MAX_PROBLEMS]
            done += len(lines)
            advance(done, "")
    return total


def _pieces(stream: BinaryIO) -> Iterator[tuple[int, list[bytes]]]:
    """Whole lines, each time with the number of the first. At least one piece, if empty: the header row is judged in any case."""
    line, lines = 2, []
    while raw := stream.readline(MAX_LINE_BYTES):
        # What is longer than a row may be is refused there; its rest is no row of its own.
        rest = raw
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE_BYTES)
        lines.append(raw.rstrip(b"\n") + b"\n")
        if len(lines) == PIECE_ROWS:
            yield line, lines
            line, lines = line + len(lines), []
    if lines or line == 2:
        yield line, lines


def _show_questions(result: Mapping[str, Any]) -> None:
    columns = ("id", "kind", "form", "languages", "common answers", "retired")
    rows = [
        [each["id"], each["kind"], each["form"], sorted(each["texts"]), each["common"], each["retired"]]
        for each in result["questions"]
    ]
    table(columns, rows)
    told = "a person sets {set} of {offered} offered, {own} of them own; {asked} are asked; {strikes} wrong rounds close them"
    note(told.format_map(result))


def _show_answers(result: Mapping[str, Any]) -> None:
    names = ("directory", "user", "subject_id", "enough", "closed", "due", "answers_version")
    facts([(name.replace("_", " "), result[name]) for name in names])
    columns = ("id", "text", "own", "source", "retired", "set_at")
    table([name.replace("_", " ") for name in columns], [[each[name] for name in columns] for each in result["answers"]])


def _show_asked(result: Mapping[str, Any]) -> None:
    table(("id", "text", "form"), [[each["id"], each["text"], each["form"]] for each in result["questions"]])


def _show_reopened(result: Mapping[str, Any]) -> None:
    say(f"The questions of {result['user']} were {'closed; he can be asked again' if result['was_closed'] else 'not closed'}.")


def _show_import(result: Mapping[str, Any]) -> None:
    for problem in result["problems"]:
        note(f"line {problem['line']}: {problem['reason']}")
    if result["refused"] > len(result["problems"]):
        note(f"and {result['refused'] - len(result['problems'])} more lines")
    say(f"{result['set']} answers of {result['people']} people were set, {result['refused']} rows refused.")
