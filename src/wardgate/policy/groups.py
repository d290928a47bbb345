"""Groups as conditions name them: `directory:name` or `realm:name`, in lower case. The name may be a DN or a SID as well.

Whose group it is must be said, so that a local `domain-admins` is not Active Directory's. The first colon ends the directory's
name; what follows may hold colons, commas and equals signs. Letters with accents have one form on both sides (NFC): a document that
was written on one system and a directory that was filled from another spell them apart.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

# Blanks that people put into a DN, and that directories leave out. RFC 4514 section 2: none stand beside a separator.
_BLANKS = re.compile(r"\s*(?<!\\)([,=])\s*")


def qualified_groups(places: Sequence[str], groups: Iterable[str], aliases: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """All names of a user's groups. `places`: directory and realm; `aliases`: what else a group is called (DN, SID).

    Where groups have DNs, a group whose plain name looks like a DN or a SID goes by its own alone: who may create a group somewhere
    in the directory could otherwise call it by the DN of another.
    """
    if not aliases:
        return frozenset([group_form(f"{place}:{group}") for group in groups for place in places])
    names: list[str] = []
    for group in groups:
        others = aliases.get(group, ())
        names += others
        if not others or not looks_like_alias(group):
            names.append(group)
    return frozenset([group_form(f"{place}:{name}") for name in names for place in places])


def group_form(group: str) -> str:
    """The form in which groups and organisational units are compared."""
    lower = group.lower()
    return lower if lower.isascii() else unicodedata.normalize("NFC", lower)


def looks_like_alias(group: str) -> bool:
    """Whether a group's plain name could be taken for a DN or a SID."""
    return "=" in group or group[:4].upper() == "S-1-"


def written_forms(group: str) -> tuple[str, ...]:
    """A group of a condition as it may stand among a user's: a DN also without the blanks that people put into it."""
    lower = group_form(group)
    if "," not in lower or "=" not in lower:
        return (lower,)
    place, colon, name = lower.partition(":")
    plain = _BLANKS.sub(r"\1", name)
    return tuple(dict.fromkeys((lower, f"{place}{colon}{plain}")))


def asked_groups(when: object) -> Iterator[str]:
    """Every group that a condition asks for, wherever it stands in it, in all the forms that it may be met in."""
    return _groups(when, excluded=True)


def given_groups(when: object) -> Iterator[str]:
    """The groups that `{group}` stands for in a release rule: those that its condition asks for and does not exclude."""
    return _groups(when, excluded=False)


def gives_any_group(when: object, add: Mapping[str, object]) -> bool:
    """Whether a release rule may give away any group of a user: it gives `{group}` and names none."""
    return any("{group}" in text for text in _texts(list(add.values()))) and not any(given_groups(when))


def _groups(when: object, excluded: bool) -> Iterator[str]:
    for name, value in when.items() if isinstance(when, Mapping) else ():
        if name == "group":
            yield from (form for each in _texts(value) for form in written_forms(each))
        elif name in ("any", "all") or (name == "not" and excluded):
            for inner in value if isinstance(value, list | tuple) else [value]:
                yield from _groups(inner, excluded)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    else:
        yield str(value)
