"""`wardgate gateway ...`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import emit, say, table
from wardgate.cli.performing import perform

app = group("Gateways that send SMS and e-mail. They are configured in the document: wardgate config apply.")


@app.command("list", epilog=example("wardgate gateway list"))
def list_(data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """List the gateways in the order in which they are tried."""
    emit(perform(data, "gateway.list", {}), as_json, _show_list)


@app.command("test", epilog=example("wardgate gateway test sms --to +905321234567"))
def send_test(
    name: Annotated[str, typer.Argument(help="Name of the gateway.")],
    to: Annotated[str, typer.Option(help="Phone number with country code, or mail address.")],
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Really send a test message through one gateway and print its answer.

    Exit code 1 when the gateway refuses the message, 3 when it could not be reached.
    """
    emit(perform(data, "gateway.test", {"name": name, "to": to}), as_json, _show_test)


@app.command(epilog=example("wardgate gateway costs", "wardgate gateway costs --from 2026-11-01 --to 2026-11-30 --json"))
def costs(
    data: Data = DEFAULT_DATA,
    since: Annotated[str | None, typer.Option("--from", help="First day, UTC. Default: 29 days before the last.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last day, UTC. Default: today.")] = None,
    as_json: Json = False,
) -> None:
    """Count the messages with codes by day and prefix, those that a cap refused, and what they cost by the prices set."""
    emit(perform(data, "gateway.costs", {"since": since, "until": until}), as_json, _show_costs)


def _show_costs(result: Mapping[str, Any]) -> None:
    columns = ("day", "channel", "prefix", "messages", "refused", "cost")
    table(columns, [[line[name] for name in columns] for line in result["days"]])
    say("")
    table(columns[1:], [[total[name] for name in columns[1:]] for total in result["totals"]])
    known = [total["cost"] for total in result["totals"] if total["cost"] is not None]
    if known:
        say(f"Together {round(sum(known), 6):g} {result['currency']}".rstrip())
    for name, cap in result["caps"].items():
        if cap:
            say(f"{name}: {', '.join(cap) if isinstance(cap, list) else cap}")


def _show_list(result: Mapping[str, Any]) -> None:
    columns = ("name", "kind", "channel", "where", "secret", "order")
    table(columns, [[gateway[name] for name in columns] for gateway in result["gateways"]])


def _show_test(result: Mapping[str, Any]) -> None:
    say(f"{result['gateway']} took the message after {result['took_ms']} ms: {result['answer']}")
