"""A directory that lives in memory: a whole one, which passes the conformance suite, and the double in flow tests.

It can be told to be unavailable, slow or silent, to lock accounts, and to let logins go on while it is down; it counts the password
checks that it was asked for.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from wardgate.clock import Clock
from wardgate.crypto import Secret, new_id
from wardgate.directory.names import canonical_name, mail_as_name
from wardgate.directory.password_rules import Rule, broken_rules
from wardgate.directory.port import (
    USERS_PER_PAGE,
    AccountState,
    ContactKind,
    DirectoryUser,
    Lockout,
    PasswordNotAccepted,
    PasswordPolicy,
    PasswordVerdict,
    RightMissing,
)
from wardgate.errors import AlreadyExists, Conflict, DirectoryUnavailable, UsageError


class Behaviour(StrEnum):
    """How the directory treats whoever asks it."""

    ANSWERS = "answers"
    UNAVAILABLE = "unavailable"
    SILENT = "silent"


@dataclass(slots=True)
class _Entry:
    user: DirectoryUser
    password: Secret | None
    verdict: PasswordVerdict = PasswordVerdict.RIGHT
    failures: int = 0
    earlier: tuple[Secret, ...] = ()
    previous: Secret | None = None


class MemoryDirectory:
    """Satisfies every protocol of `port.py`. `checks` counts password checks, those of nobody included.

    `behaviour` and `delay_s` may be set at any time. With `remembering`, a verified password is remembered until the account
    changes; with `grace`, it lets in while the directory is down. `lockout`: after so many wrong passwords it locks the account; it
    remembers them until a right one. `domains`: what may stand before `\\` or after `@` of its names; none: anything.
    `policy`: what a new password is held to; what it says of ages is only told. `writable`: the contacts that it takes back.
    `clock`: it tells when passwords were changed. `old_password_s`: for so long it takes the one before the present one as well.
    """

    def __init__(
        self,
        name: str,
        users: Mapping[str, str] | None = None,
        remembering: bool = False,
        *,
        grace: bool = False,
        lockout: Lockout | None = None,
        domains: tuple[str, ...] = (),
        policy: PasswordPolicy = PasswordPolicy(),
        writable: Collection[ContactKind] = (),
        clock: Clock | None = None,
        old_password_s: float = 0.0,
    ) -> None:
        self._name = name
        self._entries: dict[str, _Entry] = {}
        self._remembering = remembering
        self._grace = grace
        self._lockout = lockout
        self._domains = domains
        self._policy = policy
        self._writable = frozenset(writable)
        self._clock = clock
        self._old_password_s = old_password_s
        self._verified: set[tuple[str, int, bytes]] = set()
        self.behaviour = Behaviour.ANSWERS
        self.delay_s = 0.0
        self.checks = 0
        for user_name, password in (users or {}).items():
            self.add(user_name, password)

    @property
    def name(self) -> str:
        """The configured name."""
        return self._name

    def add(
        self,
        name: str,
        password: str | bytes | None,
        *,
        state: AccountState = AccountState.ACTIVE,
        display_name: str = "",
        mail: str | None = None,
        phone: str | None = None,
        language: str | None = None,
        groups: tuple[str, ...] = (),
        attributes: Mapping[str, tuple[str, ...]] | None = None,
        must_change: bool = False,
        password_changed_at: datetime | None = None,
        group_aliases: Mapping[str, tuple[str, ...]] | None = None,
        protected: bool = False,
        verdict: PasswordVerdict = PasswordVerdict.RIGHT,
    ) -> DirectoryUser:
        """Add a user. `verdict`: what his right password comes to. Raises AlreadyExists when the name is taken, UsageError when it

        cannot be a name.
        """
        key = canonical_name(name)
        if key is None:
            raise UsageError("this cannot be a user name")
        if any(canonical_name(entry.user.name) == key for entry in self._entries.values()):
            raise AlreadyExists(f"there is a user {name} already")
        user = DirectoryUser(
            directory=self._name,
            immutable_id=new_id(),
            name=name,
            state=state,
            display_name=display_name,
            mail=mail,
            phone=phone,
            language=language,
            groups=groups,
            attributes=attributes or {},
            must_change=must_change,
            password_changed_at=password_changed_at,
            version=1,
            group_aliases=group_aliases or {},
            protected=protected,
            lockout=self._lockout,
        )
        self._entries[user.immutable_id] = _Entry(user, None if password is None else Secret(password), verdict)
        return user

    def change_state(self, user: DirectoryUser, state: AccountState) -> DirectoryUser:
        """Lock, disable or enable an account, as its administrator would."""
        entry = self._entries[user.immutable_id]
        entry.user = replace(entry.user, state=state, version=entry.user.version + 1)
        return entry.user

    def change_end(self, user: DirectoryUser, ends: datetime | None) -> None:
        """From now on his password runs out then."""
        entry = self._entries[user.immutable_id]
        entry.user = replace(entry.user, password_expires_at=ends, version=entry.user.version + 1)

    def change_verdict(self, user: DirectoryUser, verdict: PasswordVerdict) -> None:
        """From now on a right password comes to this."""
        self._entries[user.immutable_id].verdict = verdict

    def fail_elsewhere(self, user: DirectoryUser, times: int = 1) -> None:
        """So many wrong passwords for this account that somebody else was asked about."""
        for _ in range(times):
            self._count(self._entries[user.immutable_id])

    def forgive(self, user: DirectoryUser) -> None:
        """Forget the wrong passwords, as an administrator may make a directory do."""
        self._set_failures(self._entries[user.immutable_id], 0)

    def might_hold(self, name: str) -> bool:
        """Whether the name's domain, if it has one, is one of this directory's."""
        before, _, after = name.rpartition("\\")
        domain = before or after.rpartition("@")[2] * ("@" in after)
        return not domain or not self._domains or canonical_name(domain) in self._domains

    def remove(self, user: DirectoryUser) -> None:
        """Remove an account. Its immutable id is never given to another."""
        del self._entries[user.immutable_id]

    async def find(self, name: str, timeout_s: float) -> DirectoryUser | None:
        """The user with this login name, else the only one with this mail address."""
        await self._answer(timeout_s)
        return self._named(name)

    def _named(self, name: str) -> DirectoryUser | None:
        key = canonical_name(name)
        if key is None:
            return None
        users = [entry.user for entry in self._entries.values()]
        found = [user for user in users if canonical_name(user.name) == key]
        if not found:
            found = [user for user in users if user.mail is not None and canonical_name(user.mail) == key]
        return found[0] if len(found) == 1 else None

    async def sharing_mail(self, address: str, timeout_s: float, limit: int) -> tuple[DirectoryUser, ...]:
        """Everybody with this mail address."""
        await self._answer(timeout_s)
        key = mail_as_name(address)
        users = (entry.user for entry in self._entries.values() if key is not None)
        return tuple(user for user in users if user.mail is not None and canonical_name(user.mail) == key)[:limit]

    async def find_by_sid(self, sid: bytes, timeout_s: float) -> DirectoryUser | None:
        """The user whose attribute `objectSid` is this in hexadecimal digits."""
        await self._answer(timeout_s)
        users = (entry.user for entry in self._entries.values())
        return next((user for user in users if user.attributes.get("objectSid") == (sid.hex(),)), None)

    async def get(self, immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        """The user with this immutable id."""
        await self._answer(timeout_s)
        entry = self._entries.get(immutable_id)
        return entry.user if entry else None

    async def users(self, timeout_s: float) -> AsyncGenerator[Sequence[DirectoryUser], None]:
        """Everybody who was there when it was asked, and still is."""
        ids = list(self._entries)
        for start in range(0, max(1, len(ids)), USERS_PER_PAGE):
            await self._answer(timeout_s)
            page = [self._entries[each] for each in ids[start : start + USERS_PER_PAGE] if each in self._entries]
            if page:
                yield [entry.user for entry in page]

    async def check_password(self, user: DirectoryUser, password: Secret, timeout_s: float, source: str = "") -> PasswordVerdict:
        """Check a password. Accounts that may not be used are checked all the same."""
        if not password:
            return PasswordVerdict.WRONG
        self.checks += 1
        await self._answer(timeout_s)
        entry = self._entries.get(user.immutable_id)
        if entry is not None and self._lockout is not None and entry.user.state is AccountState.LOCKED:
            return PasswordVerdict.LOCKED
        if entry is None or entry.password is None or (entry.password != password and not self._is_taken_still(entry, password)):
            if entry is not None:
                self._count(entry)
            return PasswordVerdict.WRONG
        if entry.verdict is not PasswordVerdict.RIGHT:
            return entry.verdict
        if entry.user.must_change:
            return PasswordVerdict.MUST_CHANGE
        if entry.failures:
            self._set_failures(entry, 0)
        if entry.password == password and (self._remembering or self._grace):
            self._verified.add((entry.user.immutable_id, entry.user.version, password.reveal()))
        return PasswordVerdict.RIGHT

    def old_password_life_s(self) -> float:
        """As it was told."""
        return self._old_password_s

    def _is_taken_still(self, entry: _Entry, password: Secret) -> bool:
        changed_at = entry.user.password_changed_at
        if self._clock is None or changed_at is None or entry.previous is None or entry.previous != password:
            return False
        return (self._clock.now() - changed_at).total_seconds() < self._old_password_s

    def usual_lockout(self) -> Lockout | None:
        """The one of all accounts."""
        return self._lockout

    async def check_nobody(self, password: Secret, timeout_s: float, source: str = "") -> None:
        """Take as long as a check does."""
        if password:
            self.checks += 1
            await self._answer(timeout_s)

    def remembers(self, user: DirectoryUser, password: Secret) -> bool:
        """True when this password was verified for this version of the account."""
        known = self._remembering and (user.immutable_id, user.version, password.reveal()) in self._verified
        return known and user.state is AccountState.ACTIVE and not user.must_change

    def remembered_while_down(self, name: str, password: Secret) -> DirectoryUser | None:
        """The user of this name, when this password was verified for this version of the account."""
        user = self._named(name) if self._grace else None
        known = user is not None and (user.immutable_id, user.version, password.reveal()) in self._verified
        return user if known else None

    async def change_password(self, user: DirectoryUser, old: Secret, new: Secret, timeout_s: float) -> PasswordVerdict:
        """Change it. WRONG when `old` is not right, REFUSED when the account may not be used."""
        self.checks += 1
        await self._answer(timeout_s)
        entry = self._entries.get(user.immutable_id)
        if entry is None or entry.password is None or entry.user.state is not AccountState.ACTIVE:
            return PasswordVerdict.REFUSED
        if not old or entry.password != old:
            return PasswordVerdict.WRONG
        if self._policy.history and new == old:
            raise PasswordNotAccepted("choose another password than the present one", Rule.SAME.value, self._policy)
        self._store(entry, new, must_change=False)
        return PasswordVerdict.RIGHT

    async def reset_password(self, user: DirectoryUser, new: Secret, must_change: bool, timeout_s: float) -> None:
        """Set it. Raises Conflict when the account is gone."""
        await self._answer(timeout_s)
        entry = self._entries.get(user.immutable_id)
        if entry is None:
            raise Conflict("the account was removed meanwhile")
        self._store(entry, new, must_change)
        if entry.user.state is AccountState.LOCKED:
            self.change_state(entry.user, AccountState.ACTIVE)

    async def unlock(self, user: DirectoryUser, timeout_s: float) -> bool:
        """True when the account was locked and now is not."""
        await self._answer(timeout_s)
        entry = self._entries.get(user.immutable_id)
        if entry is None or entry.user.state is not AccountState.LOCKED:
            return False
        self._set_failures(entry, 0)
        self.change_state(entry.user, AccountState.ACTIVE)
        return True

    async def password_policy(self, user: DirectoryUser, timeout_s: float) -> PasswordPolicy:
        """The rules that hold for everybody."""
        await self._answer(timeout_s)
        return self._policy

    def writes(self, kind: ContactKind) -> bool:
        """Whether it was told so."""
        return kind in self._writable

    async def write_contact(self, user: DirectoryUser, kind: ContactKind, value: str | None, timeout_s: float) -> None:
        """Replace it, or remove it with None. Raises RightMissing, Conflict when the account is gone."""
        if kind not in self._writable:
            raise RightMissing(f"directory {self._name} takes no {kind.value} back")
        await self._answer(timeout_s)
        entry = self._entries.get(user.immutable_id)
        if entry is None:
            raise Conflict("the account was removed meanwhile")
        phone, mail = (value, entry.user.mail) if kind is ContactKind.PHONE else (entry.user.phone, value)
        entry.user = replace(entry.user, version=entry.user.version + 1, phone=phone, mail=mail)

    def _store(self, entry: _Entry, new: Secret, must_change: bool) -> None:
        """A new password, if the policy takes it. One that was past its age is not any more."""
        for broken in broken_rules(new, self._policy, entry.user):
            raise PasswordNotAccepted(broken.message, broken.rule.value, self._policy)
        present = (entry.password,) if entry.password is not None else ()
        if self._policy.history and new in (*present, *entry.earlier):
            raise PasswordNotAccepted("choose a password that was not in use before", Rule.HISTORY.value, self._policy)
        entry.earlier = (*present, *entry.earlier)[: self._policy.history]
        entry.password, entry.previous = new, entry.password
        if entry.verdict is PasswordVerdict.EXPIRED:
            entry.verdict = PasswordVerdict.RIGHT
        changed_at = self._clock.now() if self._clock is not None else entry.user.password_changed_at
        entry.user = replace(entry.user, must_change=must_change, version=entry.user.version + 1, password_changed_at=changed_at)

    def _count(self, entry: _Entry) -> None:
        """One more wrong password; at the threshold the account is locked."""
        if self._lockout is None:
            return
        self._set_failures(entry, entry.failures + 1)
        if entry.failures >= self._lockout.threshold > 0:
            entry.user = replace(entry.user, state=AccountState.LOCKED, version=entry.user.version + 1)

    def _set_failures(self, entry: _Entry, failures: int) -> None:
        entry.failures = failures
        if self._lockout is not None:
            entry.user = replace(entry.user, lockout=replace(self._lockout, failures=failures))

    async def _answer(self, timeout_s: float) -> None:
        if self.behaviour is Behaviour.UNAVAILABLE:
            raise DirectoryUnavailable(f"directory {self._name} refuses the connection")
        silent = self.behaviour is Behaviour.SILENT
        if not silent and not self.delay_s:
            return
        if silent or self.delay_s > timeout_s:
            await asyncio.sleep(timeout_s)
            raise DirectoryUnavailable(f"directory {self._name} did not answer within {timeout_s:g} s")
        await asyncio.sleep(self.delay_s)
