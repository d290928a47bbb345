"""A passkey as a proof of a reset and an unlock, by a browser without script and an authenticator of our own; and the attacks."""

import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from webauthn.helpers import decode_credential_public_key

from tests.flows.portal_world import BrowserOfTests, PortalWorld
from tests.flows.test_portal_passkeys import counter, give_passkey, options_on
from tests.flows.test_portal_recovery import NEW, UNLIKE, newest_code
from tests.software_passkey import SoftPasskey, b64
from wardgate.account.authenticator import AuthenticatorState
from wardgate.crypto import Secret
from wardgate.directory.port import AccountState, PasswordVerdict
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.factors.passkey import NOBODYS_KEY
from wardgate.factors.port import Site
from wardgate.factors.webauthn_checks import Signed, check_assertion
from wardgate.policy.rules import compile_policy
from wardgate.policy.settings import PolicySettings, RuleSettings, SelfServiceSettings, ThenSettings
from wardgate.storage.port import Update

DAY_S = 86_400


async def world_of_ada(**changes: Any) -> tuple[PortalWorld, SoftPasskey]:
    """Ada has a phone, and a passkey that she made the day before."""
    world = PortalWorld()
    user = await world.person("ada", phone="+905321234567")
    passkey = await give_passkey(world, user, **changes)
    world.later(DAY_S)
    return world, passkey


async def asked_first(browser: BrowserOfTests, name: str = "ada", goal: str = "/forgot") -> dict[str, Any]:
    """Go to the page that asks for a passkey before anything is proved; what its script hands to the browser."""
    await browser.get(goal)
    page = await browser.post(goal, username=name)
    assert 'value="passkey"' in page.text
    page = await browser.post(method="passkey", act="choose")
    assert "publickey-credentials-get=(self)" in page.headers["permissions-policy"]
    return options_on(page)


async def reasons(world: PortalWorld) -> list[str]:
    """Why the steps went as they did, in the audit trail."""
    steps = await world.payloads("engine:recovery:step")
    return [str(each.get("reason", "")) for each in steps]


async def test_passkey_that_was_unlocked_resets_the_password_alone() -> None:
    world, passkey = await world_of_ada()
    async with world.browser() as browser:
        options = await asked_first(browser)
        assert options["allowCredentials"] == []
        page = await browser.post(passkey=passkey.signed(options), act="answer")
        assert "Choose a new password" in page.text
        page = await browser.post(new_password=NEW, act="password")
        assert "Your password is changed" in page.text
    user = await world.directory.find("ada", 1.0)
    assert user is not None
    assert await world.directory.check_password(user, Secret(NEW), 1.0) is PasswordVerdict.RIGHT
    assert await counter(world) == 1


async def test_passkey_that_nobody_unlocked_is_one_proof_of_two() -> None:
    world, passkey = await world_of_ada(verifies=False)
    async with world.browser() as browser:
        options = await asked_first(browser)
        page = await browser.post(passkey=passkey.signed(options), act="answer")
        assert "One more proof" in page.text
        assert 'value="passkey"' not in page.text
        await browser.post(method="sms", act="choose")
        page = await browser.post(code=await newest_code(world), act="answer")
        assert "Choose a new password" in page.text


async def test_after_another_proof_the_browser_is_told_which_passkeys_are_the_persons() -> None:
    world, passkey = await world_of_ada(verifies=False)
    async with world.browser() as browser:
        blind = await asked_first(browser)
        await browser.post(form=1, act="other")
        await browser.post(method="sms", act="choose")
        page = await browser.post(code=await newest_code(world), act="answer")
        assert 'value="passkey"' in page.text
        options = options_on(await browser.post(method="passkey", act="choose"))
        assert [each["id"] for each in options["allowCredentials"]] == [passkey.id]
        assert options["challenge"] == blind["challenge"]
        page = await browser.post(passkey=passkey.signed(options), act="answer")
        assert "Choose a new password" in page.text


async def test_passkey_lifts_a_lock() -> None:
    world, passkey = await world_of_ada(verifies=False)
    user = await world.directory.find("ada", 1.0)
    assert user is not None
    world.directory.change_state(user, AccountState.LOCKED)
    async with world.browser() as browser:
        options = await asked_first(browser, goal="/unlock")
        page = await browser.post(passkey=passkey.signed(options), act="answer")
        assert "unlocked" in page.text
    after = await world.directory.find("ada", 1.0)
    assert after is not None
    assert after.state is AccountState.ACTIVE


# --- attacks -------------------------------------------------------------------------------------------------------------


