"""The configuration document as a whole: apply, export, compare, history, rollback."""

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from wardgate.admin import impact
from wardgate.admin.directory_files import unreadable_files, without_library
from wardgate.admin.office import Office
from wardgate.admin.party_checks import unserved
from wardgate.admin.policy import failing_tests, prove_policies
from wardgate.audit.retention import RetentionSettings, shortened
from wardgate.brand.looks import logo_problems
from wardgate.config.checks import doubts
from wardgate.config.document import Document, dump, dump_plain, examine, in_their_files, in_their_places, parse_sources, to_plain
from wardgate.config.faults import Fault
from wardgate.config.lapses import check_lapses, near_or_past
from wardgate.config.secrets import seal_document, unresolved
from wardgate.config.sources import Source
from wardgate.config.store import (
    Changes,
    compare,
    compare_plain,
    history,
    load,
    load_as_stored,
    load_current,
    load_to_replace,
    save,
)
from wardgate.config.touches import touched
from wardgate.directory.kind import DirectorySettings
from wardgate.directory.registry import kind_of
from wardgate.errors import SettingsError
from wardgate.storage.port import Where

# How long a comparison looks at users; `policy impact` looks at all of them.
IMPACT_LIMIT_S: Final = 20.0
# Comparing line by line takes a minute of the processor when every one of ten thousand things differs.
MAX_THINGS_COMPARED: Final = 200


def validate_document(sources: Sequence[Source]) -> tuple[list[Fault], list[Fault]]:
    """What applying a document would refuse, and what it would take though it can hardly be meant.

    Refused are faults and tests of policies that fail; secrets only the server has.
    """
    document, faults = examine(sources)
    if document is None:
        return faults, []
    return in_their_places(sources, failing_tests(document)), in_their_places(sources, doubts(document))


async def apply_document(
    office: Office,
    *,
    text: str,
    name: str = "",
    included: Sequence[Source] = (),
    reason: str = "",
    dry_run: bool = False,
    expected_version: int | None = None,
    with_impact: bool = True,
    progress: impact.Progress = impact.unheard,
) -> dict[str, Any]:
    """Put a whole document in force, or with `dry_run` only say what that would change, line by line, and whom it reaches.

    `with_impact`: a dry run also tells for how many users it decides otherwise.

    Refused when anything in it is wrong or a secret that it names is not there; only what a directory needs may come later, and is
    told as a warning, as is a directory whose ids may mean other people than before. With `expected_version`, refused as a conflict
    when another version is in force by now.
    """
    version, present = await load_to_replace(office.storage)
    expected = version if expected_version is None else expected_version
    sources = (Source(name, text), *included)
    wanted = await _wanted(office, sources, present)
    warnings = [*_proved(office, wanted, sources), *await _strangers(office, present, wanted), *_shorter(present, wanted)]
    warnings += [*map(str, in_their_places(sources, doubts(wanted))), *_lapses(office, wanted), *unserved(wanted)]
    changes = compare(present, wanted)
    if dry_run:
        told = await _foreseen(present, wanted, changes, version, name)
        told |= {"impact": await _impact(office, present, wanted, with_impact, progress)}
        return {"version": version, "applied": False, **_told(changes), "warnings": warnings, **told}
    if changes:
        version = await save(office.storage, wanted, office.actor, reason, expected, office.clock, office.ring)
    return {"version": version, "applied": bool(changes), **_told(changes), "warnings": warnings}


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
    """The kept versions, newest first, each with what it changed."""
    return {
        "versions": [
            {
                "version": each.version,
                "created_at": each.created_at.isoformat(),
                "author": each.author,
                "reason": each.reason,
                "changes": _told(each.changes) if each.changes is not None else None,
            }
            for each in await history(office.storage, max(1, min(limit, 500)))
        ]
    }


async def diff_document(
    office: Office,
    *,
    text: str,
    name: str = "",
    included: Sequence[Source] = (),
    version: int | None = None,
    with_impact: bool = True,
    progress: impact.Progress = impact.unheard,
) -> dict[str, Any]:
    """What lies between a version (default: the one in force) and a document: by name, line by line, and for how many users.

    A changed secret shows as another sealed value.
    """
    _, present = await load_to_replace(office.storage)
    wanted = await _wanted(office, (Source(name, text), *included), present)
    earlier = present if version is None else await _usable(office, version)
    version, before = await load_as_stored(office.storage, version)
    difference = await _difference(version, before, None, to_plain(wanted), name or "the file")
    return difference | {"impact": await _impact(office, earlier, wanted, with_impact, progress)}


async def impact_of_document(
    office: Office,
    *,
    text: str,
    name: str = "",
    included: Sequence[Source] = (),
    wanted: impact.Wanted,
    progress: impact.Progress = impact.unheard,
) -> dict[str, Any]:
    """What a document in the place of the one in force would mean for how many users."""
    version, present = await load_to_replace(office.storage)
    document = await _wanted(office, (Source(name, text), *included), present)
    return {"version": version, **await impact.measure(office, present, document, wanted, progress)}


async def diff_versions(office: Office, *, version: int | None = None, to: int | None = None) -> dict[str, Any]:
    """What lies between two versions. Without `to`: up to the one in force. Without both: what the last change changed."""
    to, after = await load_as_stored(office.storage, to)
    if version is None and to == 1:
        return await _difference(0, {}, to, after, "version 1")
    version, before = await load_as_stored(office.storage, to - 1 if version is None else version)
    return await _difference(version, before, to, after, f"version {to}")


