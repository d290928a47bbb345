"""Directories for an operator: what is listed, how an examination is told, what is seen of a user."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.admin.memory_kind import configure, register
from wardgate.account.contact import Source, contact_key, create_contact, kept_contacts, prefer
from wardgate.account.subject import SubjectId, create_subject
from wardgate.admin import directories
from wardgate.admin.office import Office
from wardgate.audit.events import Kind
from wardgate.crypto import Secret
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import ContactKind, DirectoryUser, Finding, Lockout, ServerState, ServerStatus, Verdict
from wardgate.errors import DirectoryUnavailable, NotFound, UsageError, WardgateError


class Examined(MemoryDirectory):
    """One that can be examined and knows two servers."""

    findings: tuple[Finding, ...] = ()
    breaks = False
    closed = 0
    lockout: Lockout | None = None
    known: tuple[ServerStatus, ...] = (
        ServerStatus("dc1:636", ServerState.UP, "", 0.0042),
        ServerStatus("dc2:636", ServerState.DOWN, "refused"),
    )

    async def find(self, name: str, timeout_s: float) -> DirectoryUser | None:
        user = await super().find(name, timeout_s)
        return user and replace(user, lockout=self.lockout)

    async def examine(self, scratch: str | None, scratch_password: Secret | None) -> AsyncIterator[Finding]:
        for each in self.findings:
            yield each
            await asyncio.sleep(0)
        if self.breaks:
            raise DirectoryUnavailable("dc1: no answer")

    def servers(self) -> tuple[ServerStatus, ...]:
        return self.known

    async def close(self) -> None:
        self.closed += 1


GOOD = Finding("bind", Verdict.GOOD, "as svc")
BAD = Finding("reset", Verdict.BAD, "no right", "give it", ("dsacls ...",))


@pytest.fixture
def acme() -> Examined:
    return Examined("acme", {"ada": "right-password"})


@pytest.fixture
async def with_acme(office: Office, acme: Examined, monkeypatch: pytest.MonkeyPatch) -> Office:
    register(acme, monkeypatch)
    await configure(office)
    return office


def told() -> tuple[list[Mapping[str, Any]], directories.Progress]:
    seen: list[Mapping[str, Any]] = []
    return seen, seen.append


async def kinds(office: Office) -> list[str]:
    return [str(row["kind"]) for row in await office.storage.find("audit_event", order_by="seq")]


async def test_a_list_tells_realms_servers_and_that_a_directory_answers(with_acme: Office, acme: Examined) -> None:
    [listed] = (await directories.list_directories(with_acme))["directories"]
    assert listed["answers"] is True
    assert listed["realms"] == ["r"]
    assert [(each["server"], each["state"], each["answered_ms"]) for each in listed["servers"]] == [
        ("dc1:636", "up", 4.2),
        ("dc2:636", "down", None),
    ]
    assert acme.closed == 1


async def test_a_directory_that_is_down_is_listed_with_the_reason(with_acme: Office, acme: Examined) -> None:
    acme.behaviour = Behaviour.UNAVAILABLE
    [listed] = (await directories.list_directories(with_acme))["directories"]
    assert listed["answers"] is False
    assert listed["problem"]


async def test_a_server_that_nobody_asked_yet_is_not_told_to_be_up(with_acme: Office, acme: Examined) -> None:
    acme.known = (ServerStatus("dc1:636", ServerState.UP),)
    acme.behaviour = Behaviour.UNAVAILABLE
    [listed] = (await directories.list_directories(with_acme, live=[acme]))["directories"]
    assert (listed["answers"], listed["servers"]) == (False, [])
    acme.behaviour = Behaviour.ANSWERS
    [listed] = (await directories.list_directories(with_acme, live=[acme]))["directories"]
    assert [each["server"] for each in listed["servers"]] == ["dc1:636"]


async def test_names_alone_ask_nobody(with_acme: Office, acme: Examined) -> None:
    acme.behaviour = Behaviour.UNAVAILABLE
    [listed] = (await directories.list_directories(with_acme, ask=False))["directories"]
    assert (listed["name"], listed["answers"], acme.closed) == ("acme", None, 0)


async def test_findings_are_told_as_they_are_found(with_acme: Office, acme: Examined) -> None:
    acme.findings = (GOOD, BAD)
    seen, progress = told()
    result = await directories.examine_directory(with_acme, name="acme", progress=progress)
    assert [each["finding"]["what"] for each in seen] == ["bind", "reset"]
    assert (result["ok"], result["reachable"]) == (False, True)
    assert result["findings"][1]["grant"] == ["dsacls ..."]


async def test_a_directory_without_fault_is_well(with_acme: Office, acme: Examined) -> None:
    acme.findings = (GOOD, Finding("clock", Verdict.WARNING, "3 s"), Finding("reset", Verdict.SKIPPED, "no --scratch"))
    result = await directories.examine_directory(with_acme, name="acme", progress=told()[1])
    assert (result["ok"], result["reachable"]) == (True, True)


async def test_one_that_stops_to_answer_in_the_middle_is_unreachable_and_not_well(with_acme: Office, acme: Examined) -> None:
    acme.findings, acme.breaks = (GOOD,), True
    seen, progress = told()
    result = await directories.examine_directory(with_acme, name="acme", progress=progress)
    assert (result["ok"], result["reachable"]) == (False, False)
    assert result["findings"][-1]["found"] == "dc1: no answer"
    assert len(seen) == 2
    assert acme.closed == 1


async def test_one_whose_examination_ends_bad_is_asked_whether_it_answers_at_all(with_acme: Office, acme: Examined) -> None:
    acme.findings, acme.behaviour = (BAD,), Behaviour.UNAVAILABLE
    assert (await directories.examine_directory(with_acme, name="acme", progress=told()[1]))["reachable"] is False


async def test_a_trial_on_an_account_is_on_record_before_it_begins(with_acme: Office, acme: Examined) -> None:
    acme.breaks = True
    await directories.examine_directory(with_acme, name="acme", progress=told()[1], scratch="scratch")
    assert Kind.DIRECTORY_EXAMINED.stored in await kinds(with_acme)


async def test_a_kind_without_an_examination_is_asked_whether_it_answers(
    office: Office, with_acme: Office, acme: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = MemoryDirectory("acme")
    register(plain, monkeypatch)
    assert (await directories.examine_directory(with_acme, name="acme", progress=told()[1]))["ok"] is True
    plain.behaviour = Behaviour.UNAVAILABLE
    assert (await directories.examine_directory(with_acme, name="acme", progress=told()[1]))["reachable"] is False


async def test_an_unknown_name_is_told_with_the_known_ones(with_acme: Office) -> None:
    with pytest.raises(NotFound, match="acme"):
        await directories.examine_directory(with_acme, name="acmee", progress=told()[1])


async def test_a_user_is_shown_with_where_his_codes_go_and_no_password(with_acme: Office, acme: Examined) -> None:
    user = acme.add("bob", "bobs-own-password", phone="+905321111111", groups=("vpn",))
    subject_id, operations = create_subject("acme", user.immutable_id, 1)
    ring = with_acme.ring
    unit = [*operations, *create_contact(ring, subject_id, ContactKind.PHONE, "+905323333333", Source.OPERATOR, 1, 1)]
    await with_acme.storage.commit(unit)
    shown = await directories.look_at_user(with_acme, name="acme", user="BOB")
    assert shown["user"]["groups"] == [{"name": "vpn", "aliases": []}]
    assert shown["subject_id"] == subject_id
    assert shown["codes_go_to"]["phone"] == "+905321111111"
    assert shown["check"] is None
    await _prefer(with_acme, subject_id, "+905323333333")
    shown = await directories.look_at_user(with_acme, name="acme", user="bob", password=Secret("bobs-own-password"))
    assert shown["codes_go_to"]["phone"] == "+905323333333"
    assert shown["check"]["verdict"] == "right"
    assert "bobs-own-password" not in str(shown)


async def _prefer(office: Office, subject_id: SubjectId, phone: str) -> None:
    [rows] = await office.storage.read([kept_contacts(subject_id)])
    key = contact_key(office.ring, subject_id, ContactKind.PHONE, phone)
    await office.storage.commit(prefer(rows, ContactKind.PHONE, key))


async def test_an_operators_guess_is_on_record(with_acme: Office, acme: Examined) -> None:
    shown = await directories.look_at_user(with_acme, name="acme", user="ada", password=Secret("wrong"))
    assert shown["check"]["password_was_right"] is False
    assert Kind.PASSWORD_TRIED.stored in await kinds(with_acme)


async def test_an_operators_guess_never_locks_the_account(with_acme: Office, acme: Examined) -> None:
    checks = acme.checks
    acme.lockout = Lockout(threshold=5, window_s=1800, failures=3)
    with pytest.raises(WardgateError) as refused:
        await directories.look_at_user(with_acme, name="acme", user="ada", password=Secret("wrong"))
    assert refused.value.code == "account_nearly_locked"
    assert acme.checks == checks
    acme.lockout = Lockout(threshold=5, window_s=1800, failures=2)
    await directories.look_at_user(with_acme, name="acme", user="ada", password=Secret("wrong"))
    assert acme.checks == checks + 1


async def test_an_empty_password_is_asked_of_nobody(with_acme: Office, acme: Examined) -> None:
    with pytest.raises(UsageError):
        await directories.look_at_user(with_acme, name="acme", user="ada", password=Secret(""))
    assert acme.checks == 0


async def test_a_user_that_nobody_has_is_not_found(with_acme: Office) -> None:
    with pytest.raises(NotFound, match="acme"):
        await directories.look_at_user(with_acme, name="acme", user="nobody")
