"""What people do and are given by hand: their activity, activations, short links and spare tokens."""

from alembic.operations import Operations


def upgrade(op: Operations) -> None:
    """Create the tables and their indexes."""
