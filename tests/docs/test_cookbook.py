"""Every recipe of the cookbook is a document that can be applied, and its tests would notice the loss of any part of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cookbook import COOKBOOK, FILES, Recipe, recipes
from tests.docs.pages import ROOT, anchors, links
from wardgate.admin.policy import prove_policies
from wardgate.config.document import parse
from wardgate.config.reading import read_yaml
from wardgate.errors import SettingsError
from wardgate.policy.settings import PolicySettings
from wardgate.policy.testing import run_tests

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
    expected = [test.expect for test in recipe.settings.tests]
    assert len(expected) >= ENOUGH_TESTS
    assert any(expect.get("denied") or expect.get("floors") for expect in expected)
    assert all(test.name for test in recipe.settings.tests)


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


def entries(recipe: Recipe) -> Iterator[tuple[str, PolicySettings]]:
    """The policy without one of its rules, floors and whatever else it lists by name."""
    for field in fields(recipe.settings):
        listed = getattr(recipe.settings, field.name)
        if field.name != "tests" and isinstance(listed, tuple):
            for number, entry in enumerate(listed):
                rest = (*listed[:number], *listed[number + 1 :])
                yield f"{field.name}: {getattr(entry, 'name', number)}", replace(recipe.settings, **{field.name: rest})


def wider(recipe: Recipe) -> Iterator[tuple[str, PolicySettings]]:
    """The policy with one condition less."""
    for field in fields(recipe.settings):
        listed = getattr(recipe.settings, field.name)
        for number, entry in enumerate(listed if field.name != "tests" and isinstance(listed, tuple) else ()):
            for when in less(entry.when):
                changed = (*listed[:number], replace(entry, when=when), *listed[number + 1 :])
                left = f"{field.name}: {entry.name}: {entry.when} becomes {when}"
                yield left, replace(recipe.settings, **{field.name: changed})


def less(when: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A condition without one of its parts: entries of the mapping, alternatives, values of a list."""
    for key, value in when.items():
        yield {name: each for name, each in when.items() if name != key}
        if isinstance(value, list | tuple) and len(value) > 1:
            for number in range(len(value)):
                yield {**when, key: [*value[:number], *value[number + 1 :]]}


def weaker(recipe: Recipe) -> Iterator[tuple[str, PolicySettings]]:
    """The policy with one of the things that an entry says left out: a factor of `never`, a lifetime, a demand."""
    for field in fields(recipe.settings):
        listed = getattr(recipe.settings, field.name)
        for number, entry in enumerate(listed if field.name not in ("tests", "rules") and isinstance(listed, tuple) else ()):
            for told, then in without_one(entry.then):
                changed = (*listed[:number], replace(entry, then=then), *listed[number + 1 :])
                yield f"{field.name}: {entry.name}: {told}", replace(recipe.settings, **{field.name: changed})


def without_one(then: Any) -> Iterator[tuple[str, Any]]:
    if is_dataclass(then):
        for field in fields(then):
            value = getattr(then, field.name)
            if isinstance(value, tuple) and value:
                for number in range(len(value)):
                    yield field.name, replace(then, **{field.name: (*value[:number], *value[number + 1 :])})  # type: ignore[type-var]
            elif value != field.default:
                yield field.name, replace(then, **{field.name: field.default})  # type: ignore[type-var]
    elif isinstance(then, tuple):
        for number in range(len(then)):
            yield str(then[number]), (*then[:number], *then[number + 1 :])


def unnoticed(recipe: Recipe, changed: Sequence[tuple[str, PolicySettings]]) -> list[str]:
    """The changes that no test of the recipe fails for."""
    return [told for told, settings in changed if passes(recipe, settings)]


def passes(recipe: Recipe, settings: PolicySettings) -> bool:
    try:
        return all(tested.passed for tested in run_tests(recipe.compiled(settings), settings.tests))
    except SettingsError:
        # What cannot be compiled any more, such as a time in a test that nothing asks for, cannot be applied.
        return False


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_no_rule_or_floor_of_a_recipe_can_be_lost_unnoticed(recipe: Recipe) -> None:
    assert unnoticed(recipe, list(entries(recipe))) == []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_no_condition_of_a_recipe_can_be_lost_unnoticed(recipe: Recipe) -> None:
    assert unnoticed(recipe, list(wider(recipe))) == []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_nothing_that_a_floor_demands_can_be_lost_unnoticed(recipe: Recipe) -> None:
    assert unnoticed(recipe, list(weaker(recipe))) == []
