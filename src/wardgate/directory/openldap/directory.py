"""An OpenLDAP directory: looks users up, checks, changes and resets their passwords, lifts locks, writes contacts."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from typing import Final

from wardgate.clock import Clock
from wardgate.crypto import Secret, new_id
from wardgate.directory.ldap.filters import Filter, both, either, equal
from wardgate.directory.ldap.names import escape_value
from wardgate.directory.ldap.port import Change, ChangeKind, Code, Entry, LdapClient, LdapRefused, LdapSession, Result, Scope
from wardgate.directory.names import canonical_name, mail_as_name
from wardgate.directory.openldap import password_modify
from wardgate.directory.openldap.answers import INVALID_SYNTAX, refuse_password, refuse_write, unexpected, verdict_of
from wardgate.directory.openldap.budget import Budget
from wardgate.directory.openldap.examination import Examination
from wardgate.directory.openldap.groups import NONE, GroupReader
from wardgate.directory.openldap.loaded_groups import LoadedGroups
from wardgate.directory.openldap.policies import PolicyReader
from wardgate.directory.openldap.ppolicy import ASK, OID, Policy
from wardgate.directory.openldap.reading import DN, UserReader, is_locked, merged
from wardgate.directory.openldap.settings import OpenLdapSettings
from wardgate.directory.port import (
    USERS_PER_PAGE,
    AccountState,
    ContactKind,
    DirectoryUser,
    Finding,
    Lockout,
    PasswordPolicy,
    PasswordVerdict,
    RightMissing,
    ServerStatus,
)
from wardgate.directory.verified import GracePasswords, VerifiedPasswords
from wardgate.errors import Conflict, DirectoryUnavailable, MessageError, UsageError
from wardgate.passwords import MAX_PASSWORD_BYTES

MAX_ID_CHARS: Final = 200
# More than two hits are as good as two: but the server folds letters that we do not, so there may be some to leave out.
_MOST_HITS: Final = 20
# How long it is remembered that an expired password was right, so that changing it costs no second grace login.
_EXPIRED_S: Final = 300
# A grace login changes the entry itself. The server compares the old password once more, so no version has to be kept to.
_ANY: Final = 0


class OpenLdapDirectory:
    """Satisfies Directory, GroupsApart, PasswordRemembering, PasswordGrace, PasswordChanging, PasswordResetting, LockoutTelling,
    PasswordPolicyTelling, Unlocking, ContactWriting, Listing, MailSharing, Examining, ServerTelling and Closing of `port.py`."""

    def __init__(self, client: LdapClient, settings: OpenLdapSettings, clock: Clock, region: str | None = None) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._users = Filter(settings.user_filter)
        self._reader = UserReader(settings, region, clock)
        self._groups = GroupReader(client, settings, clock)
        self._policies = PolicyReader(client, settings, clock)
        self._verified = VerifiedPasswords(settings.verified_cache_s, clock)
        self._grace = GracePasswords(settings.down_grace_s, clock)
        self._expired = VerifiedPasswords(_EXPIRED_S, clock)
        self._always_with_groups = bool(settings.groups.protected or settings.down_grace_s)

    @property
    def name(self) -> str:
        """The configured name."""
        return self._settings.name

    # --- looking up ----------------------------------------------------------------------------------------------------

    async def find(self, name: str, timeout_s: float) -> DirectoryUser | None:
        """The user with this login name, else the only one with this mail address. A name goes before a mail address."""
        key = canonical_name(name)
        if key is None:
            return None
        budget = self._budget(timeout_s)
        entry = await self._entry_of_name(key, budget)
        user = await self._user(entry, budget, self._groups) if entry is not None else None
        self._grace.found(name, user)
        return user

    async def find_without_groups(self, name: str, timeout_s: float) -> DirectoryUser | None:
        """As `find`. Groups are read all the same where they tell administrators, or where users are kept for when we are down."""
        if self._always_with_groups:
            return await self.find(name, timeout_s)
        key = canonical_name(name)
        if key is None:
            return None
        budget = self._budget(timeout_s)
        entry = await self._entry_of_name(key, budget)
        return await self._user(entry, budget, None) if entry is not None else None

    async def get_without_groups(self, immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        """As `get`, and as `find_without_groups`."""
        if self._always_with_groups:
            return await self.get(immutable_id, timeout_s)
        budget = self._budget(timeout_s)
        entry = await self._entry_of_id(immutable_id, budget)
        return await self._user(entry, budget, None) if entry is not None else None

    async def sharing_mail(self, address: str, timeout_s: float, limit: int) -> tuple[DirectoryUser, ...]:
        """Everybody with this mail address."""
        key = mail_as_name(address)
        if key is None:
            return ()
        budget = self._budget(timeout_s)
        found = await self._search(equal(self._settings.attributes.mail, key), budget, None)
        named = (entry for entry in found or () if entry.texts(self._settings.attributes.user_name))
        hits = [entry for entry in named if self._reader.has_mail(entry, key)][:limit]
        return tuple(await asyncio.gather(*(self._user(entry, budget, self._groups) for entry in hits)))

    async def get(self, immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        """The user with this immutable id, wherever the entry is by now and whatever it is called."""
        budget = self._budget(timeout_s)
        entry = await self._entry_of_id(immutable_id, budget)
        if entry is None:
            return None
        user = await self._user(entry, budget, self._groups)
        self._grace.seen(user)
        return user

    async def _entry_of_name(self, key: str, budget: Budget) -> Entry | None:
        named, may_be_mail = self._settings.attributes, "@" in key
        wanted = equal(named.user_name, key)
        if may_be_mail:
            wanted = either(wanted, equal(named.mail, key))
        found = await self._search(wanted, budget, self._client.stuck(key))
        if found is None or len(found) >= _MOST_HITS:
            return None
        hits = [entry for entry in found if self._reader.is_named(entry, key)]
        if not hits and may_be_mail:
            hits = [entry for entry in found if self._reader.has_mail(entry, key)]
        return hits[0] if len(hits) == 1 else None

    async def _entry_of_id(self, immutable_id: str, budget: Budget) -> Entry | None:
        if not immutable_id or len(immutable_id) > MAX_ID_CHARS:
            return None
        wanted = equal(self._settings.attributes.id, immutable_id)
        found = await self._search(wanted, budget, self._client.stuck(immutable_id))
        hits = [entry for entry in found or () if self._reader.id_of(entry) == immutable_id]
        return hits[0] if len(hits) == 1 else None

    async def _search(self, wanted: Filter, budget: Budget, server: str | None) -> Sequence[Entry] | None:
        """Entries of users; None when there are more than the server gives.

        `server`: where something was written a while ago. When it is silent, the others may still not know of that, which is better
        than no answer.
        """
        filter_text = both(self._users, wanted)
        if server is not None:
            with suppress(DirectoryUnavailable):
                return await self._search_at(filter_text, budget.left() / 2, server)
        return await self._search_at(filter_text, budget.left(), None)

    async def _search_at(self, filter_text: Filter, timeout_s: float, server: str | None) -> Sequence[Entry] | None:
        attributes = self._reader.attributes
        with self._reaching():
            try:
                return await self._client.search(
                    self._settings.base,
                    Scope.SUBTREE,
                    filter_text,
                    attributes,
                    timeout_s=timeout_s,
                    limit=_MOST_HITS,
                    server=server,
                )
            except LdapRefused as refused:
                if refused.result.code == Code.SIZE_LIMIT:
                    return None
                raise

    async def _user(self, entry: Entry, budget: Budget, groups: GroupReader | None) -> DirectoryUser:
        """`groups`: who reads his groups; None: nobody does."""
        with self._reaching():
            policy = await self._policies.effective(entry, budget)
            return self._reader.user(entry, policy, NONE if groups is None else await groups.of(entry, budget))

    async def users(self, timeout_s: float) -> AsyncGenerator[Sequence[DirectoryUser], None]:
        """Everybody with a login name. All groups are read first, so that nobody's have to be searched for."""
        groups = LoadedGroups(self._client, self._settings, self._clock)
        with self._reaching():
            await groups.load(timeout_s)
        page: list[DirectoryUser] = []
        budget = self._budget(timeout_s)
        with self._reaching():
            async with aclosing(
                self._client.stream(
                    self._settings.base,
                    Scope.SUBTREE,
                    self._users,
                    self._reader.attributes,
                    timeout_s=timeout_s,
                    page=USERS_PER_PAGE,
                )
            ) as entries:
                async for entry in entries:
                    if not entry.texts(self._settings.attributes.user_name):
                        continue
                    page.append(await self._user(entry, budget, groups))
                    if len(page) >= USERS_PER_PAGE:
                        yield page
                        page, budget = [], self._budget(timeout_s)
        if page:
            yield page

    async def _now(self, user: DirectoryUser, budget: Budget) -> tuple[Entry, DirectoryUser, Policy | None] | None:
        """The account as it is now, before something is written to it: it may have been renamed, locked or removed."""
        entry = await self._entry_of_id(user.immutable_id, budget)
        if entry is None:
            return None
        with self._reaching():
            policy = await self._policies.effective(entry, budget)
        return entry, self._reader.user(entry, policy, NONE), policy

    # --- checking passwords --------------------------------------------------------------------------------------------

    async def check_password(self, user: DirectoryUser, password: Secret, timeout_s: float, source: str = "") -> PasswordVerdict:
        """Check a password by one bind, which uses up a grace login when the password is expired."""
        if not password:
            return PasswordVerdict.WRONG
        budget = self._budget(timeout_s)
        dn = await self._dn(user, budget)
        if dn is None or len(password.reveal()) > MAX_PASSWORD_BYTES:
            await self._bind_as_nobody(budget, source)
            return PasswordVerdict.WRONG
        result = await self._client.bind(
            dn, password, timeout_s=budget.left(), controls=ASK, server=self._client.stuck(user.immutable_id), source=source
        )
        verdict = verdict_of(result, self.name, user.state)
        if verdict is PasswordVerdict.RIGHT and user.must_change:
            verdict = PasswordVerdict.MUST_CHANGE
        self._note(user, password, verdict)
        return verdict

    def usual_lockout(self) -> Lockout | None:
        """The one of the default policy, once it was read."""
        policy = self._policies.known_default()
        return Lockout(policy.threshold, policy.failure_window_s) if policy is not None else None

    async def check_nobody(self, password: Secret, timeout_s: float, source: str = "") -> None:
        """Bind with a name that does not exist."""
        if password:
            await self._bind_as_nobody(self._budget(timeout_s), source)

    def remembers(self, user: DirectoryUser, password: Secret) -> bool:
        """True when this password was verified for this version of the account within `verified_cache_s`."""
        if user.state is not AccountState.ACTIVE or user.must_change:
            return False
        ends = user.password_expires_at
        return (ends is None or ends > self._clock.now()) and self._verified.holds(user, password)

    def remembered_while_down(self, name: str, password: Secret) -> DirectoryUser | None:
        """The user of this name as he was last seen, when the password was verified within `down_grace_s`."""
        return self._grace.remembered(name, password)

    def _note(self, user: DirectoryUser, password: Secret, verdict: PasswordVerdict) -> None:
        if verdict is PasswordVerdict.RIGHT and not user.version:
            return  # a password that was changed elsewhere would go on being right
        if verdict is PasswordVerdict.RIGHT:
            self._verified.remember(user.immutable_id, user.version, password)
            self._grace.verified(user, password)
            return
        if verdict is PasswordVerdict.EXPIRED:
            self._expired.remember(user.immutable_id, _ANY, password)
        self._grace.refused(user, password)

    async def _dn(self, user: DirectoryUser, budget: Budget) -> str | None:
        told = user.attributes.get(DN, ())
        if told:
            return told[0]
        entry = await self._entry_of_id(user.immutable_id, budget)
        return entry.dn if entry is not None else None

    async def _bind_as_nobody(self, budget: Budget, source: str = "") -> None:
        own = f"{self._settings.attributes.user_name}={escape_value(new_id())}"
        nobody = f"{own},{self._settings.base}" if self._settings.base else own
        result = await self._client.bind(nobody, Secret(new_id()), timeout_s=budget.left(), controls=ASK, source=source)
        verdict_of(result, self.name, AccountState.ACTIVE)

    # --- setting passwords ---------------------------------------------------------------------------------------------

    async def change_password(self, user: DirectoryUser, old: Secret, new: Secret, timeout_s: float) -> PasswordVerdict:
        """Change it as the user, after a bind: a wrong old password counts towards the lock there, and only there.

        An expired password that was found right a moment ago is changed without another bind, which would use up a grace login;
        one without grace logins left by the service account, which shows the old password.
        """
        _must_be_a_password(new)
        budget = self._budget(timeout_s)
        present = await self._now(user, budget)
        if present is None or not old or len(old.reveal()) > MAX_PASSWORD_BYTES:
            await self._bind_as_nobody(budget)
            return PasswordVerdict.REFUSED if present is None else PasswordVerdict.WRONG
        entry, now, policy = present
        if self._expired.holds(replace(now, version=_ANY), old):
            result = await self._set_as_service(entry, old, new, budget, self._client.stuck(now.immutable_id))
            # 53: the old password is not right any more, or may not be compared by the service account.
            if result.code != Code.UNWILLING:
                return self._changed(result, now, old, new, policy)
        return await self._change_as_user(entry, now, policy, old, new, budget)

    async def _change_as_user(
        self, entry: Entry, now: DirectoryUser, policy: Policy | None, old: Secret, new: Secret, budget: Budget
    ) -> PasswordVerdict:
        stuck = self._client.stuck(now.immutable_id)
        async with self._client.bound_as(entry.dn, old, timeout_s=budget.left(), controls=ASK, server=stuck) as (bound, session):
            verdict = verdict_of(bound, self.name, now.state)
            self._note(now, old, verdict)
            if bound.good and verdict.password_was_right:
                return self._changed(await self._set_as_user(entry.dn, session, old, new, budget), now, old, new, policy)
        if verdict is not PasswordVerdict.EXPIRED:
            return verdict if now.state in (AccountState.ACTIVE, AccountState.LOCKED) else PasswordVerdict.REFUSED
        result = await self._set_as_service(entry, old, new, budget, bound.server or None)
        if result.code == Code.UNWILLING:
            raise RightMissing(
                f"directory {self.name}: changing an expired password needs the right to compare userPassword (=xw); "
                "`wardgate directory doctor` tells how"
            )
        return self._changed(result, now, old, new, policy)

    def _changed(self, result: Result, user: DirectoryUser, old: Secret, new: Secret, policy: Policy | None) -> PasswordVerdict:
        if result.code == Code.UNWILLING:
            return PasswordVerdict.WRONG
        if not result.good:
            refuse_password(result, self.name, policy, same=old == new)
        self._grace.refused(user, old)
        self._stick(user, result.server)
        return PasswordVerdict.RIGHT

    async def reset_password(self, user: DirectoryUser, new: Secret, must_change: bool, timeout_s: float) -> None:
        """Set it as the service account, held to the policy; the server lifts a lock by itself.

        With `must_change` a second write follows. When that fails the password is set and the demand is not, which the error says;
        the same reset again would be refused by the history, another password is needed.
        """
        _must_be_a_password(new)
        budget = self._budget(timeout_s)
        present = await self._now(user, budget)
        if present is None:
            raise Conflict("the account was removed meanwhile")
        entry, now, policy = present
        if now.state is AccountState.DISABLED:
            # OpenLDAP lifts any lock with a reset, an administrator's too.
            raise RightMissing(f"directory {self.name}: an administrator locked the account, and a reset would lift that lock")
        if must_change:
            await self._must_know_reset(policy, budget)
        server = self._client.stuck(now.immutable_id)
        result = await self._set_as_service(entry, None, new, budget, server)
        if not result.good:
            refuse_password(result, self.name, policy, same=False)
        self._stick(now, result.server)
        if must_change:
            await self._demand_change(entry.dn, budget, result.server or None)

    async def _must_know_reset(self, policy: Policy | None, budget: Budget) -> None:
        """A demand that the server would not enforce is refused before anything is set."""
        root = await self._root_dse(budget)
        if OID not in root.texts("supportedControl") or (policy is not None and not policy.must_change):
            raise RightMissing(
                f"directory {self.name}: the server demands no change at the next login: "
                "it needs the ppolicy overlay and pwdMustChange TRUE in the user's policy"
            )

    async def _demand_change(self, dn: str, budget: Budget, server: str | None) -> None:
        demand = (Change(ChangeKind.REPLACE, "pwdReset", (b"TRUE",)),)
        try:
            result = await self._client.modify(dn, demand, timeout_s=budget.left(), server=server)
        except DirectoryUnavailable as error:
            raise DirectoryUnavailable(
                f"directory {self.name}: the password is set, but perhaps not the demand to change it at the next login "
                f"({error.message}); reset it once more, to another one",
                "must_change_not_set",
            ) from error
        if not result.good:
            refuse_write(result, self.name, "the password is set; demanding its change at the next login", "pwdReset")

    async def _set_as_user(self, dn: str, session: LdapSession, old: Secret, new: Secret, budget: Budget) -> Result:
        if await self._has_password_modify(budget):
            request = password_modify.request(None, old, new)
            return await session.extended(password_modify.OID, request, timeout_s=budget.left(), controls=ASK)
        return await session.modify(dn, _replaced(new), timeout_s=budget.left(), controls=ASK)

    async def _set_as_service(self, entry: Entry, old: Secret | None, new: Secret, budget: Budget, server: str | None) -> Result:
        if await self._has_password_modify(budget):
            request = password_modify.request(entry.dn, old, new)
            return await self._client.extended(password_modify.OID, request, timeout_s=budget.left(), controls=ASK, server=server)
        if old is not None:
            raise RightMissing(f"directory {self.name}: without RFC 3062 the server changes no password that is expired")
        return await self._client.modify(entry.dn, _replaced(new), timeout_s=budget.left(), controls=ASK, server=server)

    async def _has_password_modify(self, budget: Budget) -> bool:
        return password_modify.OID in (await self._root_dse(budget)).texts("supportedExtension")

    async def _root_dse(self, budget: Budget) -> Entry:
        with self._reaching():
            return await self._client.root_dse(timeout_s=budget.left())

    # --- policy, locks, contacts ---------------------------------------------------------------------------------------

    async def password_policy(self, user: DirectoryUser, timeout_s: float) -> PasswordPolicy:
        """The rules that hold for this user; `read` is False where the policy cannot be read."""
        budget = self._budget(timeout_s)
        present = await self._now(user, budget)
        policy = present[2] if present is not None else None
        if policy is not None:
            return policy.rules()
        return PasswordPolicy(read=OID not in (await self._root_dse(budget)).texts("supportedControl"))

    async def unlock(self, user: DirectoryUser, timeout_s: float) -> bool:
        """True when wrong passwords had locked the account and now it is free. An administrator's lock stays."""
        budget = self._budget(timeout_s)
        present = await self._now(user, budget)
        if present is None or not is_locked(present[0], present[2], self._clock.now()):
            return False
        entry = present[0]
        # The value that was read is taken away, and no other: an administrator may be locking the account just now.
        lift = (Change(ChangeKind.DELETE, "pwdAccountLockedTime", entry.values("pwdAccountLockedTime")),)
        result = await self._client.modify(entry.dn, lift, timeout_s=budget.left(), server=self._client.stuck(user.immutable_id))
        if result.code == Code.NO_SUCH_ATTRIBUTE:
            return False
        if not result.good:
            refuse_write(result, self.name, "lifting a lock", "pwdAccountLockedTime")
        self._stick(present[1], result.server)
        return True

    def writes(self, kind: ContactKind) -> bool:
        """Whether `write_contacts` names it."""
        return kind.value in self._settings.write_contacts

    async def write_contact(self, user: DirectoryUser, kind: ContactKind, value: str | None, timeout_s: float) -> None:
        """Replace the preferred one, or remove it; further ones of the same attribute stay."""
        if not self.writes(kind):
            raise RightMissing(f"directory {self.name}: write_contacts does not name {kind.value}")
        budget = self._budget(timeout_s)
        entry = await self._entry_of_id(user.immutable_id, budget)
        if entry is None:
            raise Conflict("the account was removed meanwhile")
        named = self._settings.attributes
        attribute = named.phone if kind is ContactKind.PHONE else named.mail
        values = merged(entry.texts(attribute), value)
        result = await self._client.modify(
            entry.dn,
            (Change(ChangeKind.REPLACE, attribute, values),),
            timeout_s=budget.left(),
            server=self._client.stuck(user.immutable_id),
        )
        if result.code == INVALID_SYNTAX:
            raise UsageError(f"directory {self.name}: {attribute} cannot hold this value")
        if not result.good:
            refuse_write(result, self.name, f"writing the {kind.value}", attribute)
        self._stick(user, result.server)

    # --- the directory as a whole --------------------------------------------------------------------------------------

    def examine(self, scratch: str | None, scratch_password: Secret | None) -> AsyncIterator[Finding]:
        """The doctor's list."""
        return Examination(self, self._client, self._policies, self._settings, self._clock).run(scratch, scratch_password)

    def servers(self) -> tuple[ServerStatus, ...]:
        """Every server that is known, in order."""
        return self._client.status()

    async def close(self) -> None:
        """Give up all connections."""
        await self._client.close()

    def _stick(self, user: DirectoryUser, server: str) -> None:
        """What was written at one server is read there, until the others have it."""
        if not server:
            return
        for key in (user.immutable_id, canonical_name(user.name), canonical_name(user.mail or "")):
            if key:
                self._client.stick(key, server)

    def _budget(self, timeout_s: float) -> Budget:
        return Budget(timeout_s, self._clock, self.name)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """What the server refuses where a refusal is not part of the work, and what it says in no way that can be read."""
        try:
            yield
        except LdapRefused as refused:
            raise unexpected(refused.result, self.name, "a search") from refused
        except MessageError as error:
            raise DirectoryUnavailable(f"directory {self.name}: {error.message}") from error


def _replaced(new: Secret) -> tuple[Change, ...]:
    return (Change(ChangeKind.REPLACE, "userPassword", (new.reveal(),)),)


def _must_be_a_password(new: Secret) -> None:
    if not 1 <= len(new.reveal()) <= MAX_PASSWORD_BYTES:
        raise UsageError(f"a password has 1 to {MAX_PASSWORD_BYTES} bytes")
