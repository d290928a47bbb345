"""The groups of everybody, without asking for each account's `tokenGroups`, which a server tells one account at a time.

All security groups of the domain are read once with what they are members of. A user's groups are then his primary one, those that
his `memberOf` names, and all in which these are: what [MS-ADTS] section 3.1.1.4.5.19 computes for `tokenGroups`. Not told are
rights that come by `sIDHistory`, and universal groups of other domains, which only a global catalogue knows.
"""

from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from wardgate.directory.active_directory.groups import MAX_OF_A_USER, Group
from wardgate.directory.active_directory.reading import Reader
from wardgate.directory.active_directory.values import sid_text
from wardgate.directory.ldap.port import Entry
from wardgate.errors import DirectoryUnavailable, MessageError

# GROUP_TYPE_SECURITY_ENABLED, [MS-ADTS] section 2.2.12: a distribution group gives no rights, and ends what it stands between.
_SECURITY_GROUPS: Final = "(&(objectCategory=group)(groupType:1.2.840.113556.1.4.803:=2147483648))"
_SID: Final = "objectSid"
_PRIMARY: Final = "primaryGroupID"
_MEMBER_OF: Final = "memberOf"
# What has to be read of an account for `GroupGraph.of`.
MEMBERSHIP: Final = (_SID, _PRIMARY, _MEMBER_OF)
_PER_PAGE: Final = 500
MAX_GROUPS: Final = 200_000
MAX_REMEMBERED: Final = 20_000
_RID_BYTES: Final = 4

Found = tuple[tuple[bytes, ...], tuple[Group, ...]]


@dataclass(frozen=True, slots=True)
class _Node:
    """One group: its SID, what it is called, and the groups that it is in, by DN in one case."""

    sid: bytes
    group: Group
    parents: tuple[str, ...]


class GroupGraph:
    """All groups of a domain as they were when `load` read them."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._nodes: dict[str, _Node] = {}
        self._by_sid: dict[bytes, str] = {}
        self._known: OrderedDict[tuple[bytes, tuple[str, ...]], Found] = OrderedDict()

    async def load(self, reader: Reader, timeout_s: float) -> None:
        """Read them. `timeout_s`: for each page. Raises DirectoryUnavailable."""
        asked = (_SID, "sAMAccountName", _MEMBER_OF)
        async with aclosing(reader.stream(self._base, _SECURITY_GROUPS, asked, timeout_s, _PER_PAGE)) as entries:
            async for entry in entries:
                self._take(entry)
                if len(self._nodes) > MAX_GROUPS:
                    raise DirectoryUnavailable(
                        f"directory {reader.directory} has more than {MAX_GROUPS} groups: too many to keep", "directory_too_much"
                    )

    def of(self, entry: Entry) -> Found:
        """The SIDs of an account's groups, and the groups by name."""
        primary, direct = _primary_of(entry), tuple(sorted(text.casefold() for text in entry.texts(_MEMBER_OF)))
        known = self._known.get((primary, direct))
        if known is None:
            known = self._known[primary, direct] = self._walked(primary, direct)
            while len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        return known

    def _take(self, entry: Entry) -> None:
        sid, name = next(iter(entry.values(_SID)), b""), entry.text("sAMAccountName")
        try:
            text = sid_text(sid)
        except MessageError:
            return  # what has no SID gives no rights
        group = Group(name, (entry.dn, text)) if name else Group(text, ())
        key = entry.dn.casefold()
        self._nodes[key] = _Node(sid, group, tuple(each.casefold() for each in entry.texts(_MEMBER_OF)))
        self._by_sid[sid] = key

    def _walked(self, primary: bytes, direct: tuple[str, ...]) -> Found:
        seen: dict[str, _Node] = {}
        ahead = [*([self._by_sid[primary]] if primary in self._by_sid else []), *direct]
        while ahead and len(seen) < MAX_OF_A_USER:
            key = ahead.pop()
            node = self._nodes.get(key)
            if node is not None and key not in seen:
                seen[key] = node
                ahead += node.parents
        nodes = seen.values()
        groups = sorted((node.group for node in nodes), key=lambda group: group.name.casefold())
        return tuple(node.sid for node in nodes), tuple(groups)


def _primary_of(entry: Entry) -> bytes:
    """The SID of the primary group: the account's own with another last part."""
    own, rid = next(iter(entry.values(_SID)), b""), entry.number(_PRIMARY)
    if rid is None or not 0 <= rid < 2 ** (8 * _RID_BYTES) or len(own) <= _RID_BYTES:
        return b""
    return own[:-_RID_BYTES] + rid.to_bytes(_RID_BYTES, "little")
