"""`wardgate check`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, single
from wardgate.cli.output import EXIT_REFUSED, emit, say
from wardgate.cli.performing import perform
from wardgate.errors import SealError, SettingsError

app = single()


@app.command(epilog=example("wardgate check --online"))
def check(
    data: Data = DEFAULT_DATA,
    online: Annotated[
        bool, typer.Option("--online", help="Also see whether directories answer and gateways' servers take a connection.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look for what is wrong or weak in settings, files, database, keys, certificates and NAS, and say what to do.

    Exit code 1 when anything is wrong; warnings alone leave it at 0.
    """
    try:
        result = perform(data, "check", {"online": online})
    except (SettingsError, SealError) as error:
        # So wrong that nothing could be opened: that is a finding too.
        result = {"ok": False, "findings": _findings_of(error.message)}
    emit(result, as_json, _show)
    raise typer.Exit(0 if result["ok"] else EXIT_REFUSED)


def _findings_of(message: str) -> list[dict[str, str]]:
    """One for each fault: a message about a file lists them on lines of their own, below the name of the file."""
    head, *faults = message.split("\n")
    found = []
    for each in [f"{head} {fault}" for fault in faults] or [head]:
        problem, _, cure = each.rpartition(": ")
        found.append({"level": "error", "what": problem or each, "cure": cure})
    return found


def _show(result: Mapping[str, Any]) -> None:
    for finding in result["findings"]:
        say(f"{finding['level']:<8} {finding['what']}")
        say(f"{'':<8} -> {finding['cure']}")
    if not result["findings"]:
        say("Nothing is wrong.")
