"""The examination of an Active Directory, point by point: what `wardgate directory doctor` prints.

Nothing is written without a scratch account. On one, each right is tried by itself, so that the line which is missing can be named;
a password that was given with it is put back at the end.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from wardgate.crypto import Secret
from wardgate.directory.active_directory import grants
from wardgate.directory.active_directory.accounts import DN_ATTRIBUTE, PERSONS
from wardgate.directory.active_directory.domain import Domain, DomainNames
from wardgate.directory.active_directory.errors import Refusal, refusal, windows_code
from wardgate.directory.active_directory.passwords import POLICY_HINTS, POLICY_HINTS_OLD, random_password
from wardgate.directory.active_directory.reading import REFERRAL, Budget, Reader
from wardgate.directory.active_directory.settings import ActiveDirectorySettings
from wardgate.directory.active_directory.values import moment, password_text, sid_text, unicode_pwd
from wardgate.directory.ldap.names import is_under
from wardgate.directory.ldap.port import Change, ChangeKind, Entry, LdapClient, LdapRefused, Result, Scope
from wardgate.directory.port import Directory, DirectoryUser, Finding, PasswordPolicy, Verdict
from wardgate.errors import DirectoryUnavailable, MessageError

STEP_S: Final = 15.0
SKEW_WARNING_S: Final = 30.0
SKEW_BAD_S: Final = 300.0  # Kerberos refuses beyond it, and one-time codes do long before
SLOW_S: Final = 0.25
SOON_DAYS: Final = 14
SAMPLES: Final = 20
_PAGING: Final = "1.2.840.113556.1.4.319"
_ADMINISTRATORS: Final = ("-500", "-512", "-518", "-519", "S-1-5-32-544", "S-1-5-32-548")
_NEEDED: Final = ("objectGUID", "sAMAccountName", "userAccountControl", "msDS-User-Account-Control-Computed", "pwdLastSet")


@dataclass(frozen=True, slots=True)
class _Known:
    """What the points after the first ones stand on."""

    names: DomainNames
    servers: tuple[str, ...]
    own: Entry | None

    @property
    def grantee(self) -> grants.Grantee:
        """Our account as the lines name it."""
        name = (self.own.text("sAMAccountName") if self.own else None) or "<account>"
        return grants.Grantee(f"{self.names.netbios}\\{name}", _sid(self.own) or "<SID of the account>")


class Doctor:
    """Examines one directory. `directory`: the same, as a login sees it."""

    def __init__(self, settings: ActiveDirectorySettings, reader: Reader, domain: Domain, directory: Directory) -> None:
        self._settings = settings
        self._reader = reader
        self._client: LdapClient = reader.client
        self._domain = domain
        self._directory = directory

    async def examine(self, scratch: str | None, scratch_password: Secret | None) -> AsyncIterator[Finding]:
        """All points. Raises DirectoryUnavailable when the directory goes away in between."""
        reached: list[str] = []
        async for server, finding in self._servers():
            if server is not None:
                reached.append(server)
            yield finding
        if not reached:
            return
        try:
            names = await self._domain.names(self._budget())
        except DirectoryUnavailable as error:
            yield Finding(
                "domain", Verdict.BAD, error.message, "point `servers` to domain controllers; let our account read CN=Partitions"
            )
            return
        yield Finding("domain", Verdict.GOOD, f"{names.netbios} ({names.dns}), {names.base}")
        own = await self._own_entry()
        known = _Known(names, tuple(reached), own)
        for point in (self._clock_skew, self._own_account, self._base, self._reading, self._rules, self._fine_rules):
            async for finding in point(known):
                yield finding
        async for finding in self._abilities(known):
            yield finding
        async for finding in self._rights(known, scratch, scratch_password):
            yield finding

    def _budget(self) -> Budget:
        return self._reader.budget(STEP_S)

    # --- servers -------------------------------------------------------------------------------------------------------

    async def _servers(self) -> AsyncIterator[tuple[str | None, Finding]]:
        """Each server by itself: connection, TLS with the name, and our bind. With the name of those that answered."""
        try:
            await self._client.root_dse(timeout_s=STEP_S)
        except DirectoryUnavailable as error:
            if not self._client.status():
                yield None, Finding("servers", Verdict.BAD, error.message, "look at `servers`, and whether DNS names them")
                return
        for status in self._client.status():
            try:
                # The first answer may have needed a connection; the second is what a look-up costs.
                await self._probe(status.server)
                took = await self._probe(status.server)
            except DirectoryUnavailable as error:
                yield None, Finding(f"server {status.server}", Verdict.BAD, error.message, _server_cure(error))
                continue
            found = f"TLS, certificate and name are good, our account is let in; answers in {took * 1000:.1f} ms"
            verdict = Verdict.GOOD if took < SLOW_S else Verdict.WARNING
            cure = "" if verdict is Verdict.GOOD else "a login asks several times; name a nearer server first"
            yield status.server, Finding(f"server {status.server}", verdict, found, cure)

    async def _probe(self, server: str) -> float:
        began = self._reader.clock.monotonic()
        await self._reader.entry("", "(objectClass=*)", ("1.1",), self._budget(), server=server)
        return self._reader.clock.monotonic() - began

    async def _clock_skew(self, known: _Known) -> AsyncIterator[Finding]:
        for server in known.servers:
            root = await self._reader.entry("", "(objectClass=*)", ("currentTime",), self._budget(), server=server)
            theirs = _generalized_time(root.text("currentTime") if root else None)
            what = f"clock of {server}"
            if theirs is None:
                yield Finding(what, Verdict.SKIPPED, "the server does not tell its time")
                continue
            skew = (theirs - self._reader.clock.now()).total_seconds()
            verdict = Verdict.GOOD if abs(skew) <= SKEW_WARNING_S else Verdict.WARNING if abs(skew) <= SKEW_BAD_S else Verdict.BAD
            cure = (
                "" if verdict is Verdict.GOOD else "let both follow the same time servers: states and codes are judged by the clock"
            )
            yield Finding(what, verdict, f"differs by {skew:+.0f} s", cure)

    # --- our account -----------------------------------------------------------------------------------------------------

    async def _own_entry(self) -> Entry | None:
        told = ("sAMAccountName", "objectSid", "msDS-UserPasswordExpiryTimeComputed", "tokenGroups", "adminCount")
        return await self._reader.entry(self._settings.bind.dn, "(objectClass=*)", told, self._budget())

    async def _own_account(self, known: _Known) -> AsyncIterator[Finding]:
        if known.own is None:
            yield Finding("our account", Verdict.WARNING, "cannot be read by itself", "look at `bind.dn`")
            return
        strong = [sid for sid in map(_sid_or_none, known.own.values("tokenGroups")) if sid and sid.endswith(_ADMINISTRATORS)]
        if strong:
            cure = "take it out of Domain Admins, Administrators and their like: it needs the rights below and no others"
            yield Finding("our account", Verdict.WARNING, "belongs to a group of administrators", cure)
        ends = moment(known.own.number("msDS-UserPasswordExpiryTimeComputed"))
        if ends is None:
            yield Finding("password of our account", Verdict.GOOD, "does not expire")
            return
        days = (ends - self._reader.clock.now()).days
        verdict, cure = (Verdict.GOOD, "") if days > SOON_DAYS else (Verdict.WARNING, "change it in time, here and there")
        yield Finding("password of our account", verdict, f"expires in {days} days", cure)

    # --- reading -----------------------------------------------------------------------------------------------------------

    async def _base(self, known: _Known) -> AsyncIterator[Finding]:
        base = self._settings.base
        if not is_under(base, known.names.base):
            cure = f"set it to {known.names.base} or an OU below; users of another domain are another directory"
            yield Finding("base", Verdict.BAD, f"{base} is not in this domain", cure)
            return
        if await self._reader.entry(base, "(objectClass=*)", ("1.1",), self._budget()) is None:
            cure = "correct `base`, or let our account read it"
            yield Finding("base", Verdict.BAD, f"{base} does not exist, or may not be read", cure)
            return
        yield Finding("base", Verdict.GOOD, base)
        yield Finding(
            "referrals", Verdict.GOOD, "continuation references are left alone: our password goes to the named servers only"
        )

    async def _reading(self, known: _Known) -> AsyncIterator[Finding]:
        """Whether accounts and what we need of them can be read."""
        persons = f"(&{PERSONS}{self._settings.user_filter})"
        found: list[Entry] = []
        try:
            told = (*_NEEDED, self._settings.attributes.mail, self._settings.attributes.phone)
            async for entry in self._client.stream(
                self._settings.base, Scope.SUBTREE, persons, told, timeout_s=STEP_S, page=SAMPLES // 2
            ):
                found.append(entry)
                if len(found) >= SAMPLES:
                    break
        except LdapRefused as error:
            told_code = f"LDAP result {error.result.code}"
            cure = (
                "`base` belongs to another domain" if error.result.code == REFERRAL else "give our account the right to read there"
            )
            yield Finding("search", Verdict.BAD, f"refused: {told_code}", cure, grants.to_read(known.grantee, self._settings.base))
            return
        if not found:
            cure = "look at `base` and `user_filter`, or let our account read there"
            yield Finding("search", Verdict.BAD, "no account was found", cure, grants.to_read(known.grantee, self._settings.base))
            return
        yield Finding("search", Verdict.GOOD, f"accounts can be read ({len(found)} looked at)")
        missing = [name for name in _NEEDED if not any(entry.values(name) for entry in found)]
        if missing:
            cure = "let our account read them"
            grant = grants.to_read(known.grantee, self._settings.base)
            yield Finding("attributes", Verdict.BAD, f"not readable: {', '.join(missing)}", cure, grant)
        else:
            yield Finding("attributes", Verdict.GOOD, "state and password times can be read")
        for attribute in (self._settings.attributes.mail, self._settings.attributes.phone):
            held = sum(bool(entry.values(attribute)) for entry in found)
            cure = "" if held else "look at `attributes`, or let our account read it"
            yield Finding(
                f"attribute {attribute}", Verdict.GOOD if held else Verdict.WARNING, f"{held} of {len(found)} have one", cure
            )
        yield await self._group_reading(known, found[0])

    async def _group_reading(self, known: _Known, sample: Entry) -> Finding:
        entry = await self._reader.entry(sample.dn, "(objectClass=*)", ("tokenGroups",), self._budget())
        if entry is not None and entry.values("tokenGroups"):
            return Finding("groups", Verdict.GOOD, "nested and primary groups can be read (tokenGroups)")
        cure = "put our account into the group that may read them"
        return Finding("groups", Verdict.BAD, "tokenGroups is not readable", cure, grants.to_read_groups(known.grantee))

    # --- rules -------------------------------------------------------------------------------------------------------------

    async def _rules(self, known: _Known) -> AsyncIterator[Finding]:
        rules = await self._domain.rules(None, self._budget())
        if not rules.passwords.read:
            grant = grants.to_read(known.grantee, known.names.base)
            yield Finding("password policy", Verdict.BAD, "the domain's rules cannot be read", "let our account read them", grant)
            return
        yield Finding("password policy", Verdict.GOOD, _policy_text(rules.passwords))
        if not rules.threshold:
            yield Finding(
                "lockout", Verdict.WARNING, "the domain locks nobody out", "Wardgate's own brake stands alone against guessing"
            )
            return
        text = f"after {rules.threshold} wrong passwords within {rules.window_s // 60} min"
        few = rules.threshold < 5
        cure = "Wardgate stops anonymous tries two before it; with less than 5 hardly any are left" if few else ""
        yield Finding("lockout", Verdict.WARNING if few else Verdict.GOOD, text, cure)

    async def _fine_rules(self, known: _Known) -> AsyncIterator[Finding]:
        """Fine-grained policies are hidden from ordinary accounts; that some are in force still shows at whom they hold for."""
        container = f"CN=Password Settings Container,CN=System,{known.names.base}"
        seen = await self._reader.entries(
            container,
            Scope.ONE,
            "(objectClass=msDS-PasswordSettings)",
            ("cn", "msDS-MinimumPasswordLength"),
            self._budget(),
            limit=50,
        )
        held = await self._reader.entries(known.names.base, Scope.SUBTREE, "(msDS-PSOApplied=*)", ("1.1",), self._budget(), limit=1)
        if seen:
            yield Finding("fine-grained policies", Verdict.GOOD, f"{len(seen)} can be read")
        elif held:
            cure = "let our account read them; until then the domain's rules are told to their users"
            grant = grants.to_read(known.grantee, container)
            yield Finding("fine-grained policies", Verdict.WARNING, "some are in force and cannot be read", cure, grant)
        else:
            yield Finding("fine-grained policies", Verdict.GOOD, "none is in force, or none that shows")

    async def _abilities(self, known: _Known) -> AsyncIterator[Finding]:
        for server in known.servers:
            listed = frozenset((await self._client.root_dse(timeout_s=STEP_S, server=server)).texts("supportedControl"))
            what = f"history at a reset ({server})"
            if listed & {POLICY_HINTS, POLICY_HINTS_OLD}:
                yield Finding(what, Verdict.GOOD, "the server holds resets to the history (POLICY_HINTS)")
            elif self._settings.emulate_history:
                yield Finding(
                    what, Verdict.GOOD, "no POLICY_HINTS: a random password is set first and changed, which is held to it"
                )
            else:
                cure = "set `emulate_history: true`, or accept that resets may repeat passwords"
                yield Finding(what, Verdict.WARNING, "no POLICY_HINTS, and `emulate_history` is off", cure)
            verdict = Verdict.GOOD if _PAGING in listed else Verdict.WARNING
            cure = "" if verdict is Verdict.GOOD else "lists longer than the server's limit stay incomplete"
            yield Finding(f"paging ({server})", verdict, "is offered" if verdict is Verdict.GOOD else "is not offered", cure)

    # --- rights --------------------------------------------------------------------------------------------------------------

    async def _rights(self, known: _Known, scratch: str | None, password: Secret | None) -> AsyncIterator[Finding]:
        if scratch is None:
            told = "not tried: no scratch account was named"
            for what in ("right to reset", "right to unlock", "right to demand a change", "change of a password"):
                yield Finding(what, Verdict.SKIPPED, told, "name one with --scratch; its password is changed")
            return
        user = await self._directory.find(scratch, STEP_S)
        if user is None:
            yield Finding("scratch account", Verdict.BAD, "is not found", "name an account under `base` by its login name")
            return
        if user.protected:
            cure = "take an ordinary account: administrators take no rights from their OU, and are reset by administrators"
            yield Finding("scratch account", Verdict.BAD, "is an administrator's (adminCount=1)", cure)
            return
        async for finding in self._try_rights(known, user, password):
            yield finding

    async def _try_rights(self, known: _Known, user: DirectoryUser, password: Secret | None) -> AsyncIterator[Finding]:
        dn = user.attributes[DN_ATTRIBUTE][0]
        ou, server, who = _parent(dn), known.servers[0], known.grantee
        old = password if password is not None and password_text(password) else None
        new = random_password(user.name, user.display_name)
        changed = False
        if old is None:
            yield Finding("change of a password", Verdict.SKIPPED, "not tried: its present password was not given")
        else:
            result = await self._modify(dn, server, _delete(old), _add(new))
            changed = result.good
            yield _tried("change of a password", result, (), _change_found)
            if not changed and refusal(result) is Refusal.OLD_WRONG:
                old = None  # a slip of the finger is not to become the account's password
            new = random_password(user.name, user.display_name)
        result = await self._modify(dn, server, _replace("unicodePwd", unicode_pwd(new)))
        can_reset = result.good
        yield _tried("right to reset", result, grants.to_reset(who, ou))
        result = await self._modify(dn, server, _replace("lockoutTime", b"0"))
        yield _tried("right to unlock", result, grants.to_write(who, ou, "lockoutTime"))
        result = await self._modify(dn, server, _replace("pwdLastSet", b"0"))
        yield _tried("right to demand a change", result, grants.to_write(who, ou, "pwdLastSet"))
        if can_reset:
            result = await self._modify(dn, server, _delete(new), _add(random_password(user.name, user.display_name)))
            yield _tried("a password that must be changed", result, (), _change_found)
        elif result.good:
            await self._modify(dn, server, _replace("pwdLastSet", b"-1"))
        async for finding in self._try_contacts(dn, server, ou, who):
            yield finding
        if can_reset and old is not None:
            result = await self._modify(dn, server, _replace("unicodePwd", unicode_pwd(old)))
            yield _tried("the password given is put back", result, ())
        elif can_reset or changed:
            yield Finding("scratch account", Verdict.WARNING, "has a random password now", "set one for the next examination")

    async def _try_contacts(self, dn: str, server: str, ou: str, who: grants.Grantee) -> AsyncIterator[Finding]:
        names = {"phone": self._settings.attributes.phone, "mail": self._settings.attributes.mail}
        for contact in self._settings.write_contacts:
            attribute = names[contact]
            entry = await self._reader.entry(dn, "(objectClass=*)", (attribute,), self._budget(), server=server)
            change = Change(ChangeKind.REPLACE, attribute, entry.values(attribute) if entry else ())
            yield _tried(f"right to write {attribute}", await self._modify(dn, server, change), grants.to_write(who, ou, attribute))

    async def _modify(self, dn: str, server: str, *changes: Change) -> Result:
        return await self._client.modify(dn, changes, timeout_s=STEP_S, server=server)


def _replace(attribute: str, value: bytes) -> Change:
    return Change(ChangeKind.REPLACE, attribute, (value,))


def _delete(password: Secret) -> Change:
    return Change(ChangeKind.DELETE, "unicodePwd", (unicode_pwd(password),))


def _add(password: Secret) -> Change:
    return Change(ChangeKind.ADD, "unicodePwd", (unicode_pwd(password),))


def _code_of(result: Result) -> str:
    code = windows_code(result)
    return f"LDAP result {result.code}" + ("" if code is None else f", Windows code {code:08X}")


def _no_reading(result: Result) -> str | None:
    return None


def _change_found(result: Result) -> str | None:
    """What a refused change says when no right is to blame."""
    told = {
        Refusal.OLD_WRONG: "the password given is not the account's",
        Refusal.POLICY: "refused by a rule (a minimum age?)",
        Refusal.LOCKED: "the account is locked",
    }
    return told.get(refusal(result))


def _tried(what: str, result: Result, grant: tuple[str, ...], reading: Callable[[Result], str | None] = _no_reading) -> Finding:
    if result.good:
        return Finding(what, Verdict.GOOD, "works")
    told = reading(result)
    if told is not None:
        return Finding(what, Verdict.WARNING, told)
    if refusal(result) is Refusal.RIGHT:
        return Finding(
            what, Verdict.BAD, "our account has no right to it", "grant it on the OU of the users" if grant else "", grant
        )
    return Finding(what, Verdict.BAD, f"refused: {_code_of(result)}", "the event log of the server says more")


def _server_cure(error: DirectoryUnavailable) -> str:
    if error.code == "directory_account":
        return "look at `bind.dn` and its password, and whether the account is locked or expired"
    return "look at the address, the firewall, `ca_file`, and whether the certificate names the server as `servers` does"


def _policy_text(policy: PasswordPolicy) -> str:
    parts = [f"{policy.min_length} characters or more"]
    if policy.complexity:
        parts.append("complex")
    parts.append(f"the last {policy.history} are refused" if policy.history else "no history")
    if policy.min_age_s:
        parts.append(f"kept for {policy.min_age_s // 86_400} days or longer")
    parts.append(f"expires after {policy.max_age_s // 86_400} days" if policy.max_age_s else "never expires")
    return ", ".join(parts)


def _generalized_time(text: str | None) -> datetime | None:
    """`20260105080000.0Z`."""
    try:
        return datetime.strptime((text or "").partition(".")[0].rstrip("Z") + "+0000", "%Y%m%d%H%M%S%z")
    except ValueError:
        return None


def _sid(entry: Entry | None) -> str | None:
    return _sid_or_none(next(iter(entry.values("objectSid")), b"")) if entry else None


def _sid_or_none(value: bytes) -> str | None:
    try:
        return sid_text(value)
    except MessageError:
        return None


def _parent(dn: str) -> str:
    """What stands behind the first comma that is not escaped."""
    at = 0
    while at < len(dn) and dn[at] != ",":
        at += 2 if dn[at] == "\\" else 1
    return dn[at + 1 :]
