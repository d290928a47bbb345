"""Replacing the key-encryption key: at every moment one of two files opens the database, and the old one never after."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from wardgate.admin import authenticators, master_key, users
from wardgate.admin.master_key import NEXT, replace_master
from wardgate.admin.office import Office
from wardgate.audit.events import Kind
from wardgate.audit.trail import verify
from wardgate.clock import FixedClock
from wardgate.errors import SealError, StorageUnavailable
from wardgate.installation import Installation
from wardgate.passwords import PasswordHasher
from wardgate.storage.port import Row, Where

CLOCK = FixedClock(datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
SECRET_HEX = "3132333435363738393031323334353637383930"


@pytest.fixture
async def installation(tmp_path: Path) -> Installation:
    made = await Installation.create(tmp_path / "data", False, CLOCK)
    opened = await made.connect()
    hasher = PasswordHasher(1, 10, time_cost=1, memory_kib=8)
    office = Office(opened.storage, opened.rings(), CLOCK, hasher, "test")
    await users.add_user(office, directory="local", name="ada")
    await authenticators.add_totp(office, directory="local", name="ada", secret_hex=SECRET_HEX)
    hasher.close()
    await opened.storage.close()
    return made


async def check_opens(installation: Installation) -> list[Row]:
    """Keys, secrets and audit are what they were; returns the events of replacements."""
    opened = await installation.connect()
    try:
        ring = opened.rings()
        (row,) = await opened.storage.find("authenticator")
        sealed = row["sealed"]
        assert isinstance(sealed, bytes)
        assert ring.open(sealed, f"authenticator:{row['id']}").hex() == SECRET_HEX
        assert (await verify(opened.storage, ring)).findings == ()
        return await opened.storage.find("audit_event", [Where("kind", "=", Kind.MASTER_KEY_REPLACED.stored)])
    finally:
        await opened.storage.close()


async def test_the_old_key_opens_nothing_after_a_replacement(installation: Installation) -> None:
    old = installation.key_file.read_bytes()
    result = await replace_master(installation, CLOCK, "cli:olga")
    assert result == {"key_file": str(installation.key_file), "data_keys": 2, "resumed": False}
    assert stat.S_IMODE(installation.key_file.stat().st_mode) == 0o600
    new = installation.key_file.read_bytes()
    assert new != old
    (event,) = await check_opens(installation)
    assert new.strip().decode() not in json.dumps([str(value) for value in event.values()])
    assert not list(installation.data.glob(f"*{NEXT}"))

    installation.key_file.write_bytes(old)
    with pytest.raises(SealError):
        await installation.connect()


async def test_a_replacement_that_was_cut_before_its_commit_changed_nothing(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise StorageUnavailable("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(master_key, "record", fail)
        with pytest.raises(StorageUnavailable):
            await replace_master(installation, CLOCK, "cli:olga")
    assert await check_opens(installation) == []
    # The key that was left over opens nothing and is not taken up.
    assert not (await replace_master(installation, CLOCK, "cli:olga"))["resumed"]
    assert len(await check_opens(installation)) == 1


async def test_a_replacement_that_was_cut_after_its_commit_is_finished_by_the_next(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, target: Path) -> Path:
        raise OSError(5, "power cut")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="power cut"):
            await replace_master(installation, CLOCK, "cli:olga")
    with pytest.raises(SealError):
        await installation.connect()
    assert (await replace_master(installation, CLOCK, "cli:olga"))["resumed"]
    assert len(await check_opens(installation)) == 1


async def test_a_key_file_that_does_not_fit_replaces_nothing(installation: Installation, tmp_path: Path) -> None:
    right = installation.key_file.read_bytes()
    other = await Installation.create(tmp_path / "other", False, CLOCK)
    installation.key_file.write_bytes(other.key_file.read_bytes())
    with pytest.raises(SealError):
        await replace_master(installation, CLOCK, "cli:olga")
    installation.key_file.write_bytes(right)
    assert await check_opens(installation) == []
