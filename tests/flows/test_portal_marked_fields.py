"""A field is marked as wrong when what was typed into it was not taken: not by a brake, a neighbour that is down or a lost form."""

import re

import pytest

from tests.flows.portal_world import PortalWorld
from wardgate.directory.memory import Behaviour

_MARKED = re.compile(r'<input id="(\w+)"[^>]* aria-invalid="true"')


@pytest.mark.parametrize(
    ("path", "fields"),
    [("/sign-in", {"username": "ada", "password": "correct horse"}), ("/username", {"contact": "ada@acme.test"})],
)
async def test_directory_that_is_down_is_told_above_the_form_and_at_no_field(path: str, fields: dict[str, str]) -> None:
    world = PortalWorld()
    await world.person("ada")
    async with world.browser() as browser:
        await browser.get(path)
        world.directory.behaviour = Behaviour.UNAVAILABLE
        page = await browser.post(path, **fields)
    assert page.status_code == 503
    assert "does not answer" in page.text
    assert 'aria-describedby="told"' in page.text
    assert _MARKED.findall(page.text) == []


@pytest.mark.parametrize(
    ("fields", "marked"),
    [
        ({"username": "ada", "password": "wrong horse"}, ["username", "password"]),
        ({"username": "ada", "password": ""}, ["password"]),
        ({"username": "", "password": "correct horse"}, ["username"]),
        ({"username": "ada", "password": "correct horse", "csrf": "old"}, []),
    ],
)
async def test_sign_in_marks_what_has_to_be_typed_again(fields: dict[str, str], marked: list[str]) -> None:
    world = PortalWorld()
    await world.person("ada")
    async with world.browser() as browser:
        await browser.get("/sign-in")
        page = await browser.post("/sign-in", **fields)
    assert page.status_code == 422
    assert _MARKED.findall(page.text) == marked


async def test_current_password_is_not_marked_where_only_the_page_was_old() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        await browser.get("/account/password")
        page = await browser.post(password="correct horse", new_password="glacier-orchid-47", csrf="old")
    assert page.status_code == 422
    assert "too long" in page.text
    assert _MARKED.findall(page.text) == []
