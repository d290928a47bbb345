"""What `wardgate check` says of the machine: certificates, database, backups, and who does what."""

import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests import postgresql
from wardgate.admin.backups import note_backup, set_recipients
from wardgate.admin.checks import check_installation
from wardgate.admin.findings import Level
from wardgate.admin.management import Desk
from wardgate.admin.office import Office
from wardgate.admin.operations import OPERATIONS
from wardgate.admin.operations.installation import admin_link
from wardgate.certificates import self_signed
from wardgate.clock import FixedClock, SystemClock
from wardgate.errors import SettingsError
from wardgate.installation import Installation, Opened
from wardgate.passwords import PasswordHasher
from wardgate.settings import HttpsListenerSettings, Role, ServerSettings, StartSettings
from wardgate.storage.port import Insert, Row, Upsert

RECIPIENT = "age1" + "q" * 58


@asynccontextmanager
async def opened_at(data: Path, settings: StartSettings, clock: FixedClock | None = None) -> AsyncIterator[tuple[Office, Opened]]:
    """An installation with these settings, open."""
    made = await Installation.create(data, False, SystemClock(), settings)
    async with open_again(made, clock) as both:
        yield both


@asynccontextmanager
async def open_again(installation: Installation, clock: FixedClock | None = None) -> AsyncIterator[tuple[Office, Opened]]:
    """The same installation, open."""
    opened = await installation.connect()
    hasher = PasswordHasher(1, 10, time_cost=1, memory_kib=8)
    try:
        yield Office(opened.storage, opened.rings(), clock or SystemClock(), hasher, "operator:olga"), opened
    finally:
        hasher.close()
        await opened.storage.close()


async def found(office: Office, opened: Opened) -> dict[str, Level]:
    """The findings, but for those about the document and the backups of a fresh installation."""
    told = await check_installation(office, opened)
    assert all(each["cure"] for each in told["findings"])
    passing = ("no NAS", "no gateway", "no backup", "the portal")
    return {each["what"]: Level(each["level"]) for each in told["findings"] if not each["what"].startswith(passing)}


def with_roles(*roles: Role) -> StartSettings:
    return StartSettings(server=ServerSettings(roles=roles))


# --- certificates ----------------------------------------------------------------------------------------------------------


async def test_the_certificates_of_every_listener_are_looked_at(tmp_path: Path) -> None:
    listeners = tuple(
        HttpsListenerSettings(port=9000 + n, certificate=f"tls/{n}.pem", key=f"tls/{n}.key", doors=("health",)) for n in range(3)
    )
    async with opened_at(tmp_path / "data", StartSettings(listener=listeners)) as (office, opened):
        tls = opened.installation.data / "tls"
        for number, made in enumerate((datetime.now(UTC) - timedelta(days=810), datetime.now(UTC) - timedelta(days=900))):
            certificate, key = self_signed(made)
            (tls / f"{number}.pem").write_bytes(certificate)
            (tls / f"{number}.key").write_bytes(key)
            (tls / f"{number}.key").chmod(0o600 if number else 0o644)
        (tls / "1.key").unlink()
        told = await found(office, opened)
    grave = {what.split(str(tls) + "/")[-1].split(" on 2")[0]: level for what, level in told.items()}
    assert grave == {
        "0.key is open to others (mode 644)": Level.ERROR,
        "0.pem runs out": Level.WARNING,
        "1.key is missing": Level.ERROR,
        "1.pem ran out": Level.ERROR,
        "2.pem: cannot be read: No such file or directory": Level.ERROR,
    }


async def test_a_machine_without_pages_needs_no_certificate(tmp_path: Path) -> None:
    async with opened_at(tmp_path / "data", StartSettings(https=HttpsListenerSettings(doors=()))) as (office, opened):
        opened.installation.certificate.unlink()
        assert await found(office, opened) == {}


# --- backups ---------------------------------------------------------------------------------------------------------------


async def test_backups_that_nobody_makes_are_told(tmp_path: Path) -> None:
    clock = FixedClock(datetime.now(UTC))
    async with opened_at(tmp_path / "data", StartSettings(), clock) as (office, opened):

        async def told() -> list[str]:
            findings = (await check_installation(office, opened))["findings"]
            return [each["what"] for each in findings if "backup" in each["what"] and each["level"] == "warning"]

        assert ["no backup key is set" in what for what in await told()] == [True]
        await set_recipients(office, recipients=[RECIPIENT])
        assert await told() == ["no backup was ever made"]
        await note_backup(office, sha256="0" * 64, size=1, recipients=[RECIPIENT])
        assert await told() == []
        clock.advance(timedelta(days=6, hours=23).total_seconds())
        assert await told() == []
        made = office.clock.now() - timedelta(days=6, hours=23)
        clock.advance(7200)
        assert await told() == [f"the last backup was made on {made:%Y-%m-%d}"]


