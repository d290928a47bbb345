"""`wardgate admin ...`."""

from collections.abc import Mapping
from typing import Any

from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import emit, note, say
from wardgate.cli.performing import perform

app = group("A one-time link to the live log.")


@app.callback()
def _admin() -> None:
    """A one-time link to the live log."""


@app.command(epilog=example("wardgate admin link"))
def link(data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Print a link to the live log that works once. Opening it shows a button; only the button uses it up."""
    emit(perform(data, "admin.link", {}), as_json, _show)


def _show(result: Mapping[str, Any]) -> None:
    say(result["url"])
    note(f"It works once, within {result['life_s'] // 60} minutes.")
