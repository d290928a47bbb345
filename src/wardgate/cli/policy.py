"""`wardgate policy ...`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from wardgate.cli.config import MAX_DOCUMENT_BYTES
from wardgate.cli.inputs import read_text
from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import EXIT_DONE, EXIT_REFUSED, emit, say
from wardgate.cli.performing import perform
from wardgate.cli.policy_impact import EXAMPLES, impact
from wardgate.cli.policy_lines import tree

app = group("Policies: why a login is decided as it is, and the tests that a document carries.")
app.command(epilog=EXAMPLES)(impact)


@app.command(
    epilog=example(
        "wardgate policy explain --user ada --application vpn",
        'wardgate policy explain --user ada --nas hq-firewall --from 203.0.113.7 --at "sun 03:00"',
        "wardgate policy explain --user ada --application vpn --goal reset --proof sms=+905321234567 --proof email,age=2h",
        "wardgate policy explain --user grace --application portal --goal activate --proof activation --proof sms=+905321234567",
    )
)
def explain(
    user: Annotated[str, typer.Option(help="Login name, as the person would type it.")],
    application: Annotated[str | None, typer.Option(help="What the login is for. Default: the NAS's application.")] = None,
    nas: Annotated[str | None, typer.Option(help="The NAS that it comes from, by its name in the document.")] = None,
    nas_identifier: Annotated[str | None, typer.Option(help="What the NAS calls itself. Default: as the document says.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="The address of the person's machine.")] = None,
    at: Annotated[
        str | None, typer.Option(help='When: "sun 03:00", "sun 03:00 Europe/Istanbul" or 2026-11-22T03:00+03:00. Default: now.')
    ] = None,
    goal: Annotated[str, typer.Option(help="What for: login, reset, unlock, activate ...")] = "login",
    country: Annotated[str, typer.Option(help="The country of that address, such as tr.")] = "",
    known_device: Annotated[bool, typer.Option("--known-device", help="From a device that the person told us to trust.")] = False,
    risk: Annotated[str, typer.Option(help="The band of its risk: safe, low, moderate or high.")] = "",
    device: Annotated[
        list[str] | None, typer.Option(help="What the NAS tells of the machine: os=Windows, hostname=, app_version=, user_domain=.")
    ] = None,
    proof: Annotated[
        list[str] | None,
        typer.Option(
            help="For self-service, a proof that is presented: KIND or KIND=SOURCE, such as sms=+905321234567; then, with commas, "
            "age=SPAN, vouched, typed, behind-password, lost, verified."
        ),
    ] = None,
    directory: Annotated[str | None, typer.Option(help="Directory of the user. Default: found by the name.")] = None,
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Show the decision that a login would get, rule by rule, with the conditions that held and those that did not.

    The user is read from his directory as at a login; nothing is written and nothing is sent. A day without a zone is on the clocks
    of the policy's time windows where they are all of one zone, and UTC otherwise. A self-service goal is told with the proofs that
    it needs, and with what those that are presented count for.
    """
    params = {
        "user": user,
        "application": application,
        "nas": nas,
        "nas_identifier": nas_identifier,
        "client": from_,
        "at": at,
        "goal": goal,
        "directory": directory,
        "country": country,
        "known_device": known_device,
        "risk": risk,
        "device": device or [],
        "proofs": proof or [],
    }
    emit(perform(data, "policy.explain", params), as_json, _show_explanation)


@app.command("test", epilog=example("wardgate policy test", "wardgate policy test wardgate.yaml --policy remote-access"))
def run_tests(
    file: Annotated[Path | None, typer.Argument(help="Document, - is standard input. Default: the one in force.")] = None,
    policy: Annotated[str | None, typer.Option(help="Only the tests of this policy.")] = None,
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Run the tests that the policies of a document carry. Exit code 1 when one fails; `config apply` refuses such a document."""
    text = None if file is None else read_text(file, MAX_DOCUMENT_BYTES)
    result = perform(data, "policy.test", {"document": text, "policy_name": policy})
    emit(result, as_json, _show_tests)
    raise typer.Exit(EXIT_DONE if result["ok"] else EXIT_REFUSED)


def _show_explanation(result: Mapping[str, Any]) -> None:
    for line in tree(result):
        say(line)


def _show_tests(result: Mapping[str, Any]) -> None:
    for each in result["tests"]:
        told = f": {each['difference']}" if each["difference"] else ""
        say(f"{'ok  ' if each['passed'] else 'FAIL'} {each['policy']}: test {each['test']}{told}")
    say(f"{result['passed']} passed, {result['failed']} failed." if result["tests"] else "The policies carry no tests.")
