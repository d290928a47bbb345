"""The command line documents itself: every command has help with an example that works, and a published schema of its JSON."""

import importlib
import inspect
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from typing import Any

import jsonschema
import pytest
import typer

from wardgate.cli.main import GROUPS

SCHEMAS = resources.files("wardgate.cli").joinpath("schemas")
# Not one JSON object: lines, a script, and a server whose log goes to standard error.
WITHOUT_JSON = {"serve", "audit export", "completion"}
WITHOUT_DATA = {"completion", "config schema", "config validate"}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its full name."""
    for name, module, _ in GROUPS:
        command = typer.main.get_command(importlib.import_module(module).app)
        command.name = name
        if getattr(command, "invoke_without_command", False):
            yield name, command
        yield from _below(name, command)


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command, or those of a group and of the groups in it."""
    if hasattr(command, "commands"):
        for inner, each in command.commands.items():
            yield from _below(f"{name} {inner}", each)
    else:
        yield name, command


COMMANDS = dict(commands())


def options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def test_the_commands_that_are_promised_are_there() -> None:
    promised = """demo init serve check trace completion backup restore
        user add|user list|user show|user change|user disable|user enable|user unlock|user set-password|user remove|user import
        authenticator add|authenticator list|authenticator revoke|nas add|nas list|nas show|nas remove
        gateway list|gateway test|config apply|config export|config history|config diff|config rollback
        config schema|config validate
        key rotate|audit verify|audit export|admin link|backup verify|backup key|epoch open|authenticator release"""
    first, *rest = promised.splitlines()
    names = set(first.split()) | {name.strip() for line in rest for name in line.split("|")}
    assert names <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does_and_shows_an_example(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert inspect.cleandoc(command.help)[0].isupper()
    assert inspect.cleandoc(command.help).splitlines()[0].endswith(".")
    assert command.epilog is not None
    assert "\b\nExample:\n" in command.epilog
    assert f"wardgate {name}" in command.epilog


def invocations(epilog: str) -> Iterator[list[str]]:
    """The arguments of every call of ours in an example, as a shell would pass them."""
    for line in epilog.partition("Example:\n")[2].splitlines():
        _, _, call = line.rpartition(" | ")
        words = shlex.split((call or line).strip(), comments=False)
        cut = next((place for place, word in enumerate(words) if word in (">", "<", "|")), len(words))
        yield words[:cut]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_is_a_call_that_the_command_takes(name: str) -> None:
    for words in invocations(COMMANDS[name].epilog):
        assert words[: 1 + len(name.split())] == ["wardgate", *name.split()]
        COMMANDS[name].make_context(name, words[1 + len(name.split()) :]).close()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name: str) -> None:
    for parameter in COMMANDS[name].params:
        assert parameter.help, parameter.opts


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_the_data_directory(name: str) -> None:
    if name not in WITHOUT_DATA:
        data = next(parameter for parameter in COMMANDS[name].params if "--data" in parameter.opts)
        assert data.envvar == "WARDGATE_DATA"


def test_every_json_output_has_a_published_schema_and_every_schema_a_command() -> None:
    wanted = {name.replace(" ", "-") for name, command in COMMANDS.items() if "--json" in options(command)}
    there = {entry.name.removesuffix(".json") for entry in SCHEMAS.iterdir() if entry.name.endswith(".json")}
    assert there == wanted | {"error", "audit-export-line", "audit-export-pseudonymised-line"}
    assert {name for name in COMMANDS if "--json" not in options(COMMANDS[name])} <= WITHOUT_JSON


def test_schemas_are_schemas_and_allow_nothing_that_they_do_not_name() -> None:
    for entry in SCHEMAS.iterdir():
        schema = json.loads(entry.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["additionalProperties"] is False, entry.name
        assert schema["title"], entry.name


def test_the_overview_has_one_line_for_each_group() -> None:
    for name, module, text in GROUPS:
        assert importlib.import_module(module).app is not None
        assert text.endswith("."), name
        assert len(text) < 90, name
    assert len({name for name, _, _ in GROUPS}) == len(GROUPS)


def test_no_option_takes_a_password_on_the_command_line() -> None:
    """But for the simulator, whose passwords are a demo's."""
    for name, command in COMMANDS.items():
        assert name.startswith("simulate") or not options(command) & {"--password", "--secret", "--pin", "--code"}, name


def test_help_is_quick_because_it_loads_next_to_nothing() -> None:
    code = (
        "import sys; from wardgate.cli.main import run; assert run(['--help']) == 0; "
        "print(*sorted({'pydantic', 'sqlalchemy', 'alembic', 'cryptography', 'asyncio', 'structlog', 'rich', 'yaml', 'starlette'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stderr.strip() == ""
    for name, _, text in GROUPS:
        assert name in ran.stdout
        assert text.split()[0] in ran.stdout
