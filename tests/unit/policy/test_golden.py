"""The trees of the cookbook's situations are those that were last looked at."""

import pytest

from tests.cookbook import Recipe, recipes
from tests.golden import GOLDEN, difference, path_of

RECIPES = list(recipes())


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_is_explained_as_when_it_was_last_looked_at(recipe: Recipe) -> None:
    changed = difference(recipe)
    # As a message, and not as a comparison: a person reads the lines that changed, and nothing else.
    if changed:
        pytest.fail(f"look at it, then: python -m tests.golden --write\n{changed}", pytrace=False)


def test_no_tree_is_left_of_a_recipe_that_is_gone() -> None:
    assert set(GOLDEN.glob("*.json")) == {path_of(recipe) for recipe in RECIPES}