async def roll_back(office: Office, *, version: int, reason: str = "") -> dict[str, Any]:
    """Put an earlier version in force again, as a new version."""
    present_version, present = await load_to_replace(office.storage)
    wanted = seal_document(await load(office.storage, version), office.ring, present)
    warnings = [*_proved(office, wanted), *await _strangers(office, present, wanted), *_shorter(present, wanted)]
    warnings += _lapses(office, wanted)
    changes = compare(present, wanted)
    if changes:
        why = f"rollback to version {version}" + (f": {reason}" if reason else "")
        present_version = await save(office.storage, wanted, office.actor, why, present_version, office.clock, office.ring)
    return {"version": present_version, "applied": bool(changes), **_told(changes), "warnings": warnings}


async def _wanted(office: Office, sources: Sequence[Source], present: Document | None) -> Document:
    """The document of these files, sealed. Read in a thread: a large one takes seconds, and logins go on beside it."""
    document = await asyncio.to_thread(parse_sources, sources)
    try:
        return seal_document(document, office.ring, present)
    except SettingsError as error:
        raise SettingsError("\n".join(in_their_files(sources, error.message.splitlines()))) from error


async def _usable(office: Office, version: int) -> Document | None:
    """An earlier version; None for one that this release cannot use, which decided nothing that could be compared."""
    try:
        return await load(office.storage, version)
    except SettingsError:
        return None


async def _impact(
    office: Office, before: Document | None, after: Document, wanted: bool, progress: impact.Progress
) -> dict[str, Any] | None:
    """For how many users the decision changes, as far as there is time; None where it can change for nobody."""
    if not wanted or before is None or not await impact.decides_otherwise(before, after):
        return None
    return await impact.measure(office, before, after, impact.Wanted(limit_s=IMPACT_LIMIT_S), progress)


async def _foreseen(present: Document | None, wanted: Document, changes: Changes, version: int, name: str) -> dict[str, Any]:
    """What a dry run tells beyond names."""
    before = to_plain(present) if present is not None else {}
    unified = await _unified(changes, before, to_plain(wanted), f"version {version}", name or "the file")
    touches = touched(present, wanted, (*changes.added, *changes.changed, *changes.removed))
    return {"unified": unified, "touches": [asdict(each) for each in touches]}


async def _difference(
    version: int, before: Mapping[str, Any], to: int | None, after: Mapping[str, Any], after_name: str
) -> dict[str, Any]:
    changes = compare_plain(before, after)
    unified = await _unified(changes, before, after, f"version {version}", after_name)
    return {"version": version, "to": to, **_told(changes), "unified": unified, "impact": None}


async def _unified(changes: Changes, before: Mapping[str, Any], after: Mapping[str, Any], before_name: str, after_name: str) -> str:
    """The difference line by line, in a thread."""
    count = len(changes.added) + len(changes.changed) + len(changes.removed)
    if before and count > MAX_THINGS_COMPARED:
        return f"# {count} things differ; line by line are shown at most {MAX_THINGS_COMPARED}"
    return await asyncio.to_thread(_lines_that_differ, before, after, before_name, after_name)


def _lines_that_differ(before: Mapping[str, Any], after: Mapping[str, Any], before_name: str, after_name: str) -> str:
    old, new = (dump_plain(plain).splitlines() if plain else [] for plain in (before, after))
    return "\n".join(difflib.unified_diff(old, new, before_name, after_name, lineterm=""))


def _proved(office: Office, sealed: Document, sources: Sequence[Source] = ()) -> list[str]:
    """Prove that every secret is there and every logo can be used.

    Returns what directories lack yet: they are down until it comes, and the others serve.
    """
    prove_policies(sealed, sources)
    if lacking := without_library(sealed):
        raise SettingsError("\n".join(lacking))
    problems = unresolved(sealed, office.ring)
    missing = [message for section, message in problems if section != "directories"]
    if missing:
        told = in_their_files(sources, missing) if sources else missing
        raise SettingsError("\n".join(["the document names secrets that are not there:", *told]))
    pictures = logo_problems(sealed.brand, {realm.name: realm.brand for realm in sealed.realms})
    if pictures:
        raise SettingsError("\n".join(["the document names logos that cannot be used:", *pictures]))
    later = [*(message for _, message in problems), *(told for each in sealed.directories for told in unreadable_files(each))]
    return [f"{message}; the directory is down until it is there" for message in later]


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


def _shorter(present: Document | None, wanted: Document) -> list[str]:
    """Spans of retention that become shorter: the next sweep takes what no longer span brings back."""
    before = present.retention if present is not None else RetentionSettings()
    return [
        f"retention.{name}: {was} becomes {now}: what is older is erased for good by the next sweep"
        for name, was, now in shortened(before, wanted.retention)
    ]


def _lapses(office: Office, wanted: Document) -> list[str]:
    """Exceptions that end soon or have ended. Raises SettingsError for one that would last too long."""
    today = office.clock.now().date()
    check_lapses(wanted, today)
    return near_or_past(wanted, today)


def _numbering(settings: DirectorySettings) -> tuple[object, ...] | None:
    """What decides whom an id of the directory means; None where that cannot change."""
    found: tuple[object, ...] | None = kind_of(settings).numbering(settings)
    return None if found is None else (settings.kind, *found)


def _told(changes: Changes) -> dict[str, Any]:
    return {"added": list(changes.added), "changed": list(changes.changed), "removed": list(changes.removed)}
