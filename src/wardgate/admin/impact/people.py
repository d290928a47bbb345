"""The facts of a user, and which users the policies cannot tell apart: for all of these one decision is made."""

from collections.abc import Iterable, Mapping
from typing import Final

from wardgate.admin.impact.standing import leaves
from wardgate.directory.port import DirectoryUser
from wardgate.policy.conditions import Matching, OneOf
from wardgate.policy.facts import Facts
from wardgate.policy.groups import qualified_groups
from wardgate.policy.rules import Policy
from wardgate.policy.view import ATTRIBUTE, View

# What of a person a condition may ask, beside what he has enrolled; everything else is of the situation.
_PERSONAL: Final = ("group", "ou", "user")
MAX_REMEMBERED: Final = 20_000

Mark = tuple[frozenset[str], ...]


class Person:
    """One user of one realm."""

    __slots__ = ("attributes", "groups", "realm", "user")

    def __init__(self, user: DirectoryUser, realm: str, groups: frozenset[str]) -> None:
        self.user = user
        self.realm = realm
        self.groups = groups
        self.attributes = {name.lower(): values for name, values in user.attributes.items()}


class Telling:
    """What the policies look at in a person."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._asked: dict[str, frozenset[str] | None] = {}
        self._groups: dict[tuple[str, str, tuple[str, ...]], frozenset[str]] = {}
        for policy in policies:
            for leaf in leaves(policy):
                if isinstance(leaf, OneOf | Matching) and (leaf.key in _PERSONAL or leaf.key.startswith(ATTRIBUTE)):
                    self._ask(leaf)

    def _ask(self, leaf: OneOf | Matching) -> None:
        """A pattern may match anything: then each value counts as it is."""
        before = self._asked.get(leaf.key, frozenset())
        self._asked[leaf.key] = before | leaf.wanted if isinstance(leaf, OneOf) and before is not None else None

    def person(self, user: DirectoryUser, realm: str) -> Person:
        """The user as a realm's policies see him."""
        return Person(user, realm, self._groups_of(user, realm))

    def mark(self, person: Person, facts: Facts) -> Mark:
        """Equal for two people of one realm and directory whom no condition tells apart."""
        view = View(facts)
        return tuple(
            frozenset(view.held(key)) if wanted is None else wanted.intersection(view.held(key))
            for key, wanted in self._asked.items()
        )

    def _groups_of(self, user: DirectoryUser, realm: str) -> frozenset[str]:
        places, aliases = (user.directory, realm), user.group_aliases
        if "group" not in self._asked:
            return frozenset()
        if aliases:
            return qualified_groups(places, user.groups, aliases)
        # Most users are in the same few groups.
        key = (*places, user.groups)
        known = self._groups.get(key)
        if known is None:
            if len(self._groups) >= MAX_REMEMBERED:
                self._groups.clear()
            known = self._groups[key] = qualified_groups(places, user.groups, aliases)
        return known


def labels_of(user: DirectoryUser) -> Mapping[str, None]:
    """The groups under which a user is counted."""
    return dict.fromkeys(f"{user.directory}:{group}" for group in user.groups)
