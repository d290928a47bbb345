"""`wardgate user activate` and `wardgate user activation`: the first visit of new people."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from wardgate.admin.activations import WAYS
from wardgate.cli.activation_sheet import html_sheets
from wardgate.cli.inputs import read_text
from wardgate.cli.options import DEFAULT_DATA, AnyDirectory, Data, Json, Ticket, example, for_ticket
from wardgate.cli.output import emit, facts, note, say
from wardgate.cli.performing import Performer, perform
from wardgate.errors import UsageError, WardgateError

MAX_FILE_BYTES: Final = 1_048_576
MAX_NAMES: Final = 5_000


def activate(
    name: Annotated[str | None, typer.Argument(help="Login name, with its realm where it is not the default one.")] = None,
    data: Data = DEFAULT_DATA,
    by: Annotated[
        list[str] | None, typer.Option("--by", help=f"{', '.join(WAYS)}; print beside mail or sms gives link and code.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Many at once: one login name on each line.")] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Write the codes as sheets to print into this new file; one that ends with .html opens in a browser."),
    ] = None,
    all_unenrolled: Annotated[
        bool, typer.Option("--all-unenrolled", help="Everybody who has no authenticator and no activation that is open.")
    ] = False,
    group: Annotated[str | None, typer.Option(help="With --all-unenrolled: only members of this group.")] = None,
    tell: Annotated[
        str | None, typer.Option(help="Mail address that gets word when the account is set up, or wrong answers ended it.")
    ] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Take the open activation back instead.")] = False,
    directory: AnyDirectory = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Let a new person set up the account: by a link in a message, a start code on paper, or both.

    A code is shown here once and never again. An earlier activation of the same person ends. Exit code 1 when any was refused.
    """
    if group is not None and not all_unenrolled:
        raise UsageError("--group goes with --all-unenrolled")
    if all_unenrolled and cancel:
        raise UsageError("--cancel takes names: who has an activation that is open is not among --all-unenrolled")
    names = _unenrolled(data, group, directory, name, file) if all_unenrolled else _names(name, file)
    if cancel:
        params = {"directory": directory} | for_ticket(ticket)
        result = {"cancelled": [perform(data, "activation.cancel", {"name": each} | params) for each in names]}
        emit(result, as_json, _show_cancelled)
        return
    if sheet is not None and "print" not in (by or []):
        raise UsageError("a sheet holds start codes: add --by print")
    if sheet is not None:
        # Before anything is issued: codes that could not be written would be lost.
        _create(sheet)
    issued, refused = _issue(data, names, {"by": by or [], "tell": tell, "directory": directory} | for_ticket(ticket))
    if sheet is not None:
        sheet.write_text(_sheets(issued, sheet), encoding="utf-8")
    emit({"issued": issued, "refused": refused}, as_json, lambda told: _show(told, with_codes=sheet is None))
    raise typer.Exit(1 if refused else 0)


def status(
    name: Annotated[str, typer.Argument(help="Login name, with its realm where it is not the default one.")],
    data: Data = DEFAULT_DATA,
    directory: AnyDirectory = None,
    as_json: Json = False,
) -> None:
    """Show how the last activation of a person stands, without link and code."""
    emit(perform(data, "activation.show", {"name": name, "directory": directory}), as_json, _show_status)


def register(app: typer.Typer) -> None:
    """Put both beside the other commands about users."""
    lines = (
        "wardgate user activate grace --by mail --by print",
        "wardgate user activate --file new.txt --by print --sheet sheets.txt",
        "wardgate user activate --all-unenrolled --group vpn-users --by print --sheet sheets.html",
        "wardgate user activate grace --cancel",
    )
    app.command(epilog=example(*lines))(activate)
    app.command("activation", epilog=example("wardgate user activation grace"))(status)


def _names(name: str | None, file: Path | None) -> list[str]:
    if (name is None) == (file is None):
        raise UsageError("give a name or --file, not both")
    if file is None:
        return [name or ""]
    names = [line.strip() for line in read_text(file, MAX_FILE_BYTES).splitlines() if line.strip()]
    if not 0 < len(names) <= MAX_NAMES:
        raise UsageError(f"{file}: 1 to {MAX_NAMES} names are needed, one on each line")
    return list(dict.fromkeys(names))


def _issue(data: Path, names: list[str], params: Mapping[str, object]) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """One after the other: whoever cannot be activated does not stop the rest. A single one fails as itself."""
    issued: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    with Performer(data) as performer:
        for each in names:
            try:
                issued.append(performer.do("activation.issue", {"name": each, **params}))
            except WardgateError as error:
                if len(names) == 1:
                    raise
                refused.append({"name": each, "reason": error.message})
    return issued, refused


def _unenrolled(data: Path, group: str | None, directory: str | None, name: str | None, file: Path | None) -> list[str]:
    if name is not None or file is not None:
        raise UsageError("give a name, --file or --all-unenrolled, not several")
    found: list[str] = perform(data, "activation.unenrolled", {"group": group, "directory": directory})["names"]
    return found


def _create(sheet: Path) -> None:
    """A new file that its owner alone reads."""
    try:
        sheet.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise UsageError(f"{sheet}: cannot be written: {error.strerror}") from error


def _sheets(issued: Sequence[Mapping[str, Any]], sheet: Path) -> str:
    if sheet.suffix.lower() in (".html", ".htm"):
        return html_sheets(issued)
    return "\f".join(_sheet(each) for each in issued)


def _sheet(told: Mapping[str, Any]) -> str:
    """What one person gets on paper."""
    rows = (
        f"For: {told['display_name'] or told['user']}",
        f"Set up your account at: {told['address']}",
        f"User name: {told['login_name']}",
        f"Start code: {told['code']}",
        f"It works once, until {str(told['code_until'])[:10]}. Have your phone at hand. Show this sheet to nobody.",
    )
    return "\n\n".join(rows) + "\n"


def _show(result: Mapping[str, Any], with_codes: bool) -> None:
    if not result["issued"] and not result["refused"]:
        say("Nobody is without an authenticator or an activation.")
    for each in result["issued"]:
        if each["sent_to"]:
            say(f"A link for {each['user']} is on its way to {each['sent_to']}; it works until {each['link_until']}.")
        if each["code"] and with_codes:
            say(f"{each['login_name']}: start code {each['code']} for {each['address']}, until {each['code_until']}.")
        if not each["second_proofs"]:
            note(f"{each['user']} has no second proof that we know of: give a code beside the link, or add a contact.")
    for each in result["refused"]:
        note(f"{each['name']}: {each['reason']}")


def _show_cancelled(result: Mapping[str, Any]) -> None:
    for each in result["cancelled"]:
        say(f"The activation of {each['user']} is cancelled.")


def _show_status(result: Mapping[str, Any]) -> None:
    if result["activation"] is None:
        say(f"{result['user']} was never issued an activation, or it is long over.")
        return
    facts(list(result["activation"].items()))