async def pages_of(world: PortalWorld, name: str, shown: SoftPasskey) -> list[tuple[int, str, str]]:
    """What somebody sees who chooses the passkey, shows a wrong one three times, and then shows it again for the app."""
    pages: list[httpx.Response] = []
    async with world.browser() as browser:
        options = await asked_first(browser, name)
        pages += [browser.page, await browser.get(browser.path)]
        pages.append(await browser.post(passkey="", act="answer"))
        for _ in range(3):
            pages.append(await browser.post(passkey=shown.signed(options), act="answer"))
    found = []
    for page in pages:
        text = re.sub(UNLIKE, "", page.text).replace(name, "").replace(str(options["challenge"]), "").replace(browser.path, "")
        headers = {key: value for key, value in page.headers.items() if key not in ("set-cookie", "content-length")}
        found.append((page.status_code, text, repr(sorted(headers.items()))))
    return found


async def test_passkey_page_of_nobody_is_that_of_somebody() -> None:
    """Known with a passkey, known without one, disabled, and nobody: and the wrong passkey is somebody else's, or nobody's."""
    world, _ = await world_of_ada()
    await world.person("bob", phone="+905321234568")
    off = await world.person("off", state=AccountState.DISABLED)
    await give_passkey(world, off)
    others = await give_passkey(world, await world.person("eve"))
    seen = []
    for name in ("ada", "bob", "off", "nobody"):
        for shown in (others, SoftPasskey()):
            seen.append(await pages_of(world, name, shown))
            world.later(3600)
    assert [status for status, _, _ in seen[0]] == [200, 200, 422, 422, 422, 422]
    for number, pages in enumerate(zip(*seen, strict=True)):
        assert len(set(pages)) == 1, number


async def test_refusal_of_a_passkey_costs_the_same_check_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    world, _ = await world_of_ada()
    await world.person("bob")
    checked: list[bytes] = []

    def check(body: Mapping[str, Any], challenge: bytes, site: Site, public_key: bytes) -> Signed | None:
        decode_credential_public_key(public_key)
        checked.append(public_key)
        return check_assertion(body, challenge, site, public_key)

    monkeypatch.setattr("wardgate.factors.webauthn_checks.check_assertion", check)
    for name in ("ada", "bob", "nobody"):
        async with world.browser() as browser:
            options = await asked_first(browser, name)
            await browser.post(passkey=SoftPasskey().signed(options), act="answer")
    assert checked == [NOBODYS_KEY] * 3


async def test_passkey_of_somebody_else_resets_nothing_and_is_a_failed_try() -> None:
    world, _ = await world_of_ada()
    others = await give_passkey(world, await world.person("eve"))
    world.later(DAY_S)
    async with world.browser() as browser:
        options = await asked_first(browser)
        page = await browser.post(passkey=others.signed(options), act="answer")
        assert page.status_code == 422
        assert "2 tries left" in page.text
    assert await world.failures() == 1
    assert "passkey_unknown" in await reasons(world)


async def test_somebody_elses_handle_does_not_make_a_passkey_his() -> None:
    world, passkey = await world_of_ada()
    others = await give_passkey(world, await world.person("eve"))
    passkey.handle = others.handle
    async with world.browser() as browser:
        options = await asked_first(browser)
        page = await browser.post(passkey=passkey.signed(options), act="answer")
        assert page.status_code == 422


async def test_assertion_of_another_reset_is_worth_nothing() -> None:
    """The challenge belongs to one flow, and a flow to one browser."""
    world, passkey = await world_of_ada(count=None)
    async with world.browser() as victim, world.browser() as thief:
        theirs = await asked_first(victim)
        mine = await asked_first(thief)
        assert theirs["challenge"] != mine["challenge"]
        shown = passkey.signed(theirs)
        page = await thief.post(passkey=shown, act="answer")
        assert page.status_code == 422
        assert "2 tries left" in page.text
        stolen = await thief.client.get(victim.path)
        assert stolen.status_code == 410
        page = await victim.post(passkey=shown, act="answer")
        assert "Choose a new password" in page.text


async def test_assertion_is_refused_the_second_time() -> None:
    """A passkey that does not count gives itself away by nothing: the step that was taken does."""
    world, passkey = await world_of_ada(count=None)
    async with world.browser() as browser:
        options = await asked_first(browser)
        shown = passkey.signed(options)
        again = browser.filled(0, {"passkey": shown, "act": "answer"})
        await browser.post(passkey=shown, act="answer")
        replayed = await browser.post(**again)
        assert replayed.status_code == 409
    async with world.browser() as other:
        await asked_first(other)
        assert (await other.post(passkey=shown, act="answer")).status_code == 422


async def test_copy_of_a_passkey_resets_nothing() -> None:
    world, passkey = await world_of_ada(count=41)
    copy = SoftPasskey(credential=passkey.credential, key=passkey.key, handle=passkey.handle, count=10)
    async with world.browser() as browser:
        options = await asked_first(browser)
        assert (await browser.post(passkey=copy.signed(options), act="answer")).status_code == 422
    assert await counter(world) == 41
    assert "passkey_counter" in await reasons(world)


