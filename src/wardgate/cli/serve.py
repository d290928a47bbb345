"""`wardgate serve`."""

from typing import Annotated

import typer

from wardgate.cli.options import DEFAULT_DATA, Data, example, single
from wardgate.settings import ServeOverrides

app = single()


@app.command(epilog=example("wardgate serve --data /var/lib/wardgate"))
def serve(
    data: Data = DEFAULT_DATA,
    radius_port: Annotated[int | None, typer.Option(min=0, max=65535, help="UDP port for logins, instead of the file's.")] = None,
    accounting_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="UDP port for accounting, instead of the file's.")
    ] = None,
    https_port: Annotated[int | None, typer.Option(min=0, max=65535, help="TCP port of the pages, instead of the file's.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of the file's.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, max=64, help="Worker processes, instead of the file's; 0: one for each core.")
    ] = None,
) -> None:
    """Serve until it is told to stop by SIGTERM or Ctrl-C. Logs go to standard error."""
    from wardgate.app import run_serve
    from wardgate.errors import SettingsError
    from wardgate.installation import Installation

    installation = Installation.open(data)
    if installation.demo:
        raise SettingsError(f"{data} is a demo, whose passwords are well known: wardgate init makes a real installation elsewhere")
    overrides = ServeOverrides(
        radius_port=radius_port, accounting_port=accounting_port, https_port=https_port, host=host, workers=workers
    )
    raise typer.Exit(run_serve(installation, overrides))
