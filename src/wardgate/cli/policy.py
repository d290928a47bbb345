"""`wardgate policy ...`."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from wardgate.cli.config import MAX_DOCUMENT_BYTES
from wardgate.cli.inputs import read_text
from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import EXIT_DONE, EXIT_REFUSED, emit, say
from wardgate.cli.performing import perform

_VERDICTS: Final = {True: "matches", False: "does not match", None: "not reached"}

app = group("Policies: why a login is decided as it is, and the tests that a document carries.")


@app.command(
    epilog=example(
        "wardgate policy explain --user ada --application vpn",
        'wardgate policy explain --user ada --nas hq-firewall --from 203.0.113.7 --at "sun 03:00"',
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
    goal: Annotated[str, typer.Option(help="What for: login, reset, unlock ...")] = "login",
    directory: Annotated[str | None, typer.Option(help="Directory of the user. Default: found by the name.")] = None,
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Show the decision that a login would get, rule by rule, with the conditions that held and those that did not.

    The user is read from his directory as at a login; nothing is written and nothing is sent. A day without a zone is on the clocks
    of the policy's time windows where they are all of one zone, and UTC otherwise.
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


def tree(result: Mapping[str, Any]) -> Iterator[str]:
    """An explanation as lines for people."""
    facts = result["facts"]
    when = datetime.fromisoformat(facts["at"]).strftime("%a %Y-%m-%d %H:%M %Z")
    yield f"{result['user']} ({result['directory']}, realm {result['realm']}) for {result['application']}, {facts['goal']}, {when}"
    yield f"  from {facts['client'] or 'an unknown address'}, NAS {facts['nas'] or 'unknown'}"
    yield f"  has {', '.join(facts['enrolled']) or 'no second factor'}"
    yield f"policy {result['policy']}: the first rule that matches decides"
    for rule in result["rules"]:
        yield from _branch(rule)
    if result["floors"]:
        yield "floors: all that match count"
        for floor in result["floors"]:
            yield from _branch(floor)
    yield from _decision(result)


def _branch(looked: Mapping[str, Any]) -> Iterator[str]:
    yield f"  {looked['name']}: {_VERDICTS[looked['matches']]}"
    if looked["when"] is not None:
        yield from _leaves(looked["when"], 2)


def _leaves(told: Mapping[str, Any], depth: int) -> Iterator[str]:
    asks = f": {told['asks']}" if told["asks"] else ""
    name = told["condition"] if told["condition"] != "all" or told["parts"] else "no condition"
    yield f"{'  ' * depth}{'yes' if told['holds'] else 'no '}  {name}{asks}"
    for part in told["parts"]:
        yield from _leaves(part, depth + 1)


def _decision(result: Mapping[str, Any]) -> Iterator[str]:
    if not result["allowed"]:
        why = f"rule {result['rule']} denies" if result["rule"] else "no rule matches"
        yield f"refused: {why}"
        return
    yield f"asked for, by rule {result['rule']}:"
    if not result["steps"]:
        yield "  nothing more: the NAS vouches for it"
    for number, step in enumerate(result["steps"], start=1):
        yield f"  {number}. {_step(step)}"
    if result["strong_factors"]:
        yield f"  strong factors needed: {result['strong_factors']}"


def _step(step: Mapping[str, Any]) -> str:
    if not step["factors"]:
        return "nothing that counts is left: nobody can come in"
    return " or ".join(step["factors"]) + ("" if step["has"] else "; the user has none of these and cannot come in")


def _show_explanation(result: Mapping[str, Any]) -> None:
    for line in tree(result):
        say(line)


def _show_tests(result: Mapping[str, Any]) -> None:
    for each in result["tests"]:
        told = f": {each['difference']}" if each["difference"] else ""
        say(f"{'ok  ' if each['passed'] else 'FAIL'} {each['policy']}: test {each['test']}{told}")
    say(f"{result['passed']} passed, {result['failed']} failed." if result["tests"] else "The policies carry no tests.")
