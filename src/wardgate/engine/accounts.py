"""The account that a login is about, as it is now."""

from wardgate.directory.port import AccountState, Directory, DirectoryUser
from wardgate.engine.finding import reads_groups_apart
from wardgate.engine.grace import open_user
from wardgate.engine.runtime import Application, EngineConfiguration, EngineParts
from wardgate.engine.steps import DIRECTORY_FIND, Steps
from wardgate.engine.transaction import Transaction
from wardgate.errors import DirectoryUnavailable, SealError


class Accounts:
    """Looks at accounts. One per engine."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._steps = Steps(parts)

    async def of(self, transaction: Transaction, application: Application | None = None) -> DirectoryUser | None:
        """The account as it is now; None when it may not be let in any more.

        `application`: the only one that it is looked at for. His groups may be missing where nothing of it depends on them.

        Of a login that began while the directory was down, as it was told last: until the directory answers again, and then only
        if nothing about the account has changed, for its password is the one of before. If the configuration has changed, such a
        login is over: what was told then may be too little for what is asked by now.
        """
        graced = self._graced(transaction)
        if transaction.grace and graced is None:
            return None
        try:
            user = await self._asked(transaction, application)
        except DirectoryUnavailable:
            if graced is None:
                raise
            return graced
        if user is None or user.state is not AccountState.ACTIVE:
            return None
        return None if graced is not None and graced.version != user.version else user

    def _graced(self, transaction: Transaction) -> DirectoryUser | None:
        try:
            version = self._parts.configuration().version
            return open_user(self._parts.ring(), transaction.grace, transaction.id, version) if transaction.grace else None
        except SealError:
            return None

    async def _asked(self, transaction: Transaction, application: Application | None) -> DirectoryUser | None:
        directory = directory_of(self._parts.configuration(), transaction.directory)
        if directory is None:
            return None
        began = self._steps.begin()
        try:
            if application is None or application.reads_groups or not reads_groups_apart(directory):
                return await directory.get(transaction.immutable_id, self._parts.directory_timeout_s)
            return await directory.get_without_groups(transaction.immutable_id, self._parts.directory_timeout_s)
        finally:
            self._steps.end_directory(DIRECTORY_FIND, directory.name, "find", began)


def directory_of(configuration: EngineConfiguration, name: str) -> Directory | None:
    """The directory of this name."""
    return configuration.realms.directory(name)
