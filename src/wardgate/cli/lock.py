"""`wardgate lock ...`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from wardgate.cli.inputs import is_interactive
from wardgate.cli.options import DEFAULT_DATA, AnyDirectory, Data, Json, Ticket, example, for_ticket, group
from wardgate.cli.output import emit, note, say, table
from wardgate.cli.performing import perform
from wardgate.errors import UsageError

app = group("Brakes that hold: who or what has to wait after too many wrong proofs or messages.")


@app.command("list", epilog=example("wardgate lock list", "wardgate lock list --kind network", "wardgate lock list --user ada"))
def list_(
    data: Data = DEFAULT_DATA,
    kind: Annotated[str | None, typer.Option(help="Only brakes of this kind, such as user_source or network.")] = None,
    user: Annotated[str | None, typer.Option(help="Only those of this login name.")] = None,
    as_json: Json = False,
) -> None:
    """List who and what has to wait, since when and until when.

    Of a name that is nobody's only its first letter and its length are shown: it may be a password in the wrong field.
    """
    emit(perform(data, "lock.list", {"kind": kind, "user": user}), as_json, _show_list)


@app.command(
    epilog=example(
        'wardgate lock clear ada --reason "ticket 4711"',
        "wardgate lock clear --source 203.0.113.7",
        "wardgate lock clear --source 203.0.113.0/24",
        "wardgate lock clear --nas hq-firewall",
    )
)
def clear(
    user: Annotated[str | None, typer.Argument(help="Login name whose waits are lifted.")] = None,
    data: Data = DEFAULT_DATA,
    directory: AnyDirectory = None,
    source: Annotated[str | None, typer.Option(help="Client address, or a network as the list shows it.")] = None,
    nas: Annotated[str | None, typer.Option(help="Name of a NAS.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every wait that holds now.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --all.")] = False,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Lift waits: of a user, of a client address or network, of a NAS, or all of them.

    A lock that the directory itself holds stays. Whoever was guessed at is guessed at again: look at the list first.
    """
    if everything and not yes:
        _confirm()
    params = {"user": user, "directory": directory, "source": source, "nas": nas, "everything": everything, "reason": reason}
    emit(perform(data, "lock.clear", params | for_ticket(ticket)), as_json, _show_lifted)


def _confirm() -> None:
    if not is_interactive():
        raise UsageError("nobody can be asked here: say --yes")
    if not typer.confirm("Lift every wait, of attackers too?", err=True):
        raise typer.Abort


def _show_list(result: Mapping[str, Any]) -> None:
    columns = ("brake", "held", "since", "until", "failures", "level")
    table(columns, [[_shown(lock, name) for name in columns] for lock in result["locks"]])
    if result["more"]:
        note("There are more: narrow down with --kind.")


def _shown(lock: Mapping[str, Any], name: str) -> object:
    value = lock[name]
    if name in ("since", "until") and isinstance(value, str):
        return value[:19].replace("T", " ")
    return "lifted by hand" if name == "until" else value


def _show_lifted(result: Mapping[str, Any]) -> None:
    say(f"Waits lifted for {result['what']}: {result['lifted']}.")
