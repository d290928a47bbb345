"""What a change means for how many users, as lines for people: for `policy impact`, `config diff` and `config apply --dry-run`."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

# The effects in the order in which they are told, the worst first, by what `--fail-on` calls them.
WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "locked_out": ("locked-out", "come in now and would lack a factor that is asked for"),
    "denied": ("denied", "come in now and would be refused"),
    "weaker": ("weaker", "would be asked for less, or have more alternatives"),
    "let_in": ("let-in", "would come in and do not now"),
    "stronger": ("stronger", "would be asked for more"),
    "changed": ("changed", "would be asked for something else"),
}
_GROUPS_SHOWN: Final = 20
_NAMES_SHOWN: Final = 5


def in_short(impact: Mapping[str, Any]) -> Iterator[str]:
    """The counts, and what they leave open."""
    effects = [f"{impact['effects'][name]} {word}" for name, (word, _) in WORDS.items() if impact["effects"][name]]
    yield f"{_looked_at(impact)}: the decision changes for {impact['users']}" + (f" ({', '.join(effects)})" if effects else "")
    yield from _open_ends(impact)


def in_full(impact: Mapping[str, Any]) -> Iterator[str]:
    """Everything: by effect with names, by application, by group."""
    if not impact["applications"]:
        yield "No decision can change: neither policies nor realms, networks, NAS or gateways differ in what decides."
        return
    yield f"{_looked_at(impact)}: the decision changes for {impact['users']}."
    for name, (word, meaning) in WORDS.items():
        count = impact["effects"][name]
        if count:
            yield f"{word:>10}  {count:>8}  {meaning}"
            yield from _names(impact["examples"][name], count)
    yield from _applications(impact)
    yield from _groups(impact)
    yield from _open_ends(impact)


def _looked_at(impact: Mapping[str, Any]) -> str:
    looked_at, total = impact["looked_at"], impact["total"]
    found = f"{looked_at} users" if impact["complete"] else f"at least {looked_at} of {'all' if total is None else total} users"
    return found + (f", {impact['not_usable']} of them disabled or expired" if impact["not_usable"] else "")


def _names(examples: list[Mapping[str, Any]], count: int) -> Iterator[str]:
    for each in examples[:_NAMES_SHOWN]:
        has = ", ".join(each["enrolled"]) or "nothing"
        yield f"            {each['user']} ({each['directory']}) for {each['application']}, {each['situation']}; has {has}"
        yield f"              now: {each['before']}"
        yield f"              then: {each['after']}"
    if count > _NAMES_SHOWN:
        yield f"            and {count - _NAMES_SHOWN} more"


def _applications(impact: Mapping[str, Any]) -> Iterator[str]:
    for each in impact["applications"]:
        more = f" and {each['situations_left_out']} more" if each["situations_left_out"] else ""
        yield f"application {each['application']}: {_counted(each['effects'])}"
        yield f"  looked at from: {'; '.join(each['situations'])}{more}"


def _groups(impact: Mapping[str, Any]) -> Iterator[str]:
    for each in impact["groups"][:_GROUPS_SHOWN]:
        yield f"group {each['group'] or '(none)'}: {_counted(each['effects'])}"
    left_out = len(impact["groups"][_GROUPS_SHOWN:]) + impact["groups_left_out"]
    if left_out:
        yield f"and {left_out} more groups"


def _counted(effects: Mapping[str, int]) -> str:
    return ", ".join(f"{effects[name]} {word}" for name, (word, _) in WORDS.items() if effects[name]) or "no change"


def _open_ends(impact: Mapping[str, Any]) -> Iterator[str]:
    for each in impact["problems"]:
        yield f"not complete: directory {each['directory']}: {each['problem']}"
    yield from impact["notes"]
