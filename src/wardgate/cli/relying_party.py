"""`wardgate relying-party ...`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from wardgate.cli.inputs import read_text
from wardgate.cli.options import DEFAULT_DATA, AnyDirectory, Data, Json, example, group
from wardgate.cli.output import EXIT_REFUSED, emit, facts, hand_over, note, say, table
from wardgate.cli.performing import perform
from wardgate.errors import NotFound, UsageError

MAX_METADATA_BYTES: Final = 2 * 1024 * 1024
Reason = Annotated[str, typer.Option(help="Why, for the history and the audit trail.")]
Name = Annotated[str, typer.Argument(help="Name of the application.")]
# Of an application, in this order.
_SHOWN: Final = (
    "entity_id",
    "sign",
    "encrypt",
    "key",
    "name_id",
    "claims",
    "signed_requests",
    "idp_initiated",
    "logout",
    "valid_until",
)
app = group("Relying parties: web applications that trust our statement about who signed in (SAML).")


@app.command(
    epilog=example(
        "wardgate relying-party add wiki --metadata wiki.xml --policy web --claim mail=mail --claim name=display_name",
        "wardgate relying-party add shop --metadata https://shop.acme.test/saml --allow 10.1.2.0/24",
        "wardgate relying-party add mail --preset google-workspace --entity-id ID --acs https://accounts.google.com/samlrp/ID/acs",
    )
)
def add(
    name: Name,
    data: Data = DEFAULT_DATA,
    metadata: Annotated[str | None, typer.Option(help="Its metadata: a file, an https address, or - for standard input.")] = None,
    metadata_file: Annotated[str | None, typer.Option(help="The same as a file on the server, read there at each start.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="Network inside your own that the address may lead to; several are allowed.")
    ] = None,
    authority: Annotated[str | None, typer.Option(help="PEM file on the server with the authority of that address.")] = None,
    entity_id: Annotated[str | None, typer.Option(help="What it calls itself; needed without metadata, or among several.")] = None,
    acs: Annotated[list[str] | None, typer.Option(help="Without metadata: where responses go; several are allowed.")] = None,
    claim: Annotated[
        list[str] | None, typer.Option(help="NAME=SOURCE: what it is told, such as mail=mail; several are allowed.")
    ] = None,
    sign: Annotated[
        Literal["assertion", "response", "both"] | None, typer.Option(help="What of an answer is signed. Default: the preset's.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Whose product it is: generic, google-workspace, salesforce, aws ...")] = "generic",
    policy: Annotated[str | None, typer.Option(help="Policy by name. Default: password and any second factor.")] = None,
    title: Annotated[str | None, typer.Option(help="What people read. Default: the name.")] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Add an application. Its metadata is read, or fetched, before anything is written."""
    params: dict[str, Any] = {
        "name": name,
        "preset": preset,
        "allow": allow or [],
        "authority": authority,
        "entity_id": entity_id,
        "acs": acs or [],
        "claims": _claims(claim or ()),
        "sign": sign,
        "policy": policy,
        "title": title,
        "reason": reason,
    }
    params |= _place(metadata, metadata_file)
    emit(perform(data, "relying-party.add", params), as_json, _show_added)


