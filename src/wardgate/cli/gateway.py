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


def _show_list(result: Mapping[str, Any]) -> None:
    columns = ("name", "kind", "channel", "where", "secret", "order")
    table(columns, [[gateway[name] for name in columns] for gateway in result["gateways"]])


def _show_test(result: Mapping[str, Any]) -> None:
    say(f"{result['gateway']} took the message after {result['took_ms']} ms: {result['answer']}")
