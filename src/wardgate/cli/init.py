"""`wardgate init`."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from wardgate.cli.inputs import is_interactive
from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, single
from wardgate.cli.output import emit, say
from wardgate.settings import (
    FILE_NAME,
    HttpsListenerSettings,
    KeySettings,
    RadiusListenerSettings,
    StartSettings,
    checked_settings,
    named_database,
)

app = single()


@app.command(
    epilog=example(
        "wardgate init --data /var/lib/wardgate --yes",
        "wardgate init --https-address 10.0.0.5",
        "wardgate init --database postgresql://wardgate@db.acme.test/wardgate --database-password-file /etc/wardgate/db",
    )
)
def init(
    data: Data = DEFAULT_DATA,
    radius_address: Annotated[
        list[str] | None, typer.Option(help="Address to listen on for RADIUS; several are allowed. Default: all.")
    ] = None,
    radius_port: Annotated[int | None, typer.Option(min=1, max=65535, help="UDP port for logins. Default: 1812.")] = None,
    accounting_port: Annotated[int | None, typer.Option(min=1, max=65535, help="UDP port for accounting. Default: 1813.")] = None,
    https_address: Annotated[str | None, typer.Option(help="Address of the pages. Default: 127.0.0.1.")] = None,
    https_port: Annotated[int | None, typer.Option(min=1, max=65535, help="TCP port of the pages. Default: 8443.")] = None,
    key_file: Annotated[
        str | None,
        typer.Option(help="File with the key-encryption key; made when missing. Default: master.key."),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(help="postgresql://USER@HOST[:PORT][,HOST2...]/NAME, an empty database. Default: a SQLite file."),
    ] = None,
    database_password_file: Annotated[
        Path | None, typer.Option(help="File with the password of USER, of mode 600; its path goes into the settings.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; take the defaults for what is not given.")] = False,
    as_json: Json = False,
) -> None:
    """Make an installation: settings, keys, database, certificate, and the first one-time link to the live log.

    On a terminal it asks for what is not given.
    """
    asking = is_interactive() and not yes and not as_json
    radius, https, keys = RadiusListenerSettings(), HttpsListenerSettings(), KeySettings()
    settings = StartSettings(
        radius=RadiusListenerSettings(
            addresses=tuple(radius_address or _asked(asking, "Addresses for RADIUS", " ".join(radius.addresses)).split()),
            port=radius_port or int(_asked(asking, "UDP port for logins", radius.port)),
            accounting_port=accounting_port or int(_asked(asking, "UDP port for accounting", radius.accounting_port)),
        ),
        https=HttpsListenerSettings(
            address=https_address or str(_asked(asking, "Address of the pages", https.address)),
            port=https_port or int(_asked(asking, "TCP port of the pages", https.port)),
        ),
        keys=KeySettings(file=key_file or keys.file),
        database=named_database(database, database_password_file),
    )
    emit(_make(data, checked_settings(settings, "wardgate init")), as_json, _show)


def _asked(asking: bool, question: str, default: Any) -> Any:
    return typer.prompt(question, default=default, err=True) if asking else default


def _make(data: Path, settings: StartSettings) -> dict[str, Any]:
    import asyncio

    from wardgate.cli.performing import perform
    from wardgate.clock import SystemClock
    from wardgate.installation import Installation

    installation = asyncio.run(Installation.create(data, demo=False, clock=SystemClock(), settings=settings))
    link = perform(data, "admin.link", {})
    return {
        "data": str(data),
        "settings": str(data / FILE_NAME),
        "database": installation.database_name,
        "key_file": str(installation.key_file),
        "certificate": str(installation.certificate),
        "link": link["url"],
        "link_life_s": link["life_s"],
    }


def _show(result: Mapping[str, Any]) -> None:
    data = shlex.quote(str(result["data"]))
    say(f"An installation stands in {result['data']}.")
    say(f"Its key stands in {result['key_file']}: without it no secret of the database opens. Backups hold it, encrypted.")
    say("")
    say("Next:")
    say(f"  wardgate serve --data {data}")
    say(f"  wardgate user add NAME --mail MAIL --data {data}")
    say(f"  wardgate authenticator add NAME totp --data {data}")
    say(f"  wardgate nas add NAME --address ADDRESS --application vpn --data {data}")
    say(f"  (umask 077; wardgate backup key --data {data} > operator.key)")
    say(f"  wardgate check --data {data}")
    say("")
    say(f"The live log, once it serves, within {result['link_life_s'] // 60} minutes and from one browser:")
    say(f"  {result['link']}")
    say(f"Later: wardgate admin link --data {data}")
