"""`wardgate directory ...`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from wardgate.cli.inputs import MAX_SECRET_BYTES, is_interactive, read_text
from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import EXIT_DONE, EXIT_REFUSED, EXIT_UNAVAILABLE, emit, facts, note, say, table
from wardgate.cli.performing import perform
from wardgate.control import call
from wardgate.errors import UsageError, WardgateError

_MARKS: Final = {"good": "ok  ", "warning": "WARN", "bad": "BAD ", "skipped": "-   "}

app = group("Directories: Active Directory, OpenLDAP, SQL, local. They are configured in the document: wardgate config apply.")


def _names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The configured names, for completion: of a server that runs, and none without one."""
    data = ctx.params.get("data") or DEFAULT_DATA
    try:
        known = call(Path(data), "directory.list", {"ask": False})["directories"]
    except (WardgateError, OSError):
        return []
    return [each["name"] for each in known if each["name"].startswith(incomplete)]


Name = Annotated[str, typer.Argument(help="Name of the directory.", autocompletion=_names)]


@app.command("list", epilog=example("wardgate directory list"))
def list_(data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """List the directories, whether each answers now, and the state of its servers.

    Where a server runs, the states are those that one of its workers holds: up, suspect or down. Exit code 3 when one does not
    answer.
    """
    result = perform(data, "directory.list", {})
    emit(result, as_json, _show_list)
    raise typer.Exit(EXIT_DONE if all(each["answers"] for each in result["directories"]) else EXIT_UNAVAILABLE)


@app.command(
    epilog=example(
        "wardgate directory doctor acme-ad",
        "wardgate directory doctor acme-ad --scratch wardgate-scratch --scratch-password-file /run/secrets/scratch",
    )
)
def doctor(
    name: Name,
    data: Data = DEFAULT_DATA,
    scratch: Annotated[
        str | None, typer.Option(help="Login name of an account for trying reset, unlock and must-change. Its password is changed.")
    ] = None,
    scratch_password_file: Annotated[
        Path | None, typer.Option(help="File with the account's present password, for trying a change; - is standard input.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Examine a directory: connection, rights, policy, servers. For what is missing the lines that give it are printed.

    Nothing is written to the directory without --scratch. Exit code 1 when something is bad, 3 when the directory cannot be
    reached.
    """
    if scratch_password_file is not None and scratch is None:
        raise UsageError("--scratch-password-file goes with --scratch")
    password = _scratch_password(scratch, scratch_password_file)
    params = {"name": name, "scratch": scratch, "scratch_password": password}
    result = perform(data, "directory.examine", params, None if as_json else _show_progress)
    emit(result, as_json, _show_verdict)
    reachable = EXIT_DONE if result["ok"] else EXIT_REFUSED
    raise typer.Exit(reachable if result["reachable"] else EXIT_UNAVAILABLE)


@app.command(
    "test",
    epilog=example("wardgate directory test acme-ad --user ada", "wardgate directory test acme-ad --user ada --check-password"),
)
def look(
    name: Name,
    user: Annotated[str, typer.Option(help="Login name or mail address, as the person would type it.")],
    data: Data = DEFAULT_DATA,
    check_password: Annotated[
        bool,
        typer.Option("--check-password", help="Ask for the password and say what the directory answers. A wrong one counts there."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what Wardgate sees of a user, and where his codes go. Never a password.

    With --check-password, the directory counts a wrong password as it does at a login, so it is not asked when few tries are left;
    Wardgate's own brakes are not touched, and the audit trail notes the try. Exit code 1 when the password is not right.
    """
    password = _asked_password() if check_password else None
    result = perform(data, "directory.test", {"name": name, "user": user, "password": password})
    emit(result, as_json, _show_user)
    right = result["check"] is None or result["check"]["password_was_right"]
    raise typer.Exit(EXIT_DONE if right else EXIT_REFUSED)


def _scratch_password(scratch: str | None, file: Path | None) -> str | None:
    if scratch is None:
        return None
    if file is not None:
        return _first_line(file)
    if not is_interactive():
        return None
    asked = str(
        typer.prompt(f"Present password of {scratch} (empty: do not try a change)", hide_input=True, default="", show_default=False)
    )
    return asked or None


def _asked_password() -> str:
    if is_interactive():
        return str(typer.prompt("Password", hide_input=True, err=True))
    return _first_line(Path("-"))


def _first_line(file: Path) -> str:
    secret = read_text(file, MAX_SECRET_BYTES).partition("\n")[0].removesuffix("\r")
    if not secret:
        raise UsageError(f"{file}: holds no password")
    return secret


def _show_list(result: Mapping[str, Any]) -> None:
    rows = [_row(each) for each in result["directories"]]
    table(("name", "kind", "realms", "answers", "ms", "problem"), rows)
    servers = [(each["name"], server) for each in result["directories"] for server in each["servers"]]
    if servers:
        say("")
        columns = ("directory", "server", "state", "ms", "problem")
        table(columns, [[name, one["server"], one["state"], one["answered_ms"], one["problem"]] for name, one in servers])


def _row(directory: Mapping[str, Any]) -> list[object]:
    return [directory[column] for column in ("name", "kind", "realms", "answers", "took_ms", "problem")]


def _show_progress(event: Mapping[str, object]) -> None:
    finding = event.get("finding")
    if isinstance(finding, Mapping):
        _show_finding(finding)


def _show_finding(finding: Mapping[str, Any]) -> None:
    say(f"{_MARKS[finding['verdict']]} {finding['what']}: {finding['found']}")
    if finding["cure"]:
        say(f"     -> {finding['cure']}")
    for line in finding["grant"]:
        say(f"        {line}")


def _show_verdict(result: Mapping[str, Any]) -> None:
    counts = {word: sum(each["verdict"] == word for each in result["findings"]) for word in _MARKS}
    if not result["reachable"]:
        note(f"wardgate: {result['directory']} cannot be reached: what was not found out says nothing")
    say(f"{counts['good']} good, {counts['warning']} warnings, {counts['bad']} bad, {counts['skipped']} skipped.")


def _show_user(result: Mapping[str, Any]) -> None:
    user = result["user"]
    facts([(name.replace("_", " "), value) for name, value in user.items() if name not in ("groups", "attributes", "lockout")])
    for each in user["groups"]:
        say(f"group  {each['name']}" + (f"  ({'; '.join(each['aliases'])})" if each["aliases"] else ""))
    for name, values in user["attributes"].items():
        say(f"attribute  {name}: {', '.join(values)}")
    for shown, values in (("lockout", user["lockout"]), ("policy", result["policy"]), ("codes go to", result["codes_go_to"])):
        if values is not None:
            say(f"{shown}  " + ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in values.items()))
    say(f"Wardgate can here: {', '.join(result['abilities']) or 'look up and check passwords'}")
    if result["check"] is not None:
        say(_password(result["check"]))


def _password(check: Mapping[str, Any]) -> str:
    """In words: a right password may still let nobody in."""
    verdict = str(check["verdict"]).replace("_", " ")
    if not check["password_was_right"]:
        return "The password is not right." if verdict == "wrong" else f"The password is not known to be right: {verdict}."
    return "The password is right." if verdict == "right" else f"The password is right, but no login goes on: {verdict}."


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
