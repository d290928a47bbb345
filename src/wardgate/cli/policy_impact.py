"""`wardgate policy impact`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from wardgate.cli.config import read_document
from wardgate.cli.impact_lines import WORDS, in_full
from wardgate.cli.options import DEFAULT_DATA, Data, Json, example
from wardgate.cli.output import EXIT_DONE, EXIT_REFUSED, EXIT_UNAVAILABLE, emit, say
from wardgate.cli.performing import perform
from wardgate.cli.progress import looking_through
from wardgate.errors import UsageError

EXAMPLES: Final = example(
    "wardgate policy impact wardgate.yaml",
    "wardgate policy impact wardgate.yaml --application vpn --from 203.0.113.7 --fail-on locked-out,denied",
)
_NONE: Final = "none"


def impact(
    file: Annotated[Path, typer.Argument(help="YAML or JSON file, with what it includes; - is standard input.")],
    application: Annotated[str | None, typer.Option(help="Only this one. Default: all that may be decided otherwise.")] = None,
    goal: Annotated[str, typer.Option(help="What for: login, reset, unlock ...")] = "login",
    from_: Annotated[
        str | None, typer.Option("--from", help="The address of the person's machine. Default: one in each network, and elsewhere.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help='When: "sun 03:00", "sun 03:00 Europe/Istanbul" or 2026-11-22T03:00+03:00. Default: now.')
    ] = None,
    nas: Annotated[str | None, typer.Option(help="The NAS that they come through. Default: one of each kind.")] = None,
    limit: Annotated[
        float | None, typer.Option("--limit", min=1, help="Stop after so many seconds. Default: look at everybody.")
    ] = None,
    fail_on: Annotated[
        str, typer.Option(help="Exit with 1 when one of these meets somebody: " + ", ".join(word for word, _ in WORDS.values()))
    ] = "locked-out,weaker",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Tell what a document would mean for how many users: who would be locked out, refused, let in, asked for more or for less.

    Every user of every realm is looked at, with what he has enrolled, and for each application whose decisions may change: from one
    address of each network that its policies name and from elsewhere, through one NAS of each kind, now. Nothing is written.

    Exit code 1 when an effect of --fail-on meets somebody (none: never), else 3 when not everybody could be looked at.
    """
    wrong = _effects(fail_on)
    params = {
        **read_document(file),
        "application": application,
        "goal": goal,
        "client": from_,
        "at": at,
        "nas": nas,
        "limit_s": limit,
    }
    with looking_through("looking at users") as advance:
        result = perform(data, "policy.impact", params, advance)
    found = any(result["effects"][name] for name in wrong)
    emit(result, as_json, _show)
    if found or not result["complete"]:
        raise typer.Exit(EXIT_REFUSED if found else EXIT_UNAVAILABLE)
    raise typer.Exit(EXIT_DONE)


def _effects(fail_on: str) -> list[str]:
    names = {word: name for name, (word, _) in WORDS.items()}
    words = [word.strip() for word in fail_on.split(",") if word.strip() and word.strip() != _NONE]
    for word in words:
        if word not in names:
            raise UsageError(f"--fail-on: {word[:32]!r} is none of {', '.join((*names, _NONE))}")
    return [names[word] for word in words]


def _show(result: Mapping[str, Any]) -> None:
    for line in in_full(result):
        say(line)
