"""`wardgate token ...`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from wardgate.admin.seed_files import SeedFile, read_seeds
from wardgate.admin.tokens import seed_values
from wardgate.cli.inputs import secret_from_stdin
from wardgate.cli.options import DEFAULT_DATA, AnyDirectory, Data, Json, Ticket, example, for_ticket, group
from wardgate.cli.output import emit, note, say, table
from wardgate.cli.performing import Performer, perform
from wardgate.cli.progress import counting
from wardgate.crypto import Secret
from wardgate.errors import UsageError
from wardgate.jsons import dumps

PIECE: Final = 200
MAX_PROBLEMS: Final = 1_000

app = group("Hardware tokens: seeds from their maker's file, given to people by serial number, taken back.")

Serial = Annotated[str, typer.Argument(help="The serial number that stands on the token.")]


@app.command(
    "import",
    epilog=example(
        "wardgate token import seeds.csv",
        "wardgate token import seeds.xml --password-stdin < password.txt",
        "wardgate token import seeds.xml --key-stdin < key.hex",
    ),
)
def import_(
    file: Annotated[Path, typer.Argument(help="PSKC (RFC 6030) or CSV with a header row.")],
    data: Data = DEFAULT_DATA,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Read the file's key (hexadecimal) from standard input.")] = False,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the file's password from standard input.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Take the new seed of tokens in the stock that nobody has.")] = False,
    as_json: Json = False,
) -> None:
    """Put tokens into the stock. Nobody can use them until they are given to a person.

    CSV columns: serial and secret (hexadecimal or Base32); kind (totp or hotp), digits, period, algorithm, counter and model are
    optional. Bad tokens are told by their line (in a PSKC file by their number) and do not stop the others; exit code 1 when there
    were any.
    """
    if key_stdin and password_stdin:
        raise UsageError("give --key-stdin or --password-stdin, not both")
    given = secret_from_stdin("key" if key_stdin else "password") if key_stdin or password_stdin else None
    read = _read(file, _key(given) if given and key_stdin else None, Secret(given) if given and password_stdin else None)
    with Performer(data) as performer:
        result = _import(read, performer, replace)
    emit(result, as_json, _show_import)
    raise typer.Exit(1 if result["refused"] else 0)


@app.command("list", epilog=example("wardgate token list", "wardgate token list --state spare"))
def list_(
    data: Data = DEFAULT_DATA,
    state: Annotated[str | None, typer.Option(help="Only these: spare, returned, held, assigned or ended.")] = None,
    as_json: Json = False,
) -> None:
    """List the tokens: what lies in the stock, and whose the others are."""
    tokens: list[Mapping[str, Any]] = []
    with Performer(data) as performer:
        after: str | None = ""
        while after is not None:
            page = performer.do("token.list", {"after": after, "state": state})
            tokens += page["tokens"]
            after = page["next"]
    emit({"tokens": tokens}, as_json, _show_list)


@app.command(epilog=example("wardgate token assign 1000042 ada"))
def assign(
    serial: Serial,
    name: Annotated[str, typer.Argument(help="Login name, with its realm where it is not the default one.")],
    data: Data = DEFAULT_DATA,
    directory: AnyDirectory = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Give a token of the stock to a user, who can log in with its codes from then on."""
    emit(
        perform(data, "token.assign", {"serial": serial, "name": name, "directory": directory} | for_ticket(ticket)),
        as_json,
        _show_assigned,
    )


@app.command("return", epilog=example("wardgate token return 1000042"))
def return_(serial: Serial, data: Data = DEFAULT_DATA, ticket: Ticket = "", as_json: Json = False) -> None:
    """Take a token back from whoever has it. It lies in the stock again; one that counts needs a resync before it is given on."""
    result = perform(data, "token.return", {"serial": serial} | for_ticket(ticket))
    emit(result, as_json, lambda told: say(f"{told['serial']} was taken back from {told['user']} and lies in the stock."))


@app.command(epilog=example("wardgate token resync 1000042 755224 287082"))
def resync(
    serial: Serial,
    first: Annotated[str, typer.Argument(help="A code of the token.")],
    second: Annotated[str, typer.Argument(help="The very next one.")],
    data: Data = DEFAULT_DATA,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Bring a token that counts into step, when it was pressed too often or before it is given on. Both codes are spent."""
    result = perform(data, "token.resync", {"serial": serial, "first": first, "second": second} | for_ticket(ticket))
    emit(result, as_json, lambda told: say(f"{told['serial']} is in step again; {told['skipped']} codes were skipped."))


@app.command(epilog=example("wardgate token remove 1000042"))
def remove(serial: Serial, data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Take a token that nobody has out of the stock and destroy its seed."""
    emit(perform(data, "token.remove", {"serial": serial}), as_json, lambda told: say(f"{told['serial']} was removed."))


def _read(file: Path, key: Secret | None, password: Secret | None) -> SeedFile:
    try:
        return read_seeds(file.read_bytes(), key, password)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error


def _key(text: str) -> Secret:
    try:
        return Secret(bytes.fromhex(text))
    except ValueError:
        raise UsageError("the key is not hexadecimal") from None


def _import(read: SeedFile, performer: Performer, replace: bool) -> dict[str, Any]:
    """Send the tokens piece by piece and add up what became of them."""
    problems: list[Mapping[str, Any]] = [{"place": each.place, "reason": each.reason} for each in read.problems]
    imported, refused = 0, len(problems)
    with counting("importing") as advance:
        for start in range(0, len(read.seeds), PIECE):
            piece = [seed_values(place, seed) for place, seed in read.seeds[start : start + PIECE]]
            part = performer.do("token.import_piece", {"seeds": dumps(piece), "replace": replace})
            imported, refused = imported + part["imported"], refused + part["refused"]
            problems += part["problems"]
            advance(start + len(piece), "")
    told = sorted(problems, key=lambda each: int(each["place"]))[:MAX_PROBLEMS]
    return {"imported": imported, "refused": refused, "problems": told}


def _show_import(result: Mapping[str, Any]) -> None:
    for problem in result["problems"]:
        note(f"{problem['place']}: {problem['reason']}")
    if result["refused"] > len(result["problems"]):
        note(f"and {result['refused'] - len(result['problems'])} more")
    say(f"{result['imported']} tokens lie in the stock now, {result['refused']} were refused.")


def _show_list(result: Mapping[str, Any]) -> None:
    columns = ("serial", "kind", "state", "digits", "period_s", "model", "subject_id", "imported_at")
    table([name.replace("_", " ") for name in columns], [[each[name] for name in columns] for each in result["tokens"]])


def _show_assigned(result: Mapping[str, Any]) -> None:
    say(f"{result['serial']} ({result['kind']}) is {result['user']}'s now.")
    if result["held"]:
        note("It lay in the stock at a restore: it counts once its owner has proved another strong factor, or after")
        note(f"  wardgate authenticator release {result['id']}")
