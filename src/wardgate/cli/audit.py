"""`wardgate audit ...`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import EXIT_REFUSED, emit, hand_over, note, say
from wardgate.cli.performing import perform
from wardgate.cli.progress import counting
from wardgate.errors import UsageError

app = group("The audit trail: verify it, search it, export it, erase from it.")

KEY_FROM = {
    "installation": "the key of this installation",
    "given": "the public key that was given",
    "heads": "the key that stands in the file of heads",
    "file": "the key that stands in the file itself: whoever could write the file could sign it; note the key of "
    "wardgate audit key and give it with --public-key",
    "none": "no key",
}


@app.command(
    epilog=example(
        "wardgate audit verify",
        "wardgate audit verify --head server:1:4711:9f2c...",
        "wardgate audit verify audit.jsonl --public-key wardgate-audit.pem",
    )
)
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="An export, or - for standard input. Default: what is in the database.")
    ] = None,
    data: Data = DEFAULT_DATA,
    head: Annotated[
        list[str] | None, typer.Option(help="A head that an earlier run printed: tells whether newer events were cut off since.")
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="PEM file with the public key that wardgate audit key printed.", dir_okay=False)
    ] = None,
    heads: Annotated[
        Path | None, typer.Option(help="An earlier export that was kept elsewhere: its signed heads have to hold.", dir_okay=False)
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="The file may begin in the middle (--since, a rotated file).")] = False,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Check every link of the file too, with the keys of the installation in --data.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Find changed, inserted, removed and reordered events.

    Without a file: recompute the hash chains in the database and check their signed heads. With a file: check an export by its
    signed heads, which takes neither server, database nor keys. Events after the last head are told as unproven. That the
    newest events were cut off shows only against a head that was noted down or kept elsewhere.
    """
    if file is None:
        if public_key is not None or heads is not None or partial or with_keys:
            raise UsageError(
                "--public-key, --heads, --partial and --with-keys are for verifying a file: name one, or - for standard input"
            )
        with counting("verifying") as advance:
            result = perform(data, "audit.verify", {"heads": head or []}, lambda event: advance(int(str(event["events"])), ""))
    else:
        # Only here: the rest needs no cryptography in this process.
        from wardgate.cli.audit_file import FileCheck, verify_file

        check = FileCheck(file, public_key, heads, tuple(head or ()), partial, data if with_keys else None)
        result = verify_file(check)
    emit(result, as_json, _show)
    raise typer.Exit(EXIT_REFUSED if result["findings_count"] else 0)


@app.command(
    epilog=example(
        "wardgate audit export > audit.jsonl",
        "wardgate audit export --since 2026-11-22T00:00:00Z --output audit.jsonl",
        "wardgate audit export --follow --output audit.jsonl --cursor audit.cursor",
        "wardgate audit export --format cef --output audit.cef",
        "wardgate audit export --follow --syslog siem.acme.test:6514 --tls --ca-file siem-ca.pem --cursor siem.cursor",
        "wardgate audit export --pseudonymise --key-file study.key --output study.jsonl",
    )
)
def export(
    data: Data = DEFAULT_DATA,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new events as they come, until Ctrl-C.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            help="Begin at the signed head before this number of each chain, or this time (ISO 8601); not with a cursor that knows."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write into this file instead of standard output.", dir_okay=False)] = None,
    cursor: Annotated[
        Path | None, typer.Option(help="Keep in this file how far it came, and go on from there next time.", dir_okay=False)
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="[jsonl|cef]",
            help="jsonl: JSON lines with signed heads, which can be verified. cef: events as ArcSight CEF, which prove nothing. "
            "Default: jsonl, with --syslog cef.",
        ),
    ] = None,
    syslog: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Send it to this syslog receiver (RFC 5425).")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="With --syslog, which sends nothing in clear.")] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option(help="PEM file of who vouches for the receiver's certificate. Default: this machine's list.", dir_okay=False),
    ] = None,
    pseudonymise: Annotated[
        bool, typer.Option("--pseudonymise", help="With keyed pseudonyms for names, ids and addresses, and without free text.")
    ] = False,
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="With --pseudonymise: the key, made when the file is not there. Default: one that is thrown away.", dir_okay=False
        ),
    ] = None,
    keep_network: Annotated[
        bool, typer.Option("--keep-network", help="With --pseudonymise: show the network of an address, /24 or /48.")
    ] = False,
) -> None:
    """Print every event and signed head as a line of JSON, to be kept elsewhere and verified there.

    To a syslog receiver a page counts as sent when its machine has taken it; what was under way when a connection broke is sent
    again, so that an event may come twice, with the same externalId.

    With --pseudonymise one person keeps one pseudonym as long as the key is the same. Such an export cannot be verified, and
    whoever holds the original trail or the key can tell who is meant.
    """
    from wardgate.cli.audit_export import Export, Target, pseudonyms
    from wardgate.cli.audit_lines import Form

    if not pseudonymise and (key_file is not None or keep_network):
        raise UsageError("--key-file and --keep-network go with --pseudonymise")
    if pseudonymise and key_file is None and cursor is not None:
        raise UsageError("with --cursor the next run has to know the key: add --key-file")
    if form is not None and form not in list(Form):
        raise UsageError(f"{form[:20]!r} is no format: jsonl or cef")
    if syslog is None:
        if tls or ca_file is not None:
            raise UsageError("--tls and --ca-file go with --syslog HOST:PORT")
        target = Target(output, Form(form or Form.JSONL))
    else:
        from wardgate.cli.audit_syslog import receiver

        if output is not None:
            raise UsageError("--output and --syslog are two exports: run two, each with a cursor of its own")
        if not tls:
            raise UsageError("the audit trail names people and addresses and is never sent in clear: add --tls")
        target = Target(None, Form(form or Form.CEF), receiver(syslog, ca_file))
    if pseudonymise:
        target = replace(target, pseudonyms=pseudonyms(key_file, keep_network))
    Export(data, target, cursor, since).run(follow)


