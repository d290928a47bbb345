"""`wardgate backup`: make one, beside the server; prove that one can be restored; say to whom they are encrypted."""

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from wardgate.cli.options import DEFAULT_DATA, Data, Json, example
from wardgate.cli.output import EXIT_REFUSED, emit, facts, note, say
from wardgate.cli.performing import perform
from wardgate.cli.progress import counting
from wardgate.errors import UsageError, WardgateError

app = typer.Typer(rich_markup_mode=None, add_completion=False)
STANDARD_OUTPUT = "-"
# Logins come first.
_NICE = 10

Recipients = Annotated[
    list[str] | None, typer.Option("--recipient", help="age X25519 recipient (age1...) to encrypt to; several are allowed.")
]
RecipientsFile = Annotated[Path | None, typer.Option("--recipients-file", help="File with recipients, one a line.")]
Identity = Annotated[Path, typer.Option("--identity", help="File with the secret key that opens it (AGE-SECRET-KEY-1...).")]
Digest = Annotated[str | None, typer.Option("--sha256", help="The digest that was noted down: refuse any other file.")]


@app.callback(
    invoke_without_command=True,
    epilog=example(
        "wardgate backup --to /var/backups/wardgate",
        "wardgate backup --to monday.age --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
        "wardgate backup verify monday.age --identity operator.key",
    ),
)
def backup(
    context: typer.Context,
    data: Data = DEFAULT_DATA,
    to: Annotated[
        str | None,
        typer.Option("--to", help="File to write, or a directory, where it gets a name with the time; - for standard output."),
    ] = None,
    recipient: Recipients = None,
    recipients_file: RecipientsFile = None,
    as_json: Json = False,
) -> None:
    """Back up everything while it serves: database, settings, certificate and keys, encrypted to the operator's key.

    Without a recipient it is encrypted to the key that wardgate backup key made.
    """
    if context.invoked_subcommand is not None:
        return
    if to is None:
        raise UsageError("say where to: --to FILE or --to DIRECTORY")
    if to == STANDARD_OUTPUT and (as_json or sys.stdout.isatty()):
        raise UsageError("with --to - the backup itself goes to standard output: send it into a file or a pipe, without --json")
    result = _make(data, to, recipient, recipients_file)
    if to == STANDARD_OUTPUT:
        note(f"{result['size']} bytes, SHA-256 {result['sha256']}")
    else:
        emit(result, as_json, _show_made)


