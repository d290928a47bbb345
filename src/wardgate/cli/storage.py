"""`wardgate storage ...`."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import emit, say
from wardgate.cli.progress import counting

app = group("Where state is kept.")


@app.callback()
def _storage() -> None:
    """Where state is kept."""


@app.command(
    epilog=example("wardgate storage move --to postgresql://wardgate@db.acme.test/wardgate --password-file /etc/wardgate/db")
)
def move(
    to: Annotated[str, typer.Option("--to", help="postgresql://USER@HOST[:PORT][,HOST2...]/NAME; the database must be empty.")],
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", help="File with the password of USER, of mode 600; its path goes into the settings."),
    ] = None,
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Copy an installation from its SQLite file to PostgreSQL, verify the copy, and put it in force. Stop the server first.

    The SQLite file is left as it is. A move that is cut short leaves it in force and can be run again.
    """
    emit(_moved(data, to, password_file), as_json, _show)


def _moved(data: Path, to: str, password_file: Path | None) -> dict[str, Any]:
    import asyncio

    from wardgate.admin.storage_move import move as move_storage
    from wardgate.admin.storage_move import target_settings
    from wardgate.installation import Installation

    started = time.monotonic()
    installation = Installation.open(data)
    with installation.lock(), counting("copying and comparing") as advance:
        target = target_settings(installation, to, password_file)
        moved = asyncio.run(move_storage(installation, target, advance))
    return {
        "to": to,
        "rows": sum(moved.tables.values()),
        "tables": dict(moved.tables),
        "events": moved.events,
        "settings": str(moved.settings),
        "kept": str(moved.kept),
        "took_s": round(time.monotonic() - started, 1),
    }


def _show(result: Mapping[str, Any]) -> None:
    say(f"{result['rows']} rows were copied and compared, {result['events']} audit events verified, in {result['took_s']} s.")
    say(f"{result['settings']} names the new database.")
    say("")
    say("Next:")
    say("  wardgate serve, or systemctl start wardgate")
    say(f"Once logins work, delete {result['kept']} and its -wal and -shm: they hold what the database held until now.")
