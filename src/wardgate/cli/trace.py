"""`wardgate trace`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, single
from wardgate.cli.output import emit, say
from wardgate.cli.performing import perform
from wardgate.errors import UsageError

app = single()


@app.command(epilog=example("wardgate trace 7H2K9QXA", "wardgate trace --user ada --last"))
def trace(
    reference: Annotated[str | None, typer.Argument(help="The reference that the user was shown.")] = None,
    data: Data = DEFAULT_DATA,
    user: Annotated[str | None, typer.Option(help="Name as it was typed at the login.")] = None,
    last: Annotated[bool, typer.Option("--last", help="The user's last login (which is what --user shows).")] = False,
    as_json: Json = False,
) -> None:
    """Print what came, what was decided and why, step by step with durations."""
    if (reference is None) == (user is None):
        raise UsageError("give a reference, or --user NAME --last")
    if last and user is None:
        raise UsageError("--last goes with --user NAME")
    if user is not None:
        result = perform(data, "trace.user", {"name": user})
    else:
        result = perform(data, "trace.reference", {"reference": reference})
    emit(result, as_json, _show)


def _show(result: Mapping[str, Any]) -> None:
    for number, entry in enumerate(result["entries"]):
        if number:
            say("")
        _show_entry(entry)


def _show_entry(entry: Mapping[str, Any]) -> None:
    say(f"{entry['reference']}  {entry['at']}  {entry['door']}  {entry['result'] or '-'}  ({entry['took_ms']:.1f} ms)")
    for name in ("user", "application", "nas", "source", "client"):
        if entry.get(name):
            say(f"  {name:<12} {entry[name]}")
    for step in entry["steps"]:
        details = ", ".join(f"{name}: {value}" for name, value in step["detail"].items())
        say(f"  {step['at_ms']:>9.1f} ms  {step['what']}" + (f" ({details})" if details else ""))
    if entry["why"]:
        say(f"  why          {entry['why']}")
    if entry["text"]:
        say(f"  told         {entry['text']}")
