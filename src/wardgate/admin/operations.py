"""Every management operation by the name that the command line and the control socket use: one line each, no scanning.

The functions here only fit the rooms' functions to plain parameters; their signatures are what a request is checked against.
"""

import io
import json
from collections.abc import Mapping
from typing import Any, Final

from wardgate.account.subject import SubjectId
from wardgate.admin import (
    audit_trail,
    authenticators,
    backups,
    checks,
    configuration,
    contacts,
    directories,
    gateways,
    impact,
    keys,
    links,
    locks,
    nas,
    policy,
    questions,
    subjects,
    traces,
    user_export,
    user_import,
    users,
    versions,
)
from wardgate.admin.import_file import read_records
from wardgate.admin.management import Desk
from wardgate.admin.people import found_person
from wardgate.config.includes import MAX_FILES
from wardgate.config.sources import Source
from wardgate.config.store import load_current
from wardgate.control import Operation, Progress
from wardgate.crypto import Secret
from wardgate.directory.local.passwords import NewPasswords
from wardgate.directory.port import DirectoryUser
from wardgate.directory.settings import LocalDirectorySettings, realm_words
from wardgate.engine import brakes
from wardgate.errors import NotFound, ServerUnavailable, SettingsError, UsageError
from wardgate.radius.settings import MessageAuthenticatorPolicy, Mode
from wardgate.storage.port import Operation as StorageOperation

Result = dict[str, Any]


async def _directory(desk: Desk, wanted: str | None) -> str:
    """The name of the local directory that is meant."""
    return (await _local(desk, wanted)).name


async def _local(desk: Desk, wanted: str | None) -> LocalDirectorySettings:
    """The local directory that is meant: the named one, or the first local one of the default realm."""
    _, document = await load_current(desk.office.storage)
    local = {directory.name: directory for directory in document.directories if isinstance(directory, LocalDirectorySettings)}
    if wanted is not None:
        if wanted not in local:
            raise NotFound(f"there is no local directory {wanted[:64]}: {', '.join(local) or 'there is none'}")
        return local[wanted]
    of_default = [name for realm in document.realms if realm.default for name in realm.directories if name in local]
    if not of_default:
        raise UsageError("the default realm has no local directory: name one with --directory")
    return local[of_default[0]]


# --- users ---------------------------------------------------------------------------------------------------------------


async def user_add(
    desk: Desk,
    name: str,
    password: Secret | None = None,
    mail: str | None = None,
    phone: str | None = None,
    groups: list[str] | None = None,
    display_name: str | None = None,
    language: str | None = None,
    must_change: bool = False,
    directory: str | None = None,
    force: bool = False,
) -> Result:
    """Create a local user. `force`: with a password that the directory's policy refuses."""
    local = await _local(desk, directory)
    return await users.add_user(
        desk.office,
        directory=local.name,
        name=name,
        password=password,
        mail=mail,
        phone=phone,
        groups=groups or (),
        display_name=display_name or "",
        language=language,
        must_change=must_change,
        rules=None if force else await _new_passwords(desk, local),
    )


async def _new_passwords(desk: Desk, local: LocalDirectorySettings) -> NewPasswords:
    _, document = await load_current(desk.office.storage)
    return NewPasswords(local, desk.office.storage, desk.office.hasher, realm_words(document.realms, local.name))


async def user_change(desk: Desk, name: str, changes: dict[str, str | list[str]], directory: str | None = None) -> Result:
    """Change some of mail, phone, groups, display_name, language; an empty text clears."""
    unknown = sorted(set(changes) - {"mail", "phone", "groups", "display_name", "language"})
    if unknown:
        raise UsageError(f"a user has no field {unknown[0][:64]!r} that can be changed")
    fields: dict[str, Any] = dict(changes)
    return await users.change_user(desk.office, directory=await _directory(desk, directory), name=name, **fields)


async def user_set_password(
    desk: Desk, name: str, password: Secret, must_change: bool = False, directory: str | None = None, force: bool = False
) -> Result:
    """Set a password and lift a lock. `force`: one that the directory's policy or its history refuses."""
    local = await _local(desk, directory)
    new = await _new_passwords(desk, local)
    return await users.set_password(
        desk.office, directory=local.name, name=name, password=password, must_change=must_change, new=new, force=force
    )


