"""The launchpad: which applications a person sees, and what his list of sessions says of them."""

from tests.flows.plans import use_plan
from tests.flows.portal_world import PortalWorld
from tests.flows.saml_world import a_party
from tests.flows.test_saml_sign_in import a_world, sign_in
from wardgate.federation.relying_party import Launchpad


async def test_application_that_policy_closes_is_not_shown_and_one_that_asks_for_more_says_so() -> None:
    world = await a_world(parties=tuple(map(a_party, ("wiki", "mail", "shop"))))
    usual = world.policy
    use_plan(world, deny=True)
    world.policies["shop"] = world.policy
    use_plan(world, ("password",))
    world.policies |= {"wiki": usual, "mail": world.policy}
    async with world.browser() as browser:
        await browser.sign_in("ada", then="/apps")
        assert browser.path == "/apps", browser.page.text
        assert [name in browser.page.text for name in ("Wiki", "Mail", "Shop")] == [True, True, False]
        assert browser.page.text.count("asks for one more step") == 1


async def test_search_is_a_get_that_works_without_script() -> None:
    world = await a_world(parties=tuple(map(a_party, ("wiki", "mail", "shop", "time", "paper", "print", "plans"))))
    async with world.browser() as browser:
        await browser.sign_in("ada", then="/apps")
        await browser.post(code=world.totp(), act="answer")
        assert 'action="/apps"' in browser.page.text
        page = await browser.get("/apps?q=PAPE")
        assert ("Paper" in page.text, "Print" in page.text) == (True, False)
        page = await browser.get("/apps?q=<script>")
        assert "No application has that name" in page.text
        assert "<script>" not in page.text.replace('<script type="module"', "")


async def test_opened_from_the_launchpad_it_asks_for_nothing_and_the_session_lists_it() -> None:
    elsewhere = Launchpad(address="https://mail.acme.test/start", titles={"en": "Post", "tr": "Posta"})
    world = await a_world(parties=(a_party(), a_party("mail", launchpad=elsewhere)))
    async with world.browser() as browser:
        await browser.sign_in("ada", then="/apps")
        await browser.post(code=world.totp(), act="answer")
        assert 'href="https://mail.acme.test/start"' in browser.page.text
        assert 'href="/saml/start/wiki"' in browser.page.text
        await browser.get("/saml/start/wiki")
        assert browser.told().status == ("Success", "")
        page = await browser.get("/account/sessions")
        assert "Wiki" in page.text
        assert "Post" not in page.text


async def test_session_of_an_application_comes_to_the_launchpad_by_the_portals_policy() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask()
        await sign_in(browser, world)
        await browser.get("/")
        assert browser.path == "/apps"


async def test_without_applications_there_is_no_launchpad() -> None:
    world = await a_world(parties=(a_party(launchpad=Launchpad(shown=False)),))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        assert 'href="/apps"' not in browser.page.text
        assert (await browser.get("/apps")).status_code == 404
    plain = PortalWorld()
    async with plain.browser() as other:
        assert (await other.get("/apps")).status_code == 404
