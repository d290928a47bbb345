"""`wardgate demo`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wardgate.cli.options import DEFAULT_DATA, Data, example, single
from wardgate.settings import ServeOverrides

if TYPE_CHECKING:
    from wardgate.installation import Installation

app = single()


@app.command(epilog=example("wardgate demo --radius-port 0 --https-port 0"))
def demo(
    data: Data = DEFAULT_DATA,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON once it serves: where, and who.")] = False,
    radius_port: Annotated[int | None, typer.Option(min=0, max=65535, help="UDP port for logins; 0: any free one.")] = None,
    accounting_port: Annotated[int | None, typer.Option(min=0, max=65535, help="UDP port for accounting; 0: any free one.")] = None,
    https_port: Annotated[int | None, typer.Option(min=0, max=65535, help="TCP port of the pages; 0: any free one.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: this machine only.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, max=64, help="Worker processes; 0: one for each core.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what an earlier demo left in the data directory.")] = False,
) -> None:
    """Try everything on this machine: demo users, RADIUS, and a page with what would be sent. Ctrl-C stops it."""
    from wardgate.app import run_demo

    installation = _open_or_create(data, fresh)
    overrides = ServeOverrides(
        radius_port=radius_port, accounting_port=accounting_port, https_port=https_port, host=host, workers=workers
    )
    raise typer.Exit(run_demo(installation, overrides, json_output=as_json))


def _open_or_create(data: Path, fresh: bool) -> "Installation":
    import asyncio

    from wardgate.clock import SystemClock
    from wardgate.errors import SettingsError
    from wardgate.installation import MARKER, Installation

    if fresh or not (data / MARKER).exists():
        return asyncio.run(Installation.create(data, demo=True, clock=SystemClock(), fresh=fresh))
    installation = Installation.open(data)
    if not installation.demo:
        raise SettingsError(f"{data} is no demo: its users are real and its outbox stays closed; name another --data directory")
    return installation
