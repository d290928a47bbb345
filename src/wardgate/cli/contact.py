"""`wardgate user contact ...`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from wardgate.cli.options import DEFAULT_DATA, AnyDirectory, Data, Json, Ticket, example, for_ticket, group
from wardgate.cli.output import emit, note, say, table
from wardgate.cli.performing import perform

app = group("Phones and mail addresses of a user, in Wardgate's own profile and in his directory, and where his codes go.")

Name = Annotated[str, typer.Argument(help="Login name, with its realm where it is not the default one.")]
Value = Annotated[str, typer.Argument(help="Phone number or mail address.")]
Directory = Annotated[
    str | None, typer.Option("--directory", help="Directory. Default: those of the name's realm, in their order.")
]


@app.command("list", epilog=example("wardgate user contact list ada"))
def list_(name: Name, data: Data = DEFAULT_DATA, directory: AnyDirectory = None, as_json: Json = False) -> None:
    """List a user's contacts and say where his codes go."""
    emit(perform(data, "contact.list", {"name": name, "directory": directory}), as_json, _show_list)


@app.command(
    epilog=example(
        "wardgate user contact add ada +905321234567 --verified", "wardgate user contact add ada ada@acme.test --to-directory"
    )
)
def add(
    name: Name,
    value: Value,
    data: Data = DEFAULT_DATA,
    verified: Annotated[
        bool, typer.Option("--verified", help="You have made sure that it is his; without this no code goes there.")
    ] = False,
    to_directory: Annotated[
        bool, typer.Option("--to-directory", help="Write it to his directory instead, in the place of the preferred one there.")
    ] = False,
    directory: AnyDirectory = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Add a contact to the user's own profile, or write it to his directory where write_contacts allows that."""
    params = {"name": name, "value": value, "verified": verified, "to_directory": to_directory, "directory": directory}
    emit(perform(data, "contact.add", params | for_ticket(ticket)), as_json, _show_added)


@app.command(epilog=example("wardgate user contact remove ada +905321234567"))
def remove(
    name: Name,
    value: Value,
    data: Data = DEFAULT_DATA,
    from_directory: Annotated[
        bool, typer.Option("--from-directory", help="Remove the preferred one that his directory has.")
    ] = False,
    directory: AnyDirectory = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Remove a contact."""
    params = {"name": name, "value": value, "from_directory": from_directory, "directory": directory}
    emit(perform(data, "contact.remove", params | for_ticket(ticket)), as_json, lambda told: _show_change(told, "was removed"))


@app.command(epilog=example("wardgate user contact prefer ada +905321234567", "wardgate user contact prefer ada phone"))
def prefer(
    name: Name,
    value: Annotated[str, typer.Argument(help="One of his own contacts; phone or mail: none of them, but the directory's.")],
    data: Data = DEFAULT_DATA,
    directory: AnyDirectory = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Let codes go to one of the user's own verified contacts, or to the directory's again."""
    params = {"name": name, "value": value, "directory": directory}
    emit(perform(data, "contact.prefer", params | for_ticket(ticket)), as_json, lambda told: _show_change(told, "is preferred"))


def _show_list(result: Mapping[str, Any]) -> None:
    columns = ("kind", "value", "preferred", "verified_at", "source")
    own = [
        {**each, "value": each["value"] or "does not open: it was changed behind Wardgate's back"} for each in result["contacts"]
    ]
    rows = [[each[name] for name in columns] for each in own]
    for kind, values in (("phone", result["of_directory"]["phones"]), ("mail", result["of_directory"]["mails"])):
        rows += [[kind, value, None, None, result["directory"]] for value in values]
    table([name.replace("_", " ") for name in columns], rows)
    for problem in result["of_directory"]["unusable"]:
        note(f"{result['directory']}: {problem}")
    _show_where(result)


def _show_added(result: Mapping[str, Any]) -> None:
    _show_change(result, "was added")
    if not result["verified"]:
        note("It is not verified, so no code goes there: add it with --verified once you have made sure that it is his.")


def _show_change(result: Mapping[str, Any], what: str) -> None:
    where = f" in {result['directory']}" if result["written_to_directory"] else ""
    say(f"{result['value'] or 'The contact of the directory'} {what}{where} for {result['user']}.")
    _show_where(result)


def _show_where(result: Mapping[str, Any]) -> None:
    goes = result["codes_go_to"]
    say(f"Codes go to {goes['phone'] or 'no phone'} by SMS, and to {goes['mail'] or 'no address'} by e-mail.")
