"""`wardgate config ...`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from wardgate.cli.inputs import read_text
from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import emit, hand_over, note, say, table
from wardgate.cli.performing import perform

# As much as the server takes; it says so itself for what YAML makes of it.
MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024

app = group("The configuration document: realms, directories, gateways, NAS, applications, policies.")

File = Annotated[Path, typer.Argument(help="YAML or JSON file; - is standard input.")]


@app.command(epilog=example('wardgate config apply wardgate.yaml --reason "new branch office"'))
def apply(
    file: File,
    data: Data = DEFAULT_DATA,
    reason: Annotated[str, typer.Option(help="Why, for the history and the audit trail.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it and say what would change.")] = False,
    expect_version: Annotated[
        int | None, typer.Option(help="Refuse when another version than this one is in force by now.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put a whole document in force. What it leaves out is removed.

    References such as {env: NAME} and {file: /PATH} are resolved by the server, and by this command only when no server runs. One
    that is not there is refused; a directory's is told as a warning, and that directory is down until it is there.
    """
    params = {"document": _read(file), "reason": reason, "dry_run": dry_run, "expected_version": expect_version}
    emit(perform(data, "config.apply", params), as_json, _show_changes)


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


@app.command(epilog=example("wardgate config history"))
def history(
    data: Data = DEFAULT_DATA,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many versions.")] = 20,
    as_json: Json = False,
) -> None:
    """List the kept versions, newest first."""
    emit(perform(data, "config.history", {"limit": limit}), as_json, _show_history)


@app.command(epilog=example("wardgate config diff wardgate.yaml"))
def diff(file: File, data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Say what applying a file would change, thing by thing and line by line."""
    emit(perform(data, "config.diff", {"document": _read(file)}), as_json, _show_diff)


@app.command(epilog=example('wardgate config rollback 41 --reason "branch office has no link yet"'))
def rollback(
    version: Annotated[int, typer.Argument(help="The version to put in force again.")],
    data: Data = DEFAULT_DATA,
    reason: Annotated[str, typer.Option(help="Why, for the history and the audit trail.")] = "",
    as_json: Json = False,
) -> None:
    """Put an earlier version in force again, as a new one."""
    emit(perform(data, "config.rollback", {"version": version, "reason": reason}), as_json, _show_changes)


def _read(file: Path) -> str:
    return read_text(file, MAX_DOCUMENT_BYTES)


def _show_changes(result: Mapping[str, Any]) -> None:
    _show_names(result)
    for warning in result["warnings"]:
        note(f"warning: {warning}. The directory is down until it is there.")
    if result["applied"]:
        say(f"Version {result['version']} is in force.")
    elif any(result[what] for what in ("added", "changed", "removed")):
        say(f"Nothing was changed; version {result['version']} is in force.")
    else:
        say(f"Nothing differs from version {result['version']}.")


def _show_diff(result: Mapping[str, Any]) -> None:
    _show_names(result)
    hand_over(result["unified"] or f"Nothing differs from version {result['version']}.")


def _show_names(result: Mapping[str, Any]) -> None:
    for what, sign in (("added", "+"), ("changed", "~"), ("removed", "-")):
        for name in result[what]:
            say(f"{sign} {name}")


def _show_history(result: Mapping[str, Any]) -> None:
    columns = ("version", "created_at", "author", "reason")
    table([name.replace("_", " ") for name in columns], [[row[name] for name in columns] for row in result["versions"]])
