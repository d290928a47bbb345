"""Passwords on Active Directory: changing, resetting with the history, lifting a lock.

All of it goes over the service account: a user whose password expired or must be changed cannot bind, and whoever gives the old
password may change it ([MS-ADTS] section 3.1.1.3.1.5). A modification is never sent twice: where no answer came, a bind with the
new password tells. What follows a write is asked of the server that took it (`stick`).

Where the servers do not list LDAP_SERVER_POLICY_HINTS, a reset is free of the history. Then a random password is set first, and
that one is changed, which is held to it. When the new password is refused there, the account keeps the random one, which only this
process knows: it is held for some minutes, so that another choice costs no second step.
"""

import secrets
import string
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from wardgate.crypto import Secret
from wardgate.directory.active_directory.accounts import PERSONS, RESULTANT_PSO, account_state, must_change
from wardgate.directory.active_directory.domain import Domain, Rules
from wardgate.directory.active_directory.errors import Refusal, refusal, trouble, verdict
from wardgate.directory.active_directory.reading import Budget, Reader
from wardgate.directory.active_directory.rules import broken_rule, holds_name
from wardgate.directory.active_directory.values import MAX_PASSWORD_CHARS, guid_base, moment, unicode_pwd
from wardgate.directory.ldap.port import Change, ChangeKind, Control, Entry, Result
from wardgate.directory.port import AccountState, DirectoryUser, PasswordNotAccepted, PasswordPolicy, PasswordVerdict, RightMissing
from wardgate.errors import Conflict, DirectoryUnavailable

OUTCOME_UNKNOWN: Final = "outcome_unknown"
POLICY_HINTS: Final = "1.2.840.113556.1.4.2239"
# Its first OID, on servers older than 2012 R2.
POLICY_HINTS_OLD: Final = "1.2.840.113556.1.4.2066"
_HONOUR_HISTORY: Final = b"\x30\x03\x02\x01\x01"  # SEQUENCE { Flags INTEGER (1) }, [MS-ADTS] section 3.1.1.3.4.1.27
HELD_S: Final = 900.0
MAX_HELD: Final = 1_000
_RANDOM_CHARS: Final = 40
_ACCOUNT: Final = (
    "sAMAccountName",
    "displayName",
    "userAccountControl",
    "msDS-User-Account-Control-Computed",
    "msDS-UserPasswordExpiryTimeComputed",
    "accountExpires",
    "pwdLastSet",
    "adminCount",
    RESULTANT_PSO,
)
_UNLOCKED: Final = Change(ChangeKind.REPLACE, "lockoutTime", (b"0",))
_MUST_CHANGE: Final = Change(ChangeKind.REPLACE, "pwdLastSet", (b"0",))


@dataclass(frozen=True, slots=True)
class _Held:
    """A random password that an account has until its owner's choice is taken."""

    password: Secret
    server: str
    until: float


@dataclass(frozen=True, slots=True)
class _Account:
    """An account as it is before its password is written. `server`: that is to be written to, when one has been."""

    dn: str
    entry: Entry
    rules: Rules
    server: str | None
    protected: bool


