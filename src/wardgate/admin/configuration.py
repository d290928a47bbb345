"""The configuration document as a whole: apply, export, compare, history, rollback."""

import difflib
from typing import Any

from wardgate.admin.directory_files import unreadable_files
from wardgate.admin.office import Office
from wardgate.config.document import Document, dump, dump_plain, parse, to_plain
from wardgate.config.secrets import seal_document, unresolved
from wardgate.config.store import Changes, compare, history, load, load_as_stored, load_current, load_to_replace, save
from wardgate.directory.kind import DirectorySettings
from wardgate.directory.registry import kind_of
from wardgate.errors import SettingsError
from wardgate.storage.port import Where


async def apply_document(
    office: Office, *, text: str, reason: str = "", dry_run: bool = False, expected_version: int | None = None
) -> dict[str, Any]:
    """Put a whole document in force, or with `dry_run` only say what that would change.

    Refused when anything in it is wrong or a secret that it names is not there; only what a directory needs may come later, and is
    told as a warning, as is a directory whose ids may mean other people than before. With `expected_version`, refused as a conflict
    when another version is in force by now.
    """
    version, present = await load_to_replace(office.storage)
    wanted = seal_document(parse(text), office.ring, present)
    warnings = [*_proved(office, wanted), *await _strangers(office, present, wanted)]
    changes = compare(present, wanted)
    if not dry_run and changes:
        expected = version if expected_version is None else expected_version
        version = await save(office.storage, wanted, office.actor, reason, expected, office.clock, office.ring)
    return {"version": version, "applied": bool(changes) and not dry_run, **_told(changes), "warnings": warnings}


async def export_document(office: Office, *, version: int | None = None) -> dict[str, Any]:
    """A version of the document: as plain values and as YAML. Secrets are references or sealed.

    One that this release cannot use comes as it is stored, with what is wrong above it, so that it can be corrected.
    """
    try:
        if version is None:
            version, document = await load_current(office.storage)
        else:
            document = await load(office.storage, version)
    except SettingsError as error:
        version, plain = await load_as_stored(office.storage, version)
        problem = "".join(f"# {line}\n" for line in error.message.splitlines())
        return {"version": version, "document": plain, "yaml": problem + dump_plain(plain)}
    return {"version": version, "document": to_plain(document), "yaml": dump(document)}


async def list_versions(office: Office, *, limit: int = 100) -> dict[str, Any]:
    """The kept versions, newest first."""
    versions = await history(office.storage, max(1, min(limit, 500)))
    return {
        "versions": [
            {"version": each.version, "created_at": each.created_at.isoformat(), "author": each.author, "reason": each.reason}
            for each in versions
        ]
    }


async def diff_document(office: Office, *, text: str) -> dict[str, Any]:
    """What applying `text` would change: by name, and line by line. A changed secret shows as another sealed value."""
    version, present = await load_to_replace(office.storage)
    wanted = seal_document(parse(text), office.ring, present)
    before = dump(present) if present is not None else ""
    lines = difflib.unified_diff(before.splitlines(), dump(wanted).splitlines(), f"version {version}", "the file", lineterm="")
    return {"version": version, **_told(compare(present, wanted)), "unified": "\n".join(lines)}


async def roll_back(office: Office, *, version: int, reason: str = "") -> dict[str, Any]:
    """Put an earlier version in force again, as a new version."""
    present_version, present = await load_to_replace(office.storage)
    wanted = seal_document(await load(office.storage, version), office.ring, present)
    warnings = [*_proved(office, wanted), *await _strangers(office, present, wanted)]
    changes = compare(present, wanted)
    if changes:
        why = f"rollback to version {version}" + (f": {reason}" if reason else "")
        present_version = await save(office.storage, wanted, office.actor, why, present_version, office.clock, office.ring)
    return {"version": present_version, "applied": bool(changes), **_told(changes), "warnings": warnings}


def _proved(office: Office, sealed: Document) -> list[str]:
    """Prove that every secret is there. Returns what directories lack yet: they are down until it comes, and the others serve."""
    problems = unresolved(sealed, office.ring)
    missing = [message for section, message in problems if section != "directories"]
    if missing:
        raise SettingsError("\n".join(["the document names secrets that are not there:", *missing]))
    return [message for _, message in problems] + [message for each in sealed.directories for message in unreadable_files(each)]


async def _strangers(office: Office, present: Document | None, wanted: Document) -> list[str]:
    """Directories whose ids may mean other people from now on, though authenticators and contacts hang on those ids already."""
    before = {each.name: _numbering(each) for each in present.directories} if present is not None else {}
    told = []
    for each in wanted.directories:
        numbering = _numbering(each)
        if numbering is None or before.get(each.name) == numbering:
            continue
        if await office.storage.find("subject_link", [Where("directory", "=", each.name)], limit=1):
            told.append(
                f"directories.{each.name}: people are known by the ids of a directory of this name, and this one may give the same "
                "ids to others, who would get their authenticators and contacts; if it is another directory, give it a new name"
            )
    return told


def _numbering(settings: DirectorySettings) -> tuple[object, ...] | None:
    """What decides whom an id of the directory means; None where that cannot change."""
    found: tuple[object, ...] | None = kind_of(settings).numbering(settings)
    return None if found is None else (settings.kind, *found)


def _told(changes: Changes) -> dict[str, Any]:
    return {"added": list(changes.added), "changed": list(changes.changed), "removed": list(changes.removed)}
