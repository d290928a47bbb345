"""What `wardgate check` says about directories, and about the contacts that Wardgate keeps beside them."""

from pathlib import Path

import pytest

from tests.unit.admin.memory_kind import configure, register
from tests.unit.admin.test_machine_checks import opened_at
from wardgate.account.contact import Source, create_contact
from wardgate.account.subject import SubjectId
from wardgate.admin.checks import check_installation
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import ContactKind
from wardgate.settings import StartSettings
from wardgate.storage.port import Insert, Update


async def test_a_file_that_a_directory_needs_is_missed_until_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(MemoryDirectory("acme"), monkeypatch)
    authority = tmp_path / "ca.pem"
    async with opened_at(tmp_path / "data", StartSettings()) as (office, opened):
        await configure(office, ca_file=str(authority), version=1)

        async def told() -> list[str]:
            found = await check_installation(office, opened)
            return [each["what"] for each in found["findings"] if each["level"] == "error"]

        assert await told() == [f"directories.acme.ca_file: the server cannot read {authority}: No such file or directory"]
        authority.write_text("-")
        assert await told() == []


async def test_a_directory_is_asked_only_when_that_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = MemoryDirectory("acme")
    register(directory, monkeypatch)
    async with opened_at(tmp_path / "data", StartSettings()) as (office, opened):
        await configure(office, version=1)
        directory.behaviour = Behaviour.UNAVAILABLE
        assert (await check_installation(office, opened))["ok"] is True
        found = await check_installation(office, opened, online=True)
        assert found["ok"] is False
        assert found["findings"][0]["what"].startswith("directory acme does not answer: ")
        assert found["findings"][0]["cure"].startswith("wardgate directory doctor acme")
        directory.behaviour = Behaviour.ANSWERS
        assert (await check_installation(office, opened, online=True))["ok"] is True


async def test_a_contact_that_was_changed_behind_wardgates_back_is_told(tmp_path: Path) -> None:
    async with opened_at(tmp_path / "data", StartSettings()) as (office, opened):

        async def told() -> list[str]:
            found = await check_installation(office, opened)
            return [each["what"] for each in found["findings"] if each["level"] == "error"]

        created, _ = create_contact(office.ring, SubjectId("ada"), ContactKind.PHONE, "+905321234567", Source.OPERATOR, 1, 1)
        await office.storage.commit([created])
        assert await told() == []
        assert isinstance(created, Insert)
        key = {name: created.row[name] for name in ("subject_id", "kind", "value_key")}
        await office.storage.commit([Insert("contact", {**created.row, "subject_id": "mallory"})])
        [message] = await told()
        assert message.startswith("1 of the 2 newest contacts do not open")
        await office.storage.commit([Update("contact", {**key, "subject_id": "mallory"}, {"sealed": b""})])
        assert len(await told()) == 1
