"""Replaces the key-encryption key: every data key is wrapped anew in one commit.

The new key stands beside the old one, as `master.key.next`, from before the commit until it has taken its place, so at every moment
one of the two files opens the database. A replacement that was cut short between the commit and the end is finished by the next
run. Nothing else may run: a rotation of the data keys would wrap one by the key of before.
"""

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from wardgate.admin.alone import check_alone
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.trail import chain_for
from wardgate.clock import Clock, to_ms
from wardgate.crypto import KeyRing, Secret, new_key, unwrap_key, wrap_key
from wardgate.errors import Conflict, SealError, SettingsError
from wardgate.installation import Installation, read_master_key
from wardgate.storage.backends import open_storage
from wardgate.storage.port import Committed, Operation, Row, Storage, Update, Where

NEXT: Final = ".next"


async def replace_master(installation: Installation, clock: Clock, actor: str) -> dict[str, Any]:
    """Put a new key in the place of the key-encryption key. Hold the instance lock.

    Raises SealError when neither file opens the database, Conflict while another node works on it.
    """
    storage = await open_storage(installation.settings.database, installation.data)
    try:
        await check_alone(installation, storage, clock)
        rows = await storage.find("data_key", order_by="number")
        waiting = installation.key_file.with_name(installation.key_file.name + NEXT)
        resumed = waiting.exists() and _opens(read_master_key(waiting), rows)
        if not resumed:
            await _wrap_anew(installation, storage, rows, waiting, clock, actor)
        waiting.replace(installation.key_file)
        _sync(installation.key_file.parent)
    finally:
        await storage.close()
    return {"key_file": str(installation.key_file), "data_keys": len(rows), "resumed": resumed}


async def _wrap_anew(
    installation: Installation, storage: Storage, rows: Sequence[Row], waiting: Path, clock: Clock, actor: str
) -> None:
    keys = _unwrapped(installation.master_key(), rows)
    new = new_key()
    _write(waiting, base64.b64encode(new.reveal()) + b"\n")
    epoch = await storage.get("installation", {"name": "epoch"})
    if epoch is None:
        raise SettingsError("the database names no epoch: it is not the database of an installation")
    storage.use_chain(chain_for(KeyRing(keys), installation.chain_writer(), int(str(epoch["value"]))))
    unit: list[Operation] = [
        Update(
            "data_key",
            {"number": row["number"]},
            {"wrapped": wrap_key(new, int(row["number"] or 0), keys[int(row["number"] or 0)])},
            where=(Where("wrapped", "=", row["wrapped"]),),
        )
        for row in rows
    ]
    unit.append(record(AuditEvent(Kind.MASTER_KEY_REPLACED, to_ms(clock.now()), actor, details={"data_keys": sorted(keys)})))
    if not isinstance(await storage.commit(unit), Committed):
        raise Conflict("the data keys were changed meanwhile: stop whatever runs beside, and repeat")


def _unwrapped(master: Secret, rows: Sequence[Row]) -> dict[int, Secret]:
    wrapped = {int(row["number"] or 0): row["wrapped"] for row in rows}
    return {number: unwrap_key(master, number, value) for number, value in wrapped.items() if isinstance(value, bytes)}


def _opens(master: Secret, rows: Sequence[Row]) -> bool:
    try:
        return bool(_unwrapped(master, rows))
    except SealError:
        return False


def _write(path: Path, content: bytes) -> None:
    """A key that a run of before left here opens nothing: it had not come to its commit."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
