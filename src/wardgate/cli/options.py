"""Options that many commands share, and the shape of their help."""

from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_DATA = Path("var")

Data = Annotated[
    Path,
    typer.Option("--data", envvar="WARDGATE_DATA", help="Data directory of the installation.", show_default="var"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Directory = Annotated[str | None, typer.Option("--directory", help="Local directory. Default: the first one of the default realm.")]

AnyDirectory = Annotated[
    str | None, typer.Option("--directory", help="Directory. Default: those of the name's realm, in their order.")
]

Ticket = Annotated[
    str, typer.Option(help="Number of the ticket that this is done for: the audit trail keeps it, and who is told of it reads it.")
]


def example(*lines: str) -> str:
    """The end of a command's help: how it is called. The backspace keeps the lines as they are."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


def group(help_text: str) -> typer.Typer:
    """A group of commands. Plain help without markup: it loads at once and reads the same in a pipe."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def single() -> typer.Typer:
    """A command that stands alone."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)


def for_ticket(ticket: str) -> dict[str, Any]:
    """The parameter of what is done for a ticket; none where there is no ticket."""
    return {"ticket": ticket} if ticket else {}
