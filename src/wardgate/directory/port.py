"""What a directory must do, and the further abilities that it may have. Every call has a deadline.

The engine asks for `Directory`; an ability such as changing a password is a protocol of its own that a back-end may also
satisfy (`isinstance` with a runtime protocol tells). All raise DirectoryUnavailable when the directory does not answer in time.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from wardgate.crypto import Secret
from wardgate.errors import UsageError, WardgateError
from wardgate.values import quick_value


class AccountState(StrEnum):
    """Whether the account may be used at all, apart from its password."""

    ACTIVE = "active"
    DISABLED = "disabled"
    LOCKED = "locked"
    EXPIRED = "expired"


class PasswordVerdict(StrEnum):
    """What a password check found.

    EXPIRED and MUST_CHANGE: the password was right and has to be changed. DISABLED, ACCOUNT_EXPIRED, HOURS and WORKSTATION: it was
    right, and the account may not be used at all, or not now, or not from here. LOCKED and REFUSED: the directory did not check it
    because of the account's state, so nothing is known about the password.
    """

    RIGHT = "right"
    WRONG = "wrong"
    EXPIRED = "expired"
    MUST_CHANGE = "must_change"
    DISABLED = "disabled"
    ACCOUNT_EXPIRED = "account_expired"
    HOURS = "hours"
    WORKSTATION = "workstation"
    LOCKED = "locked"
    REFUSED = "refused"

    @property
    def password_was_right(self) -> bool:
        """Whether the password that was checked is the account's."""
        return self not in (PasswordVerdict.WRONG, PasswordVerdict.LOCKED, PasswordVerdict.REFUSED)

    @property
    def asks_for_change(self) -> bool:
        """Right, but good for nothing else than choosing a new one."""
        return self in (PasswordVerdict.EXPIRED, PasswordVerdict.MUST_CHANGE)


@dataclass(frozen=True, slots=True)
class Lockout:
    """When the directory itself locks this account, and how near it is to that.

    `threshold`: the wrong passwords that lock it; 0: it never does. `window_s`: how long it remembers them; 0: until a right one.
    `failures`: those that it counts now, wherever they were made.
    """

    threshold: int
    window_s: int
    failures: int = 0


