"""`wardgate epoch ...`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import emit, say

if TYPE_CHECKING:
    from wardgate.backup.epoch import Epoch

app = group("Epochs: a new one forgets nothing that was revoked and believes nothing that may have been spent.")


@app.callback()
def _epochs() -> None:
    """Epochs: a new one forgets nothing that was revoked and believes nothing that may have been spent."""


@app.command("open", epilog=example('wardgate epoch open --reason "standby db2 promoted, db1 lost"'))
def open_(
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")],
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Open a new epoch, with every server stopped: after a database standby was promoted that may have lacked commits.

    What restore does about codes, devices, open logins and messages, without a restore.
    """
    import asyncio

    from wardgate.backup.restoring import open_next
    from wardgate.clock import SystemClock
    from wardgate.control import actor_of
    from wardgate.installation import Installation

    installation = Installation.open(data)
    with installation.lock():
        epoch = asyncio.run(open_next(installation, SystemClock(), actor_of(None), reason))
    emit(told_epoch(epoch), as_json, show_epoch)


def told_epoch(epoch: "Epoch") -> dict[str, Any]:
    """What commands tell of an epoch."""
    return {
        "epoch": epoch.number,
        "epoch_id": epoch.id,
        "totp_raised": epoch.raised,
        "held": epoch.held,
        "closed": dict(epoch.closed),
    }


def show_epoch(result: Mapping[str, Any]) -> None:
    """The same for people."""
    say(f"Epoch {result['epoch_id']} is open: earlier codes of {result['totp_raised']} authenticator apps are refused.")
    say(f"{result['held']} devices and sheets wait for another strong factor of their owner, or wardgate authenticator release ID.")
    closed = sum(result["closed"].values())
    say(f"{closed} open logins, links and waiting messages were closed.")
