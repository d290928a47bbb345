"""`wardgate restore`: an installation out of a backup, in a new epoch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from wardgate.cli.backup import Digest, Identity
from wardgate.cli.epoch import show_epoch, told_epoch
from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, single
from wardgate.cli.output import emit, note, say
from wardgate.cli.progress import counting

app = single()


@app.command(
    epilog=example(
        "wardgate restore monday.age --identity operator.key --data /var/lib/wardgate",
        "wardgate restore monday.age --identity operator.key --replace --replay-audit audit.jsonl",
        "wardgate restore monday.age --identity operator.key --database postgresql://wardgate@db1/wardgate",
    )
)
def restore(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    identity: Identity,
    data: Data = DEFAULT_DATA,
    replay_audit: Annotated[
        Path | None, typer.Option(help="Audit export: take away again what it says was revoked after the backup.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put a stopped installation of the same id aside and take its place.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "",
    database: Annotated[
        str | None, typer.Option(help="Empty PostgreSQL database to restore into, or sqlite: for a file in the directory.")
    ] = None,
    database_password_file: Annotated[str, typer.Option(help="File with the password of that database.")] = "",
    sha256: Digest = None,
    as_json: Json = False,
) -> None:
    """Make an installation of a backup, in an empty directory. No code that may have been used since the backup works in it.

    Codes of authenticator apps count from now on; devices that count and recovery codes wait until another strong factor was
    proved. Open logins, links and messages are gone.
    """
    import asyncio

    from wardgate.backup.archive import read_identities
    from wardgate.backup.restoring import Request
    from wardgate.backup.restoring import restore as restore_backup
    from wardgate.clock import SystemClock

    request = Request(
        file, read_identities(identity), data, reason, sha256, replay_audit, replace, database, database_password_file
    )
    with counting("restoring", file.stat().st_size if file.is_file() else None) as advance:
        restored = asyncio.run(restore_backup(request, SystemClock(), advance))
    result = {
        "data": str(data),
        "installation_id": restored.manifest.installation_id,
        "created_at": restored.manifest.created_at.isoformat(),
        "rows": dict(restored.rows),
        **told_epoch(restored.epoch),
        "applied": restored.replayed.applied,
        "not_applied": restored.replayed.not_applied,
        "lost": dict(restored.lost),
        "aside": str(restored.aside) if restored.aside is not None else None,
    }
    emit(result, as_json, _show)


def _show(result: Mapping[str, Any]) -> None:
    say(f"{result['data']} holds what stood on {result['created_at']}: {sum(result['rows'].values())} rows.")
    show_epoch(result)
    for each in result["applied"]:
        say(f"repeated: {each}")
    for each in result["not_applied"]:
        say(f"to be done by hand: {each}")
    for kind, number in sorted(result["lost"].items()):
        say(f"lost: {number} x {kind}")
    if result["aside"] is not None:
        say(f"The old data stands in {result['aside']}: remove it when it is needed no more.")
    note("Next: wardgate check, then wardgate serve. Make a backup: the next restore then needs no more than this one.")