@app.command(
    epilog=example(
        "wardgate audit search --user ada --kind engine:login:denied",
        "wardgate audit search --from 2026-11-22T08:00 --to 2026-11-22T09:00 --application vpn --limit 200",
        "wardgate audit search --reference 7H2K9QXA --json",
    )
)
def search(
    data: Data = DEFAULT_DATA,
    user: Annotated[list[str] | None, typer.Option(help="Of this user, under whichever name he came; may be repeated.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Of this kind, or of all kinds that begin so (engine:login); may be repeated.")
    ] = None,
    application: Annotated[str | None, typer.Option(help="Of logins to this application.")] = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="Not before this time (ISO 8601; without an offset: of your zone).")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Before this time.")] = None,
    reference: Annotated[str | None, typer.Option(help="Of the login with the reference that its user was shown.")] = None,
    node: Annotated[str | None, typer.Option(help="Written by this machine, or this writer of it.")] = None,
    text: Annotated[str | None, typer.Option(help="With these words anywhere in the details.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where an earlier search ended, as it printed.")] = None,
    as_json: Json = False,
) -> None:
    """Find events, newest first.

    Everything that is given has to hold. A search looks at 250,000 events at most, then prints how to go on; --from and --to are
    found at once, however long the trail is.
    """
    from wardgate.cli import audit_search

    asked = {
        "users": user or [],
        "kinds": kind or [],
        "application": application,
        "reference": reference,
        "node": node,
        "text": text,
        "begin": audit_search.moment(begin),
        "end": audit_search.moment(end),
    }
    emit(audit_search.search(data, asked, limit, cursor), as_json, audit_search.show)


@app.command(
    epilog=example(
        'wardgate audit erase --user ada --user "ACME\\\\ada" --reason "request 4711"',
        'wardgate audit erase --user ada --subject s-2f6c... --everything --reason "request 4711"',
    )
)
def erase(
    reason: Annotated[str, typer.Option(help="Why. It stays on record and must not name the person.")],
    data: Data = DEFAULT_DATA,
    user: Annotated[
        list[str] | None, typer.Option(help="Whose payloads: the name, and each other form in which it was typed; may be repeated.")
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(help="The person's own id (wardgate subject show), when no directory knows the name any more."),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--everything",
            help="Also authenticators, contacts, answers, trusted devices and links: who comes again is met as somebody new.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Erase what is told of a person's logins: in the audit trail, whose chain stays whole, and beside it.

    Timelines, messages, accounting records, habits and waits go with the payloads of events. Kinds, times and ids of ours stay, and
    so do events that say how much went and why. Backups and exports that were made before keep theirs. What a restore from such a
    backup would have to take away again cannot be read any more: make a backup.
    """
    from wardgate.cli import audit_search

    def show(result: Mapping[str, Any]) -> None:
        say(f"{result['erased']} payloads erased; {result['scanned']} events looked through.")
        say(f"{result['rows']} rows of other tables removed, and the timelines of these logins.")

    emit(audit_search.erase(data, user or [], subject or [], reason, everything), as_json, show)


@app.command(epilog=example("wardgate audit key > wardgate-audit.pem"))
def key(data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Print the public key that signs the heads, for whoever will verify exports. It stays the same as long as the installation."""

    def show(result: Mapping[str, Any]) -> None:
        hand_over(result["public_key"])
        note(f"fingerprint {result['fingerprint']}")

    emit(perform(data, "audit.key", {}), as_json, show)


def _show(result: Mapping[str, Any]) -> None:
    for finding in result["findings"]:
        where = f"{finding['writer']}:{finding['epoch']} event {finding['seq']}: " if finding["writer"] else ""
        say(f"{where}{finding['problem']}")
    if result["findings_count"] > len(result["findings"]):
        say(f"and {result['findings_count'] - len(result['findings'])} more")
    erased = f", {result['erased']} of them erased" if result["erased"] else ""
    if result.get("erased_by_retention"):
        erased += f" ({result['erased_by_retention']} because they had their time)"
    say(f"{result['events']} events{erased}; {result['findings_count'] or 'nothing'} wrong.")
    say(f"{result['signed_heads']} heads signed by {KEY_FROM[result['public_key_from']]}.")
    for chain in result["chains"]:
        say(f"  {_chain(chain)}")
    say("Heads, to be noted down outside:")
    for head in result["heads"]:
        say(f"  {head}")


def _chain(chain: Mapping[str, Any]) -> str:
    proven = f"signed up to {chain['proven']} at {chain['proven_at']}" if chain["proven"] else "nothing signed"
    unproven = f", {chain['unproven']} not signed yet, or under no head that holds" if chain["unproven"] else ""
    return f"{chain['writer']}:{chain['epoch']} events {chain['first']} to {chain['last']}, {proven}{unproven}"
