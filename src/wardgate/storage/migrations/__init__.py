"""The steps from one release's tables to the next: numbered modules with `upgrade(op)`, run once, in order, forward only.

The list is explicit. Alembic's operations make the same step run on SQLite and PostgreSQL; Alembic itself is imported only
when there is a step to run, because it costs start-up time. All steps that are due run in one transaction: a start that is
interrupted leaves the old version, whole.

To add one: write `mNNNN_name.py`, list it here, change `schema.py`. A test compares the two.
"""

import importlib
from typing import TYPE_CHECKING

from wardgate.errors import SettingsError

if TYPE_CHECKING:
    from sqlalchemy import Connection

MIGRATIONS = ("m0001_first", "m0002_nodes")
LATEST = len(MIGRATIONS)


def check_version(version: int) -> None:
    """Raises SettingsError when the database was written by a newer program, whose tables this one does not know."""
    if version > LATEST:
        raise SettingsError(
            f"the database has version {version} and this program knows versions up to {LATEST}: "
            "start the newer program, or restore the backup that was made before the upgrade"
        )


def upgrade(connection: "Connection", version: int) -> None:
    """Run the steps after `version`, inside the transaction that the caller has begun and will commit."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    operations = Operations(MigrationContext.configure(connection))
    for name in MIGRATIONS[version:]:
        importlib.import_module(f"{__name__}.{name}").upgrade(operations)
