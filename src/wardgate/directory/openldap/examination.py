"""The doctor: connects as configured and tries one thing after the other, each with its own line and its own cure."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from wardgate.clock import Clock
from wardgate.crypto import Secret, new_id
from wardgate.directory.ldap.port import Change, ChangeKind, Code, Control, Entry, LdapClient, LdapRefused, Result, Scope
from wardgate.directory.openldap import password_modify
from wardgate.directory.openldap.budget import Budget
from wardgate.directory.openldap.groups import GROUP_ATTRIBUTES
from wardgate.directory.openldap.policies import PolicyReader
from wardgate.directory.openldap.ppolicy import ASK, OID, POLICY_ATTRIBUTES, Policy, read_time
from wardgate.directory.openldap.reading import UserReader
from wardgate.directory.openldap.settings import OpenLdapSettings
from wardgate.directory.port import (
    Directory,
    DirectoryUser,
    Finding,
    PasswordChanging,
    PasswordNotAccepted,
    PasswordVerdict,
    Verdict,
)
from wardgate.errors import DirectoryUnavailable, WardgateError

PAGED: Final = "1.2.840.113556.1.4.319"
MANAGE_DSA_IT: Final = Control("2.16.840.1.113730.3.4.2", critical=True)
POINT_S: Final = 10.0
# OpenLDAP's own limit on what a search gives (sizelimit), unless configured otherwise.
USUAL_SIZE_LIMIT: Final = 500
MAX_COUNTED: Final = 2 * USUAL_SIZE_LIMIT
MAX_SKEW_S: Final = 60
NO_SCRATCH: Final = "no scratch account was named (--scratch)"
TO_CONFIG: Final = "add it before the other rules of the database's entry in cn=config (ldapmodify, `add: olcAccess`)"


@dataclass(frozen=True, slots=True)
class Scratch:
    """The account that rights are tried on, and the demands that its password has to fulfil."""

    user: DirectoryUser
    dn: str
    policy: Policy | None

    def password(self) -> Secret:
        """A random password that every usual rule takes."""
        length = max(24, self.policy.min_length if self.policy is not None else 0)
        random = (new_id() + new_id() + new_id())[: length - 4]
        return Secret(f"Aa1!{random}")


class Examination:
    """One examination of one directory."""

    def __init__(
        self, directory: Directory, client: LdapClient, policies: PolicyReader, settings: OpenLdapSettings, clock: Clock
    ) -> None:
        self._directory = directory
        self._client = client
        self._policies = policies
        self._settings = settings
        self._clock = clock
        self._with_policies = False
        self._known: Secret | None = None

    async def run(self, scratch: str | None, scratch_password: Secret | None) -> AsyncIterator[Finding]:
        """All points, in an order in which each explains the next."""
        reached = False
        async for finding in self._servers():
            reached = reached or finding.verdict is not Verdict.BAD
            yield finding
        if not reached:
            return
        for what, point in (
            ("base", self._base),
            ("search rights", self._search_rights),
            ("groups", self._groups),
            ("password policy control", self._policy_control),
            ("default policy", self._default_policy),
            ("password modify (RFC 3062)", self._password_modify),
            ("paging", self._paging),
            ("size limit", self._size_limit),
            ("referrals", self._referrals),
            ("service account", self._service_account),
        ):
            yield await self._told(what, point)
        async for finding in self._rights(scratch, scratch_password):
            yield finding

    async def _told(self, what: str, point: Callable[[], Awaitable[Finding]]) -> Finding:
        """One point; what stops it is a finding too."""
        try:
            return await point()
        except LdapRefused as refused:
            return Finding(what, Verdict.BAD, refused.message, "give the service account the right to read there", self._reading())
        except WardgateError as error:
            return Finding(what, Verdict.BAD, error.message)

    # --- servers -------------------------------------------------------------------------------------------------------

    async def _servers(self) -> AsyncIterator[Finding]:
        """Each server by itself: reached, its certificate believed, the service account let in, and how long an answer takes."""
        try:
            # Asks DNS where the servers come from there.
            self._with_policies = OID in await self._listed("supportedControl")
        except DirectoryUnavailable as error:
            if not self._client.status():
                yield Finding("servers", Verdict.BAD, error.message, "check `servers` and the DNS")
        for status in self._client.status():
            yield await self._server(status.server)

    async def _server(self, server: str) -> Finding:
        what = f"server {server}"
        try:
            await self._read_base(server)
            begun = time.perf_counter()
            await self._read_base(server)
            took_ms = (time.perf_counter() - begun) * 1000
        except WardgateError as error:
            cure = "check address, certificate (`ca_file`, names in it), `bind.dn` and `bind.password`"
            return Finding(what, Verdict.BAD, error.message, cure)
        return Finding(what, Verdict.GOOD, f"TLS with a name that fits, bound as {self._settings.bind.dn}, {took_ms:.1f} ms")

    async def _read_base(self, server: str | None = None) -> tuple[Entry, ...]:
        return await self._client.search(
            self._settings.base, Scope.BASE, "(objectClass=*)", ("objectClass",), timeout_s=POINT_S, server=server
        )

    async def _base(self) -> Finding:
        if await self._read_base():
            return Finding("base", Verdict.GOOD, self._settings.base)
        cure = "correct `base`, or let the service account read it"
        return Finding("base", Verdict.BAD, f"there is no {self._settings.base}, or it cannot be read", cure, self._reading())

    # --- what can be read ----------------------------------------------------------------------------------------------

    async def _search_rights(self) -> Finding:
        what, named = "search rights", self._settings.attributes
        wanted, dates = (named.user_name, named.id), ("entryCSN", "modifyTimestamp", "pwdChangedTime")
        found = await self._client.search(
            self._settings.base, Scope.SUBTREE, self._settings.user_filter, (*wanted, *dates), timeout_s=POINT_S, limit=1
        )
        if not found:
            cure = "correct `base` and `user_filter`, or let the service account read the users"
            return Finding(what, Verdict.BAD, "no user is found", cure, self._reading())
        missing = [name for name in wanted if not found[0].values(name)]
        if missing:
            cure = "let the service account read these attributes of users"
            return Finding(what, Verdict.BAD, f"users are found without {', '.join(missing)}", cure, self._reading())
        if not any(found[0].values(name) for name in dates):
            cure = "let the service account read one of them, or no password is remembered (`verified_cache_s`, `down_grace_s`)"
            return Finding(what, Verdict.WARNING, f"users are found without {', '.join(dates)}", cure, self._reading())
        return Finding(what, Verdict.GOOD, f"users are found, with {', '.join(wanted)}")

    async def _groups(self) -> Finding:
        kinds = self._settings.groups.kinds
        if not kinds:
            return Finding("groups", Verdict.SKIPPED, f"groups are read from {self._settings.groups.member_of} only")
        wanted = f"(|{''.join(f'(objectClass={kind})' for kind in kinds)})"
        base = self._settings.groups.base or self._settings.base
        found = await self._client.search(base, Scope.SUBTREE, wanted, (self._settings.groups.name,), timeout_s=POINT_S, limit=1)
        if found:
            return Finding("groups", Verdict.GOOD, f"there are groups under {base}")
        cure = "correct `groups.base`, or let the service account read groups, if groups are wanted"
        return Finding("groups", Verdict.WARNING, f"no group is found under {base}", cure, self._reading())

    async def _policy_control(self) -> Finding:
        what = "password policy control"
        if self._with_policies:
            return Finding(what, Verdict.GOOD, "the server has the ppolicy overlay")
        cure = "load the ppolicy overlay; without it no lock, no expiry and no demand to change is known"
        return Finding(what, Verdict.WARNING, "the server does not list it", cure)

    async def _default_policy(self) -> Finding:
        what = "default policy"
        if not self._with_policies:
            return Finding(what, Verdict.SKIPPED, "the server has no ppolicy overlay")
        policy = await self._policies.default(self._budget())
        if policy is None:
            cure = "set `default_policy` to the DN in olcPPolicyDefault, and let the service account read it"
            return Finding(what, Verdict.BAD, "it cannot be read, or is not known", cure, self._reading())
        found = f"{policy.dn}: {_described(policy)}"
        if self._settings.default_policy is None:
            return Finding(what, Verdict.WARNING, f"taken for the default one: {found}", f'set `default_policy: "{policy.dn}"`')
        return Finding(what, Verdict.GOOD, found)

    async def _password_modify(self) -> Finding:
        what = "password modify (RFC 3062)"
        if password_modify.OID in await self._listed("supportedExtension"):
            return Finding(what, Verdict.GOOD, "the server lists it")
        cure = "make sure that the server hashes a userPassword that is written in clear, or passwords are stored in clear"
        return Finding(what, Verdict.WARNING, "the server does not list it: passwords are set by writing userPassword", cure)

    async def _paging(self) -> Finding:
        if PAGED in await self._listed("supportedControl"):
            return Finding("paging", Verdict.GOOD, "the server lists it")
        return Finding("paging", Verdict.WARNING, "the server does not list it", "raise its size limit above the number of users")

    async def _size_limit(self) -> Finding:
        what, count = "size limit", 0
        try:
            async for _ in self._client.stream(
                self._settings.base, Scope.SUBTREE, self._settings.user_filter, ("1.1",), timeout_s=POINT_S
            ):
                count += 1
                if count >= MAX_COUNTED:
                    break
        except LdapRefused as refused:
            if refused.result.code != Code.SIZE_LIMIT:
                raise
            line = f"olcLimits: {self._by} size.prtotal=unlimited"
            cure = "without it an export ends early; logins need none"
            return Finding(what, Verdict.WARNING, f"the server stops after {count} entries", cure, (line,))
        if count <= USUAL_SIZE_LIMIT:
            return Finding(what, Verdict.GOOD, f"all {count} users are told; with more than {USUAL_SIZE_LIMIT} a limit might show")
        return Finding(what, Verdict.GOOD, f"{count} users are told and there may be more")

    async def _referrals(self) -> Finding:
        found = await self._client.search(
            self._settings.base,
            Scope.SUBTREE,
            "(objectClass=referral)",
            ("ref",),
            timeout_s=POINT_S,
            limit=10,
            controls=(MANAGE_DSA_IT,),
        )
        if not found:
            return Finding("referrals", Verdict.GOOD, "there are none under the base")
        cure = "they are not followed, since that would send the service password elsewhere; configure those servers as a directory"
        return Finding("referrals", Verdict.WARNING, f"there are some, such as {found[0].dn}", cure)

    async def _service_account(self) -> Finding:
        dn = self._settings.bind.dn
        if await self._client.search(dn, Scope.BASE, "(objectClass=*)", ("objectClass",), timeout_s=POINT_S):
            return Finding("service account", Verdict.GOOD, f"{dn} is an entry, so the server's rules bind it")
        cure = "use an account with an entry and the least rights: the root account passes every policy, the history included"
        return Finding("service account", Verdict.WARNING, f"{dn} has no readable entry: it may be the root account", cure)

    # --- what can be written -------------------------------------------------------------------------------------------

    async def _rights(self, scratch: str | None, password: Secret | None) -> AsyncIterator[Finding]:
        points = ("change", "reset", "must change", "unlock", "policy holds", "clock")
        if scratch is None:
            for what in points:
                yield Finding(what, Verdict.SKIPPED, NO_SCRATCH)
            return
        try:
            user = await self._directory.find(scratch, POINT_S)
        except WardgateError as error:
            yield Finding("scratch account", Verdict.BAD, error.message)
            return
        if user is None:
            yield Finding("scratch account", Verdict.BAD, "it is not found, or more than one is", "name an account that exists")
            return
        tried = await self._scratch(user)
        yield Finding("scratch account", Verdict.GOOD, f"{tried.dn}; its password is a random one afterwards")
        for what, point in (
            ("change", lambda: self._change(tried, password)),
            ("policy holds", lambda: self._policy_holds(tried)),
            ("reset", lambda: self._reset(tried)),
            ("must change", lambda: self._must_change(tried)),
            ("unlock", lambda: self._unlock(tried)),
            ("clock", lambda: self._clock_skew(tried)),
        ):
            yield await self._told(what, point)

    async def _scratch(self, user: DirectoryUser) -> Scratch:
        dn = user.attributes["dn"][0]
        found = await self._client.search(dn, Scope.BASE, "(objectClass=*)", ("pwdPolicySubentry",), timeout_s=POINT_S)
        policy = await self._policies.effective(found[0], self._budget()) if found else None
        return Scratch(user, dn, policy)

    async def _change(self, scratch: Scratch, password: Secret | None) -> Finding:
        if password is None:
            return Finding("change", Verdict.SKIPPED, "the scratch account's password was not given")
        if not isinstance(self._directory, PasswordChanging):
            return Finding("change", Verdict.SKIPPED, "the directory changes no passwords")
        try:
            verdict = await self._directory.change_password(scratch.user, password, scratch.password(), POINT_S)
        except PasswordNotAccepted as error:
            return Finding("change", Verdict.WARNING, f"not tried to its end: {error.message} ({error.rule})")
        if verdict is PasswordVerdict.RIGHT:
            return Finding("change", Verdict.GOOD, "a user changes the own password")
        if verdict is PasswordVerdict.WRONG:
            return Finding("change", Verdict.SKIPPED, "the scratch account's password is not the one that was given")
        line = "olcAccess: {0}to attrs=userPassword by self =xw by anonymous auth by * break"
        return Finding("change", Verdict.BAD, f"the account may not: {verdict.value}", TO_CONFIG, (line,))

    async def _policy_holds(self, scratch: Scratch) -> Finding:
        """A password that the policy forbids: who may set it is the root account, or as good as that."""
        what = "policy holds"
        if scratch.policy is None or not scratch.policy.quality or scratch.policy.min_length < 2:
            return Finding(what, Verdict.SKIPPED, "the policy has no least length that could be tried")
        result = await self._set(scratch, Secret("x"))
        if not result.good:
            return Finding(what, Verdict.GOOD, "the service account cannot set a password that is too short")
        cure = "bind with an account whom the password policy binds, never as root"
        return Finding(what, Verdict.BAD, "the service account passes the policy by: it set a password of one letter", cure)

    async def _reset(self, scratch: Scratch) -> Finding:
        new = scratch.password()
        result = await self._set(scratch, new)
        if result.good:
            self._known = new
            return Finding("reset", Verdict.GOOD, "a password is set")
        if result.code == Code.INSUFFICIENT_ACCESS:
            grant = (f"olcAccess: {{0}}to attrs=userPassword by {self._by} =xw by * break",)
            return Finding("reset", Verdict.BAD, _refused(result), TO_CONFIG, grant)
        return Finding("reset", Verdict.WARNING, _refused(result), "see the policy: least age (pwdMinAge), pwdSafeModify")

    async def _must_change(self, scratch: Scratch) -> Finding:
        if not self._with_policies:
            return Finding("must change", Verdict.SKIPPED, "the server has no ppolicy overlay")
        result = await self._write(scratch, Change(ChangeKind.REPLACE, "pwdReset", (b"TRUE",)))
        if not result.good:
            return self._not_written("must change", "pwdReset", result)
        demanded = await self._is_demanded(scratch)
        await self._write(scratch, Change(ChangeKind.REPLACE, "pwdReset"))
        if demanded:
            return Finding("must change", Verdict.GOOD, "a change at the next login can be demanded")
        where = scratch.policy.dn if scratch.policy is not None else "the user's policy"
        cure = f"set pwdMustChange TRUE in {where}, and make sure that this database has the ppolicy overlay"
        return Finding("must change", Verdict.WARNING, "it can be written, and the server does not act on it", cure)

    async def _is_demanded(self, scratch: Scratch) -> bool:
        """Whether the server says so at a login; where no password could be set, whether the policy does."""
        if self._known is None:
            return scratch.policy is not None and scratch.policy.must_change
        return await self._directory.check_password(scratch.user, self._known, POINT_S) is PasswordVerdict.MUST_CHANGE

    async def _unlock(self, scratch: Scratch) -> Finding:
        if not self._with_policies:
            return Finding("unlock", Verdict.SKIPPED, "the server has no ppolicy overlay")
        result = await self._write(scratch, Change(ChangeKind.REPLACE, "pwdAccountLockedTime"))
        if not result.good:
            return self._not_written("unlock", "pwdAccountLockedTime", result)
        return Finding("unlock", Verdict.GOOD, "a lock can be lifted")

    async def _clock_skew(self, scratch: Scratch) -> Finding:
        """The server dates each change: what the last ones on the scratch account say."""
        found = await self._client.search(scratch.dn, Scope.BASE, "(objectClass=*)", ("modifyTimestamp",), timeout_s=POINT_S)
        at = read_time(found[0].text("modifyTimestamp")) if found else None
        if at is None:
            return Finding("clock", Verdict.SKIPPED, "modifyTimestamp cannot be read")
        return _skew(at, self._clock.now())

    async def _set(self, scratch: Scratch, new: Secret) -> Result:
        request = password_modify.request(scratch.dn, None, new)
        return await self._client.extended(password_modify.OID, request, timeout_s=POINT_S, controls=ASK)

    async def _write(self, scratch: Scratch, change: Change) -> Result:
        return await self._client.modify(scratch.dn, (change,), timeout_s=POINT_S)

    def _not_written(self, what: str, attribute: str, result: Result) -> Finding:
        grant = f"olcAccess: {{0}}to attrs={attribute} by {self._by} write by * break"
        return Finding(what, Verdict.BAD, _refused(result), TO_CONFIG, (grant,))

    # --- helpers -------------------------------------------------------------------------------------------------------

    async def _listed(self, attribute: str) -> tuple[str, ...]:
        return (await self._client.root_dse(timeout_s=POINT_S)).texts(attribute)

    def _budget(self) -> Budget:
        return Budget(POINT_S, self._clock, self._settings.name)

    def _reading(self) -> tuple[str, ...]:
        """The line that gives the least rights for reading. A list of names: a rule for all attributes would give passwords too."""
        names = (*UserReader(self._settings, None, self._clock).attributes, *GROUP_ATTRIBUTES, *POLICY_ATTRIBUTES)
        # slapd refuses a rule that names an attribute which no schema has.
        known = [name for name in names if self._with_policies or not name.startswith("pwd")]
        listed = ",".join(dict.fromkeys(("entry", "objectClass", *known)))
        bases = dict.fromkeys((self._settings.base, self._settings.groups.base or self._settings.base))
        return tuple(f'olcAccess: {{0}}to dn.subtree="{base}" attrs={listed} by {self._by} read by * break' for base in bases)

    @property
    def _by(self) -> str:
        return f'dn.exact="{self._settings.bind.dn}"'


def _refused(result: Result) -> str:
    return f"refused with result {result.code}{f': {result.diagnostic}' if result.diagnostic else ''}"


def _skew(at: datetime, now: datetime) -> Finding:
    skew_s = (now - at).total_seconds()
    if abs(skew_s) <= MAX_SKEW_S:
        return Finding("clock", Verdict.GOOD, f"the server's differs by less than {MAX_SKEW_S} s")
    found = f"the server's is {abs(skew_s):.0f} s {'behind' if skew_s > 0 else 'ahead'}"
    return Finding("clock", Verdict.WARNING, found, "set both by NTP: locks and expiry are told in the server's time")


def _described(policy: Policy) -> str:
    rules = [
        f"least length {policy.min_length}" if policy.quality else "no least length",
        f"history {policy.history}" if policy.history else "no history",
        f"expires after {policy.max_age_s // 86_400} days" if policy.max_age_s else "no expiry",
        f"locks after {policy.threshold} failures" if policy.threshold else "no lock",
    ]
    return ", ".join(rules)
