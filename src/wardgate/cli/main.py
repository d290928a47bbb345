"""The entry point: the list of command groups, and the one place where errors become exit codes."""

import importlib
import os
import sys
from typing import Any, Final

import typer
from typer.core import TyperGroup

from wardgate import __version__
from wardgate.cli.output import EXIT_REFUSED, EXIT_UNAVAILABLE, EXIT_USAGE, fail, note
from wardgate.errors import ServerUnavailable, UsageError, WardgateError

# Name, module with its `app`, and the line in the overview. A module is loaded when its command is called.
GROUPS: Final[tuple[tuple[str, str, str], ...]] = (
    ("demo", "wardgate.cli.demo", "Try everything on this machine: demo users, RADIUS, a page with what would be sent."),
    ("init", "wardgate.cli.init", "Make an installation."),
    ("serve", "wardgate.cli.serve", "Serve."),
    ("check", "wardgate.cli.check", "Look for what is wrong or weak, and say what to do."),
    ("top", "wardgate.cli.top", "How the server is doing, live."),
    ("user", "wardgate.cli.user", "Local users, and the contacts of users in every directory."),
    ("subject", "wardgate.cli.subject", "People behind accounts: who has which, and joining two of them."),
    ("authenticator", "wardgate.cli.authenticator", "Authenticator apps, devices and recovery codes of users."),
    ("token", "wardgate.cli.token", "Hardware tokens: seeds from their maker's file, given to people by serial number."),
    ("kba", "wardgate.cli.kba", "Challenge questions: the catalogue, prepared answers, who has set which."),
    ("directory", "wardgate.cli.directory", "Directories: what they answer, what their users look like, what is wrong."),
    ("nas", "wardgate.cli.nas", "NAS: the firewalls, VPNs and switches that ask by RADIUS."),
    ("relying-party", "wardgate.cli.relying_party", "Web applications that trust our statements, and the keys that sign them."),
    ("gateway", "wardgate.cli.gateway", "Gateways that send SMS and e-mail."),
    ("lock", "wardgate.cli.lock", "Brakes that hold: who has to wait, and lifting it."),
    ("config", "wardgate.cli.config", "The configuration document: apply, export, compare, roll back."),
    ("policy", "wardgate.cli.policy", "Policies: why a login is decided as it is, and their tests."),
    ("key", "wardgate.cli.key", "Keys that seal secrets in the database."),
    ("storage", "wardgate.cli.storage", "Move the database from SQLite to PostgreSQL."),
    ("backup", "wardgate.cli.backup", "Back up while serving, encrypted; prove that a backup can be restored."),
    ("restore", "wardgate.cli.restore", "Make an installation of a backup."),
    ("epoch", "wardgate.cli.epoch", "A new epoch, after a standby that lacked commits was promoted."),
    ("audit", "wardgate.cli.audit", "The audit trail: verify, search, export, erase."),
    ("simulate", "wardgate.cli.simulate", "Play a NAS against a running server."),
    ("trace", "wardgate.cli.trace", "Why a login went as it did."),
    ("admin", "wardgate.cli.admin", "A one-time link to the live log."),
    ("completion", "wardgate.cli.completion", "Print the completion script of a shell."),
)


class _Groups(TyperGroup):
    """The commands of `GROUPS`, loaded when called: help and completion stay quick however many there are."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name, _, _ in GROUPS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        module = next((module for name, module, _ in GROUPS if name == cmd_name), None)
        if module is None:
            return None
        command = typer.main.get_command(importlib.import_module(module).app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, _, text in GROUPS])


app = typer.Typer(cls=_Groups, no_args_is_help=True, rich_markup_mode=None)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"wardgate {__version__}\n")
        raise typer.Exit


@app.callback(
    epilog="Every command has --help with an example. Exit codes: 0 done, 1 refused or a finding, 2 wrong usage, "
    "3 a neighbour or the server is unavailable, 4 conflict."
)
def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """Wardgate guards every way in: RADIUS logins with a second factor."""


def main() -> None:
    """Run the command line and exit."""
    # Whatever a command makes (database, keys, exports) is its owner's alone.
    os.umask(0o077)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    as_json = "--json" in arguments
    try:
        code = app(arguments, prog_name="wardgate", standalone_mode=False)
    except WardgateError as error:
        return fail(error, as_json)
    except typer.TyperException as error:
        return _misused(error, as_json)
    except typer.Abort:
        note("wardgate: stopped; what was not confirmed was not done")
        return EXIT_REFUSED
    except BrokenPipeError:
        # Whoever read our output has enough; without this the interpreter complains when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_UNAVAILABLE
    except OSError as error:
        return fail(ServerUnavailable(f"{error.filename or 'the system'}: {error.strerror}", "system"), as_json)
    return code if isinstance(code, int) else 0


def _misused(error: typer.TyperException, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    told = UsageError(error.format_message())
    if as_json:
        return fail(told, as_json)
    if context is not None and told.message == context.get_help():
        # A group without a command: its help is the message.
        note(told.message)
        return EXIT_USAGE
    if context is not None:
        note(context.get_usage())
    note(f"wardgate: {told.message}")
    return EXIT_USAGE
