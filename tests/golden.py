"""The explanations of the cookbook's recipes, as files: what a decision looked like when somebody last looked at it.

Each test of a recipe is a situation; its tree is what `policy explain` would tell of it. A change of policies that changes a
tree shows here, also where no test of a recipe asks for it.

    .venv/bin/python -m tests.golden            # what has changed
    .venv/bin/python -m tests.golden --write    # take it over; then read the difference before it is committed
"""

import difflib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from tests.cookbook import Recipe, recipes
from wardgate.policy.explain import Explanation, Looked, Told, explain
from wardgate.policy.rules import Policy
from wardgate.policy.testing import facts_of_test, zone_of

GOLDEN = Path(__file__).resolve().parent / "unit" / "policy" / "golden"


def path_of(recipe: Recipe) -> Path:
    """Where its trees are."""
    return GOLDEN / f"{recipe.name}.json"


def text_of(recipe: Recipe) -> str:
    """The trees of all its situations, as they come out now."""
    policies = {
        settings.name: {
            "limits": _limits(policy),
            "situations": {
                test.name: _tree(explain(policy, facts_of_test(test.given, zone_of(policy)))) for test in settings.tests
            },
        }
        for settings, policy in recipe.compiled()
    }
    return json.dumps(policies, indent=1, ensure_ascii=False) + "\n"


def difference(recipe: Recipe) -> str:
    """What has changed since they were written, line by line; empty: nothing."""
    path = path_of(recipe)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = difflib.unified_diff(before.splitlines(), text_of(recipe).splitlines(), f"{path.name} as written", "now", "", "", 6, "")
    return "\n".join(lines)


def _limits(policy: Policy) -> dict[str, Any]:
    """What self-service is held to beside the needs of its goals, which the trees tell."""
    told = policy.self_service
    return {"contact_hold_s": told.contact_hold_s, "resets": told.resets, "resets_within_s": told.resets_within_s}


def _tree(found: Explanation) -> dict[str, Any]:
    """One explanation. Everything that it holds is in it, also what a later version adds."""
    tree = {}
    for field in fields(found):
        value = getattr(found, field.name)
        looked = isinstance(value, tuple) and value and isinstance(value[0], Looked)
        tree[field.name] = {each.name: _answers(each) for each in value} if looked else _plain(_values(value))
    return {key: each for key, each in tree.items() if each not in (None, [], {})}


def _answers(looked: Looked) -> list[str] | str:
    return "not reached" if looked.when is None else list(_questions(looked.when, ""))


def _questions(told: Told, indent: str) -> Iterator[str]:
    yield f"{indent}{'yes' if told.holds else 'no '} {told.name}{': ' if told.words else ''}{told.words}"
    for part in told.parts:
        yield from _questions(part, indent + "  ")


def _values(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_values(each) for each in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _plain(value: Any) -> Any:
    """As JSON has it, texts of a list in one line. What is empty is left out: a tree is long enough."""
    if isinstance(value, dict):
        made = {key: _plain(each) for key, each in value.items()}
        return {key: each for key, each in made.items() if each not in (None, "", [], {})}
    if isinstance(value, frozenset | list | tuple):
        listed = sorted(value) if isinstance(value, frozenset) else value
        return " | ".join(listed) if listed and all(isinstance(each, str) for each in listed) else [_plain(each) for each in listed]
    return value if isinstance(value, str | int | None) else str(value)


def _changes(write: bool) -> Iterator[str]:
    wanted = {path_of(recipe): recipe for recipe in recipes()}
    for path in sorted(GOLDEN.glob("*.json")):
        if path not in wanted:
            yield f"{path.name}: no recipe has this name any more"
            if write:
                path.unlink()
    for path, recipe in wanted.items():
        if changed := difference(recipe):
            yield changed
            if write:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text_of(recipe), encoding="utf-8")


if __name__ == "__main__":
    sys.stdout.writelines(f"{each}\n" for each in _changes("--write" in sys.argv[1:]))
