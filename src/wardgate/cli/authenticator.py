"""`wardgate authenticator ...`."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from wardgate.cli.inputs import secret_from_stdin
from wardgate.cli.options import DEFAULT_DATA, AnyDirectory, Data, Json, Ticket, example, for_ticket, group
from wardgate.cli.output import emit, note, say, table
from wardgate.cli.performing import perform
from wardgate.errors import UsageError

app = group("Authenticator apps, devices and recovery codes of users.")

User = Annotated[str, typer.Argument(help="Login name, with its realm where it is not the default one.")]


@app.command(
    epilog=example(
        "wardgate authenticator add ada totp",
        "wardgate authenticator add ada totp --secret-hex 3132333435363738393031323334353637383930 --digits 8 --period 60",
        "wardgate authenticator add erin hotp --secret-stdin --counter 7 < seed.hex",
        "wardgate authenticator add ada recovery",
    )
)
def add(
    name: User,
    kind: Annotated[str, typer.Argument(help="totp, hotp, recovery (codes), or an added factor that lives on a shared secret.")],
    data: Data = DEFAULT_DATA,
    secret_hex: Annotated[str | None, typer.Option(help="The shared secret. Others on this machine can see it here.")] = None,
    secret_stdin: Annotated[
        bool, typer.Option("--secret-stdin", help="Read the secret (hexadecimal) from standard input.")
    ] = False,
    digits: Annotated[int | None, typer.Option(min=6, max=8, help="Length of a code (totp, hotp). Default: 6.")] = None,
    period: Annotated[int | None, typer.Option(help="Seconds between codes (totp): 30 or 60. Default: 30.")] = None,
    algorithm: Annotated[
        str | None, typer.Option(help="SHA1, SHA256 or SHA512 (totp). Default: SHA1, which every app knows.")
    ] = None,
    counter: Annotated[int | None, typer.Option(min=0, help="Next counter of the device (hotp). Default: 0.")] = None,
    label: Annotated[str, typer.Option(help="What it is called.")] = "",
    directory: AnyDirectory = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Enrol an authenticator. Without a secret one is generated and shown once, also as a QR code on a terminal."""
    if secret_hex is not None and secret_stdin:
        raise UsageError("give --secret-hex or --secret-stdin, not both")
    secret = secret_from_stdin("secret") if secret_stdin else secret_hex
    given = {"secret_hex": secret, "digits": digits, "period_s": period, "algorithm": algorithm, "counter": counter}
    params: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    _check_fits(kind, params)
    params |= {"name": name, "label": label, "directory": directory}
    if kind in _FITTING:
        emit(perform(data, f"authenticator.add_{kind}", params | for_ticket(ticket)), as_json, _show_added)
    else:
        emit(perform(data, "authenticator.add_secret", params | {"kind": kind} | for_ticket(ticket)), as_json, _show_added)


@app.command("list", epilog=example("wardgate authenticator list ada"))
def list_(name: User, data: Data = DEFAULT_DATA, directory: AnyDirectory = None, as_json: Json = False) -> None:
    """List what a user can prove himself with, and what was revoked."""
    emit(perform(data, "authenticator.list", {"name": name, "directory": directory}), as_json, _show_list)


@app.command(epilog=example("wardgate authenticator revoke 4mdxk2vspwhy3zq7c5n6ab2eju"))
def revoke(
    authenticator_id: Annotated[str, typer.Argument(metavar="ID", help="The id that list and show print.")],
    data: Data = DEFAULT_DATA,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """End an authenticator and destroy its secret."""
    result = perform(data, "authenticator.revoke", {"authenticator_id": authenticator_id} | for_ticket(ticket))
    emit(result, as_json, lambda told: say(f"The {told['kind']} of {told['user']} was revoked."))


@app.command(epilog=example("wardgate authenticator release 4mdxk2vspwhy3zq7c5n6ab2eju"))
def release(
    authenticator_id: Annotated[str, typer.Argument(metavar="ID", help="The id that list and show print.")],
    data: Data = DEFAULT_DATA,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Let an authenticator prove something again that a restore has held."""
    result = perform(data, "authenticator.release", {"authenticator_id": authenticator_id} | for_ticket(ticket))
    emit(result, as_json, lambda told: say(f"The {told['kind']} of {told['user']} may be used again."))


_FITTING = {
    "totp": {"secret_hex", "digits", "period_s", "algorithm"},
    "hotp": {"secret_hex", "digits", "counter"},
    "recovery": set[str](),
}
_OPTIONS = {
    "secret_hex": "--secret-hex",
    "digits": "--digits",
    "period_s": "--period",
    "algorithm": "--algorithm",
    "counter": "--counter",
}


def _check_fits(kind: str, params: Mapping[str, object]) -> None:
    for name in params:
        if name not in _FITTING.get(kind, {"secret_hex"}):
            raise UsageError(f"{_OPTIONS[name]} has no meaning for {kind}")


def _show_added(result: Mapping[str, Any]) -> None:
    for warning in result.get("warnings", ()):
        note(f"Mind: {warning}.")
    say(f"{result['kind']} {result['id']} was enrolled for {result['user']}.")
    uri = result.get("otpauth_uri")
    if uri is not None:
        say("Shown this once; scan it with the authenticator app:")
        say(uri)
        _show_qr(uri)
    if "secret_hex" in result:
        say(f"Its secret, shown this once: {result['secret_hex']}")
    for number, code in enumerate(result.get("codes", ()), start=1):
        say(f"  {number:>2}. {code}")
    if "codes" in result:
        say("Each works once. They are shown this once; earlier ones have ended.")


def _show_qr(uri: str) -> None:
    if sys.stdout.isatty():
        import segno

        segno.make(uri, error="m").terminal(out=sys.stdout, compact=True)


def _show_list(result: Mapping[str, Any]) -> None:
    columns = ("kind", "state", "label", "id", "created_at", "last_used_at")
    table([name.replace("_", " ") for name in columns], [[each[name] for name in columns] for each in result["authenticators"]])
