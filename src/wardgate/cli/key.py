"""`wardgate key ...`."""

from collections.abc import Mapping
from typing import Any

from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import emit, note, say
from wardgate.cli.performing import perform
from wardgate.cli.progress import counting

app = group("Keys that seal secrets in the database.")


@app.callback()
def _keys() -> None:
    """Keys that seal secrets in the database."""


@app.command(epilog=example("wardgate key rotate"))
def rotate(data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Make a new data key and move everything that is sealed under it, while logins go on. A cut rotation is taken up again."""
    with counting("sealing anew") as advance:
        result = perform(data, "key.rotate", {}, lambda event: advance(int(str(event["resealed"])), str(event["table"])))
    emit(result, as_json, _show)


@app.command("replace-master", epilog=example("wardgate key replace-master"))
def replace_master(data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Replace the key-encryption key, with every server stopped: for when the key file may be known to others.

    A replacement that was cut short is finished by running it again. Other nodes of the same database need a copy of the new file.
    """
    import asyncio

    from wardgate.admin.master_key import replace_master as replace
    from wardgate.clock import SystemClock
    from wardgate.control import actor_of
    from wardgate.installation import Installation

    installation = Installation.open(data)
    with installation.lock():
        result = asyncio.run(replace(installation, SystemClock(), actor_of(None)))
    emit(result, as_json, _show_master)


def _show_master(result: Mapping[str, Any]) -> None:
    if result["resumed"]:
        note("A replacement that had been cut short was finished; run it once more for a fresh key.")
    say(f"{result['key_file']} holds a new key; {result['data_keys']} data keys are wrapped by it.")
    note("Whoever had the old one and a copy of the database knows the data keys: go on with wardgate key rotate, and back up.")


def _show(result: Mapping[str, Any]) -> None:
    if result["resumed"]:
        note("A rotation that had been cut short was taken up; run it once more for a fresh key.")
    if result["broken"]:
        note(f"{result['broken']} values do not open under any key and stayed as they are; see wardgate check.")
    say(f"Key {result['key']} seals from now on; {result['resealed']} values were sealed anew.")
