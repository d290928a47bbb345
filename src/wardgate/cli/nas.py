"""`wardgate nas ...`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from wardgate.cli.inputs import secret_from_stdin
from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import emit, facts, note, say, table
from wardgate.cli.performing import perform

Reason = Annotated[str, typer.Option(help="Why, for the history and the audit trail.")]
app = group("NAS: the firewalls, VPNs and switches that ask by RADIUS.")


@app.command(
    epilog=example(
        "wardgate nas add hq-firewall --address 10.0.0.1 --application vpn --vendor paloalto",
        "printf '%s' \"$SECRET\" | wardgate nas add lab --address 10.9.0.0/24 --secret-stdin --application vpn",
    )
)
def add(
    name: Annotated[str, typer.Argument(help="Name of the NAS.")],
    address: Annotated[list[str], typer.Option(help="Address or network that its packets come from; several are allowed.")],
    application: Annotated[str, typer.Option(help="What a login through it is for; created when it does not exist.")],
    data: Data = DEFAULT_DATA,
    secret_stdin: Annotated[bool, typer.Option("--secret-stdin", help="Read the shared secret from standard input.")] = False,
    secret_env: Annotated[str | None, typer.Option(help="Environment variable of the server that holds the secret.")] = None,
    secret_file: Annotated[str | None, typer.Option(help="File on the server that holds the secret.")] = None,
    vendor: Annotated[str, typer.Option(help="Profile with the vendor's defaults: generic, paloalto.")] = "generic",
    message_authenticator: Annotated[
        Literal["require", "accept_missing", "auto"], typer.Option(help="What to do with requests that lack Message-Authenticator.")
    ] = "require",
    mode: Annotated[
        Literal["challenge", "password_then_code", "code_then_password", "code_only"],
        typer.Option(help="Ask for the code in a second request, or take everything in one."),
    ] = "challenge",
    separator: Annotated[str, typer.Option(help="What stands between password and code in one field. Default: nothing.")] = "",
    code_digits: Annotated[int, typer.Option(min=4, max=10, help="Length of the code in one field.")] = 6,
    identifier: Annotated[str | None, typer.Option(help="NAS-Identifier that tells two NAS at one address apart.")] = None,
    limit_proxy_state: Annotated[
        bool,
        typer.Option(help="Drop requests with Proxy-State and without Message-Authenticator."),
    ] = True,
    language: Annotated[str | None, typer.Option(help="Language of prompts. Default: the user's.")] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Add a NAS. Without a secret one is generated and printed, once."""
    params: dict[str, Any] = {
        "name": name,
        "addresses": address,
        "application": application,
        "secret": secret_from_stdin("shared secret") if secret_stdin else None,
        "secret_env": secret_env,
        "secret_file": secret_file,
        "vendor": vendor,
        "message_authenticator": message_authenticator,
        "mode": mode,
        "separator": separator,
        "code_digits": code_digits,
        "identifier": identifier,
        "limit_proxy_state": limit_proxy_state,
        "language": language,
        "reason": reason,
    }
    emit(perform(data, "nas.add", params), as_json, _show_added)


@app.command(
    epilog=example(
        "wardgate nas change hq-firewall --new-secret",
        "wardgate nas change hq-firewall --message-authenticator accept_missing",
    )
)
def change(
    name: Annotated[str, typer.Argument(help="Name of the NAS.")],
    data: Data = DEFAULT_DATA,
    address: Annotated[list[str] | None, typer.Option(help="Addresses instead of the present ones; several are allowed.")] = None,
    secret_stdin: Annotated[bool, typer.Option("--secret-stdin", help="Read the shared secret from standard input.")] = False,
    new_secret: Annotated[bool, typer.Option("--new-secret", help="Make a new shared secret and print it, once.")] = False,
    vendor: Annotated[str | None, typer.Option(help="Profile with the vendor's defaults: generic, paloalto.")] = None,
    message_authenticator: Annotated[
        Literal["require", "accept_missing", "auto"] | None,
        typer.Option(help="What to do with requests that lack Message-Authenticator."),
    ] = None,
    mode: Annotated[
        Literal["challenge", "password_then_code", "code_then_password", "code_only"] | None,
        typer.Option(help="Ask for the code in a second request, or take everything in one."),
    ] = None,
    limit_proxy_state: Annotated[
        bool | None,
        typer.Option(help="Drop requests with Proxy-State and without Message-Authenticator."),
    ] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Change a NAS: only what is given. Logins that are open there go on."""
    params: dict[str, Any] = {
        "name": name,
        "addresses": address,
        "secret": secret_from_stdin("shared secret") if secret_stdin else None,
        "new_secret": new_secret,
        "vendor": vendor,
        "message_authenticator": message_authenticator,
        "mode": mode,
        "limit_proxy_state": limit_proxy_state,
        "reason": reason,
    }
    emit(perform(data, "nas.change", params), as_json, _show_changed)


@app.command("list", epilog=example("wardgate nas list"))
def list_(data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """List every NAS."""
    emit(perform(data, "nas.list", {}), as_json, _show_list)


@app.command(epilog=example("wardgate nas show hq-firewall"))
def show(name: Annotated[str, typer.Argument(help="Name of the NAS.")], data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Show one NAS, without its secret."""
    emit(perform(data, "nas.show", {"name": name}), as_json, lambda result: facts(list(result["nas"].items())))


@app.command(epilog=example("wardgate nas remove lab"))
def remove(
    name: Annotated[str, typer.Argument(help="Name of the NAS.")],
    data: Data = DEFAULT_DATA,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Remove a NAS. Its application stays."""
    emit(
        perform(data, "nas.remove", {"name": name, "reason": reason}), as_json, lambda result: say(f"NAS {result['name']} is gone.")
    )


def _show_added(result: Mapping[str, Any]) -> None:
    nas = result["nas"]
    if result["application_created"]:
        note(f"The application {nas['application']} did not exist and was created.")
    say(f"NAS {nas['name']} may ask from {', '.join(nas['addresses'])}.")
    if "secret" in result:
        say(f"Shared secret, shown this once: {result['secret']}")


def _show_changed(result: Mapping[str, Any]) -> None:
    say(f"NAS {result['nas']['name']}: changed {', '.join(result['changed'])}.")
    if "secret" in result:
        say(f"Shared secret, shown this once: {result['secret']}")


def _show_list(result: Mapping[str, Any]) -> None:
    columns = ("name", "addresses", "application", "vendor", "mode", "message_authenticator", "secret")
    table([name.replace("_", "-") for name in columns], [[nas[name] for name in columns] for nas in result["nas"]])
