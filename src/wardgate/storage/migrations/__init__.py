"""The steps from one release's tables to the next: numbered modules with `upgrade(op)`, run once, in order, forward only.

The list is explicit. Alembic's operations make the same step run on SQLite and PostgreSQL; Alembic itself is imported only
when there is a step to run, because it costs start-up time. All steps that are due run in one transaction: a start that is
interrupted leaves the old version, whole.

On PostgreSQL the steps are written down as one SQL script, which the driver then runs: a step may not read rows into Python
(`op.execute` with SQL that changes them is fine), and its text columns need COLLATE "C", so that text is ordered alike everywhere.

To add one: write `mNNNN_name.py`, list it here, change `schema`. A test compares the two, on both databases.
"""

import importlib
from io import StringIO
from typing import TYPE_CHECKING

from wardgate.errors import SettingsError

if TYPE_CHECKING:
    from alembic.migration import MigrationContext
    from sqlalchemy import Connection

MIGRATIONS = (
    "m0001_first",
    "m0002_nodes",
    "m0003_directories",
    "m0004_fewer_indexes",
    "m0005_policy",
    "m0006_questions",
    "m0007_browsers",
    "m0008_people",
    "m0009_federation",
)
LATEST = len(MIGRATIONS)


def check_version(version: int) -> None:
    """Raises SettingsError when the database was written by a newer program, whose tables this one does not know."""
    if version > LATEST:
        raise SettingsError(
            f"the database has version {version} and this program knows versions up to {LATEST}: "
            "start the newer program, or restore the backup that was made before the upgrade"
        )


def upgrade(connection: "Connection", version: int, target: int | None = None) -> None:
    """Run the steps after `version` up to `target` (all), inside the transaction that the caller has begun and will commit."""
    from alembic.migration import MigrationContext

    _run(MigrationContext.configure(connection), version, target)


def postgresql_script(version: int, target: int | None = None) -> str:
    """The SQL of the same steps for PostgreSQL, to be run in one transaction."""
    from alembic.migration import MigrationContext

    script = StringIO()
    _run(MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": script}), version, target)
    return script.getvalue()


def _run(context: "MigrationContext", version: int, target: int | None) -> None:
    from alembic.operations import Operations

    operations = Operations(context)
    for name in MIGRATIONS[version:target]:
        importlib.import_module(f"{__name__}.{name}").upgrade(operations)
