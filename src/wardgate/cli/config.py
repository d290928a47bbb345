"""`wardgate config ...`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from wardgate.cli.impact_lines import in_short
from wardgate.cli.inputs import read_text
from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import EXIT_REFUSED, emit, hand_over, note, say, table
from wardgate.cli.performing import perform
from wardgate.cli.progress import looking_through
from wardgate.errors import UsageError

if TYPE_CHECKING:
    from wardgate.config.faults import Fault
    from wardgate.config.sources import Source

# As much as the server takes; it says so itself for what YAML makes of it.
MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024

app = group("The configuration document: realms, directories, gateways, NAS, applications, policies.")

MAX_VERSION_DIGITS: Final = 9
MAX_NAMES_SHOWN: Final = 4

Impact = Annotated[bool, typer.Option("--impact/--no-impact", help="Tell for how many users, within 20 seconds.")]
File = Annotated[Path, typer.Argument(help="YAML or JSON file, with what it includes; - is standard input.")]


@app.command(epilog=example("wardgate config validate wardgate.yaml"))
def validate(file: File, as_json: Json = False) -> None:
    """Say what is wrong with a document, as applying it would. Needs no server and no installation.

    Every fault is told with its file, line and column. Whether the server has the secrets that {env: NAME}, {file: /PATH} and
    {sealed: ...} stand for, only the server knows: see config apply --dry-run.
    """
    faults, files = _examined(file)
    told = [
        {"file": each.file, "line": each.line, "column": each.column, "path": each.path, "problem": each.told} for each in faults
    ]
    emit({"valid": not faults, "files": files, "faults": told}, as_json, lambda _: _show_faults(faults, files))
    if faults:
        raise typer.Exit(EXIT_REFUSED)


@app.command(epilog=example("wardgate config schema > configuration.schema.json"))
def schema(as_json: Json = False) -> None:
    """Print the JSON Schema of the document, for editors and for whoever generates documents."""
    # Only here: it loads the settings of every room.
    from wardgate.config.schema import schema_of_document

    emit(schema_of_document(), as_json, lambda result: hand_over(json.dumps(result, indent=2, ensure_ascii=False)))


@app.command(epilog=example('wardgate config apply wardgate.yaml --reason "new branch office"'))
def apply(
    file: File,
    data: Data = DEFAULT_DATA,
    reason: Annotated[str, typer.Option(help="Why, for the history and the audit trail.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it; show what would change and what that reaches.")] = False,
    expect_version: Annotated[
        int | None, typer.Option(help="Refuse when another version than this one is in force by now.")
    ] = None,
    with_impact: Impact = True,
    as_json: Json = False,
) -> None:
    """Put a whole document in force. What it leaves out is removed.

    With --dry-run nothing is changed: it is checked in every way, and shown are the difference, line by line, what uses the things
    that change, and for how many users the decision changes (see policy impact for names).

    References such as {env: NAME} and {file: /PATH} are resolved by the server, and by this command only when no server runs. One
    that is not there is refused; a directory's is told as a warning, and that directory is down until it is there.
    """
    params = {**read_document(file), "reason": reason, "dry_run": dry_run, "expected_version": expect_version}
    with looking_through("looking at users") as advance:
        result = perform(data, "config.apply", {**params, "with_impact": with_impact}, advance)
    emit(result, as_json, _show_changes)


@app.command(epilog=example("wardgate config export > wardgate.yaml"))
def export(
    data: Data = DEFAULT_DATA,
    version: Annotated[int | None, typer.Option(help="Which version. Default: the one in force.")] = None,
    as_json: Json = False,
) -> None:
    """Print the document as YAML. Secrets are references or sealed for this installation."""
    result = perform(data, "config.export", {"version": version})
    text = result.pop("yaml")
    emit(result, as_json, lambda _: hand_over(text))


@app.command(epilog=example("wardgate config history", "wardgate config history 41"))
def history(
    version: Annotated[int | None, typer.Argument(min=1, help="Only this version, with all that it changed, line by line.")] = None,
    data: Data = DEFAULT_DATA,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many versions.")] = 20,
    as_json: Json = False,
) -> None:
    """List the kept versions, newest first: when, by whom, why, and what each changed."""
    if version is not None:
        emit(perform(data, "config.version", {"version": version}), as_json, _show_version)
        return
    emit(perform(data, "config.history", {"limit": limit}), as_json, _show_history)


@app.command(epilog=example("wardgate config diff wardgate.yaml", "wardgate config diff 41", "wardgate config diff 41 43"))
def diff(
    first: Annotated[str, typer.Argument(metavar="[FROM]", help="Version to begin with, or a file.")] = "",
    second: Annotated[str, typer.Argument(metavar="[TO|FILE]", help="Version or file to compare with.")] = "",
    data: Data = DEFAULT_DATA,
    with_impact: Impact = True,
    as_json: Json = False,
) -> None:
    """Say what changes, thing by thing and line by line: from the version in force to a file, or from one version to another.

    One version alone is compared with the one in force; nothing given shows the last change. A number is a version: a file of
    that name is written ./41. For a file it is told for how many users the decision changes (see policy impact for names).
    """
    params = _to_compare(first, second)
    with looking_through("looking at users") as advance:
        result = perform(data, "config.diff", {**params, "with_impact": with_impact}, advance)
    emit(result, as_json, _show_diff)


@app.command(epilog=example('wardgate config rollback 41 --reason "branch office has no link yet"'))
def rollback(
    version: Annotated[int, typer.Argument(help="The version to put in force again.")],
    data: Data = DEFAULT_DATA,
    reason: Annotated[str, typer.Option(help="Why, for the history and the audit trail.")] = "",
    as_json: Json = False,
) -> None:
    """Put an earlier version in force again, as a new one."""
    emit(perform(data, "config.rollback", {"version": version, "reason": reason}), as_json, _show_changes)


def _show_version(result: Mapping[str, Any]) -> None:
    _show_history(result)
    say("What the version before held is not kept any more." if result["unified"] is None else result["unified"])


def _to_compare(first: str, second: str) -> dict[str, object]:
    """What the two arguments of `diff` mean."""
    version, to = _version(first), _version(second)
    if first and second and version is None:
        raise UsageError("the first of two is a version, such as: wardgate config diff 41 wardgate.yaml")
    if first and version is None:
        return read_document(Path(first))
    if second and to is None:
        return {**read_document(Path(second)), "version": version}
    return {"version": version, "to": to}


def _version(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) <= MAX_VERSION_DIGITS else None


def read_document(file: Path) -> dict[str, object]:
    """The document and the files that it includes, as the operations take them."""
    main, *included = _files(file)
    params: dict[str, object] = {"document": main.text, "name": main.name}
    if included:
        params["included"] = json.dumps([[each.name, each.text] for each in included], ensure_ascii=False)
    return params


def _files(file: Path) -> "tuple[Source, ...]":
    # Only here: help and completion read no documents.
    from wardgate.config.includes import gather
    from wardgate.config.sources import Source

    piped = str(file) == "-"
    return gather(Source("" if piped else str(file), read_text(file, MAX_DOCUMENT_BYTES)), None if piped else file)


def _examined(file: Path) -> "tuple[list[Fault], int]":
    """What is wrong, and how many files were read."""
    # Only here: every other command leaves this to the server.
    from wardgate.admin.configuration import validate_document

    files = _files(file)
    return validate_document(files), len(files)


def _show_faults(faults: "list[Fault]", files: int) -> None:
    for each in faults:
        say(str(each))
    count = "1 file" if files == 1 else f"{files} files"
    wrong = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    say(f"{wrong} in {count}." if faults else f"Nothing is wrong in {count}.")


def _show_changes(result: Mapping[str, Any]) -> None:
    _show_names(result)
    for touch in result.get("touches", ()):
        _show_touch(touch)
    _show_impact(result.get("impact"))
    if result.get("unified"):
        hand_over(result["unified"])
    for warning in result["warnings"]:
        note(f"warning: {warning}")
    if result["applied"]:
        say(f"Version {result['version']} is in force.")
    elif any(result[what] for what in ("added", "changed", "removed")):
        say(f"Nothing was changed; version {result['version']} is in force.")
    else:
        say(f"Nothing differs from version {result['version']}.")


def _show_diff(result: Mapping[str, Any]) -> None:
    _show_names(result)
    _show_impact(result["impact"])
    hand_over(result["unified"] or f"Nothing differs from version {result['version']}.")


def _show_names(result: Mapping[str, Any]) -> None:
    for what, sign in (("added", "+"), ("changed", "~"), ("removed", "-")):
        for name in result[what]:
            say(f"{sign} {name}")


def _show_impact(impact: Mapping[str, Any] | None) -> None:
    for line in in_short(impact) if impact is not None else ():
        say(f"  users: {line}")


def _show_touch(touch: Mapping[str, Any]) -> None:
    used = [f"{what} {', '.join(touch[what])}" for what in ("realms", "applications", "nas") if touch[what]]
    say(f"  {touch['what']} -> {'; '.join(filter(None, [*used, touch['note']]))}")


def _show_history(result: Mapping[str, Any]) -> None:
    columns = ("version", "created_at", "author", "reason")
    rows = [[*(row[name] for name in columns), _in_short(row["changes"])] for row in result["versions"]]
    table([*(name.replace("_", " ") for name in columns), "changes"], rows)


def _in_short(changes: Mapping[str, Any] | None) -> str:
    """What one version changed, on one line."""
    if changes is None:
        return ""
    signs = (("added", "+"), ("changed", "~"), ("removed", "-"))
    names = [f"{sign} {name}" for what, sign in signs for name in changes[what]]
    more = [f"and {len(names) - MAX_NAMES_SHOWN} more"] if len(names) > MAX_NAMES_SHOWN else []
    return ", ".join([*names[:MAX_NAMES_SHOWN], *more])
