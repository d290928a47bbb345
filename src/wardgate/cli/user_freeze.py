"""`wardgate user freeze` and `wardgate user unfreeze`: of any person, wherever his account is kept."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from wardgate.cli.audit_search import moment
from wardgate.cli.options import DEFAULT_DATA, AnyDirectory, Data, Json, Ticket, example, for_ticket
from wardgate.cli.output import emit, say
from wardgate.cli.performing import perform

Name = Annotated[str, typer.Argument(help="Login name, with its realm where it is not the default one.")]


def add_to(app: typer.Typer) -> None:
    """Put the commands into their group."""
    app.command(epilog=example("wardgate user freeze ada", "wardgate user freeze ada --since 2026-11-20T17:30"))(freeze)
    app.command(epilog=example("wardgate user unfreeze ada", "wardgate user unfreeze ada --bring-back"))(unfreeze)


def freeze(
    name: Name,
    data: Data = DEFAULT_DATA,
    since: Annotated[str | None, typer.Option(help="When it happened that was not him. Default: now.")] = None,
    directory: AnyDirectory = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Freeze an account for somebody who says that something was not him; it stays open to what he had before.

    Sessions and trusted devices end. Authenticators, contacts and answers that were added by himself since then, and in the last 72
    hours, are taken away, and nothing may be added or reset until the freeze is lifted.
    """
    result = perform(data, "user.freeze", {"name": name, "directory": directory, "since": moment(since)} | for_ticket(ticket))
    emit(result, as_json, _show_frozen)


def unfreeze(
    name: Name,
    data: Data = DEFAULT_DATA,
    bring_back: Annotated[
        bool, typer.Option("--bring-back", help="What was taken away with the freeze is his own: give it back.")
    ] = False,
    directory: AnyDirectory = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Lift a freeze, once you know who asks for it.

    What was taken away is gone for good, unless you bring it back: then his authenticators prove something again once he has proved
    another strong factor, or you release them, and his contacts reset no password before their hold has passed.
    """
    result = perform(data, "user.unfreeze", {"name": name, "directory": directory, "bring_back": bring_back} | for_ticket(ticket))
    emit(result, as_json, lambda told: say(f"The account of {told['user']} is frozen no more."))


def _show_frozen(told: Mapping[str, Any]) -> None:
    say(f"The account of {told['user']} is frozen; what was added since {told['since'][:16]} is taken away:")
    say(f"{told['authenticators']} authenticators, {told['contacts']} contacts.")
    if told["back"]:
        say(f"{told['back']} contacts that were removed come back when it is lifted.")
