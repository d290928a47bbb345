"""One version of the configuration: by whom, when and why it came into force, and what it changed, line by line."""

from dataclasses import asdict
from typing import Any

from wardgate.admin.configuration import diff_versions
from wardgate.admin.office import Office
from wardgate.config.store import version_of


async def show_version(office: Office, *, version: int) -> dict[str, Any]:
    """A kept version as the list tells it, with its difference from the one before; None when that is not kept any more.

    Secrets are sealed or references in both, so the difference tells that one was changed and never what it is. Raises NotFound.
    """
    found = await version_of(office.storage, version)
    changes = None
    if found.changes is not None:
        changes = {what: list(names) for what, names in asdict(found.changes).items()}
    told = {
        "version": found.version,
        "created_at": found.created_at.isoformat(),
        "author": found.author,
        "reason": found.reason,
        "changes": changes,
    }
    difference = None
    if found.changes is not None:
        difference = await diff_versions(office, version=None if version == 1 else version - 1, to=version)
    return {"versions": [told], "unified": None if difference is None else difference["unified"]}