@app.command(
    epilog=example(
        "wardgate backup key > operator.key",
        "wardgate backup key --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    )
)
def key(
    data: Data = DEFAULT_DATA, recipient: Recipients = None, recipients_file: RecipientsFile = None, as_json: Json = False
) -> None:
    """Make the key pair that opens backups and print its secret half, once; or take recipients whose keys you have already.

    Later backups are encrypted to it without being told; it takes the place of what was set before. Keep the secret half away
    from the server.
    """
    from wardgate.backup.archive import new_identity

    recipients, identity = _named(recipient, recipients_file), None
    if not recipients:
        identity, public = new_identity()
        recipients = [public]
    told = perform(data, "backup.set_recipients", {"recipients": recipients})
    emit({"identity": identity, "recipients": told["recipients"], "replaced": told["replaced"]}, as_json, _show_key)


@app.command(epilog=example("wardgate backup verify monday.age --identity operator.key"))
def verify(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    identity: Identity,
    data: Data = DEFAULT_DATA,
    sha256: Digest = None,
    as_json: Json = False,
) -> None:
    """Decrypt a backup, load it beside, open every secret and recompute the audit chains. Needs no server and changes none."""
    import asyncio

    from wardgate.backup.archive import read_identities
    from wardgate.backup.verifying import verify_backup
    from wardgate.clock import SystemClock

    with counting("reading", file.stat().st_size if file.is_file() else None) as advance:
        verified = asyncio.run(verify_backup(file, read_identities(identity), sha256, advance))
    manifest, summary = verified.unpacked.manifest, verified.unpacked.summary
    result = {
        "ok": not verified.findings,
        "findings": list(verified.findings),
        "file": str(file),
        "sha256": verified.sha256,
        "program": manifest.program,
        "schema_version": manifest.schema_version,
        "installation_id": manifest.installation_id,
        "kind": manifest.kind,
        "epoch": manifest.epoch,
        "created_at": manifest.created_at.isoformat(),
        "age_s": int((SystemClock().now() - manifest.created_at).total_seconds()),
        "rows": dict(summary.rows),
        "secrets": verified.secrets,
        "events": verified.events,
        "heads": list(summary.heads),
    }
    emit(result, as_json, _show_verified)
    raise typer.Exit(EXIT_REFUSED if verified.findings else 0)


def _named(recipient: list[str] | None, recipients_file: Path | None) -> list[str]:
    from wardgate.backup.archive import check_recipients, read_recipients

    return check_recipients([*(recipient or ()), *(read_recipients(recipients_file) if recipients_file is not None else ())])


def _make(data: Path, to: str, recipient: list[str] | None, recipients_file: Path | None) -> dict[str, Any]:
    import asyncio

    from wardgate.admin.backups import RECIPIENTS, remembered
    from wardgate.backup.making import fact_of, make_backup, make_file
    from wardgate.clock import SystemClock
    from wardgate.installation import Installation

    installation = Installation.open(data)
    recipients = _named(recipient, recipients_file)
    if not recipients:
        recipients = remembered(asyncio.run(fact_of(installation, RECIPIENTS)))
    if not recipients:
        raise UsageError("a backup is never written in clear: wardgate backup key makes a key for it, or name a --recipient")
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    with counting("backing up", _size(installation.database)) as advance:
        if to == STANDARD_OUTPUT:
            path = to
            made = asyncio.run(make_backup(installation, sys.stdout.buffer, recipients, SystemClock(), advance))
            sys.stdout.buffer.flush()
        else:
            written, made = asyncio.run(make_file(installation, Path(to), recipients, SystemClock(), advance))
            path = str(written)
    return {
        "file": path,
        "size": made.size,
        "sha256": made.sha256,
        "recipients": recipients,
        "installation_id": made.manifest.installation_id,
        "epoch": made.manifest.epoch,
        "created_at": made.manifest.created_at.isoformat(),
        "schema_version": made.manifest.schema_version,
        "rows": dict(made.summary.rows),
        "heads": list(made.summary.heads),
        "recorded": _recorded(data, made.sha256, made.size, recipients),
    }


def _size(database: Path) -> int | None:
    return database.stat().st_size if database.is_file() else None


def _recorded(data: Path, sha256: str, size: int, recipients: list[str]) -> bool:
    """Whether the server put it on record. The backup is whole either way."""
    try:
        perform(data, "backup.note", {"sha256": sha256, "size": size, "recipients": recipients})
    except WardgateError as error:
        note(f"Mind: the audit trail does not tell of this backup: {error.message}.")
        return False
    return True


def _show_made(result: Mapping[str, Any]) -> None:
    rows, recipients = sum(result["rows"].values()), len(result["recipients"])
    say(f"{result['file']} holds {rows} rows and the keys, encrypted to {recipients} recipients.")
    say(f"SHA-256 {result['sha256']}: note it down outside; whoever knows a recipient could make another file.")


def _show_key(result: Mapping[str, Any]) -> None:
    if result["replaced"]:
        note(f"Backups from now on do not open any more with the key of {', '.join(result['replaced'])}; those made before do.")
    if result["identity"] is None:
        note("Backups are encrypted to these recipients from now on:")
        for each in result["recipients"]:
            say(each)
        return
    note("The secret key follows, shown this once. Whoever has it can read every backup, and without it none can be restored.")
    note("Keep it away from this server, in two places.")
    say(f"# recipient: {result['recipients'][0]}")
    say(result["identity"])


def _show_verified(result: Mapping[str, Any]) -> None:
    days, hours = divmod(result["age_s"] // 3600, 24)
    facts(
        [
            ("made", f"{result['created_at']} ({days} days {hours} hours ago), by release {result['program']}"),
            ("installation", f"{result['installation_id']} ({result['kind']}), epoch {result['epoch']}"),
            ("rows", sum(result["rows"].values())),
            ("secrets opened", result["secrets"]),
            ("audit events", result["events"]),
            ("SHA-256", result["sha256"]),
        ]
    )
    for finding in result["findings"]:
        say(f"wrong: {finding}")
    say("It can be restored." if result["ok"] else "It is damaged.")
