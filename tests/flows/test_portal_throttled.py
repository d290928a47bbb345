"""While a brake holds, the form that it holds is shown disabled, with the wait; other ways stay, and a fresh page has it again."""

import re

import pytest

from tests.flows.portal_world import PortalWorld
from wardgate.engine.settings import BrakeSettings

HELD = '<fieldset class="whole" disabled>'
OPEN = '<fieldset class="whole">'


async def throttled(world: PortalWorld, path: str, fields: dict[str, str]) -> str:
    """Send the form until the brake holds; the page that says so."""
    async with world.browser() as browser:
        for _ in range(30):
            await browser.get(path)
            assert OPEN in browser.page.text
            page = await browser.post(path, **fields)
            if page.status_code == 429:
                break
        assert page.status_code == 429
        minutes = re.search(r'id="told">[^<]*?(\d+) minutes', page.text)
        assert minutes is not None
        assert int(page.headers["retry-after"]) == int(minutes[1]) * 60
        assert HELD in page.text
        assert "autofocus" not in page.text
        [again] = re.findall(r'<a class="button" href="([^"]+)">Show the form again</a>', page.text)
        assert OPEN in (await browser.get(again)).text
        return re.sub(r'name="csrf" value="\w+"|Reference \w{8}', "", page.text)


@pytest.mark.parametrize("name", ["ada", "nobody"])
async def test_sign_in_form_is_disabled_while_a_brake_holds_and_says_how_long(name: str) -> None:
    world = PortalWorld()
    world.brakes = BrakeSettings(source_failures=5)
    await world.person("ada")
    text = await throttled(world, "/sign-in", {"username": name, "password": "wrong horse"})
    # Other ways are no part of the form.
    assert text.index('href="/forgot"') > text.index("</fieldset>")


@pytest.mark.parametrize("path", ["/forgot", "/unlock"])
async def test_form_of_a_forgotten_password_is_disabled_for_known_and_unknown_alike(path: str) -> None:
    texts = set()
    for name in ("ada", "nobody"):
        world = PortalWorld()
        await world.person("ada")
        texts.add((await throttled(world, path, {"username": name})).replace(f'value="{name}"', ""))
    assert len(texts) == 1


async def test_form_of_a_forgotten_name_is_disabled_while_its_source_waits() -> None:
    await throttled(PortalWorld(), "/username", {"contact": "ada@acme.test"})