@app.command(
    epilog=example(
        "wardgate relying-party renew wiki --metadata wiki.xml",
        "wardgate relying-party renew shop",
    )
)
def renew(
    name: Name,
    data: Data = DEFAULT_DATA,
    metadata: Annotated[str | None, typer.Option(help="Its present metadata: a file, an https address, or -.")] = None,
    metadata_file: Annotated[str | None, typer.Option(help="The same as a file on the server, read there at each start.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="Network inside your own that the address may lead to; several are allowed.")
    ] = None,
    authority: Annotated[str | None, typer.Option(help="PEM file on the server with the authority of that address.")] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Take its present metadata; all else that is said of it stays. Without --metadata its address is read at once."""
    params: dict[str, Any] = {"name": name, "allow": allow or [], "authority": authority, "reason": reason}
    emit(perform(data, "relying-party.renew", params | _place(metadata, metadata_file)), as_json, _show_renewed)


@app.command("list", epilog=example("wardgate relying-party list"))
def list_(data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """List the applications, with what keeps one from being served."""
    emit(perform(data, "relying-party.list", {}), as_json, _show_list)


@app.command(epilog=example("wardgate relying-party show wiki"))
def show(name: Name, data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Show one application in full, and what has to be set at it."""
    emit(perform(data, "relying-party.show", {"name": name}), as_json, _show_one)


@app.command("test", epilog=example("wardgate relying-party test wiki", "wardgate relying-party test wiki --online"))
def examine(
    name: Name,
    data: Data = DEFAULT_DATA,
    online: Annotated[bool, typer.Option("--online", help="Also try whether its addresses take a connection.")] = False,
    as_json: Json = False,
) -> None:
    """Look for what is wrong or weak in one application, and say what cannot be seen from here.

    Exit code 1 when anything keeps it from being served.
    """
    result = perform(data, "relying-party.test", {"name": name, "online": online})
    emit(result, as_json, _show_tested)
    raise typer.Exit(0 if result["ok"] else EXIT_REFUSED)


@app.command(
    epilog=example("wardgate relying-party preview wiki --user ada", "wardgate relying-party preview wiki --user ada --json")
)
def preview(
    name: Name,
    user: Annotated[str, typer.Option(help="Whose statement it would be, by the name that he signs in with.")],
    data: Data = DEFAULT_DATA,
    directory: AnyDirectory = None,
    as_json: Json = False,
) -> None:
    """Print the assertion that would be sent about a person, unsigned. Nobody is signed in by it."""
    emit(perform(data, "relying-party.preview", {"name": name, "user": user, "directory": directory}), as_json, _show_preview)


@app.command(epilog=example("wardgate relying-party remove wiki"))
def remove(name: Name, data: Data = DEFAULT_DATA, reason: Reason = "", as_json: Json = False) -> None:
    """Remove an application: nobody is sent there any more."""
    params = {"name": name, "reason": reason}
    emit(perform(data, "relying-party.remove", params), as_json, lambda result: say(f"Relying party {result['name']} is gone."))


@app.command(epilog=example("wardgate relying-party keys", "wardgate relying-party keys --pem > wardgate.pem"))
def keys(
    data: Data = DEFAULT_DATA,
    pem: Annotated[
        bool, typer.Option("--pem", help="Print the certificates instead: those that sign, and those that come next.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List our signing keys: which signs, which comes next, which is published still."""
    emit(perform(data, "relying-party.keys", {}), as_json, _show_certificates if pem else _show_keys)


@app.command(
    "roll-key",
    epilog=example("wardgate relying-party roll-key", "wardgate relying-party roll-key --kind rsa --notice 0 --stay 0"),
)
def roll_key(
    data: Data = DEFAULT_DATA,
    kind: Annotated[Literal["rsa", "p256"], typer.Option(help="Which of our keys.")] = "rsa",
    bits: Annotated[int, typer.Option(help="Length of an RSA key: 2048, 3072 or 4096.")] = 2048,
    notice: Annotated[int, typer.Option(help="Days for which the next key is published before it signs; 0: at once.")] = 7,
    stay: Annotated[int, typer.Option(help="Days for which the old one stays published after that.")] = 7,
    as_json: Json = False,
) -> None:
    """Publish the next signing key. It signs by itself when its time has come; applications with a copy need our metadata anew."""
    params = {"kind": kind, "bits": bits, "notice_days": notice, "stay_days": stay}
    emit(perform(data, "relying-party.roll-key", params), as_json, _show_rolled)


def _place(metadata: str | None, file: str | None) -> dict[str, str | None]:
    """Where metadata comes from."""
    if metadata is not None and file is not None:
        raise UsageError("give its metadata once: --metadata or --metadata-file")
    by_url = metadata is not None and metadata.startswith(("http:", "https:"))
    text = read_text(Path(metadata), MAX_METADATA_BYTES) if metadata is not None and not by_url else None
    return {"text": text, "file": file, "url": metadata if by_url else None}


def _claims(written: Sequence[str]) -> dict[str, str]:
    """By the last sign: names may be addresses with a query."""
    parts = [each.rpartition("=") for each in written]
    if any(not name or not source for name, _, source in parts):
        raise UsageError("a claim is written NAME=SOURCE, such as mail=mail or login={user_name}@acme.test")
    if len({name for name, _, _ in parts}) != len(parts):
        raise UsageError("one claim is there twice")
    return {name: source for name, _, source in parts}


def _show_renewed(result: Mapping[str, Any]) -> None:
    say(f"Relying party {result['name']} has its present metadata.")
    _show_one(result)
    _tell_end(result)


def _show_added(result: Mapping[str, Any]) -> None:
    say(f"Relying party {result['name']} is known.")
    _show_one(result)
    _tell_end(result)


def _tell_end(result: Mapping[str, Any]) -> None:
    party = result["party"]
    if party is not None and party["valid_until"] is not None and not result["metadata"].startswith("https:"):
        note(f"Its metadata ends on {party['valid_until'][:10]}, and then nobody signs in there until it is renewed by hand.")
        note("Where it has an address, give that, which is read again and again: wardgate relying-party renew NAME --metadata URL")


def _show_list(result: Mapping[str, Any]) -> None:
    columns = ("name", "preset", "entity_id", "policy", "metadata", "valid_until", "problem")
    rows = [[party[name] for name in columns] for party in result["relying_parties"]]
    table([name.replace("_", "-") for name in columns], rows)


def _show_one(result: Mapping[str, Any]) -> None:
    party = result["party"]
    rows = [(name, result[name]) for name in ("preset", "policy", "metadata", "fetched_at", "problem")]
    if party is not None:
        rows += [(name, party[name]) for name in _SHOWN if party[name] not in (None, [])]
    facts([(name.replace("_", " "), value) for name, value in rows if value is not None])
    if party is not None:
        for each in party["acs"]:
            say(f"responses go to {each['url']}" + (" (where nothing else is asked for)" if each["default"] else ""))
        for each in party["certificates"]["signing"]:
            say(f"its requests are checked with the key {each['sha256']}, certificate until {each['ends_at']}")
    say("")
    say("To be set at the application:")
    facts([(f"our {name.replace('_', ' ')}", address) for name, address in result["ours"].items()])
    for line in result["there"]:
        say(f"- {line}")
    say(f"- {result['own_login']}")
    if result["source"]:
        say(f"(written from: {result['source']}; not run)")


def _show_tested(result: Mapping[str, Any]) -> None:
    for finding in result["findings"]:
        say(f"{finding['level']:<8} {finding['what']}")
        say(f"{'':<8} -> {finding['cure']}")
    if not result["findings"]:
        say("Nothing is wrong that could be seen.")
    for line in result["unseen"]:
        say(f"unseen   {line}")


def _show_preview(result: Mapping[str, Any]) -> None:
    if not result["met"]:
        note("Nobody has met this person yet: a persistent name is made at the first sign-in and will be another.")
    for line in result["left_out"]:
        note(f"left out: {line}")
    hand_over(result["xml"])


def _show_keys(result: Mapping[str, Any]) -> None:
    if not result["keys"]:
        note("There is no key yet: the server makes the first when it starts.")
    columns = ("name", "state", "signs_from", "published_until")
    rows = [[*(key[name] for name in columns), *map(key["certificate"].get, ("sha256", "ends_at"))] for key in result["keys"]]
    table((*(name.replace("_", "-") for name in columns), "sha256", "certificate-ends"), rows)


def _show_certificates(result: Mapping[str, Any]) -> None:
    wanted = [key for key in result["keys"] if key["state"] != "old"]
    for key in wanted:
        note(f"{key['name']}: {key['state']}, SHA-256 {key['certificate']['sha256']}")
    if not wanted:
        raise NotFound("there is no key yet: the server makes the first when it starts")
    hand_over("".join(key["certificate"]["pem"] for key in wanted))


def _show_rolled(result: Mapping[str, Any]) -> None:
    key = result["key"]
    when = "signs from now on" if key["state"] == "signs" else f"is published now and signs from {key['signs_from']}"
    say(f"Key {key['name']} {when}.")
    say(f"SHA-256 of its certificate: {key['certificate']['sha256']}")
    say("Applications that fetch our metadata follow by themselves; give it anew to those that hold a copy.")
