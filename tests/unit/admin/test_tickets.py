"""Tickets of what operators do: which operations take one, what one may be, and that every command offers it."""

import inspect

import pytest

from wardgate.admin.operations import OPERATIONS
from wardgate.admin.tickets import PARAMETER, TICKETED, taken
from wardgate.cli import activation, authenticator, contact, kba, lock, subject, token, user, user_freeze
from wardgate.errors import UsageError

COMMANDS = (
    *(activation.activate, authenticator.add, authenticator.revoke, authenticator.release),
    *(contact.add, contact.remove, contact.prefer, kba.clear, kba.reopen, lock.clear),
    *(subject.unlock, subject.forget_devices, subject.relink, token.assign, token.return_, token.resync),
    *(user.change, user.disable, user.enable, user.lock, user.unlock, user.set_password, user.remove, user.import_),
    *(user_freeze.freeze, user_freeze.unfreeze),
)


def test_tickets_are_for_operations_that_are() -> None:
    assert OPERATIONS.keys() >= TICKETED
    assert not [name for name in TICKETED if PARAMETER in inspect.signature(OPERATIONS[name]).parameters]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.__module__.rpartition('.')[2]} {command.__name__}")
def test_every_command_that_acts_on_a_person_takes_one(command: object) -> None:
    assert PARAMETER in inspect.signature(command).parameters  # type: ignore[arg-type]


@pytest.mark.parametrize("ticket", ["HD-4711", "#4711", "2026/0042", "çağrı_7", "A" * 40])
def test_ticket_is_taken_from_the_parameters(ticket: str) -> None:
    assert taken("user.unlock", {"name": "ada", "ticket": ticket}) == (ticket, {"name": "ada"})


@pytest.mark.parametrize("ticket", ["", "evil.example/x", "https://x", "a b", "1\n2", "A" * 41, 7, None])
def test_ticket_that_would_be_a_link_in_somebodys_message_is_refused(ticket: object) -> None:
    with pytest.raises(UsageError):
        taken("user.unlock", {"name": "ada", "ticket": ticket})


def test_what_only_looks_takes_none() -> None:
    assert taken("user.show", {"name": "ada", "ticket": "7"}) == ("", {"name": "ada", "ticket": "7"})