@pytest.mark.parametrize("kind", ["origin", "rp_id", "type", "challenge", "signature", "oversized", "deep", "code"])
async def test_forged_assertion_resets_nothing(kind: str) -> None:
    world, passkey = await world_of_ada()
    async with world.browser() as browser:
        options = await asked_first(browser)
        forged = {
            "origin": lambda: passkey.signed(options, origin="https://login.acme.test.evil.test"),
            "rp_id": lambda: SoftPasskey(
                rp_id="evil.test", credential=passkey.credential, key=passkey.key, handle=passkey.handle
            ).signed(options),
            "type": lambda: passkey.signed(options, type="webauthn.create"),
            "challenge": lambda: passkey.signed({**options, "challenge": b64(bytes(32))}),
            "signature": lambda: SoftPasskey(credential=passkey.credential, handle=passkey.handle).signed(options),
            "oversized": lambda: passkey.signed(options).ljust(8193),
            "deep": lambda: "[" * 4000,
            "code": lambda: "000000",
        }[kind]()
        page = await browser.post(passkey=forged, act="answer")
        assert page.status_code == 422
        assert "2 tries left" in page.text
    assert await world.failures() == 1


async def test_cancelled_dialogue_is_no_failed_try() -> None:
    world, _ = await world_of_ada()
    async with world.browser() as browser:
        await asked_first(browser)
        for _ in range(6):
            page = await browser.post(passkey="", act="answer")
            assert page.status_code == 422
            assert "No passkey was used" in page.text
    assert await world.failures() == 0


async def test_passkey_that_a_thief_of_a_session_made_resets_nothing_for_a_day() -> None:
    world = PortalWorld()
    passkey = await give_passkey(world, await world.person("ada", phone="+905321234567"))
    for seconds, enough in ((DAY_S - 60, False), (60, True)):
        world.later(seconds)
        async with world.browser() as browser:
            options = await asked_first(browser)
            page = await browser.post(passkey=passkey.signed(options), act="answer")
            assert ("Choose a new password" in page.text) is enough
            assert ("not enough" in page.text) is not enough


@pytest.mark.parametrize("state", [AuthenticatorState.HELD, AuthenticatorState.FROZEN, AuthenticatorState.REVOKED])
async def test_passkey_that_was_taken_away_or_is_held_resets_nothing(state: AuthenticatorState) -> None:
    world, passkey = await world_of_ada()
    [row] = await world.rows("authenticator")
    await world.storage.commit([Update("authenticator", {"id": row["id"]}, {"state": state.value})])
    async with world.browser() as browser:
        options = await asked_first(browser)
        page = await browser.post(passkey=passkey.signed(options), act="answer")
        assert page.status_code == 422
        assert "2 tries left" in page.text


async def test_passkey_reported_lost_after_it_was_shown_sets_no_password() -> None:
    world, passkey = await world_of_ada()
    [row] = await world.rows("authenticator")
    async with world.browser() as browser:
        options = await asked_first(browser)
        await browser.post(passkey=passkey.signed(options), act="answer")
        gone = {"state": AuthenticatorState.REVOKED.value}
        await world.storage.commit([Update("authenticator", {"id": row["id"]}, gone)])
        page = await browser.post(new_password=NEW, act="password")
        assert page.status_code == 410
        assert "not enough" in page.text


# --- where it is not offered ---------------------------------------------------------------------------------------------


async def test_pages_at_an_address_without_a_name_offer_nobody_a_passkey() -> None:
    world = PortalWorld(origin="https://127.0.0.1:8443")
    await give_passkey(world, await world.person("ada"))
    async with world.browser() as browser:
        for name in ("ada", "nobody"):
            await browser.get("/forgot")
            page = await browser.post(username=name)
            assert 'value="totp"' in page.text
            assert 'value="passkey"' not in page.text
            page = await browser.post(method="passkey", act="choose")
            assert page.status_code == 422
            assert 'class="passkey' not in page.text


async def test_policy_that_counts_no_passkey_offers_none() -> None:
    world, _ = await world_of_ada()
    nothing = SelfServiceSettings(weights={"passkey": 0})
    rules = (RuleSettings(name="all", then=ThenSettings(steps=(("password",), ("totp", "sms", "passkey")))),)
    world.policy = compile_policy(PolicySettings(name="p", rules=rules, self_service=nothing), KINDS, STRONG_KINDS)
    async with world.browser() as browser:
        await browser.get("/forgot")
        page = await browser.post(username="ada")
        assert 'value="totp"' in page.text
        assert 'value="passkey"' not in page.text


async def test_passkey_page_tells_who_has_no_script_of_the_other_ways() -> None:
    world, _ = await world_of_ada()
    async with world.browser() as browser:
        await asked_first(browser)
        assert "cannot use passkeys here" in browser.page.text
        page = await browser.post(form=1, act="other")
        assert 'value="sms"' in page.text