@quick_value
class DirectoryUser:
    """One user as the directory tells it. `immutable_id` never changes and is never given to another person.

    `version` changes whenever anything about the account does, the password and its state above all; caches compare it. `mail` and
    `phone` are the preferred ones, phones in E.164. `groups` are names; `group_aliases` are what else a group is called in policy
    (its DN, its SID). `protected`: the directory itself holds the account to be an administrator's. `lockout`: None where the
    directory does not tell, or does not lock. `unusable`: what stands there and cannot be used, such as a malformed phone number:
    the attribute and why, never the value. `old_password_until`: until then the directory may take the password before the present
    one for right as well, so that none that it takes is remembered. `password_changed_at`: where the directory tells it.
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
    other_mails: tuple[str, ...] = ()
    other_phones: tuple[str, ...] = ()
    group_aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protected: bool = False
    lockout: Lockout | None = None
    unusable: tuple[str, ...] = ()
    old_password_until: datetime | None = None
    password_changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """What a new password has to fulfil, as far as the directory tells. 0 and False: no such rule.

    `complexity`: three of four kinds of characters and no part of the name, as Active Directory asks. `min_age_s`: how long a
    password has to be kept; an operator's reset is free of it. `read`: False where it was not readable and is only assumed.
    """

    min_length: int = 0
    max_length: int = 0
    complexity: bool = False
    history: int = 0
    min_age_s: int = 0
    max_age_s: int = 0
    blocklist: bool = False
    read: bool = True


class PasswordNotAccepted(UsageError):
    """The directory will not have this new password. `rule`: `length`, `complexity`, `history`, `min_age`, `blocklist`, `same` or

    `policy` where it does not say which. `policy`: all rules, as far as known, for telling the user.
    """

    code = "password_not_accepted"

    def __init__(self, message: str, rule: str, policy: PasswordPolicy | None = None) -> None:
        super().__init__(message)
        self.rule = rule
        self.policy = policy


class RightMissing(WardgateError):
    """Our account in the directory may not do this to that user. The message tells an operator which right is missing."""

    code = "directory_right_missing"


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
class GroupsApart(Protocol):
    """Asks for a user's groups by questions of their own, which may be left out."""

    async def find_without_groups(self, name: str, timeout_s: float) -> DirectoryUser | None:
        """As `find`, for a login of which nothing depends on groups: they may be missing."""
        ...

    async def get_without_groups(self, immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        """As `get`, for such a login."""
        ...


@runtime_checkable
class NameRules(Protocol):
    """Can tell by a login name alone that it holds no such user: the name carries a domain that is not the directory's."""

    def might_hold(self, name: str) -> bool:
        """False only where `find` would never find this name, whatever users there are. Asks nobody.

        While the directory is down, names that it might hold have to wait for it, and the others do not.
        """
        ...


@runtime_checkable
class LockoutTelling(Protocol):
    """Knows when it locks accounts, without being asked about one: names that do not exist must look as if they could be locked."""

    def usual_lockout(self) -> Lockout | None:
        """When it locks those who have no rules of their own. None where it locks nobody, or where that was not read yet."""
        ...


@runtime_checkable
class TicketHolders(Protocol):
    """Knows whose account the security id of a Kerberos ticket is."""

    async def find_by_sid(self, sid: bytes, timeout_s: float) -> DirectoryUser | None:
        """The user with this objectSid in its binary form. Never another one, whatever accounts were called before."""
        ...


@runtime_checkable
class PasswordRemembering(Protocol):
    """Knows without work that a password was verified a short while ago. Logins only, never for a reset or change."""

    def remembers(self, user: DirectoryUser, password: Secret) -> bool:
        """True when this password was verified for this version of the account within the configured time."""
        ...


@runtime_checkable
class PasswordGrace(Protocol):
    """Lets logins go on for a configured time while the directory is down. Off by default; never for protected accounts."""

    def remembered_while_down(self, name: str, password: Secret) -> DirectoryUser | None:
        """The user of this login name as he was last seen, when this password was verified within the grace; else None.

        `name` is compared as in `find`. The caller must know that the directory did not answer just now.
        """
        ...


@runtime_checkable
class PasswordChanging(Protocol):
    """The user changes a password that he knows."""

    async def change_password(self, user: DirectoryUser, old: Secret, new: Secret, timeout_s: float) -> PasswordVerdict:
        """Change it. WRONG when `old` is not right; LOCKED, DISABLED, REFUSED... when the account may not. An expired password

        and one that must be changed can be changed. Raises PasswordNotAccepted, RightMissing, DirectoryUnavailable; after the
        last the outcome may be unknown, and `old` or `new` may be the password.
        """
        ...


@runtime_checkable
class PasswordResetting(Protocol):
    """We set a password for a user who proved otherwise who he is."""

    async def reset_password(self, user: DirectoryUser, new: Secret, must_change: bool, timeout_s: float) -> None:
        """Set it, held to the directory's rules and its history, and lift a lock. With `must_change`, the user has to choose his

        own at the next login. Raises PasswordNotAccepted, RightMissing, Conflict when the account is gone, DirectoryUnavailable.
        """
        ...


@runtime_checkable
class OldPasswordTaking(Protocol):
    """May go on taking the password before the present one for right, for some time after a change."""

    def old_password_life_s(self) -> float:
        """For how long after a change; 0: it never does."""
        ...


@runtime_checkable
class PasswordPolicyTelling(Protocol):
    """Knows the rules for a new password."""

    async def password_policy(self, user: DirectoryUser, timeout_s: float) -> PasswordPolicy:
        """The rules that hold for this user."""
        ...


@runtime_checkable
class Unlocking(Protocol):
    """Lift a lock that wrong passwords brought about."""

    async def unlock(self, user: DirectoryUser, timeout_s: float) -> bool:
        """True when the account was locked and now is not."""
        ...


class ContactKind(StrEnum):
    """Which contact of a user."""

    PHONE = "phone"
    MAIL = "mail"


@runtime_checkable
class ContactWriting(Protocol):
    """Takes a user's phone or mail address back into the directory."""

    def writes(self, kind: ContactKind) -> bool:
        """Whether the settings allow it (`write_contacts`)."""
        ...

    async def write_contact(self, user: DirectoryUser, kind: ContactKind, value: str | None, timeout_s: float) -> None:
        """Replace the preferred one, or remove it with None. Raises RightMissing, Conflict, DirectoryUnavailable."""
        ...


# Beyond these a directory tells nobody of those who share a mail address; each of them is read.
MAX_SHARING: Final = 20


@runtime_checkable
class MailSharing(Protocol):
    """Tells everybody who has a mail address. By one that several people share, `find` means nobody."""

    async def sharing_mail(self, address: str, timeout_s: float, limit: int) -> tuple[DirectoryUser, ...]:
        """Those whose mail address this is, compared as in `find`, each once, as `get` tells him; a login name is none.

        `limit`: no more than these, whichever they are. Nobody for what is no mail address.
        """
        ...


class Verdict(StrEnum):
    """How one point of an examination came out. SKIPPED: not asked for, or it cannot be told from here."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `directory doctor`. `cure`: what to do, and `grant`: the exact lines that give a missing right."""

    what: str
    verdict: Verdict
    found: str
    cure: str = ""
    grant: tuple[str, ...] = ()


@runtime_checkable
class ContactsKeptHere(Protocol):
    """Tells no phone and no mail address but what operators, or the people themselves, put there through Wardgate."""

    @property
    def contacts_kept_here(self) -> bool:
        """Always true."""
        ...


USERS_PER_PAGE: Final = 500


@runtime_checkable
class Listing(Protocol):
    """Tells all of its users, for whoever wants to know what a change would mean for each of them."""

    def users(self, timeout_s: float) -> AsyncGenerator[Sequence[DirectoryUser], None]:
        """Everybody, as `get` tells him, page by page; at most `USERS_PER_PAGE` on each, in no order that means anything.

        `timeout_s`: for each page. Who comes or goes meanwhile may be told or not. Whoever stops early closes the generator, so
        that connections are free again. Raises DirectoryUnavailable, and RightMissing where the settings do not provide for it.
        """
        ...


@runtime_checkable
class Examining(Protocol):
    """Can be examined by `wardgate directory doctor`."""

    def examine(self, scratch: str | None, scratch_password: Secret | None) -> AsyncIterator[Finding]:
        """Connect as configured and tell what was found, point by point, as it is found.

        `scratch`: login name of an account that the operator gives for trying reset, unlock and must-change on; its password is
        changed. `scratch_password`: what it is now, for trying a change. Without it these are SKIPPED.
        """
        ...


@runtime_checkable
class Closing(Protocol):
    """Holds connections."""

    async def close(self) -> None:
        """Give up all connections; whoever waits gets DirectoryUnavailable."""
        ...


class ServerState(StrEnum):
    """What we hold of a server now."""

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server, for an operator. `problem`: why it is not up. `answered_s`: how long its last answer took."""

    server: str
    state: ServerState
    problem: str = ""
    answered_s: float | None = None


@runtime_checkable
class ServerTelling(Protocol):
    """Knows the servers behind it, without asking them."""

    def servers(self) -> tuple[ServerStatus, ...]:
        """Every server that is known, in order."""
        ...
