"""Directories: list them with their servers, examine one, and show what Wardgate sees of a user."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

from wardgate.admin.contacts import codes_go_to
from wardgate.admin.office import Office
from wardgate.admin.people import TIMEOUT_S, Person, found_person, opened, settings_of
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.config.document import Document
from wardgate.config.store import load_current
from wardgate.crypto import Secret
from wardgate.directory.kind import DirectorySettings
from wardgate.directory.port import (
    ContactKind,
    ContactWriting,
    Directory,
    DirectoryUser,
    Examining,
    Finding,
    PasswordChanging,
    PasswordPolicyTelling,
    PasswordResetting,
    ServerState,
    ServerStatus,
    ServerTelling,
    Unlocking,
    Verdict,
)
from wardgate.errors import DirectoryUnavailable, SettingsError, UsageError, WardgateError

# A name that nobody has: looking it up takes the whole way, bind and search, and touches no account.
PROBE_NAME: Final = "wardgate-asks-whether-you-answer"
EXAMINATION_S: Final = 180.0
MAX_FINDINGS: Final = 500
# As many wrong passwords stay between an operator's try and the directory's own lock as between a stranger's and it.
TRIES_LEFT_ALONE: Final = 2

Progress = Callable[[Mapping[str, object]], None]


# --- list ----------------------------------------------------------------------------------------------------------------


async def list_directories(
    office: Office, *, live: Sequence[Directory] = (), ask: bool = True, document: Document | None = None
) -> dict[str, Any]:
    """Every directory: its kind, who asks it, whether it answers, and its servers.

    `live`: those of the running server, whose view of the servers is told where there is one. Without `ask`, nobody is asked.
    `document`: the one in force, where it is at hand.
    """
    if document is None:
        _, document = await load_current(office.storage)
    known = {each.name: each for each in live}
    described = [_describe(office, document, each, known.get(each.name), ask) for each in document.directories]
    return {"directories": list(await asyncio.gather(*described))}


async def _describe(
    office: Office, document: Document, settings: DirectorySettings, live: Directory | None, ask: bool
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": settings.name,
        "kind": settings.kind,
        "realms": [realm.name for realm in document.realms if settings.name in realm.directories],
    }
    if not ask:
        return {**told, "answers": None, "took_ms": None, "problem": None, "servers": []}
    try:
        async with opened(office, document, settings) as own:
            answer = await probe(office, own)
            return {**told, **answer, "servers": _servers(live, False) or _servers(own, answer["answers"])}
    except SettingsError as error:
        return {**told, "answers": False, "took_ms": None, "problem": error.message, "servers": []}


async def probe(office: Office, directory: Directory) -> dict[str, Any]:
    """Whether a directory answers, after how long, and what is wrong where it does not."""
    began = office.clock.monotonic()
    try:
        await directory.find(PROBE_NAME, TIMEOUT_S)
    except DirectoryUnavailable as error:
        return {"answers": False, "took_ms": _since(office, began), "problem": error.message}
    return {"answers": True, "took_ms": _since(office, began), "problem": None}


def _servers(directory: object, answers: bool) -> list[dict[str, Any]]:
    """Nothing of a directory that heard of none of its servers yet, as it holds all to be up. `answers`: it did just now."""
    if not isinstance(directory, ServerTelling) or not (answers or any(map(_heard_of, directory.servers()))):
        return []
    return [
        {
            "server": each.server,
            "state": each.state.value,
            "problem": each.problem or None,
            "answered_ms": None if each.answered_s is None else round(each.answered_s * 1000, 1),
        }
        for each in directory.servers()
    ]


def _heard_of(server: ServerStatus) -> bool:
    return server.answered_s is not None or server.state is not ServerState.UP


# --- examine -------------------------------------------------------------------------------------------------------------


async def examine_directory(
    office: Office, *, name: str, progress: Progress, scratch: str | None = None, scratch_password: Secret | None = None
) -> dict[str, Any]:
    """Examine a directory point by point; each finding is told as it is found, and all of them at the end.

    `reachable` is False when it did not answer: then what was not found out says nothing. Raises NotFound.
    """
    _, document = await load_current(office.storage)
    settings = settings_of(document, name)
    findings: list[dict[str, Any]] = []
    async with opened(office, document, settings) as directory:
        if scratch is not None:
            details = {"directory": name, "scratch": scratch}
            event = AuditEvent(Kind.DIRECTORY_EXAMINED, office.now_ms(), office.actor, details=details)
            await office.storage.commit([record(event)])
        reachable, last = True, ""
        try:
            async with asyncio.timeout(EXAMINATION_S):
                async for finding in _examine(office, directory, scratch, scratch_password):
                    findings.append(_told(finding))
                    progress({"finding": findings[-1]})
                    if len(findings) >= MAX_FINDINGS:
                        break
        except (DirectoryUnavailable, TimeoutError) as error:
            reachable = False
            last = error.message if isinstance(error, DirectoryUnavailable) else f"not done within {EXAMINATION_S:.0f} s"
        if reachable and any(each["verdict"] == Verdict.BAD.value for each in findings):
            answer = await probe(office, directory)
            reachable = bool(answer["answers"])
        if last:
            findings.append(_told(Finding("the directory answers", Verdict.BAD, last)))
            progress({"finding": findings[-1]})
    ok = reachable and all(each["verdict"] != Verdict.BAD.value for each in findings)
    return {"directory": name, "kind": settings.kind, "ok": ok, "reachable": reachable, "findings": findings}


async def _examine(
    office: Office, directory: Directory, scratch: str | None, scratch_password: Secret | None
) -> AsyncIterator[Finding]:
    if isinstance(directory, Examining):
        async for finding in directory.examine(scratch, scratch_password):
            yield finding
        return
    answer = await probe(office, directory)
    if answer["answers"]:
        yield Finding("the directory answers", Verdict.GOOD, f"after {answer['took_ms']} ms")
    else:
        raise DirectoryUnavailable(str(answer["problem"]))


def _told(finding: Finding) -> dict[str, Any]:
    return {
        "what": finding.what,
        "verdict": finding.verdict.value,
        "found": finding.found,
        "cure": finding.cure,
        "grant": list(finding.grant),
    }


# --- one user ------------------------------------------------------------------------------------------------------------


async def look_at_user(office: Office, *, name: str, user: str, password: Secret | None = None) -> dict[str, Any]:
    """What Wardgate sees of a user, and with a password what the directory says of it. The password is told nowhere.

    A check counts in the directory as any other: a wrong password brings the account nearer to its lock. Where the directory tells
    that only a few are left, it is not made. Raises NotFound, DirectoryUnavailable; WardgateError
    (`account_nearly_locked`) for a check that is not made.
    """
    began = office.clock.monotonic()
    async with found_person(office, user, name) as person:
        took_ms = _since(office, began)
        told = {"directory": name, "took_ms": took_ms, "user": _user(person.user), "policy": await _policy(person)}
        told["abilities"] = _abilities(person.directory)
        told["subject_id"] = person.subject_id
        told["codes_go_to"] = await codes_go_to(office, person)
        told["check"] = await _check(office, person, password) if password is not None else None
    return told


def _user(user: DirectoryUser) -> dict[str, Any]:
    lockout = user.lockout
    return {
        "id": user.immutable_id,
        "name": user.name,
        "state": user.state.value,
        "display_name": user.display_name,
        "mail": user.mail,
        "other_mails": list(user.other_mails),
        "phone": user.phone,
        "other_phones": list(user.other_phones),
        "unusable": list(user.unusable),
        "language": user.language,
        "groups": [{"name": each, "aliases": list(user.group_aliases.get(each, ()))} for each in user.groups],
        "attributes": {key: list(values) for key, values in user.attributes.items()},
        "must_change": user.must_change,
        "password_expires_at": user.password_expires_at.isoformat() if user.password_expires_at else None,
        "protected": user.protected,
        "lockout": None
        if lockout is None
        else {"threshold": lockout.threshold, "window_s": lockout.window_s, "failures": lockout.failures},
    }


async def _policy(person: Person) -> dict[str, Any] | None:
    directory = person.directory
    if not isinstance(directory, PasswordPolicyTelling):
        return None
    policy = await directory.password_policy(person.user, TIMEOUT_S)
    return {
        "min_length": policy.min_length,
        "max_length": policy.max_length,
        "complexity": policy.complexity,
        "history": policy.history,
        "min_age_s": policy.min_age_s,
        "max_age_s": policy.max_age_s,
        "blocklist": policy.blocklist,
        "read": policy.read,
    }


def _abilities(directory: Directory) -> list[str]:
    """What the kind can do; whether our account there has the right is for `doctor` to find out."""
    found = [
        word
        for word, protocol in (("change", PasswordChanging), ("reset", PasswordResetting), ("unlock", Unlocking))
        if isinstance(directory, protocol)
    ]
    if isinstance(directory, ContactWriting):
        found += [f"write {kind.value}" for kind in ContactKind if directory.writes(kind)]
    return found


async def _check(office: Office, person: Person, password: Secret) -> dict[str, Any]:
    if not password:
        raise UsageError("an empty password is never checked")
    lockout = person.user.lockout
    if lockout is not None and lockout.threshold and lockout.failures >= lockout.threshold - TRIES_LEFT_ALONE:
        raise WardgateError(
            f"{person.user.name} has {lockout.failures} wrong passwords of the {lockout.threshold} that lock the account: "
            "not checked; unlock the account first, or wait until the directory forgets them",
            "account_nearly_locked",
        )
    began = office.clock.monotonic()
    verdict = await person.directory.check_password(person.user, password, TIMEOUT_S, office.actor)
    took_ms = _since(office, began)
    details = {"directory": person.user.directory, "user": person.user.name, "verdict": verdict.value}
    event = AuditEvent(Kind.PASSWORD_TRIED, office.now_ms(), office.actor, subject_id=person.subject_id, details=details)
    await office.storage.commit([record(event)])
    return {"verdict": verdict.value, "password_was_right": verdict.password_was_right, "took_ms": took_ms}


def _since(office: Office, began: float) -> int:
    return round((office.clock.monotonic() - began) * 1000)
