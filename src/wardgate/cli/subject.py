"""`wardgate subject ...`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from wardgate.cli.inputs import is_interactive
from wardgate.cli.options import DEFAULT_DATA, AnyDirectory, Data, Json, Ticket, example, for_ticket, group
from wardgate.cli.output import EXIT_REFUSED, emit, facts, note, say, table
from wardgate.cli.performing import Performer, perform
from wardgate.errors import Conflict, UsageError

app = group("People behind accounts: one person may have accounts in several directories, and what he enrolled hangs on him.")

Name = Annotated[str | None, typer.Argument(help="Login name, with its realm where it is not the default one.")]


@app.command(epilog=example("wardgate subject show ada", "wardgate subject show ada --directory acme-ldap"))
def show(
    name: Name = None,
    data: Data = DEFAULT_DATA,
    directory: AnyDirectory = None,
    subject: Annotated[str | None, typer.Option(help="The subject's id instead of a name; no directory is asked.")] = None,
    as_json: Json = False,
) -> None:
    """Show a person: the accounts, what was enrolled, and the names that logins came under."""
    params = {"name": name, "directory": directory, "subject_id": subject}
    emit(perform(data, "subject.show", params), as_json, _show_subject)


@app.command(epilog=example("wardgate subject unlock ada"))
def unlock(
    name: Annotated[str, typer.Argument(help="Login name, with its realm where it is not the default one.")],
    data: Data = DEFAULT_DATA,
    directory: AnyDirectory = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Lift every wait that wrong proofs brought about, in whichever directory. A lock of the directory itself stays."""
    result = perform(data, "subject.unlock", {"name": name, "directory": directory} | for_ticket(ticket))
    emit(result, as_json, lambda told: say(f"{told['user']} of {told['directory']} need not wait any more."))


@app.command(
    "forget-devices", epilog=example("wardgate subject forget-devices ada", "wardgate subject forget-devices ada --id 0199aa")
)
def forget_devices(
    name: Annotated[str, typer.Argument(help="Login name, with its realm where it is not the default one.")],
    data: Data = DEFAULT_DATA,
    directory: AnyDirectory = None,
    device: Annotated[str | None, typer.Option("--id", help="Only this one; subject show prints the ids.")] = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Trust the browsers and workstations of a person no more: the next login from each asks for the second factor again."""
    result = perform(data, "subject.forget_devices", {"name": name, "directory": directory, "device": device} | for_ticket(ticket))
    emit(result, as_json, lambda told: say(f"{len(told['devices'])} devices of {told['user']} are trusted no more."))


@app.command(
    epilog=example(
        "wardgate subject relink ada --directory acme-ldap --to ada --to-directory acme-ad",
        "wardgate subject relink ada --directory new-ad --to-subject 0199aa --unlink old-ad --yes",
    )
)
def relink(
    name: Annotated[str | None, typer.Argument(help="Login name of the account.")] = None,
    data: Data = DEFAULT_DATA,
    directory: AnyDirectory = None,
    immutable_id: Annotated[
        str | None, typer.Option("--id", help="The account's id instead of a name, where the directory does not know it any more.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="Login name of the person whose it shall be.")] = None,
    to_directory: Annotated[str | None, typer.Option(help="Directory of that name. Default: those of its realm.")] = None,
    to_subject: Annotated[str | None, typer.Option(help="The person by the subject's id, which show prints.")] = None,
    keep: Annotated[
        str | None,
        typer.Option(help="Where both have authenticators or contacts, whose stay: account or person. The other's are ended."),
    ] = None,
    unlink: Annotated[
        str | None, typer.Option(metavar="DIRECTORY", help="The directory whose account the person has no more, after a migration.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would happen.")] = False,
    ticket: Ticket = "",
    as_json: Json = False,
) -> None:
    """Let an account be a known person's: one person in two directories, or the new account after a migration.

    Shows what will happen and asks. What was enrolled for the account alone goes along; the open logins of whom it was end. The
    person's accounts then share authenticators, contacts and waits.
    """
    if keep not in (None, "account", "person"):
        raise UsageError("--keep: account or person")
    params: dict[str, Any] = {
        "name": name,
        "directory": directory,
        "immutable_id": immutable_id,
        "to_name": to,
        "to_directory": to_directory,
        "to_subject": to_subject,
        "keep": keep,
        "unlink": unlink,
    }
    with Performer(data) as performer:
        plan = performer.do("subject.relink", {**params, "dry_run": True})
        if dry_run:
            emit(plan, as_json, _show_plan)
            return
        if plan["undecided"]:
            raise Conflict(f"both have {' and '.join(plan['undecided'])}: say with --keep whose stay, account or person")
        if not yes:
            _ask(plan)
        expected = {key: value for key, value in plan.items() if key not in ("undecided", "done")}
        result = performer.do("subject.relink", {**params, "expected": expected} | for_ticket(ticket))
    emit(result, as_json, _show_done)


def _ask(plan: Mapping[str, Any]) -> None:
    """Raises Exit when the answer is no."""
    if not is_interactive():
        raise UsageError("nobody can be asked here: look with --dry-run, then say --yes")
    _show_plan(plan, note)
    if not typer.confirm("Do this?", err=True):
        note("wardgate: nothing was changed")
        raise typer.Exit(EXIT_REFUSED)


def _show_plan(plan: Mapping[str, Any], write: Any = say) -> None:
    account = f"{plan['user']} ({plan['directory']} {plan['immutable_id']})"
    whose = f"subject {plan['to_subject']}" if plan["to_subject"] else "a new subject"
    write(f"{account} becomes an account of {whose}." if plan["moves"] else f"{account} is an account of {whose} already.")
    for title, word in (("goes along", "moved"), ("stays", "kept"), ("is ended", "revoked")):
        for each in plan[word]:
            write(f"  {each['kind']} {each['id']} {title}  {each['label']}".rstrip())
    for title, word in (("go along", "contacts_moved"), ("are removed", "contacts_removed")):
        if plan[word]:
            write(f"  {plan[word]} contacts {title}")
    for each in plan["unlinked"]:
        write(f"  the account {each['immutable_id']} of {each['directory']} is the person's no more")
    if plan["logins_ended"]:
        write(f"  {plan['logins_ended']} open logins end")
    if plan["undecided"]:
        write(f"Both have {' and '.join(plan['undecided'])}: say with --keep whose stay, account or person.")


def _show_done(result: Mapping[str, Any]) -> None:
    say(f"{result['user']} of {result['directory']} is an account of subject {result['to_subject']}.")
    counts = ", ".join(f"{len(result[word])} {word}" for word in ("moved", "kept", "revoked"))
    say(f"Authenticators: {counts}.")


def _show_subject(result: Mapping[str, Any]) -> None:
    names = ("user", "directory", "immutable_id", "subject_id", "contacts", "open_logins")
    facts([(name, result[name]) for name in names if result[name] is not None])
    if result["frozen"] is not None:
        say(f"The account is frozen since {result['frozen']['set_at'][:16]}: wardgate user unfreeze lifts it.")
    rows = [[each[name] for name in ("directory", "immutable_id", "since", "known_names")] for each in result["links"]]
    table(["directory", "account", "since", "known names"], rows)
    for each in result["authenticators"]:
        say(f"{each['kind']:<14} {each['state']:<8} {each['id']}  {each['label']}".rstrip())
    for each in result["devices"]:
        say(f"{'trusted device':<14} {each['state']:<8} {each['id']}  {each['label']}, until {each['expires_at'][:10]}")
