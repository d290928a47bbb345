"""What the domain is called, and which rules hold for whom: its own, or those of a fine-grained policy (PSO).

Both are read when they are needed and remembered for some minutes, so that a login costs no more than its own two reads.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from wardgate.directory.active_directory.reading import Budget, Reader
from wardgate.directory.active_directory.values import interval_s
from wardgate.directory.ldap.filters import escape
from wardgate.directory.ldap.port import Entry, Scope
from wardgate.directory.names import canonical_name
from wardgate.directory.port import PasswordPolicy
from wardgate.errors import DirectoryUnavailable

NAMES_LIFE_S: Final = 3_600.0
RULES_LIFE_S: Final = 300.0
MAX_POLICIES: Final = 1_000
_COMPLEXITY: Final = 1  # DOMAIN_PASSWORD_COMPLEX of pwdProperties, [MS-SAMR] section 2.2.3.12
_MAX_LENGTH: Final = 256

_DOMAIN_RULES: Final = (
    "minPwdLength",
    "pwdHistoryLength",
    "minPwdAge",
    "maxPwdAge",
    "pwdProperties",
    "lockoutThreshold",
    "lockOutObservationWindow",
)
_PSO_RULES: Final = (
    "msDS-MinimumPasswordLength",
    "msDS-PasswordHistoryLength",
    "msDS-MinimumPasswordAge",
    "msDS-MaximumPasswordAge",
    "msDS-PasswordComplexityEnabled",
    "msDS-LockoutThreshold",
    "msDS-LockoutObservationWindow",
)


@dataclass(frozen=True, slots=True)
class DomainNames:
    """`base`: DN of the domain. `words`: what may stand for it before a backslash, in canonical form."""

    base: str
    configuration: str
    netbios: str
    dns: str

    @property
    def words(self) -> frozenset[str]:
        """NetBIOS and DNS name."""
        return frozenset(word for word in map(canonical_name, (self.netbios, self.dns)) if word)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that hold for an account. `threshold` 0: it is never locked."""

    passwords: PasswordPolicy
    threshold: int
    window_s: int


class Domain:
    """What is known of the domain now."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._names: tuple[float, DomainNames] | None = None
        self._rules: OrderedDict[str, tuple[float, Rules]] = OrderedDict()

    def known_names(self) -> DomainNames | None:
        """The names as far as they were read, however long ago. Asks nobody."""
        return self._names[1] if self._names else None

    def known_rules(self) -> Rules | None:
        """The domain's own rules as far as they were read, however long ago. Asks nobody."""
        known = self._rules.get("")
        return known[1] if known is not None else None

    async def names(self, budget: Budget) -> DomainNames:
        """What the domain is called."""
        now = self._reader.clock.monotonic()
        if self._names is None or self._names[0] <= now:
            self._names = (now + NAMES_LIFE_S, await self._read_names(budget))
        return self._names[1]

    async def rules(self, pso: str | None, budget: Budget) -> Rules:
        """The rules of a fine-grained policy, or the domain's own. `pso`: its DN as the account tells it.

        A policy that our account may not read gives the domain's rules with `read` False.
        """
        now, key = self._reader.clock.monotonic(), pso or ""
        known = self._rules.get(key)
        if known is not None and known[0] > now:
            return known[1]
        found = await self._pso_rules(pso, budget) if pso else await self._domain_rules(budget)
        self._rules[key] = (now + RULES_LIFE_S, found)
        while len(self._rules) > MAX_POLICIES:
            self._rules.popitem(last=False)
        return found

    def forget(self) -> None:
        """Read everything anew when it is needed next."""
        self._names = None
        self._rules.clear()

    async def _read_names(self, budget: Budget) -> DomainNames:
        root = await self._reader.client.root_dse(timeout_s=budget.left_s())
        base, configuration = root.text("defaultNamingContext"), root.text("configurationNamingContext")
        if base is None or configuration is None:
            raise DirectoryUnavailable(f"directory {self._reader.directory} is no Active Directory: it tells no domain")
        found = await self._reader.entries(
            f"CN=Partitions,{configuration}",
            Scope.ONE,
            f"(&(objectCategory=crossRef)(nETBIOSName=*)(nCName={escape(base)}))",
            ("nETBIOSName", "dnsRoot"),
            budget,
            limit=2,
        )
        if len(found) != 1:
            raise DirectoryUnavailable(
                f"directory {self._reader.directory}: our account may not read CN=Partitions,{configuration}"
            )
        return DomainNames(base, configuration, found[0].text("nETBIOSName") or "", found[0].text("dnsRoot") or "")

    async def _domain_rules(self, budget: Budget) -> Rules:
        base = (await self.names(budget)).base
        entry = await self._reader.entry(base, "(objectClass=*)", _DOMAIN_RULES, budget)
        if entry is None or entry.number("minPwdLength") is None:
            return Rules(PasswordPolicy(read=False), 0, 0)
        complexity = bool((entry.number("pwdProperties") or 0) & _COMPLEXITY)
        return _rules(entry, _DOMAIN_RULES, complexity)

    async def _pso_rules(self, pso: str, budget: Budget) -> Rules:
        entry = await self._reader.entry(pso, "(objectClass=msDS-PasswordSettings)", _PSO_RULES, budget)
        if entry is None or entry.number("msDS-MinimumPasswordLength") is None:
            assumed = await self.rules(None, budget)
            return replace(assumed, passwords=replace(assumed.passwords, read=False))
        return _rules(entry, _PSO_RULES, entry.text("msDS-PasswordComplexityEnabled") == "TRUE")


def _rules(entry: Entry, names: tuple[str, ...], complexity: bool) -> Rules:
    """Both kinds of policy hold the same in other words."""
    length, history, least, most, _, threshold, window = names
    return Rules(
        PasswordPolicy(
            min_length=max(0, entry.number(length) or 0),
            max_length=_MAX_LENGTH,
            complexity=complexity,
            history=max(0, entry.number(history) or 0),
            min_age_s=interval_s(entry.number(least)),
            max_age_s=interval_s(entry.number(most)),
        ),
        max(0, entry.number(threshold) or 0),
        interval_s(entry.number(window)),
    )
