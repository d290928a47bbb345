"""`wardgate user ...`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from wardgate.admin.user_columns import Format, format_of
from wardgate.cli import activation, contact, user_freeze
from wardgate.cli.inputs import is_interactive, secret_from_stdin
from wardgate.cli.options import DEFAULT_DATA, Data, Directory, Json, Ticket, example, for_ticket, group
from wardgate.cli.output import emit, facts, note, say, table
from wardgate.cli.performing import Performer, perform
from wardgate.cli.user_files import COUNTS, export_users, import_file
from wardgate.errors import UsageError

PAGE: Final = 500

app = group("Local users, and the contacts of all.")
app.add_typer(contact.app, name="contact")
activation.register(app)

Name = Annotated[str, typer.Argument(help="Login name.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Force = Annotated[bool, typer.Option("--force", help="Take a password that the directory's password policy refuses.")]
MustChange = Annotated[bool, typer.Option("--must-change", help="He has to choose his own at the next login.")]


@app.command(
    epilog=example(
        "printf '%s' \"$PASSWORD\" | wardgate user add ada --password-stdin --mail ada@example.org --group vpn-users",
        "wardgate user add bob --no-password --phone +905321234567",
    )
)
def add(
    name: Name,
    data: Data = DEFAULT_DATA,
    password_stdin: PasswordStdin = False,
    no_password: Annotated[bool, typer.Option("--no-password", help="He cannot log in until a password is set.")] = False,
    mail: Annotated[str | None, typer.Option(help="Mail address.")] = None,
    phone: Annotated[str | None, typer.Option(help="Phone number with country code.")] = None,
    groups: Annotated[list[str] | None, typer.Option("--group", help="Group; several are allowed.")] = None,
    display_name: Annotated[str | None, typer.Option(help="The name that people read.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of what he is told, such as en or tr.")] = None,
    must_change: MustChange = False,
    force: Force = False,
    directory: Directory = None,
    as_json: Json = False,
) -> None:
    """Create a local user. The password comes from standard input, or is asked for on a terminal.

    It is held to the directory's password policy unless --force is given.
    """
    password = None if no_password else _password(password_stdin, "give --password-stdin or --no-password")
    params: dict[str, Any] = {
        "name": name,
        "password": password,
        "mail": mail,
        "phone": phone,
        "groups": groups or [],
        "display_name": display_name,
        "language": language,
        "must_change": must_change,
        "directory": directory,
        "force": force,
    }
    emit(perform(data, "user.add", params), as_json, lambda user: say(f"User {user['name']} was added to {user['directory']}."))


@app.command("list", epilog=example("wardgate user list --limit 1000"))
def list_(
    data: Data = DEFAULT_DATA,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many at most.")] = 100,
    after: Annotated[str | None, typer.Option(help="Begin after this name.")] = None,
    directory: Directory = None,
    as_json: Json = False,
) -> None:
    """List users by name."""
    users: list[dict[str, Any]] = []
    with Performer(data) as performer:
        while len(users) < limit:
            wanted = {"limit": min(PAGE, limit - len(users)), "after": after, "directory": directory}
            page = performer.do("user.list", wanted)
            users += page["users"]
            after = page["next"]
            if after is None:
                break
    emit({"users": users, "next": after}, as_json, _show_list)


@app.command(epilog=example("wardgate user show ada"))
def show(name: Name, data: Data = DEFAULT_DATA, directory: Directory = None, as_json: Json = False) -> None:
    """Show a user and what he can prove himself with."""
    emit(perform(data, "user.show", {"name": name, "directory": directory}), as_json, _show_user)


@app.command(epilog=example("wardgate user change ada --phone +905321234567", 'wardgate user change ada --mail ""'))
def change(
    name: Name,
    data: Data = DEFAULT_DATA,
    mail: Annotated[str | None, typer.Option(help="Mail address; empty: none.")] = None,
    phone: Annotated[str | None, typer.Option(help="Phone number with country code; empty: none.")] = None,
    groups: Annotated[list[str] | None, typer.Option("--group", help="Group; all of them have to be named anew.")] = None,
    no_groups: Annotated[bool, typer.Option("--no-groups", help="In no group.")] = False,
    display_name: Annotated[str | None, typer.Option(help="The name that people read.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of what he is told.")] = None,
    directory: Directory = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Change what is given and leave the rest."""
    if groups and no_groups:
        raise UsageError("give --group or --no-groups, not both")
    given = {
        "mail": mail,
        "phone": phone,
        "groups": [] if no_groups else groups or None,
        "display_name": display_name,
        "language": language,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    result = perform(data, "user.change", {"name": name, "changes": changes, "directory": directory} | for_ticket(ticket))
    emit(result, as_json, lambda user: say(f"User {user['name']} was changed."))


@app.command(epilog=example("wardgate user disable ada"))
def disable(name: Name, data: Data = DEFAULT_DATA, directory: Directory = None, ticket: Ticket = "", as_json: Json = False) -> None:
    """Let nobody in under this account."""
    result = perform(data, "user.disable", {"name": name, "directory": directory} | for_ticket(ticket))
    emit(result, as_json, lambda user: say(f"User {user['name']} is disabled."))


@app.command(epilog=example("wardgate user enable ada"))
def enable(name: Name, data: Data = DEFAULT_DATA, directory: Directory = None, ticket: Ticket = "", as_json: Json = False) -> None:
    """Make a disabled or locked account usable."""
    result = perform(data, "user.enable", {"name": name, "directory": directory} | for_ticket(ticket))
    emit(result, as_json, lambda user: say(f"User {user['name']} is enabled."))


@app.command(epilog=example("wardgate user lock ada"))
def lock(name: Name, data: Data = DEFAULT_DATA, directory: Directory = None, ticket: Ticket = "", as_json: Json = False) -> None:
    """Let nobody in until the account is unlocked or its password is reset. To keep somebody out for good, disable him."""
    result = perform(data, "user.lock", {"name": name, "directory": directory} | for_ticket(ticket))
    emit(result, as_json, lambda user: say(f"User {user['name']} is locked."))


@app.command(epilog=example("wardgate user unlock ada"))
def unlock(name: Name, data: Data = DEFAULT_DATA, directory: Directory = None, ticket: Ticket = "", as_json: Json = False) -> None:
    """Lift an account's lock and the waits after wrong proofs. A disabled account stays disabled."""
    result = perform(data, "user.unlock", {"name": name, "directory": directory} | for_ticket(ticket))
    emit(result, as_json, lambda user: say(f"User {user['name']} need not wait; the account is {user['state']}."))


@app.command("set-password", epilog=example("printf '%s' \"$PASSWORD\" | wardgate user set-password ada --password-stdin"))
def set_password(
    name: Name,
    data: Data = DEFAULT_DATA,
    password_stdin: PasswordStdin = False,
    must_change: MustChange = False,
    force: Force = False,
    directory: Directory = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Set a password and lift a lock. The directory's password policy and its history hold unless --force is given."""
    password = _password(password_stdin, "give --password-stdin")
    params = {"name": name, "password": password, "must_change": must_change, "directory": directory, "force": force}
    result = perform(data, "user.set_password", params | for_ticket(ticket))
    emit(result, as_json, lambda user: say(f"User {user['name']} has a new password."))


@app.command(epilog=example("wardgate user remove ada"))
def remove(name: Name, data: Data = DEFAULT_DATA, directory: Directory = None, ticket: Ticket = "", as_json: Json = False) -> None:
    """Remove a user and all that hangs on him. Somebody new with the same name inherits nothing."""
    result = perform(data, "user.remove", {"name": name, "directory": directory} | for_ticket(ticket))
    emit(result, as_json, lambda user: say(f"User {user['name']} is gone."))


user_freeze.add_to(app)

FileFormat = Annotated[Format | None, typer.Option("--format", help="Format of the file; default: by the end of its name.")]


@app.command(
    "import",
    epilog=example("wardgate user import staff.csv", "wardgate user import people.ldif --dry-run", "wardgate user import hr.json"),
)
def import_(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8 with a header row, LDIF, or JSON.")],
    data: Data = DEFAULT_DATA,
    form: FileFormat = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would become of the users, and change nothing.")] = False,
    silent: Annotated[
        bool,
        typer.Option("--silent", help="Tell nobody but administrators what was changed in his account. The audit trail says that."),
    ] = False,
    keep_hashes: Annotated[
        bool, typer.Option("--keep-hashes", help="Never upgrade these hashes to Argon2id. wardgate check reports them.")
    ] = False,
    directory: Directory = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Import users. A file may be imported again: who is there already is brought to what the file says.

    Columns: username, password or password_hash, mail, phone, groups (separated by ;), display_name, language, state (active,
    disabled, locked), must_change, expires_at, totp_secret_hex. JSON has the same names, as one array or one object on each line;
    LDIF has those of inetOrgPerson. Bad rows are listed and do not stop the others; exit code 1 when there were any. Passwords
    are taken as they are: the password policy is not asked. Who was given an app, a password or another contact is told, once.
    """
    params = {"keep_hashes": keep_hashes, "directory": directory, "dry_run": dry_run, "silent": silent} | for_ticket(ticket)
    try:
        with file.open("rb") as stream, Performer(data) as performer:
            result = import_file(stream, form or format_of(file), performer, params)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    emit(result, as_json, _show_import)
    raise typer.Exit(1 if result["refused"] else 0)


@app.command(
    epilog=example(
        "wardgate user export --output staff.csv",
        "wardgate user export --format ldif > staff.ldif",
        "wardgate user export --output staff.json --with-hashes",
    )
)
def export(
    data: Data = DEFAULT_DATA,
    output: Annotated[Path | None, typer.Option(help="A new file, readable by its owner alone; default: standard output.")] = None,
    form: FileFormat = None,
    with_hashes: Annotated[
        bool, typer.Option("--with-hashes", help="With the hashes of their passwords: keep the file as you keep the database.")
    ] = False,
    directory: Directory = None,
    as_json: Json = False,
) -> None:
    """Write all local users as `user import` takes them, by name, without secrets unless they are asked for.

    In CSV a cell that a spreadsheet would take for a formula begins with a quote, which the import takes away again.
    """
    if as_json and output is None:
        raise UsageError("--json tells of the file: name one with --output")
    chosen = form or format_of(output or Path("-"))
    with Performer(data) as performer:
        result = export_users(performer, chosen, output, {"with_hashes": with_hashes, "directory": directory})
    if output is not None:
        emit(result, as_json, lambda told: say(f"{told['users']} users of {told['directory']} were written to {told['file']}."))


def _password(from_stdin: bool, otherwise: str) -> str:
    if from_stdin:
        return secret_from_stdin("password")
    if is_interactive():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    raise UsageError(otherwise)


def _show_list(result: Mapping[str, Any]) -> None:
    columns = ("name", "display_name", "mail", "phone", "groups", "state")
    table([name.replace("_", " ") for name in columns], [[user[name] for name in columns] for user in result["users"]])
    if result["next"] is not None:
        note(f"There are more: --after {result['next']}")


def _show_user(user: Mapping[str, Any]) -> None:
    facts([(name, value) for name, value in user.items() if name not in ("authenticators", "activation")])
    if (activation := user["activation"]) is not None:
        given = [each for each in (activation["link"], "print" if activation["has_code"] else None) if each]
        say(f"activation open, by {' and '.join(given)}, issued by {activation['issuer']} at {activation['issued_at']}")
    for each in user["authenticators"]:
        say(f"{each['kind']:<14} {each['state']:<8} {each['id']}  {each['label']}".rstrip())


def _show_import(result: Mapping[str, Any]) -> None:
    for problem in result["problems"]:
        note(f"line {problem['line']}: {problem['reason']}")
    if result["refused"] > len(result["problems"]):
        note(f"and {result['refused'] - len(result['problems'])} more lines")
    if result["ignored_columns"]:
        note(f"not known and passed over: {', '.join(result['ignored_columns'])}")
    if result["passed_over"]:
        note(f"entries that are no persons, passed over: {result['passed_over']}")
    counts = ", ".join(f"{result[name]} {name}" for name in COUNTS)
    say(f"{counts}, if it were imported." if result["dry_run"] else f"{counts}.")