class Passwords:
    """Writes passwords and lifts locks."""

    def __init__(self, reader: Reader, domain: Domain, emulate_history: bool) -> None:
        self._reader = reader
        self._client = reader.client
        self._domain = domain
        self._emulate_history = emulate_history
        self._held: OrderedDict[str, _Held] = OrderedDict()

    async def policy(self, user: DirectoryUser, budget: Budget) -> PasswordPolicy:
        """The rules that hold for this user."""
        account = await self._account(user, budget)
        return account.rules.passwords if account else (await self._domain.rules(None, budget)).passwords

    async def change(self, user: DirectoryUser, old: Secret, new: Secret, budget: Budget) -> PasswordVerdict:
        """Replace a password that is known. A state that forbids it is told before the old password is tried."""
        account = await self._account(user, budget)
        if account is None:
            return PasswordVerdict.REFUSED
        state = account_state(account.entry, self._reader.clock.now())
        if state is not AccountState.ACTIVE:
            return PasswordVerdict.LOCKED if state is AccountState.LOCKED else PasswordVerdict.REFUSED
        self._hold_to_rules(account, new)
        try:
            result = await self._replace(account, old, new, budget)
        except DirectoryUnavailable as error:
            if error.code != OUTCOME_UNKNOWN or not await self._was_set(account, new, False, budget):
                raise
            return PasswordVerdict.RIGHT
        if result.good:
            self._client.stick(user.immutable_id, result.server)
            return PasswordVerdict.RIGHT
        why = refusal(result)
        if why in (Refusal.OLD_WRONG, Refusal.LOCKED):
            return PasswordVerdict.WRONG if why is Refusal.OLD_WRONG else PasswordVerdict.LOCKED
        raise self._refused(account, "a password change", result, changing=True)

    async def reset(self, user: DirectoryUser, new: Secret, demand_change: bool, budget: Budget) -> None:
        """Set a password, held to the history where that can be had, and lift a lock in the same step."""
        account = await self._account(user, budget)
        if account is None:
            raise Conflict("the account was removed meanwhile")
        self._hold_to_rules(account, new)
        hints = await self._hints(account, budget)
        if hints is None and self._emulate_history and (account.rules.passwords.history or not account.rules.passwords.read):
            await self._reset_in_two_steps(user, account, new, demand_change, budget)
            return
        result = await self._set(account, new, demand_change, budget, () if hints is None else (hints,))
        if refusal(result) is Refusal.CONTROL and self._emulate_history:
            # The server that was written to is older than the one whose abilities were read.
            await self._reset_in_two_steps(user, account, new, demand_change, budget)
            return
        if not result.good:
            raise self._refused(account, "a password reset", result)
        self._client.stick(user.immutable_id, result.server)

    async def unlock(self, user: DirectoryUser, budget: Budget) -> bool:
        """Lift a lock. Whether there was one."""
        account = await self._account(user, budget)
        if account is None or account_state(account.entry, self._reader.clock.now()) is not AccountState.LOCKED:
            return False
        result = await self._client.modify(account.dn, (_UNLOCKED,), timeout_s=budget.left_s(), server=account.server)
        if not result.good:
            raise self._refused(account, "to lift a lock", result)
        self._client.stick(user.immutable_id, result.server)
        return True

    # --- steps ---------------------------------------------------------------------------------------------------------

    async def _account(self, user: DirectoryUser, budget: Budget) -> _Account | None:
        base, server = guid_base(user.immutable_id), self._client.stuck(user.immutable_id)
        entry = await self._reader.entry(base, f"(&{PERSONS})", _ACCOUNT, budget, server=server) if base else None
        if entry is None:
            return None
        rules = await self._domain.rules(entry.text(RESULTANT_PSO), budget)
        return _Account(entry.dn, entry, rules, server, bool(entry.number("adminCount")))

    def _hold_to_rules(self, account: _Account, new: Secret) -> None:
        """Refuse what the server would refuse: it does not say which rule it was, and we can."""
        policy, entry = account.rules.passwords, account.entry
        rule = broken_rule(policy, new.reveal().decode(), entry.text("sAMAccountName") or "", entry.text("displayName") or "")
        if rule is not None:
            raise PasswordNotAccepted(f"the new password breaks the rule of {rule}", rule, policy)

    async def _hints(self, account: _Account, budget: Budget) -> Control | None:
        """The control that holds a reset to the history, where the server lists it. It is sent critical: a server that does not

        know it would otherwise set the password without a word.
        """
        root = await self._client.root_dse(timeout_s=budget.left_s(), server=account.server)
        listed = frozenset(root.texts("supportedControl"))
        oid = next((oid for oid in (POLICY_HINTS, POLICY_HINTS_OLD) if oid in listed), None)
        return None if oid is None else Control(oid, True, _HONOUR_HISTORY)

    async def _set(
        self, account: _Account, new: Secret, demand_change: bool, budget: Budget, controls: tuple[Control, ...] = ()
    ) -> Result:
        """Password and lock in one modification, which is made whole or not at all. Without an answer a bind tells."""
        changes = (Change(ChangeKind.REPLACE, "unicodePwd", (unicode_pwd(new),)), _UNLOCKED)
        try:
            return await self._client.modify(
                account.dn,
                (*changes, _MUST_CHANGE) if demand_change else changes,
                timeout_s=budget.left_s(),
                controls=controls,
                server=account.server,
            )
        except DirectoryUnavailable as error:
            if error.code != OUTCOME_UNKNOWN or not await self._was_set(account, new, demand_change, budget):
                raise
            return Result(0, server=account.server or "")

    async def _replace(self, account: _Account, old: Secret, new: Secret, budget: Budget, *more: Change) -> Result:
        """A change: the old value deleted, the new one added, in this order."""
        changes = (
            Change(ChangeKind.DELETE, "unicodePwd", (unicode_pwd(old),)),
            Change(ChangeKind.ADD, "unicodePwd", (unicode_pwd(new),)),
            *more,
        )
        return await self._client.modify(account.dn, changes, timeout_s=budget.left_s(), server=account.server)

    async def _was_set(self, account: _Account, password: Secret, demand_change: bool, budget: Budget) -> bool:
        """Whether a password was set, when no answer came. No when that cannot be found out either."""
        wanted = PasswordVerdict.MUST_CHANGE if demand_change else PasswordVerdict.RIGHT
        try:
            result = await self._client.bind(account.dn, password, timeout_s=budget.left_s(), server=account.server)
            return verdict(self._reader.directory, result) is wanted
        except DirectoryUnavailable:
            return False

    # --- the history, where a reset does not know it ---------------------------------------------------------------------

    async def _reset_in_two_steps(
        self, user: DirectoryUser, account: _Account, new: Secret, demand_change: bool, budget: Budget
    ) -> None:
        """Set a random password, then change it to the new one. The first step also lifts the lock and waives the minimum age."""
        held = self._take_held(user.immutable_id)
        if held is not None and await self._finish(user, account, held, new, demand_change, budget):
            return
        name, shown = account.entry.text("sAMAccountName") or "", account.entry.text("displayName") or ""
        password = random_password(name, shown, account.rules.passwords.min_length)
        result = await self._set(account, password, True, budget)
        if not result.good:
            raise self._refused(account, "a password reset", result)
        held = _Held(password, result.server, self._reader.clock.monotonic() + HELD_S)
        if not await self._finish(user, account, held, new, demand_change, budget):
            raise Conflict("somebody else set the password meanwhile")

    async def _finish(
        self, user: DirectoryUser, account: _Account, held: _Held, new: Secret, demand_change: bool, budget: Budget
    ) -> bool:
        """The second step. False: the random password is not the account's any more. It is kept until the step is done."""
        self._hold(user.immutable_id, held)
        here = _Account(account.dn, account.entry, account.rules, held.server or account.server, account.protected)
        try:
            result = await self._replace(here, held.password, new, budget, *((_MUST_CHANGE,) if demand_change else ()))
        except DirectoryUnavailable as error:
            if error.code != OUTCOME_UNKNOWN or not await self._was_set(here, new, demand_change, budget):
                raise
            result = Result(0, server=here.server or "")
        if not result.good and refusal(result) is not Refusal.OLD_WRONG:
            raise self._refused(here, "a password reset", result)
        self._held.pop(user.immutable_id, None)
        if result.good:
            self._client.stick(user.immutable_id, result.server)
        return result.good

    def _take_held(self, immutable_id: str) -> _Held | None:
        held = self._held.pop(immutable_id, None)
        return held if held is not None and held.until > self._reader.clock.monotonic() else None

    def _hold(self, immutable_id: str, held: _Held) -> None:
        now = self._reader.clock.monotonic()
        self._held[immutable_id] = held
        self._held.move_to_end(immutable_id)
        while len(self._held) > MAX_HELD or next(iter(self._held.values())).until <= now:
            self._held.popitem(last=False)

    # --- refusals --------------------------------------------------------------------------------------------------------

    def _refused(self, account: _Account, doing: str, result: Result, changing: bool = False) -> Exception:
        """The exception that a refusal is."""
        why = refusal(result)
        if why is Refusal.POLICY:
            rule, policy = self._guessed_rule(account, changing), account.rules.passwords
            return PasswordNotAccepted(f"the directory does not take the new password, by its rule of {rule}", rule, policy)
        if why is Refusal.RIGHT:
            return RightMissing(self._right_missing(account, doing))
        if why is Refusal.GONE:
            return Conflict("the account was removed meanwhile")
        return trouble(self._reader.directory, doing, result)

    def _guessed_rule(self, account: _Account, changing: bool) -> str:
        """Which rule it was, of those that only the server can check. It tells none of them apart."""
        policy, entry = account.rules.passwords, account.entry
        since = moment(entry.number("pwdLastSet"))
        young = since is not None and self._reader.clock.now() - since < timedelta(seconds=policy.min_age_s)
        if changing and young and not must_change(entry):
            return "min_age"
        return "history" if policy.read and policy.history else "policy"

    def _right_missing(self, account: _Account, doing: str) -> str:
        name = self._reader.directory
        if account.protected:
            return (
                f"directory {name} refused {doing}: the account is protected as an administrator's (adminCount=1) and takes no "
                "rights from its OU; an administrator has to do it in the directory"
            )
        return (
            f"directory {name} refused {doing}: our account has no right to it where the user is; "
            f"`wardgate directory doctor {name}` prints the lines that grant it"
        )


def random_password(account_name: str, display_name: str, min_length: int = 0) -> Secret:
    """One that every rule of complexity takes for this account, and nobody will ever type."""
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.!#%+")
    length = min(max(_RANDOM_CHARS, min_length), MAX_PASSWORD_CHARS)
    while True:
        chars = [secrets.choice(kind) for kind in kinds]
        chars += [secrets.choice("".join(kinds)) for _ in range(length - len(chars))]
        secrets.SystemRandom().shuffle(chars)
        # A short name can come up by chance, and the rules refuse it.
        if not holds_name("".join(chars), account_name, display_name):
            return Secret("".join(chars).encode())
