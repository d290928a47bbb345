"""Which password policy holds for a user: his own, or the server's default one."""

from collections import OrderedDict
from typing import Final

from wardgate.clock import Clock
from wardgate.directory.ldap.names import parse_dn
from wardgate.directory.ldap.port import Code, Entry, LdapClient, LdapRefused, Scope
from wardgate.directory.openldap.budget import Budget
from wardgate.directory.openldap.ppolicy import OID, POLICY_ATTRIBUTES, Policy, read_policy
from wardgate.directory.openldap.settings import OpenLdapSettings
from wardgate.errors import MessageError

MAX_REMEMBERED: Final = 200
REMEMBERED_S: Final = 60.0
_DEFAULT: Final = ""


class PolicyReader:
    """Reads policies, and remembers each for a minute."""

    def __init__(self, client: LdapClient, settings: OpenLdapSettings, clock: Clock) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Policy | None]] = OrderedDict()

    async def effective(self, user: Entry, budget: Budget) -> Policy | None:
        """The policy of this user; None where there is none, or where it cannot be read."""
        named = user.text("pwdPolicySubentry")
        return await self._remembered(named, budget) if named else await self.default(budget)

    async def default(self, budget: Budget) -> Policy | None:
        """The policy of users without one of their own."""
        return await self._remembered(self._settings.default_policy or _DEFAULT, budget)

    def known_default(self) -> Policy | None:
        """The same as far as it was read, however long ago. Asks nobody."""
        return self._known.get(self._settings.default_policy or _DEFAULT, (0.0, None))[1]

    async def guesses(self, budget: Budget) -> tuple[Policy, ...]:
        """All policies that stand under the base."""
        entries = await self._client.search(
            self._settings.base,
            Scope.SUBTREE,
            "(objectClass=pwdPolicy)",
            POLICY_ATTRIBUTES,
            timeout_s=budget.left(),
            limit=MAX_REMEMBERED,
        )
        return tuple(read_policy(entry) for entry in entries)

    async def _remembered(self, dn: str, budget: Budget) -> Policy | None:
        until, policy = self._known.get(dn, (0.0, None))
        if self._clock.monotonic() < until:
            return policy
        policy = await self._read(dn, budget) if dn else await self._guess(budget)
        self._known[dn] = (self._clock.monotonic() + REMEMBERED_S, policy)
        self._known.move_to_end(dn)
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return policy

    async def _read(self, dn: str, budget: Budget) -> Policy | None:
        try:
            found = await self._client.search(
                dn, Scope.BASE, "(objectClass=pwdPolicy)", POLICY_ATTRIBUTES, timeout_s=budget.left(), limit=1
            )
        except LdapRefused as refused:
            # slapd hides what may not be read, unless it may be disclosed. Logins need no policy: the server holds to it itself.
            if refused.result.code == Code.INSUFFICIENT_ACCESS:
                return None
            raise
        return read_policy(found[0]) if found else None

    async def _guess(self, budget: Budget) -> Policy | None:
        """The server does not tell which policy is its default: it is the only one, or the one that is called so."""
        if OID not in (await self._client.root_dse(timeout_s=budget.left())).texts("supportedControl"):
            return None
        policies = await self.guesses(budget)
        called_so = [policy for policy in policies if _is_called_default(policy.dn)]
        choice = called_so if len(policies) != 1 else list(policies)
        return choice[0] if len(choice) == 1 else None


def _is_called_default(dn: str) -> bool:
    try:
        own = parse_dn(dn)[:1]
    except MessageError:
        return False
    return [(name, value.casefold()) for step in own for name, value in step] == [("cn", "default")]
