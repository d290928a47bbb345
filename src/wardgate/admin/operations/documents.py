"""The configuration document and its policies."""

import json
from collections.abc import Mapping
from typing import Final

from wardgate.admin import (
    configuration,
    impact,
    policy,
    versions,
)
from wardgate.admin.management import Desk
from wardgate.admin.operations.places import Result
from wardgate.config.includes import MAX_FILES
from wardgate.config.sources import Source
from wardgate.control import Operation, Progress
from wardgate.crypto import Secret
from wardgate.errors import UsageError


async def config_apply(
    desk: Desk,
    document: Secret,
    progress: Progress,
    name: str = "",
    included: Secret | None = None,
    reason: str = "",
    dry_run: bool = False,
    expected_version: int | None = None,
    with_impact: bool = True,
) -> Result:
    """Put a whole document in force. It travels as a secret: it may hold some in clear. `included`: see `_included`."""
    return await configuration.apply_document(
        desk.office,
        text=_document(document),
        name=name,
        included=_included(included),
        reason=reason,
        dry_run=dry_run,
        expected_version=expected_version,
        with_impact=with_impact,
        progress=progress,
    )


async def config_diff(
    desk: Desk,
    progress: Progress,
    document: Secret | None = None,
    name: str = "",
    included: Secret | None = None,
    version: int | None = None,
    to: int | None = None,
    with_impact: bool = True,
) -> Result:
    """What lies between a version and a document, or between two versions."""
    if document is None:
        return await configuration.diff_versions(desk.office, version=version, to=to)
    files = _included(included)
    return await configuration.diff_document(
        desk.office,
        text=_document(document),
        name=name,
        included=files,
        version=version,
        with_impact=with_impact,
        progress=progress,
    )


async def config_export(desk: Desk, version: int | None = None) -> Result:
    """A version of the document."""
    return await configuration.export_document(desk.office, version=version)


async def config_history(desk: Desk, limit: int = 100) -> Result:
    """The kept versions."""
    return await configuration.list_versions(desk.office, limit=limit)


async def config_version(desk: Desk, version: int) -> Result:
    """One kept version: by whom, why, and what it changed line by line."""
    return await versions.show_version(desk.office, version=version)


async def config_rollback(desk: Desk, version: int, reason: str = "") -> Result:
    """Put an earlier version in force again."""
    return await configuration.roll_back(desk.office, version=version, reason=reason)


def _document(document: Secret) -> str:
    try:
        return document.reveal().decode()
    except UnicodeDecodeError:
        raise UsageError("the document is not UTF-8") from None


def _included(files: Secret | None) -> tuple[Source, ...]:
    """The files that a document includes: a JSON list of [name, text], as the command has read them."""
    if files is None:
        return ()
    try:
        pairs = json.loads(files.reveal())
    except ValueError:
        raise UsageError("the included files are not JSON") from None
    if not isinstance(pairs, list) or len(pairs) > MAX_FILES:
        raise UsageError(f"the included files are not a list of at most {MAX_FILES}")
    if not all(isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) for each in pair) for pair in pairs):
        raise UsageError("the included files are not a list of names with texts")
    return tuple(Source(name, text) for name, text in pairs)


async def policy_explain(
    desk: Desk,
    user: str,
    application: str | None = None,
    nas: str | None = None,
    nas_identifier: str | None = None,
    client: str | None = None,
    at: str | None = None,
    goal: str = "login",
    directory: str | None = None,
    country: str = "",
    known_device: bool = False,
    risk: str = "",
    device: list[str] | None = None,
    proofs: list[str] | None = None,
) -> Result:
    """Why a login would be decided as it would."""
    asked = policy.Asked(
        application=application,
        nas=nas,
        nas_identifier=nas_identifier,
        client=client,
        at=at,
        goal=goal,
        country=country,
        known_device=known_device,
        risk=risk,
        device=tuple(device or ()),
        proofs=tuple(proofs or ()),
    )
    return await policy.explain_decision(desk.office, user=user, asked=asked, directory=directory)


async def policy_test(desk: Desk, document: Secret | None = None, policy_name: str | None = None) -> Result:
    """Run the tests of a document's policies."""
    text = None if document is None else _document(document)
    return await policy.run_policy_tests(desk.office, text=text, policy=policy_name)


async def policy_impact(
    desk: Desk,
    document: Secret,
    progress: Progress,
    name: str = "",
    included: Secret | None = None,
    application: str | None = None,
    goal: str = "login",
    client: str | None = None,
    at: str | None = None,
    nas: str | None = None,
    limit_s: float | None = None,
) -> Result:
    """What a document would mean for how many users."""
    return await configuration.impact_of_document(
        desk.office,
        text=_document(document),
        name=name,
        included=_included(included),
        wanted=impact.Wanted(application, goal, client, at, nas, limit_s),
        progress=progress,
    )


OPERATIONS: Final[Mapping[str, Operation]] = {
    "config.apply": config_apply,
    "config.diff": config_diff,
    "config.export": config_export,
    "config.history": config_history,
    "config.version": config_version,
    "config.rollback": config_rollback,
    "policy.explain": policy_explain,
    "policy.test": policy_test,
    "policy.impact": policy_impact,
}