# --- roles -----------------------------------------------------------------------------------------------------------------


async def test_alone_on_sqlite_a_role_that_is_missing_is_done_by_nobody(tmp_path: Path) -> None:
    async with opened_at(tmp_path / "data", with_roles("logins")) as (office, opened):
        told = await found(office, opened)
    assert [what.split(":")[0] for what in told] == ["no machine does the scheduled jobs", "no machine sends messages"]
    assert set(told.values()) == {Level.WARNING}


def message(due_at: int) -> Row:
    return {
        "id": f"m{due_at}", "transaction_id": "", "reference": "R", "subject_id": "s", "user_name": "ada",
        "application": "vpn", "channel": "sms", "sealed": b"", "state": "queued", "created_at": due_at,
        "expires_at": due_at + 300_000, "next_try_at": due_at, "tries": 0, "sent_at": None,
    }  # fmt: skip


@pytest.mark.neighbour("postgresql")
async def test_a_role_that_another_node_has_is_not_missed(tmp_path: Path) -> None:
    made = await on_postgresql(tmp_path / "data", with_roles("logins"))
    async with open_again(made) as (office, opened):
        assert ["jobs" in what for what in await found(office, opened)] == [True]
        await office.storage.commit([Upsert("lease", {"name": "janitor", "holder": "b.0", "held_until": office.now_ms() + 30_000})])
        assert await found(office, opened) == {}
        await office.storage.commit([Insert("outbox", message(office.now_ms() - 30_000))])
        assert await found(office, opened) == {}
        await office.storage.commit([Insert("outbox", message(office.now_ms() - 90_000))])
        assert [what.split(":")[0] for what in await found(office, opened)] == ["no machine sends messages"]


# --- the database ----------------------------------------------------------------------------------------------------------


async def on_postgresql(data: Path, settings: StartSettings | None = None) -> Installation:
    """An installation on an empty database."""
    server = postgresql.shared()
    database = server.settings(await server.create())
    return await Installation.create(data, False, SystemClock(), replace(settings or StartSettings(), database=database))


@pytest.mark.neighbour("postgresql")
async def test_an_installation_on_postgresql_is_checked_and_healthy(tmp_path: Path) -> None:
    async with open_again(await on_postgresql(tmp_path / "data")) as (office, opened):
        assert await found(office, opened) == {}


@pytest.mark.neighbour("postgresql")
@pytest.mark.parametrize(("ahead_s", "level"), [(-20, Level.WARNING), (20, Level.WARNING), (3600, Level.ERROR)])
async def test_a_clock_that_differs_from_the_databases_is_told(tmp_path: Path, ahead_s: int, level: Level) -> None:
    made = await on_postgresql(tmp_path / "data")
    async with open_again(made, FixedClock(datetime.now(UTC) + timedelta(seconds=ahead_s))) as (office, opened):
        told = await found(office, opened)
    assert [level for what, level in told.items() if "clock of this machine differs" in what] == [level]


async def test_a_disk_that_takes_nothing_is_told_at_the_second_check_too(tmp_path: Path) -> None:
    """A check that writes what is there already writes nothing, and finds everything in order."""
    clock = FixedClock(datetime.now(UTC))
    async with opened_at(tmp_path / "data", StartSettings(), clock) as (office, opened):
        assert not [what for what in await found(office, opened) if "database" in what]
        clock.advance(60)
        most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most[1]))
        try:
            told = await found(office, opened)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert [level for what, level in told.items() if what.startswith("the database cannot be written")] == [Level.ERROR]


# --- the link to the live log ----------------------------------------------------------------------------------------------


async def test_no_link_is_made_where_no_listener_has_its_pages(tmp_path: Path) -> None:
    settings = StartSettings(https=HttpsListenerSettings(doors=("health",)))
    async with opened_at(tmp_path / "data", settings) as (office, opened):
        desk = Desk(office, opened, "https://127.0.0.1:8443", None)  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="add admin to the doors of a listener"):
            await admin_link(desk)
        assert await office.storage.count("admin_pass") == 0
    assert OPERATIONS["admin.link"] is admin_link
