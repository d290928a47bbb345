"""What a directory must do, and the further abilities that it may have. Every call has a deadline.

The engine asks for `Directory`; an ability such as changing a password is a protocol of its own that a back-end may also
satisfy (`isinstance` with a runtime protocol tells). All raise DirectoryUnavailable when the directory does not answer in time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from wardgate.crypto import Secret


class AccountState(StrEnum):
    """Whether the account may be used at all, apart from its password."""

    ACTIVE = "active"
    DISABLED = "disabled"
    LOCKED = "locked"
    EXPIRED = "expired"


class PasswordVerdict(StrEnum):
    """What a password check found.

    EXPIRED and MUST_CHANGE say that the password was right. REFUSED says that the directory did not check it because of the
    account's state (locked, disabled): nothing is known about the password.
    """

    RIGHT = "right"
    WRONG = "wrong"
    EXPIRED = "expired"
    MUST_CHANGE = "must_change"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """One user as the directory tells it. `immutable_id` never changes and is never given to another person.

    `version` changes whenever anything about the account does; caches compare it.
    """

    directory: str
    immutable_id: str
    name: str
    state: AccountState
    display_name: str = ""
    mail: str | None = None
    phone: str | None = None
    language: str | None = None
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    must_change: bool = False
    password_expires_at: datetime | None = None
    version: int = 0


@runtime_checkable
class Directory(Protocol):
    """Find a user and check a password."""

    @property
    def name(self) -> str:
        """The configured name."""
        ...

    async def find(self, name: str, timeout_s: float) -> DirectoryUser | None:
        """The user with this login name or mail address, compared without case; None when there is none or more than one."""
        ...

    async def get(self, immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        """The user with this immutable id."""
        ...

    async def check_password(self, user: DirectoryUser, password: Secret, timeout_s: float, source: str = "") -> PasswordVerdict:
        """Check a password, once. An empty password is WRONG without asking anybody.

        `source`: on whose behalf; where checks have to wait, sources take turns. Raises Overloaded when too many wait.
        """
        ...

    async def check_nobody(self, password: Secret, timeout_s: float, source: str = "") -> None:
        """Spend the same time as a password check, for a name that does not exist."""
        ...


@runtime_checkable
class PasswordRemembering(Protocol):
    """Knows without work that a password was verified a short while ago. Logins only, never for a reset or change."""

    def remembers(self, user: DirectoryUser, password: Secret) -> bool:
        """True when this password was verified for this version of the account within the configured time."""
        ...


@runtime_checkable
class PasswordChanging(Protocol):
    """The user changes a password that he knows."""

    async def change_password(self, user: DirectoryUser, old: Secret, new: Secret, timeout_s: float) -> PasswordVerdict:
        """Change it. WRONG when `old` is not right."""
        ...


@runtime_checkable
class PasswordResetting(Protocol):
    """We set a password for a user who proved otherwise who he is."""

    async def reset_password(self, user: DirectoryUser, new: Secret, must_change: bool, timeout_s: float) -> None:
        """Set it. With `must_change`, the user has to choose his own at the next login."""
        ...


@runtime_checkable
class Unlocking(Protocol):
    """Lift a lock that wrong passwords brought about."""

    async def unlock(self, user: DirectoryUser, timeout_s: float) -> bool:
        """True when the account was locked and now is not."""
        ...
