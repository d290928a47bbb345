"""Every table, once, for all back-ends. Names are singular; times end in `_at` or `_until` and are milliseconds.

Each module adds its tables to `metadata`.
"""

from wardgate.storage.schema import federation, keeping, logins, people
from wardgate.storage.schema.columns import metadata

__all__ = ["federation", "keeping", "logins", "metadata", "people"]