async def user_list(desk: Desk, limit: int = 100, after: str | None = None, directory: str | None = None) -> Result:
    """One page of users."""
    return await users.list_users(desk.office, directory=await _directory(desk, directory), limit=limit, after=after)


async def user_show(desk: Desk, name: str, directory: str | None = None) -> Result:
    """One user."""
    return await users.show_user(desk.office, directory=await _directory(desk, directory), name=name)


async def user_enable(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Make an account usable."""
    return await users.enable_user(desk.office, directory=await _directory(desk, directory), name=name)


async def user_disable(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Let nobody in under an account."""
    return await users.disable_user(desk.office, directory=await _directory(desk, directory), name=name)


async def user_lock(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Lock an account."""
    return await users.lock_user(desk.office, directory=await _directory(desk, directory), name=name)


async def user_unlock(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Lift the lock and the waits of a user."""
    ring = desk.office.ring

    async def release(user: DirectoryUser, subject_id: SubjectId | None) -> list[StorageOperation]:
        return brakes.release_user(ring, (f"{user.directory}:{user.immutable_id}", *([subject_id] if subject_id else [])))

    where = await _directory(desk, directory)
    return await users.unlock_user(desk.office, directory=where, name=name, release_brakes=release)


async def user_remove(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Remove a user and all that hangs on him."""
    return await users.remove_user(desk.office, directory=await _directory(desk, directory), name=name)


async def user_import_piece(
    desk: Desk, csv: Secret, keep_hashes: bool = False, directory: str | None = None, dry_run: bool = False
) -> Result:
    """Import one piece of a CSV file: its header row and some whole lines."""
    where = await _directory(desk, directory)
    return await user_import.import_users(
        desk.office, io.BytesIO(csv.reveal()), directory=where, keep_hashes=keep_hashes, dry_run=dry_run
    )


async def user_import_records(
    desk: Desk, records: Secret, keep_hashes: bool = False, directory: str | None = None, dry_run: bool = False
) -> Result:
    """Import some users of a file in another format: a JSON list of [line, cells], or [line, why it cannot be read]."""
    where = await _directory(desk, directory)
    return await user_import.import_rows(desk.office, read_records(records, keep_hashes), directory=where, dry_run=dry_run)


async def user_export_page(
    desk: Desk, with_hashes: bool = False, after: str | None = None, limit: int = 500, directory: str | None = None
) -> Result:
    """One page of users as the importer takes them."""
    where = await _directory(desk, directory)
    return await user_export.export_page(desk.office, directory=where, with_hashes=with_hashes, after=after, limit=limit)


# --- people behind accounts ----------------------------------------------------------------------------------------------


async def subject_show(desk: Desk, name: str | None = None, directory: str | None = None, subject_id: str | None = None) -> Result:
    """A person: accounts, authenticators, contacts."""
    return await subjects.show_subject(desk.office, name=name, directory=directory, subject_id=subject_id)


async def subject_unlock(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Lift every wait of a person, in whichever directory."""
    return await subjects.unlock_subject(desk.office, name=name, directory=directory)


async def subject_forget_devices(desk: Desk, name: str, directory: str | None = None, device: str | None = None) -> Result:
    """Trust the devices of a person no more, or one of them."""
    return await subjects.forget_devices(desk.office, name=name, directory=directory, device=device)


async def subject_relink(
    desk: Desk,
    name: str | None = None,
    directory: str | None = None,
    immutable_id: str | None = None,
    to_name: str | None = None,
    to_directory: str | None = None,
    to_subject: str | None = None,
    keep: str | None = None,
    unlink: str | None = None,
    dry_run: bool = False,
    expected: dict[str, Any] | None = None,
) -> Result:
    """Let an account be a known person's, or with `dry_run` tell what that would do."""
    return await subjects.relink(
        desk.office,
        name=name,
        directory=directory,
        immutable_id=immutable_id,
        to_name=to_name,
        to_directory=to_directory,
        to_subject=to_subject,
        keep=keep,
        unlink=unlink,
        dry_run=dry_run,
        expected=expected,
    )


# --- contacts ------------------------------------------------------------------------------------------------------------


async def contact_list(desk: Desk, name: str, directory: str | None = None) -> Result:
    """A user's contacts, wherever they are kept."""
    return await contacts.list_contacts(desk.office, name=name, directory=directory)


async def contact_add(
    desk: Desk, name: str, value: str, verified: bool = False, to_directory: bool = False, directory: str | None = None
) -> Result:
    """A new contact."""
    return await contacts.add_contact(
        desk.office, name=name, value=value, verified=verified, to_directory=to_directory, directory=directory
    )


async def contact_remove(desk: Desk, name: str, value: str, from_directory: bool = False, directory: str | None = None) -> Result:
    """Remove a contact."""
    return await contacts.remove_own_contact(
        desk.office, name=name, value=value, from_directory=from_directory, directory=directory
    )


async def contact_prefer(desk: Desk, name: str, value: str, directory: str | None = None) -> Result:
    """Let codes go there."""
    return await contacts.prefer_contact(desk.office, name=name, value=value, directory=directory)


# --- authenticators ------------------------------------------------------------------------------------------------------


async def authenticator_add_totp(
    desk: Desk,
    name: str,
    secret_hex: Secret | None = None,
    digits: int = 6,
    period_s: int = 30,
    algorithm: str = "SHA1",
    label: str = "",
    directory: str | None = None,
) -> Result:
    """Enrol an authenticator app."""
    return await authenticators.add_totp(
        desk.office,
        **await _user(desk, name, directory),
        secret_hex=_text(secret_hex),
        digits=digits,
        period_s=period_s,
        algorithm=algorithm.upper(),
        label=label,
    )


async def authenticator_add_hotp(
    desk: Desk,
    name: str,
    secret_hex: Secret | None = None,
    digits: int = 6,
    counter: int = 0,
    label: str = "",
    directory: str | None = None,
) -> Result:
    """Enrol a counter-based device."""
    return await authenticators.add_hotp(
        desk.office,
        **await _user(desk, name, directory),
        secret_hex=_text(secret_hex),
        digits=digits,
        counter=counter,
        label=label,
    )


async def authenticator_add_secret(
    desk: Desk, name: str, kind: str, secret_hex: Secret | None = None, label: str = "", directory: str | None = None
) -> Result:
    """Enrol a factor of another kind that lives on a shared secret."""
    return await authenticators.add_shared_secret(
        desk.office,
        **await _user(desk, name, directory),
        kind=kind,
        secret_hex=_text(secret_hex),
        label=label,
    )


async def authenticator_add_recovery(desk: Desk, name: str, label: str = "", directory: str | None = None) -> Result:
    """A new sheet of recovery codes."""
    return await authenticators.add_recovery_codes(desk.office, **await _user(desk, name, directory), label=label)


async def authenticator_list(desk: Desk, name: str, directory: str | None = None) -> Result:
    """What a user can prove himself with."""
    return await authenticators.list_authenticators(desk.office, **await _user(desk, name, directory))


async def authenticator_revoke(desk: Desk, authenticator_id: str) -> Result:
    """End an authenticator, whosever it is."""
    return await authenticators.revoke_authenticator(desk.office, authenticator_id=authenticator_id)


async def authenticator_release(desk: Desk, authenticator_id: str) -> Result:
    """Let an authenticator that a new epoch held prove something again."""
    return await authenticators.release_authenticator(desk.office, authenticator_id=authenticator_id)


async def _user(desk: Desk, name: str, directory: str | None) -> dict[str, str]:
    """Where a user is: in the directory that is named, or in the first one of his name's realm that knows him."""
    if directory is not None:
        return {"directory": directory, "name": name}
    async with found_person(desk.office, name) as person:
        return {"directory": person.user.directory, "name": person.user.name}


def _text(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal().decode("utf-8", "replace")


# --- challenge questions -------------------------------------------------------------------------------------------------


async def kba_questions(desk: Desk) -> Result:
    """The catalogue in force."""
    return await questions.list_questions(desk.office)


async def kba_show(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Which questions a user has answered."""
    return await questions.show_answers(desk.office, name=name, directory=directory)


async def kba_clear(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Remove a user's answers."""
    return await questions.clear_answers(desk.office, name=name, directory=directory)


async def kba_reopen(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Let a user be asked again."""
    return await questions.reopen_questions(desk.office, name=name, directory=directory)


async def kba_import_piece(desk: Desk, csv: Secret, directory: str | None = None) -> Result:
    """Import one piece of a file of prepared answers."""
    return await questions.import_answers(desk.office, csv, directory=directory)


# --- NAS, gateways, directories, configuration ---------------------------------------------------------------------------


async def nas_add(
    desk: Desk,
    name: str,
    addresses: list[str],
    application: str,
    secret: Secret | None = None,
    secret_env: str | None = None,
    secret_file: str | None = None,
    vendor: str = "generic",
    message_authenticator: MessageAuthenticatorPolicy = "require",
    mode: Mode = "challenge",
    separator: str = "",
    code_digits: int = 6,
    identifier: str | None = None,
    limit_proxy_state: bool = True,
    language: str | None = None,
    reason: str = "",
) -> Result:
    """Add a NAS."""
    return await nas.add_nas(
        desk.office,
        name=name,
        addresses=addresses,
        application=application,
        secret=secret,
        secret_env=secret_env,
        secret_file=secret_file,
        vendor=vendor,
        message_authenticator=message_authenticator,
        mode=mode,
        separator=separator,
        code_digits=code_digits,
        identifier=identifier,
        limit_proxy_state=limit_proxy_state,
        language=language,
        reason=reason,
    )


async def nas_change(
    desk: Desk,
    name: str,
    addresses: list[str] | None = None,
    secret: Secret | None = None,
    new_secret: bool = False,
    vendor: str | None = None,
    message_authenticator: MessageAuthenticatorPolicy | None = None,
    mode: Mode | None = None,
    limit_proxy_state: bool | None = None,
    reason: str = "",
) -> Result:
    """Change a NAS."""
    return await nas.change_nas(
        desk.office,
        name=name,
        addresses=addresses,
        secret=secret,
        new_secret=new_secret,
        vendor=vendor,
        message_authenticator=message_authenticator,
        mode=mode,
        limit_proxy_state=limit_proxy_state,
        reason=reason,
    )


async def nas_list(desk: Desk) -> Result:
    """Every NAS."""
    return await nas.list_nas(desk.office)


async def nas_show(desk: Desk, name: str) -> Result:
    """One NAS."""
    return await nas.show_nas(desk.office, name=name)


async def nas_remove(desk: Desk, name: str, reason: str = "") -> Result:
    """Remove a NAS."""
    return await nas.remove_nas(desk.office, name=name, reason=reason)


async def gateway_list(desk: Desk) -> Result:
    """Every gateway."""
    return await gateways.list_gateways(desk.office)


async def gateway_test(desk: Desk, name: str, to: str) -> Result:
    """Send a test message through one gateway."""
    return await gateways.test_gateway(desk.office, name=name, to=to)


async def directory_list(desk: Desk, ask: bool = True) -> Result:
    """Every directory and its servers."""
    return await directories.list_directories(desk.office, live=desk.directories() if desk.directories else (), ask=ask)


async def directory_examine(
    desk: Desk, name: str, progress: Progress, scratch: str | None = None, scratch_password: Secret | None = None
) -> Result:
    """Examine one directory; findings come as they are found."""
    return await directories.examine_directory(
        desk.office, name=name, progress=progress, scratch=scratch, scratch_password=scratch_password
    )


async def directory_test(desk: Desk, name: str, user: str, password: Secret | None = None) -> Result:
    """What Wardgate sees of a user."""
    return await directories.look_at_user(desk.office, name=name, user=user, password=password)


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


async def gateway_costs(desk: Desk, since: str | None = None, until: str | None = None) -> Result:
    """Messages of some days, and what they cost."""
    return await locks.delivery_costs(desk.office, since=since, until=until)


# --- brakes --------------------------------------------------------------------------------------------------------------


async def lock_list(desk: Desk, kind: str | None = None, user: str | None = None) -> Result:
    """Who or what has to wait."""
    return await locks.list_locks(desk.office, kind=kind, user=user)


async def lock_clear(
    desk: Desk,
    user: str | None = None,
    directory: str | None = None,
    source: str | None = None,
    nas: str | None = None,
    everything: bool = False,
    reason: str = "",
) -> Result:
    """Lift waits."""
    return await locks.clear_locks(
        desk.office, user=user, directory=directory, source=source, nas=nas, everything=everything, reason=reason
    )


# --- policy --------------------------------------------------------------------------------------------------------------


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


# --- the installation ----------------------------------------------------------------------------------------------------


async def key_rotate(desk: Desk, progress: Progress) -> Result:
    """A new data key; everything sealed moves under it."""
    return await keys.rotate_keys(desk.office, desk.keys, progress)


async def backup_set_recipients(desk: Desk, recipients: list[str]) -> Result:
    """To whom backups are encrypted from now on."""
    return await backups.set_recipients(desk.office, recipients=recipients)


async def backup_note(desk: Desk, sha256: str, size: int, recipients: list[str]) -> Result:
    """Put on record that a backup was made."""
    return await backups.note_backup(desk.office, sha256=sha256, size=size, recipients=recipients)


async def check(desk: Desk, online: bool = False) -> Result:
    """What is wrong or weak."""
    return await checks.check_installation(desk.office, desk.opened, online=online)


async def audit_verify(desk: Desk, progress: Progress, heads: list[str] | None = None) -> Result:
    """Walk the audit chains and check their signed heads."""
    return await audit_trail.verify_audit(desk.office, progress=progress, heads=heads or ())


async def audit_search(
    desk: Desk,
    users: list[str] | None = None,
    subjects: list[str] | None = None,
    kinds: list[str] | None = None,
    application: str | None = None,
    reference: str | None = None,
    node: str | None = None,
    text: str | None = None,
    begin: str | None = None,
    end: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Result:
    """A page of the newest audit events that fit."""
    return await audit_trail.search_audit(
        desk.office,
        users=users or (),
        subjects=subjects,
        kinds=kinds or (),
        application=application,
        reference=reference,
        node=node,
        text=text,
        begin=begin,
        end=end,
        limit=limit,
        cursor=cursor,
    )


async def audit_erase(
    desk: Desk,
    users: list[str],
    reason: str,
    subjects: list[str] | None = None,
    look_up: bool = True,
    cursor: str | None = None,
) -> Result:
    """Erase a page of payloads about a person."""
    return await audit_trail.erase_payloads(
        desk.office, users=users, reason=reason, subjects=subjects, look_up=look_up, cursor=cursor
    )


async def audit_erase_person(
    desk: Desk, users: list[str], subjects: list[str], reason: str, everything: bool = False, after: str | None = None
) -> Result:
    """Erase a page of what is kept of a person beside the audit trail."""
    return await audit_trail.erase_person(
        desk.office, users=users, subjects=subjects, reason=reason, everything=everything, after=after
    )


async def audit_key(desk: Desk) -> Result:
    """The public key of the audit heads."""
    return await audit_trail.describe_key(desk.office)


async def audit_begin_export(desk: Desk, since: str | None = None) -> Result:
    """Where an export begins."""
    return await audit_trail.begin_export(desk.office, since=since)


async def audit_export_page(desk: Desk, positions: list[audit_trail.Position], look_for_chains: bool = True) -> Result:
    """Some lines of an export."""
    return await audit_trail.export_page(desk.office, positions=positions, look_for_chains=look_for_chains)


async def audit_check_lines(desk: Desk, lines: str, before: list[audit_trail.LastLink]) -> Result:
    """The keyed links of some lines of an export."""
    return await audit_trail.check_lines(desk.office, lines=lines, before=before)


async def audit_chains(desk: Desk) -> Result:
    """Every audit chain."""
    return await audit_trail.list_chains(desk.office)


async def audit_page(desk: Desk, writer: str, epoch: int, after: int) -> Result:
    """Some events of a chain."""
    return await audit_trail.audit_page(desk.office, writer=writer, epoch=epoch, after=after)


async def trace_reference(desk: Desk, reference: str) -> Result:
    """The timeline of one login."""
    return await traces.trace_reference(desk.office, reference=reference)


async def trace_user(desk: Desk, name: str) -> Result:
    """The timeline of a user's last login."""
    return await traces.trace_user(desk.office, name=name)


async def admin_link(desk: Desk) -> Result:
    """A one-time link to the live log. Opening it shows a button; only the button uses it up."""
    office, settings = desk.office, desk.opened.installation.settings
    if not any("admin" in listener.doors for listener in settings.https_listeners):
        raise SettingsError(
            "no listener of this machine has the door admin, so that a link would lead nowhere: "
            "run this on the node whose wardgate.toml has it, or add admin to the doors of a listener and restart"
        )
    bearer = await links.make_link(office.storage, office.ring, office.clock, office.actor)
    return {"url": f"{desk.https_url}/admin/enter/{bearer}", "life_s": links.LINK_LIFE_MS // 1000}


async def demo_describe(desk: Desk) -> Result:
    """Where the running demo listens and who can be tried, for the simulator. The demo's secrets are public by design."""
    if desk.tell_demo is None:
        raise UsageError("no demo runs on this directory: start one with wardgate demo, or name the server with --server")
    return await desk.tell_demo()


async def top_picture(desk: Desk) -> Result:
    """The live picture of the server that is asked: its workers, and what the database knows."""
    if desk.take_picture is None:
        raise ServerUnavailable("no server runs on this directory: wardgate serve starts one")
    return await desk.take_picture()


OPERATIONS: Final[Mapping[str, Operation]] = {
    "user.add": user_add,
    "user.change": user_change,
    "user.set_password": user_set_password,
    "user.list": user_list,
    "user.show": user_show,
    "user.enable": user_enable,
    "user.disable": user_disable,
    "user.lock": user_lock,
    "user.unlock": user_unlock,
    "user.remove": user_remove,
    "user.import_piece": user_import_piece,
    "user.import_records": user_import_records,
    "user.export_page": user_export_page,
    "subject.show": subject_show,
    "subject.unlock": subject_unlock,
    "subject.forget_devices": subject_forget_devices,
    "subject.relink": subject_relink,
    "contact.list": contact_list,
    "contact.add": contact_add,
    "contact.remove": contact_remove,
    "contact.prefer": contact_prefer,
    "authenticator.add_totp": authenticator_add_totp,
    "authenticator.add_hotp": authenticator_add_hotp,
    "authenticator.add_secret": authenticator_add_secret,
    "authenticator.add_recovery": authenticator_add_recovery,
    "authenticator.list": authenticator_list,
    "authenticator.revoke": authenticator_revoke,
    "authenticator.release": authenticator_release,
    "kba.questions": kba_questions,
    "kba.show": kba_show,
    "kba.clear": kba_clear,
    "kba.reopen": kba_reopen,
    "kba.import_piece": kba_import_piece,
    "nas.add": nas_add,
    "nas.change": nas_change,
    "nas.list": nas_list,
    "nas.show": nas_show,
    "nas.remove": nas_remove,
    "gateway.list": gateway_list,
    "gateway.test": gateway_test,
    "gateway.costs": gateway_costs,
    "lock.list": lock_list,
    "lock.clear": lock_clear,
    "directory.list": directory_list,
    "directory.examine": directory_examine,
    "directory.test": directory_test,
    "config.apply": config_apply,
    "config.diff": config_diff,
    "config.export": config_export,
    "config.history": config_history,
    "config.version": config_version,
    "config.rollback": config_rollback,
    "policy.explain": policy_explain,
    "policy.test": policy_test,
    "policy.impact": policy_impact,
    "key.rotate": key_rotate,
    "backup.set_recipients": backup_set_recipients,
    "backup.note": backup_note,
    "check": check,
    "audit.verify": audit_verify,
    "audit.search": audit_search,
    "audit.erase": audit_erase,
    "audit.erase_person": audit_erase_person,
    "audit.key": audit_key,
    "audit.begin_export": audit_begin_export,
    "audit.export_page": audit_export_page,
    "audit.check_lines": audit_check_lines,
    "audit.chains": audit_chains,
    "audit.page": audit_page,
    "trace.reference": trace_reference,
    "trace.user": trace_user,
    "admin.link": admin_link,
    "top.picture": top_picture,
    "demo.describe": demo_describe,
}
