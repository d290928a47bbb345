"""`wardgate user ...`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer

from wardgate.cli import contact
from wardgate.cli.inputs import is_interactive, secret_from_stdin
from wardgate.cli.options import DEFAULT_DATA, Data, Directory, Json, example, group
from wardgate.cli.output import emit, facts, note, say, table
from wardgate.cli.performing import Performer, perform
from wardgate.cli.progress import counting
from wardgate.errors import UsageError

PAGE: Final = 500
PIECE_BYTES: Final = 512 * 1024
# As the importer: a line that is longer is refused there, so a piece need not hold more of it.
MAX_LINE_BYTES: Final = 64 * 1024
MAX_PROBLEMS: Final = 1_000

app = group("Local users, and the contacts of all.")
app.add_typer(contact.app, name="contact")

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
    result = perform(data, "user.change", {"name": name, "changes": changes, "directory": directory})
    emit(result, as_json, lambda user: say(f"User {user['name']} was changed."))


@app.command(epilog=example("wardgate user disable ada"))
def disable(name: Name, data: Data = DEFAULT_DATA, directory: Directory = None, as_json: Json = False) -> None:
    """Let nobody in under this account."""
    result = perform(data, "user.disable", {"name": name, "directory": directory})
    emit(result, as_json, lambda user: say(f"User {user['name']} is disabled."))


@app.command(epilog=example("wardgate user enable ada"))
def enable(name: Name, data: Data = DEFAULT_DATA, directory: Directory = None, as_json: Json = False) -> None:
    """Make a disabled or locked account usable."""
    result = perform(data, "user.enable", {"name": name, "directory": directory})
    emit(result, as_json, lambda user: say(f"User {user['name']} is enabled."))


@app.command(epilog=example("wardgate user unlock ada"))
def unlock(name: Name, data: Data = DEFAULT_DATA, directory: Directory = None, as_json: Json = False) -> None:
    """Lift an account's lock and the waits after wrong proofs. A disabled account stays disabled."""
    result = perform(data, "user.unlock", {"name": name, "directory": directory})
    emit(result, as_json, lambda user: say(f"User {user['name']} need not wait; the account is {user['state']}."))


@app.command("set-password", epilog=example("printf '%s' \"$PASSWORD\" | wardgate user set-password ada --password-stdin"))
def set_password(
    name: Name,
    data: Data = DEFAULT_DATA,
    password_stdin: PasswordStdin = False,
    must_change: MustChange = False,
    force: Force = False,
    directory: Directory = None,
    as_json: Json = False,
) -> None:
    """Set a password and lift a lock. The directory's password policy and its history hold unless --force is given."""
    password = _password(password_stdin, "give --password-stdin")
    params = {"name": name, "password": password, "must_change": must_change, "directory": directory, "force": force}
    result = perform(data, "user.set_password", params)
    emit(result, as_json, lambda user: say(f"User {user['name']} has a new password."))


@app.command(epilog=example("wardgate user remove ada"))
def remove(name: Name, data: Data = DEFAULT_DATA, directory: Directory = None, as_json: Json = False) -> None:
    """Remove a user and all that hangs on him. Somebody new with the same name inherits nothing."""
    result = perform(data, "user.remove", {"name": name, "directory": directory})
    emit(result, as_json, lambda user: say(f"User {user['name']} is gone."))


@app.command("import", epilog=example("wardgate user import staff.csv"))
def import_(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8 with a header row.")],
    data: Data = DEFAULT_DATA,
    keep_hashes: Annotated[
        bool, typer.Option("--keep-hashes", help="Never upgrade these hashes to Argon2id. wardgate check reports them.")
    ] = False,
    directory: Directory = None,
    as_json: Json = False,
) -> None:
    """Import users. A file may be imported again: who is there already is brought to what the file says.

    Columns: username, password or password_hash, mail, phone, groups (separated by ;), display_name, language,
    totp_secret_hex. Bad rows are listed and do not stop the others; exit code 1 when there were any.
    """
    try:
        with file.open("rb") as stream, Performer(data) as performer:
            result = _import(stream, performer, {"keep_hashes": keep_hashes, "directory": directory})
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    emit(result, as_json, _show_import)
    raise typer.Exit(1 if result["refused"] else 0)


def _import(stream: BinaryIO, performer: Performer, params: Mapping[str, Any]) -> dict[str, Any]:
    """Send the file piece by piece, each with the header row before it, and add up what became of the rows."""
    total: dict[str, Any] = {"added": 0, "changed": 0, "unchanged": 0, "refused": 0, "problems": [], "directory": None}
    size = stream.seek(0, 2)
    stream.seek(0)
    header = stream.readline(MAX_LINE_BYTES)
    if not header.endswith(b"\n") and len(header) == MAX_LINE_BYTES:
        raise UsageError("the header row is too long: this is no CSV file of users")
    with counting("importing", total_bytes=size) as advance:
        for first_line, piece in _pieces(stream):
            text = (header.rstrip(b"\r\n") + b"\n" + piece).decode("utf-8", "surrogateescape")
            part = performer.do("user.import_piece", {**params, "csv": text})
            for name in ("added", "changed", "unchanged", "refused"):
                total[name] += part[name]
            # The piece's line 2 is the file's line `first_line`.
            moved = [{**problem, "line": problem["line"] + first_line - 2} for problem in part["problems"]]
            total["problems"] = [*total["problems"], *moved][:MAX_PROBLEMS]
            total |= {"directory": part["directory"], "ignored_columns": part["ignored_columns"]}
            advance(stream.tell(), "")
    return total


def _pieces(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Whole lines of about PIECE_BYTES together, each time with the number of the first. At least one piece, if empty."""
    line, sent = 2, False
    while lines := stream.readlines(PIECE_BYTES):
        yield line, b"".join(lines)
        line, sent = line + len(lines), True
    if not sent:
        yield line, b""


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
    facts([(name, value) for name, value in user.items() if name != "authenticators"])
    for each in user["authenticators"]:
        say(f"{each['kind']:<14} {each['state']:<8} {each['id']}  {each['label']}".rstrip())


def _show_import(result: Mapping[str, Any]) -> None:
    for problem in result["problems"]:
        note(f"line {problem['line']}: {problem['reason']}")
    if result["refused"] > len(result["problems"]):
        note(f"and {result['refused'] - len(result['problems'])} more lines")
    if result["ignored_columns"]:
        note(f"not known and passed over: {', '.join(result['ignored_columns'])}")
    counts = ", ".join(f"{result[name]} {name}" for name in ("added", "changed", "unchanged", "refused"))
    say(f"{counts}.")
