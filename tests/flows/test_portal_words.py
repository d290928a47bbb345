"""Pages say what to do next; the same message over RADIUS, where there is no room for that, stays short."""

import re

import pytest

from tests.flows.plans import use_plan
from tests.flows.portal_world import PortalWorld
from wardgate.texts import Text, render

NEXT = {
    "en": "The user name or password is not right. Try again, or reset your password. Reference ",
    "tr": "Kullanıcı adı veya parola doğru değil. Yeniden deneyin veya parolanızı sıfırlayın. Referans ",
}


@pytest.mark.parametrize("language", ["en", "tr"])
async def test_wrong_password_leads_on_where_there_is_room(language: str) -> None:
    world = PortalWorld()
    await world.person("ada")
    async with world.browser(headers={"accept-language": language}) as browser:
        page = await browser.sign_in("ada", "wrong horse")
    [told] = re.findall(r'id="told">([^<]+)<', page.text)
    assert told[:-8] == NEXT[language]
    assert render(Text("signin.failed", {"ref": "7K3M9QXT"})) == "The user name or password is not right. Reference 7K3M9QXT"


async def test_account_with_a_password_alone_leads_to_where_a_second_way_is_added() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    await world.person("ada")
    async with world.browser() as browser:
        await browser.sign_in("ada")
        assert browser.path == "/account"
        ways = browser.page.text.split("Ways to prove that it is you")[1].split("</section>")[0]
    assert "Add a second way" in ways
    assert 'href="/account/authenticators"' in ways
