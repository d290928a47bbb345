"""Every recipe of the cookbook is a document that can be applied, and its tests would notice the loss of any part of it."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from tests.cookbook import COOKBOOK, FILES, Recipe, recipes
from tests.docs.pages import ROOT, anchors, links
from tests.golden import text_of
from wardgate.admin.policy import prove_policies
from wardgate.config.document import Document, parse, to_plain
from wardgate.config.reading import read_yaml
from wardgate.errors import SettingsError

PAGE = COOKBOOK / "README.md"
RECIPES = list(recipes())
ENOUGH_TESTS = 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recipe_can_be_applied_as_it_stands(path: Path) -> None:
    """Parsed with all checks, its tests run as applying runs them, and of the shape that editors are told."""
    text = path.read_text(encoding="utf-8")
    prove_policies(parse(text))
    schema = json.loads((ROOT / "docs" / "reference" / "configuration.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(read_yaml(text))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_shows_what_it_refuses_or_makes_stricter(recipe: Recipe) -> None:
    for policy in recipe.document.policies:
        expected = [test.expect for test in policy.tests]
        assert len(expected) >= ENOUGH_TESTS
        assert any(expect.get("denied") or expect.get("floors") for expect in expected)
        assert all(test.name for test in policy.tests)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recipe_is_in_the_table_and_has_a_section(path: Path) -> None:
    targets = [target for _, target in links(PAGE)]
    assert path.name in targets
    assert f"#{path.stem}" in targets
    assert path.stem in anchors(PAGE)


def test_the_page_names_no_recipe_that_is_not_there() -> None:
    named = {target for _, target in links(PAGE) if target.endswith(".yaml")}
    assert named == {path.name for path in FILES}


# --- what a recipe loses, its tests notice -------------------------------------------------------------------------------


def without_one(part: object) -> Iterator[tuple[str, object]]:
    """A part of a document without one of the things in it, at any depth, and what that was."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            yield str(key), {name: each for name, each in part.items() if name != key}
            yield from ((f"{key}.{lost}", {**part, key: rest}) for lost, rest in without_one(value))
    elif isinstance(part, list):
        for number, value in enumerate(part):
            name = value.get("name", number) if isinstance(value, Mapping) else value
            yield f"[{name}]", [*part[:number], *part[number + 1 :]]
            yield from ((f"[{name}].{lost}", [*part[:number], rest, *part[number + 1 :]]) for lost, rest in without_one(value))


def poorer(recipe: Recipe) -> Iterator[tuple[str, Document]]:
    """The document with one thing less in the policy: a rule, a condition, a value, a factor of a step, a part of a floor."""
    plain = to_plain(recipe.document)
    for number, policy in enumerate(plain["policies"]):
        kept = {"name": policy["name"], "tests": policy["tests"]}
        for lost, rest in without_one({key: each for key, each in policy.items() if key not in kept}):
            assert isinstance(rest, dict)
            changed = [*plain["policies"][:number], {**rest, **kept}, *plain["policies"][number + 1 :]]
            # What cannot be parsed cannot be applied: nobody can lose it unnoticed.
            with suppress(SettingsError):
                yield f"{policy['name']}: {lost}", parse({**plain, "policies": changed})


def is_noticed(document: Document) -> bool:
    """Whether it cannot be applied."""
    try:
        prove_policies(document)
    except SettingsError:
        return True
    return False


# What `expect` has no word for. The trees of the situations show it: see `tests/golden.py`.
NOT_ASKED_FOR = re.compile(
    r"\.(text(\.\w+)?|every|remind|code|session|idle|accept_weaker)$"
    r"|: (fail(\.\w+)?|self_service\.(contact_hold|resets(\.\w+)?))$"
)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_nothing_that_a_recipe_says_can_be_lost_unnoticed(recipe: Recipe) -> None:
    unnoticed = {lost: document for lost, document in poorer(recipe) if not is_noticed(document)}
    assert [lost for lost in unnoticed if not NOT_ASKED_FOR.search(lost)] == []
    tree = text_of(recipe)
    assert [lost for lost, document in unnoticed.items() if text_of(replace(recipe, document=document)) == tree] == []
