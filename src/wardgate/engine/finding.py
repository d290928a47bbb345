"""Finds who a login name belongs to, in the directories of its realm.

A known name is asked for where it was last let in from, first and alone. When that directory says that it has no such user, or that
the name is another person's by now, the order is followed as for any name. A directory that is down ends the search: the next must
not answer for it, or a namesake there would be let in, or refused, in somebody else's place.
"""

from functools import lru_cache
from typing import TypeGuard

from wardgate.directory.port import Directory, DirectoryUser, GroupsApart, NameRules
from wardgate.directory.realm import Realms, parse_login_name
from wardgate.engine.attempt import Attempt
from wardgate.engine.known_names import first_row, known_name
from wardgate.engine.runtime import EngineParts
from wardgate.engine.steps import DIRECTORY_FIND, Steps
from wardgate.errors import DirectoryUnavailable
from wardgate.storage.port import Row
from wardgate.values import quick_value


@quick_value
class Found:
    """What a search came to. `directory`: who found the user or, without one, who was asked last or is `down`.

    None: no directory of the realm can hold the name. `known`: the row of the known name.
    """

    directory: Directory | None
    user: DirectoryUser | None
    known: Row | None = None
    down: DirectoryUnavailable | None = None

    @property
    def is_over(self) -> bool:
        """Whether nobody else is to be asked."""
        return self.user is not None or self.down is not None


class Finding:
    """Asks directories."""

    def __init__(self, parts: EngineParts, steps: Steps) -> None:
        self._parts = parts
        self._steps = steps

    async def find(self, attempt: Attempt) -> Found:
        """Whose name it is. A directory that does not answer is told, not raised: who it is decides what follows."""
        directories = attempt.realm.directories
        if not attempt.name:
            return Found(directories[-1], None)
        finds = known_name(attempt.realm, attempt.name)
        known = first_row(await self._parts.storage.read(finds)) if finds else None
        found = await self._known(attempt, known) if known is not None else None
        if found is not None and found.is_over:
            return found
        found = await self._in_order(attempt, attempt.name, known, found)
        for name in attempt.names[1:]:
            # Only once all of them have said that the name without its domain is nobody's, or it would depend on who asks whom.
            if not found.is_over:
                also = await self._in_order(attempt, name, known, None)
                found = also if also.directory is not None else found
        if not found.is_over:
            attempt.request.trail.note("no such user", realm=attempt.realm.name)
        return found

    async def _known(self, attempt: Attempt, known: Row) -> Found | None:
        """What the directory of a known name says: its user, that it is down, or neither, if the name is not that account's now."""
        directory = next((each for each in attempt.realm.directories if each.name == known["directory"]), None)
        found = None
        for name in attempt.names:
            if directory is None or not _might_hold(directory, name):
                continue
            found = await self._ask(attempt, directory, name, known)
            if found.user is not None and found.user.immutable_id != known["immutable_id"]:
                attempt.request.trail.note("the name was given to another account", directory=directory.name)
                return None
            if found.is_over:
                return found
        return found

    async def _in_order(self, attempt: Attempt, name: str, known: Row | None, before: Found | None) -> Found:
        """The first user in the order of the directories. `before`: a directory that has said already that it has no such user."""
        found = Found(None, None, known)
        for directory in attempt.realm.directories:
            if not _might_hold(directory, name):
                continue
            if before is not None and before.directory is directory:
                found = before
                continue
            found = await self._ask(attempt, directory, name, known)
            if found.is_over:
                return found
        return found

    async def _ask(self, attempt: Attempt, directory: Directory, name: str, known: Row | None) -> Found:
        began = self._steps.begin()
        try:
            if attempt.application.reads_groups or not reads_groups_apart(directory):
                user = await directory.find(name, self._parts.directory_timeout_s)
            else:
                user = await directory.find_without_groups(name, self._parts.directory_timeout_s)
        except DirectoryUnavailable as error:
            return Found(directory, None, known, error)
        finally:
            # Above all the time of one that did not answer.
            self._steps.end_directory(DIRECTORY_FIND, directory.name, "find", began)
        if user is not None:
            attempt.request.trail.note("user found", directory=directory.name, state=user.state.value)
            for problem in user.unusable:
                attempt.request.trail.note("not used", why=problem)
        return Found(directory, user, known)


def _might_hold(directory: Directory, name: str) -> bool:
    return not _has_rules(directory) or directory.might_hold(name)


def _has_rules(directory: Directory) -> TypeGuard[NameRules]:
    return _kind_has_rules(type(directory))


def reads_groups_apart(directory: Directory) -> TypeGuard[GroupsApart]:
    return _kind_reads_groups_apart(type(directory))


@lru_cache(maxsize=64)
def _kind_reads_groups_apart(kind: type) -> bool:
    return issubclass(kind, GroupsApart)


@lru_cache(maxsize=64)
def _kind_has_rules(kind: type) -> bool:
    """Asked once for each kind of directory: the answer costs as much as asking a small one for the user."""
    return issubclass(kind, NameRules)


def login_name(realms: Realms, realm: str, name: str) -> str:
    """What to type for this account of that realm: its bare name may be somebody else's in another one."""
    found, bare = parse_login_name(name, realms)
    return name if found.name == realm and bare == name else f"{name}@{realm}"
