"""The directory that `../port.py` asks for, over Active Directory.

A login costs three reads and a bind: the name, the entry (with state, rules and groups' SIDs in it), and now and then the names of
groups. Who was found is bound by the DN that was just read, so a rename between two logins disturbs nobody.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence, Set
from contextlib import aclosing
from typing import Final

from wardgate.crypto import Secret
from wardgate.directory.active_directory.accounts import (
    DN_ATTRIBUTE,
    OLD_PASSWORD,
    PERSONS,
    RESULTANT_PSO,
    TOKEN_GROUPS,
    attributes_to_read,
    user_from,
)
from wardgate.directory.active_directory.doctor import Doctor
from wardgate.directory.active_directory.domain import Domain
from wardgate.directory.active_directory.errors import Refusal, refusal, trouble, verdict
from wardgate.directory.active_directory.group_graph import MEMBERSHIP, GroupGraph
from wardgate.directory.active_directory.groups import Group, Groups
from wardgate.directory.active_directory.lookup import ACCOUNT, PRINCIPAL, LookUp, look_up
from wardgate.directory.active_directory.passwords import Passwords
from wardgate.directory.active_directory.reading import Budget, Reader
from wardgate.directory.active_directory.settings import ActiveDirectorySettings, check
from wardgate.directory.active_directory.values import guid_base, guid_text, password_text
from wardgate.directory.kind import DirectoryKind, DirectoryParts
from wardgate.directory.ldap.client import Client
from wardgate.directory.ldap.filters import escape
from wardgate.directory.ldap.names import is_under
from wardgate.directory.ldap.port import Change, ChangeKind, Entry, LdapClient, Scope
from wardgate.directory.names import canonical_name, mail_as_name
from wardgate.directory.port import (
    USERS_PER_PAGE,
    AccountState,
    ContactKind,
    DirectoryUser,
    Finding,
    Lockout,
    PasswordNotAccepted,
    PasswordPolicy,
    PasswordVerdict,
    RightMissing,
    ServerStatus,
)
from wardgate.directory.verified import GracePasswords, VerifiedPasswords
from wardgate.errors import Conflict, DirectoryUnavailable, MessageError

# More accounts than this do not match one name by case and accents alone.
MAX_HITS: Final = 20
_NOBODY_BYTES: Final = 12


class ActiveDirectory:
    """Satisfies every protocol of `port.py`."""

    def __init__(self, settings: ActiveDirectorySettings, client: LdapClient, parts: DirectoryParts) -> None:
        self._settings = settings
        self._client = client
        self._clock = parts.clock
        self._region = parts.region
        self._reader = Reader(settings.name, client, parts.clock)
        self._domain = Domain(self._reader)
        self._groups = Groups(self._reader, self._domain)
        self._passwords = Passwords(self._reader, self._domain, settings.emulate_history)
        self._verified = VerifiedPasswords(settings.verified_cache_s, parts.clock)
        self._grace = GracePasswords(settings.down_grace_s, parts.clock)
        self._attributes = attributes_to_read(settings.attributes, settings.order == "ordered")
        self._own_words = frozenset(word for word in map(canonical_name, settings.domains) if word)

    @property
    def name(self) -> str:
        """The configured name."""
        return self._settings.name

    # --- finding -------------------------------------------------------------------------------------------------------

    async def find(self, name: str, timeout_s: float) -> DirectoryUser | None:
        """The only account that the name means: by account name, UPN or mail address. None for two of them."""
        user = await self._find(name, self._reader.budget(timeout_s))
        self._grace.found(name, user)
        return user

    async def get(self, immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        """The user with this objectGUID, wherever it was moved under `base`."""
        user = await self._read(immutable_id, self._reader.budget(timeout_s))
        if user is not None:
            self._grace.seen(user)
        return user

    async def find_by_sid(self, sid: bytes, timeout_s: float) -> DirectoryUser | None:
        """The user with this objectSid under `base`: whose ticket it is."""
        budget = self._reader.budget(timeout_s)
        wanted = f"(&{PERSONS}{self._settings.user_filter}(objectSid={escape(sid)}))"
        entries = await self._reader.entries(self._settings.base, Scope.SUBTREE, wanted, ("objectGUID",), budget, limit=2)
        if len(entries) != 1:
            return None
        user = await self._read(self._id(entries[0]), budget)
        if user is not None:
            self._grace.seen(user)
        return user

    async def sharing_mail(self, address: str, timeout_s: float, limit: int) -> tuple[DirectoryUser, ...]:
        """Everybody with this mail address. All are read at once, so that two take hardly longer than one.

        Who has it for a UPN is looked at too: it may be among his other addresses, which are not searched.
        """
        key = mail_as_name(address)
        if key is None:
            return ()
        budget, mail = self._reader.budget(timeout_s), self._settings.attributes.mail
        wanted = LookUp(((PRINCIPAL, key), (mail, key)), self._settings.user_filter)
        told = ("objectGUID", PRINCIPAL, mail)
        entries = await self._reader.entries(self._settings.base, Scope.SUBTREE, wanted.filter_text, told, budget, limit=MAX_HITS)
        meant = [self._id(entry) for entry in entries if wanted.is_meant(entry)]
        read = await asyncio.gather(*(self._read(each, budget) for each in meant))
        return tuple(user for user in read if user is not None and _has_mail(user, key))[:limit]

    def might_hold(self, name: str) -> bool:
        """False for a name with another domain before a backslash, once the domain's own names were read, and for no name."""
        known = self._domain.known_names()
        domain, backslash, _ = (canonical_name(name) or "").partition("\\")
        words = self._own_words | (known.words if known else frozenset((domain,)))
        return look_up(name, words, self._settings.attributes.mail) is not None if backslash else canonical_name(name) is not None

    async def _find(self, name: str, budget: Budget) -> DirectoryUser | None:
        if canonical_name(name) is None:
            return None
        words = self._own_words | (await self._domain.names(budget)).words
        wanted = look_up(name, words, self._settings.attributes.mail, self._settings.user_filter)
        if wanted is None:
            return None
        told = ("objectGUID", ACCOUNT, PRINCIPAL, self._settings.attributes.mail)
        entries = await self._reader.entries(self._settings.base, Scope.SUBTREE, wanted.filter_text, told, budget, limit=MAX_HITS)
        meant = [entry for entry in entries if wanted.is_meant(entry)]
        if len(meant) != 1 or len(entries) >= MAX_HITS:
            return None
        return await self._read(self._id(meant[0]), budget)

    async def _read(self, immutable_id: str, budget: Budget) -> DirectoryUser | None:
        base, server = guid_base(immutable_id), self._client.stuck(immutable_id)
        if base is None:
            return None
        persons = f"(&{PERSONS}{self._settings.user_filter})"
        entry = await self._reader.entry(base, persons, self._attributes, budget, server=server)
        if entry is None or not self._is_ours(entry):
            return None
        return await self._user(entry, await self._groups.of(entry.values(TOKEN_GROUPS), budget), budget)

    async def _user(self, entry: Entry, groups: Sequence[Group], budget: Budget) -> DirectoryUser:
        rules = await self._domain.rules(entry.text(RESULTANT_PSO), budget)
        try:
            return user_from(self.name, entry, self._settings.attributes, groups, rules, self._clock.now(), self._region)
        except MessageError as error:
            raise DirectoryUnavailable(f"directory {self.name} told an account without a usable objectGUID") from error

    async def users(self, timeout_s: float) -> AsyncGenerator[Sequence[DirectoryUser], None]:
        """Everybody. `tokenGroups` is told by reading one account after the other; the graph of all groups tells the same."""
        budget = self._reader.budget(timeout_s)
        graph = GroupGraph((await self._domain.names(budget)).base)
        await graph.load(self._reader, timeout_s)
        asked = tuple(dict.fromkeys((*(each for each in self._attributes if each != TOKEN_GROUPS), *MEMBERSHIP)))
        everybody = f"(&{PERSONS}{self._settings.user_filter})"
        told = frozenset(each.lower() for each in self._attributes)
        page: list[DirectoryUser] = []
        budget = self._reader.budget(timeout_s)
        async with aclosing(self._reader.stream(self._settings.base, everybody, asked, timeout_s, USERS_PER_PAGE)) as entries:
            async for entry in entries:
                sids, groups = graph.of(entry)
                page.append(await self._user(_as_read_alone(entry, told, sids), groups, budget))
                if len(page) >= USERS_PER_PAGE:
                    yield page
                    page, budget = [], self._reader.budget(timeout_s)
        if page:
            yield page

    def _is_ours(self, entry: Entry) -> bool:
        try:
            return is_under(entry.dn, self._settings.base)
        except MessageError as error:
            raise DirectoryUnavailable(f"directory {self.name} told an account whose DN cannot be read") from error

    def _id(self, entry: Entry) -> str:
        try:
            return guid_text(next(iter(entry.values("objectGUID")), b""))
        except MessageError as error:
            raise DirectoryUnavailable(f"directory {self.name} tells no objectGUID; our account may not read it") from error

    # --- checking passwords --------------------------------------------------------------------------------------------

    async def check_password(self, user: DirectoryUser, password: Secret, timeout_s: float, source: str = "") -> PasswordVerdict:
        """Check a password by a bind, once. What cannot be a password here is WRONG after a bind of nobody."""
        if not password:
            return PasswordVerdict.WRONG
        budget = self._reader.budget(timeout_s)
        dn = await self._dn(user, budget)
        if dn is None or password_text(password) is None:
            await self._bind_nobody(password, budget, source)
            return PasswordVerdict.WRONG
        found = await self._bind(user, dn, password, budget, source)
        if found is PasswordVerdict.RIGHT:
            self._note(user, password)
        else:
            self._grace.refused(user, password)
        return found

    def _note(self, user: DirectoryUser, password: Secret) -> None:
        """Remember a password that is right, unless it may be the one that was changed a short while ago: a bind takes that too."""
        until = user.old_password_until
        if until is None or until <= self._clock.now():
            self._verified.remember(user.immutable_id, user.version, password)
            self._grace.verified(user, password)

    def old_password_life_s(self) -> float:
        """A bind with the password of before may succeed for an hour after a change, whoever made it; some minutes for clocks."""
        return OLD_PASSWORD.total_seconds()

    def usual_lockout(self) -> Lockout | None:
        """The domain's own, once it was read."""
        rules = self._domain.known_rules()
        return Lockout(rules.threshold, rules.window_s) if rules is not None else None

    async def check_nobody(self, password: Secret, timeout_s: float, source: str = "") -> None:
        """Bind as an account that does not exist."""
        if password:
            await self._bind_nobody(password, self._reader.budget(timeout_s), source)

    def remembers(self, user: DirectoryUser, password: Secret) -> bool:
        """True when this password was verified for this version of the account within `verified_cache_s`."""
        ends = user.password_expires_at
        usable = user.state is AccountState.ACTIVE and not user.must_change and (ends is None or ends > self._clock.now())
        return usable and self._verified.holds(user, password)

    def remembered_while_down(self, name: str, password: Secret) -> DirectoryUser | None:
        """The user of this login name as he was last seen, when this password was verified within `down_grace_s`."""
        return self._grace.remembered(name, password)

    async def _dn(self, user: DirectoryUser, budget: Budget) -> str | None:
        """Where the account is: as it was read with the user."""
        known = user.attributes.get(DN_ATTRIBUTE)
        if known:
            return known[0]
        read = await self._read(user.immutable_id, budget)
        return read.attributes[DN_ATTRIBUTE][0] if read else None

    async def _bind(self, user: DirectoryUser, dn: str, password: Secret, budget: Budget, source: str) -> PasswordVerdict:
        server = self._client.stuck(user.immutable_id)
        result = await self._client.bind(dn, password, timeout_s=budget.left_s(), server=server, source=source)
        return verdict(self.name, result)

    async def _bind_nobody(self, password: Secret, budget: Budget, source: str) -> None:
        # What a server would cut or refuse unread is replaced, so that it works as for a password that is only wrong.
        sent = password if password_text(password) is not None else Secret(secrets.token_hex(_NOBODY_BYTES).encode())
        dn = f"CN={secrets.token_hex(_NOBODY_BYTES)},{self._settings.base}"
        verdict(self.name, await self._client.bind(dn, sent, timeout_s=budget.left_s(), source=source))

    # --- changing ------------------------------------------------------------------------------------------------------

    async def password_policy(self, user: DirectoryUser, timeout_s: float) -> PasswordPolicy:
        """The domain's rules, or those of the fine-grained policy that holds for this user."""
        return await self._passwords.policy(user, self._reader.budget(timeout_s))

    async def change_password(self, user: DirectoryUser, old: Secret, new: Secret, timeout_s: float) -> PasswordVerdict:
        """Replace a password that the user knows, be it expired or to be changed."""
        self._check_new(new)
        if password_text(old) is None:
            return PasswordVerdict.WRONG
        return await self._passwords.change(user, old, new, self._reader.budget(timeout_s))

    async def reset_password(self, user: DirectoryUser, new: Secret, must_change: bool, timeout_s: float) -> None:
        """Set a password, held to the rules and the history, and lift a lock."""
        self._check_new(new)
        await self._passwords.reset(user, new, must_change, self._reader.budget(timeout_s))

    async def unlock(self, user: DirectoryUser, timeout_s: float) -> bool:
        """True when the account was locked and now is not."""
        return await self._passwords.unlock(user, self._reader.budget(timeout_s))

    def writes(self, kind: ContactKind) -> bool:
        """Whether `write_contacts` names it."""
        return kind.value in self._settings.write_contacts

    async def write_contact(self, user: DirectoryUser, kind: ContactKind, value: str | None, timeout_s: float) -> None:
        """Replace the preferred phone or mail address, or remove it."""
        budget = self._reader.budget(timeout_s)
        names = self._settings.attributes
        attribute = names.phone if kind is ContactKind.PHONE else names.mail
        read = await self._read(user.immutable_id, budget)
        if read is None:
            raise Conflict("the account was removed meanwhile")
        change = Change(ChangeKind.REPLACE, attribute, () if value is None else (value.encode(),))
        dn, server = read.attributes[DN_ATTRIBUTE][0], self._client.stuck(user.immutable_id)
        result = await self._client.modify(dn, (change,), timeout_s=budget.left_s(), server=server)
        if result.good:
            self._client.stick(user.immutable_id, result.server)
            return
        if refusal(result) is Refusal.GONE:
            raise Conflict("the account was removed meanwhile")
        if refusal(result) is Refusal.RIGHT:
            raise RightMissing(
                f"directory {self.name}: our account may not write {attribute} of this user; grant it write access to {attribute}, "
                f"or take {kind.value} out of `write_contacts`"
            )
        raise trouble(self.name, f"to write {attribute}", result)

    def _check_new(self, password: Secret) -> None:
        if password_text(password) is None:
            raise PasswordNotAccepted("the new password is empty, too long, or no text", "length")

    # --- for operators ---------------------------------------------------------------------------------------------------

    async def examine(self, scratch: str | None, scratch_password: Secret | None) -> AsyncIterator[Finding]:
        """Connect as configured and tell what was found."""
        self._domain.forget()
        doctor = Doctor(self._settings, self._reader, self._domain, self)
        async for finding in doctor.examine(scratch, scratch_password):
            yield finding

    def servers(self) -> tuple[ServerStatus, ...]:
        """Every domain controller that is known."""
        return self._client.status()

    async def close(self) -> None:
        """Give up all connections."""
        await self._client.close()


def _has_mail(user: DirectoryUser, key: str) -> bool:
    return any(mail is not None and canonical_name(mail) == key for mail in (user.mail, *user.other_mails))


def _as_read_alone(entry: Entry, told: Set[str], sids: tuple[bytes, ...]) -> Entry:
    """An entry of a list as reading it by itself gives it: with `tokenGroups`, and without what only stood in for that."""
    attributes = {name: values for name, values in entry.attributes.items() if name in told}
    return Entry(entry.dn, {**attributes, TOKEN_GROUPS.lower(): sids} if sids else attributes)


def _build(settings: ActiveDirectorySettings, parts: DirectoryParts) -> ActiveDirectory:
    return ActiveDirectory(settings, Client(settings, parts), parts)


KIND = DirectoryKind(ActiveDirectorySettings, check, _build)
