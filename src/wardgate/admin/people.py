"""Finding directories and their users for an operator, whichever kind they are: built from the document in force, and closed after.

An operation has directories of its own and not the running server's: what it does disturbs no login, and it works without a server.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

from wardgate.account.subject import SubjectId, create_subject, linked_subject
from wardgate.admin.office import Office
from wardgate.audit.events import AuditEvent, Kind
from wardgate.config.document import Document
from wardgate.config.secrets import resolver
from wardgate.config.store import load_current
from wardgate.directory.kind import DirectoryParts, DirectorySettings
from wardgate.directory.port import Closing, Directory, DirectoryUser
from wardgate.directory.realm import Realm, Realms, names_meant, parse_login_name
from wardgate.directory.registry import build_directory
from wardgate.errors import NotFound
from wardgate.storage.port import Operation

# Longer than a login may wait: an operator wants the answer.
TIMEOUT_S: Final = 10.0
CLOSE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Person:
    """A user as his directory tells him now. `subject_id`: None while nobody has met him. `region`: for his phone numbers."""

    directory: Directory
    user: DirectoryUser
    subject_id: SubjectId | None
    region: str | None

    def met(self, office: Office) -> tuple[SubjectId, list[Operation]]:
        """His subject, and what has to be written first where he has none yet."""
        if self.subject_id is not None:
            return self.subject_id, []
        subject_id, inserts = create_subject(self.user.directory, self.user.immutable_id, office.now_ms())
        details = {"directory": self.user.directory, "user": self.user.name}
        event = AuditEvent(Kind.SUBJECT_CREATED, office.now_ms(), office.actor, subject_id=subject_id, details=details)
        return subject_id, [*inserts, office.record(event)]

    async def again(self, office: Office) -> "Person":
        """The same with the subject that he has by now."""
        return replace(self, subject_id=await linked_subject(office.storage, self.user.directory, self.user.immutable_id))

    def as_of(self, user: DirectoryUser) -> "Person":
        """The same, as the directory tells him now."""
        return replace(self, user=user)


def settings_of(document: Document, name: str) -> DirectorySettings:
    """The settings of a directory. Raises NotFound."""
    found = next((each for each in document.directories if each.name == name), None)
    if found is None:
        names = ", ".join(each.name for each in document.directories) or "there is none"
        raise NotFound(f"there is no directory {name[:64]}: {names}")
    return found


def region_of(document: Document, directory: str) -> str | None:
    """Whose national phone numbers are understood: as the first realm says that asks this directory."""
    return next((realm.region for realm in document.realms if directory in realm.directories), None)


@asynccontextmanager
async def opened(office: Office, document: Document, settings: DirectorySettings) -> AsyncIterator[Directory]:
    """A directory of one's own. Raises SettingsError when it cannot be built."""
    secret = resolver("directories", settings, office.ring)
    region = region_of(document, settings.name)
    directory = build_directory(settings, DirectoryParts(office.storage, office.hasher, office.clock, secret, region))
    try:
        yield directory
    finally:
        if isinstance(directory, Closing):
            # What does not say goodbye in time is gone with the process, or closed by the other side.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await directory.close()


@asynccontextmanager
async def found_person(office: Office, name: str, directory: str | None = None) -> AsyncIterator[Person]:
    """The user whom a login name means: in the directory that is named, or in the first one of the name's realm that knows him.

    Raises NotFound, and DirectoryUnavailable when a directory that might know him does not answer: the next must not stand in.
    """
    _, document = await load_current(office.storage)
    names: tuple[str, ...] = (name,)
    if directory is not None:
        wanted, typed = [settings_of(document, directory)], name
    else:
        realm, typed = parse_login_name(name, Realms([Realm(each, ()) for each in document.realms]))
        names = names_meant(name, typed)
        wanted = [settings_of(document, each) for each in realm.settings.directories]
    for each, settings in product(names, wanted):
        async with _looked_up(office, document, settings, each) as person:
            if person is not None:
                yield person
                return
    where = f"directory {directory}" if directory is not None else f"realm {realm.name}"
    raise NotFound(f"{where} has no user {typed[:64]}, or more than one who answers to that name")


@asynccontextmanager
async def _looked_up(office: Office, document: Document, settings: DirectorySettings, name: str) -> AsyncIterator[Person | None]:
    async with opened(office, document, settings) as directory:
        user = await directory.find(name, TIMEOUT_S)
        linked = await linked_subject(office.storage, user.directory, user.immutable_id) if user is not None else None
        yield Person(directory, user, linked, region_of(document, settings.name)) if user is not None else None
