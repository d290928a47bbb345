"""`wardgate audit ...`."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import EXIT_REFUSED, emit, say
from wardgate.cli.performing import Performer, perform

app = group("The audit trail: verify it, export it.")


@app.command(epilog=example("wardgate audit verify", "wardgate audit verify --head server:1:4711:9f2c..."))
def verify(
    data: Data = DEFAULT_DATA,
    head: Annotated[
        list[str] | None, typer.Option(help="A head that an earlier run printed: tells whether newer events were cut off since.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Recompute the hash chains. Finds changed, inserted, removed and reordered events.

    That the newest events were cut off it can only tell with a head that was noted down before.
    """
    result = perform(data, "audit.verify", {"heads": head or []})
    emit(result, as_json, _show)
    raise typer.Exit(EXIT_REFUSED if result["findings_count"] else 0)


@app.command(epilog=example("wardgate audit export > audit.jsonl"))
def export(data: Data = DEFAULT_DATA) -> None:
    """Print every event as a line of JSON, in the order of the chains."""
    with Performer(data) as performer:
        for chain in performer.do("audit.chains", {})["chains"]:
            after = 0
            while events := performer.do("audit.page", {**chain, "after": after})["events"]:
                sys.stdout.writelines(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
                after = events[-1]["seq"]


def _show(result: Mapping[str, Any]) -> None:
    for finding in result["findings"]:
        say(f"{finding['writer']}:{finding['epoch']} event {finding['seq']}: {finding['problem']}")
    if result["findings_count"] > len(result["findings"]):
        say(f"and {result['findings_count'] - len(result['findings'])} more")
    erased = f", {result['erased']} of them erased" if result["erased"] else ""
    say(f"{result['events']} events{erased}; {result['findings_count'] or 'nothing'} wrong.")
    say("Heads, to be noted down outside:")
    for head in result["heads"]:
        say(f"  {head}")
