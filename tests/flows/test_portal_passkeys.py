"""Passkeys on the portal, by a browser without script and an authenticator of our own; and what an attacker would try."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from typing import Any

import httpx
import pytest

from tests.flows.portal_world import OURS, BrowserOfTests, PortalWorld
from tests.flows.world import NAS, says
from tests.software_passkey import SoftPasskey, b64
from wardgate.directory.memory import Behaviour
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.engine.outcome import Challenge, Denied
from wardgate.engine.passkey_first import CHALLENGE_LIFE_MS
from wardgate.factors.passkey import handle_of
from wardgate.pages.door import SESSION_COOKIE
from wardgate.policy.settings import FloorSettings, FloorThenSettings, RuleSettings, ThenSettings

PASSWORD = ("password",)


def options_on(page: httpx.Response) -> dict[str, Any]:
    """What the page would have script hand to the browser."""
    found = re.search(r'data-options="(\{[^"]+\})"', page.text)
    assert found is not None, page.text
    options: dict[str, Any] = json.loads(unescape(found[1]))
    return options


async def give_passkey(world: PortalWorld, user: DirectoryUser, **changes: Any) -> SoftPasskey:
    """Enrol one behind the pages' back."""
    passkey = SoftPasskey(handle=handle_of(await world.subject_of(user)), **changes)
    settings = {"credential": passkey.id, "public_key": b64(passkey.public_key()), "transports": "internal", "by": "person"}
    await world._give(user, "passkey", b"", passkey.count or 0, settings)
    return passkey


async def first(browser: BrowserOfTests) -> dict[str, Any]:
    """What the sign-in page's script asks for."""
    await browser.get("/sign-in")
    reply = await browser.client.get("/sign-in/passkey")
    assert reply.status_code == 200
    options: dict[str, Any] = reply.json()
    assert options["allowCredentials"] == []
    return options


async def show(browser: BrowserOfTests, shown: str) -> httpx.Response:
    """Send what the passkey said from the sign-in page."""
    await browser.get("/sign-in")
    return await browser.post("/sign-in/passkey", form=1, passkey=shown)


async def counter(world: PortalWorld) -> int:
    [row] = [each for each in await world.rows("authenticator") if each["kind"] == "passkey"]
    return int(row["counter"] or 0)


# --- enrolment -----------------------------------------------------------------------------------------------------------


async def test_passkey_is_made_listed_and_removed() -> None:
    world = PortalWorld()
    user = await world.person("ada", mail="ada@acme.test")
    await world.give_totp(user)
    passkey = SoftPasskey()
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        page = await browser.get("/enrol/passkey")
        options = options_on(page)
        assert options["authenticatorSelection"] == {"residentKey": "preferred", "userVerification": "preferred"}
        assert options["attestation"] == "none"
        assert options["rp"]["id"] == "login.acme.test"
        assert "publickey-credentials-create=(self)" in page.headers["permissions-policy"]
        world.later(1)
        page = await browser.post(passkey=passkey.made(options), nickname="My phone")
        assert browser.path == "/enrol/recovery-codes"
        page = await browser.get("/account/authenticators")
        assert "My phone" in page.text
        # The next one is not to be made in the same place.
        options = options_on(await browser.get("/enrol/passkey"))
        assert [each["id"] for each in options["excludeCredentials"]] == [passkey.id]
        page = await browser.post(passkey=passkey.made(options))
        assert page.status_code == 409
        await browser.get("/account/authenticators")
        [row] = [each for each in await world.rows("authenticator") if each["kind"] == "passkey"]
        await browser.post(authenticator=str(row["id"]))
        assert "My phone" not in (await browser.get("/account/authenticators")).text
    kinds = [each["kind"] for each in await world.payloads("account:authenticator:added")]
    assert kinds == ["passkey"]
    assert len(await world.events("account:authenticator:revoked")) == 1
    assert sum("Added to your account" in each.text for each in await world.messages()) == 1


@pytest.mark.parametrize(
    "made",
    [
        lambda options: SoftPasskey(origin="https://login.acme.test.evil.test").made(options),
        lambda options: SoftPasskey(rp_id="evil.test").made(options),
        lambda options: SoftPasskey().made({**options, "challenge": b64(bytes(32))}),
        lambda options: SoftPasskey().made(options, format="packed", statement={"x5c": [b"certificate"]}),
        lambda options: SoftPasskey().made(options, format="tpm", statement={"ver": "2.0"}),
        lambda options: SoftPasskey().made(options, statement={"sig": b"x"}),
        lambda options: SoftPasskey().signed(options),
        lambda options: SoftPasskey().made(options).ljust(8193),
        lambda options: "[" * 4000,
        lambda options: "{}",
        lambda options: "",
    ],
    ids=[
        "origin",
        "rp_id",
        "challenge",
        "attested",
        "tpm",
        "none_with_signature",
        "assertion",
        "oversized",
        "deep",
        "empty",
        "nothing",
    ],
)
async def test_forged_passkey_is_not_enrolled(made: Callable[[dict[str, Any]], str]) -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        options = options_on(await browser.get("/enrol/passkey"))
        assert (await browser.post(passkey=made(options))).status_code == 422
    assert [row["kind"] for row in await world.rows("authenticator")] == ["totp"]


async def test_passkey_that_attests_itself_is_enrolled() -> None:
    """A browser leaves that in place of `none` where it tells nothing of the maker."""
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        options = options_on(await browser.get("/enrol/passkey"))
        world.later(1)
        await browser.post(passkey=SoftPasskey().made(options, format="packed"))
        assert browser.path == "/enrol/recovery-codes"


async def test_stolen_session_makes_no_passkey_after_five_minutes() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        options = options_on(await browser.get("/enrol/passkey"))
        world.later(301)
        await browser.post(passkey=SoftPasskey().made(options))
        assert browser.path == "/confirm"
    assert [row["kind"] for row in await world.rows("authenticator")] == ["totp"]


# --- second factor -------------------------------------------------------------------------------------------------------


async def test_passkey_follows_the_password() -> None:
    world = PortalWorld()
    user = await world.person("ada")
    passkey = await give_passkey(world, user)
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        assert "publickey-credentials-get=(self)" in page.headers["permissions-policy"]
        options = options_on(page)
        assert [each["id"] for each in options["allowCredentials"]] == [passkey.id]
        assert len(options["challenge"]) == 43
        await browser.post(passkey=passkey.signed(options), act="answer")
        assert browser.path == "/account"
    assert await counter(world) == 1
    [granted] = await world.payloads("engine:login:granted")
    assert granted["factors"] == ["password", "passkey", "user_verified"]


def forged(kind: str, right: SoftPasskey, others: SoftPasskey, options: dict[str, Any]) -> str:
    """What an attacker would send instead of the right answer."""
    if kind == "origin":
        return right.signed(options, origin="https://login.acme.test.evil.test")
    if kind == "rp_id":
        right.rp_id = "evil.test"
    if kind == "type":
        return right.signed(options, type="webauthn.create")
    if kind == "challenge":
        return right.signed({**options, "challenge": b64(bytes(32))})
    if kind == "signature":
        return SoftPasskey(credential=right.credential, handle=right.handle).signed(options)
    if kind == "handle":
        right.handle = others.handle
    if kind == "oversized":
        return right.signed(options).ljust(8193)
    if kind == "deep":
        return "[" * 4000
    return right.signed(options)


@pytest.mark.parametrize("kind", ["origin", "rp_id", "type", "challenge", "signature", "oversized", "deep"])
async def test_forged_assertion_is_a_failed_try(kind: str) -> None:
    world = PortalWorld()
    right = await give_passkey(world, await world.person("ada"))
    others = await give_passkey(world, await world.person("bob"))
    async with world.browser() as browser:
        options = options_on(await browser.sign_in("ada"))
        page = await browser.post(passkey=forged(kind, right, others, options), act="answer")
        assert page.status_code == 422
        assert "2 tries left" in page.text
    assert not await world.rows("sso_session")
    assert await world.failures() == 1


@pytest.mark.parametrize("kind", ["somebody_elses", "handle"])
async def test_passkey_of_somebody_else_opens_nothing_and_is_no_failed_try(kind: str) -> None:
    world = PortalWorld()
    right = await give_passkey(world, await world.person("ada"))
    others = await give_passkey(world, await world.person("bob"))
    async with world.browser() as browser:
        options = options_on(await browser.sign_in("ada"))
        for _ in range(4):
            shown = others.signed(options) if kind == "somebody_elses" else forged(kind, right, others, options)
            page = await browser.post(passkey=shown, act="answer")
            assert page.status_code == 422
            assert "no longer known" in page.text
    assert await world.failures() == 0
    assert not await world.rows("sso_session")


async def test_assertion_of_another_login_is_worth_nothing() -> None:
    world = PortalWorld()
    passkey = await give_passkey(world, await world.person("ada"), count=None)
    async with world.browser() as browser:
        shown = passkey.signed(options_on(await browser.sign_in("ada")))
        await browser.post(passkey=shown, act="answer")
        assert browser.path == "/account"
    async with world.browser() as thief:
        await thief.sign_in("ada")
        assert (await thief.post(passkey=shown, act="answer")).status_code == 422
        assert SESSION_COOKIE not in thief.client.cookies


async def test_copy_of_a_passkey_is_found_by_its_counter() -> None:
    world = PortalWorld()
    passkey = await give_passkey(world, await world.person("ada"), count=41)
    async with world.browser() as browser:
        options = options_on(await browser.sign_in("ada"))
        copy = SoftPasskey(credential=passkey.credential, key=passkey.key, handle=passkey.handle, count=10)
        page = await browser.post(passkey=copy.signed(options), act="answer")
        assert page.status_code == 422
    assert await counter(world) == 41
    [wrong] = await world.payloads("engine:login:answer_wrong")
    assert wrong["reason"] == "passkey_counter"


async def test_what_needs_a_page_is_never_offered_over_radius() -> None:
    world = PortalWorld()
    ada, bob = await world.person("ada"), await world.person("bob")
    await give_passkey(world, ada)
    await world.give_totp(ada)
    await give_passkey(world, bob)
    challenge = await world.begin("ada", application="portal")
    assert isinstance(challenge, Challenge)
    assert (challenge.factor, challenge.ways) == ("totp", ())
    repeated = await world.answer(challenge, "passkey", name="ada")
    assert isinstance(repeated, Challenge)
    assert repeated.factor == "totp"
    refusal = await world.begin("bob", application="portal")
    assert isinstance(refusal, Denied)
    assert refusal.reason == "factor_not_here"
    assert "cannot be used here" in says(refusal)
    assert NAS.site is None


async def test_two_strong_factors_are_met_by_one_verified_passkey() -> None:
    for verifies in (True, False):
        world = PortalWorld()
        two = FloorSettings(name="administrators", then=FloorThenSettings(strong_factors=2))
        world.use_policy([RuleSettings(name="all", then=ThenSettings(steps=(PASSWORD, ("totp", "passkey"))))], [two])
        user = await world.person("ada")
        passkey = await give_passkey(world, user, verifies=verifies)
        await world.give_totp(user)
        async with world.browser() as browser:
            await browser.sign_in("ada")
            page = await browser.post(method="passkey", act="other")
            page = await browser.post(passkey=passkey.signed(options_on(page)), act="answer")
            assert (browser.path == "/account") is verifies
            if not verifies:
                await browser.post(code=world.totp(), act="answer")
                assert browser.path == "/account"


async def test_step_that_takes_no_passkey_is_not_spared_by_one() -> None:
    world = PortalWorld()
    world.use_policy([RuleSettings(name="all", then=ThenSettings(steps=(PASSWORD, ("passkey",), ("totp",))))])
    user = await world.person("ada")
    passkey = await give_passkey(world, user)
    await world.give_totp(user)
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        await browser.post(passkey=passkey.signed(options_on(page)), act="answer")
        assert browser.path.startswith("/step/")
        await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"


# --- passkey first -------------------------------------------------------------------------------------------------------


async def test_verified_passkey_signs_in_by_itself() -> None:
    world = PortalWorld()
    passkey = await give_passkey(world, await world.person("ada", display_name="Ada Lovelace"))
    async with world.browser() as browser:
        page = await show(browser, passkey.signed(await first(browser)))
        assert browser.path == "/account"
        assert "Ada Lovelace" in page.text
    [granted] = await world.payloads("engine:login:granted")
    assert granted["factors"] == ["passkey", "user_verified"]
    assert granted["assurance"] == 2
    assert await counter(world) == 1


async def test_passkey_that_nobody_unlocked_does_not_stand_for_the_password() -> None:
    world = PortalWorld()
    passkey = await give_passkey(world, await world.person("ada"), verifies=False)
    async with world.browser() as browser:
        page = await show(browser, passkey.signed(await first(browser)))
        assert 'value="ada"' in page.text
        assert "asks for your password as well" in page.text
        page = await browser.post("/sign-in", username="ada", password="correct horse")
        await browser.post(passkey=passkey.signed(options_on(page)), act="answer")
        assert browser.path == "/account"


async def test_administrator_types_his_password_as_well() -> None:
    world = PortalWorld()
    two = FloorSettings(name="administrators", then=FloorThenSettings(strong_factors=2))
    world.use_policy([RuleSettings(name="all", then=ThenSettings(steps=(PASSWORD, ("totp", "passkey"))))], [two])
    passkey = await give_passkey(world, await world.person("frank"))
    async with world.browser() as browser:
        page = await show(browser, passkey.signed(await first(browser)))
        assert "asks for your password as well" in page.text
    assert not await world.rows("sso_session")


async def test_passkey_opens_nothing_where_the_plan_takes_none() -> None:
    world = PortalWorld()
    passkey = await give_passkey(world, await world.person("ada"))
    for steps in ((PASSWORD,), (PASSWORD, ("totp",))):
        world.use_policy([RuleSettings(name="all", then=ThenSettings(steps=steps))])
        async with world.browser() as browser:
            page = await show(browser, passkey.signed(await first(browser)))
            assert "does not open" in page.text
    assert not await world.rows("sso_session")


async def test_assertion_that_was_used_opens_no_second_session() -> None:
    world = PortalWorld()
    passkey = await give_passkey(world, await world.person("ada"), count=None)
    async with world.browser() as browser:
        shown = passkey.signed(await first(browser))
        await show(browser, shown)
        assert browser.path == "/account"
        browser.client.cookies.delete(SESSION_COOKIE)
        assert (await show(browser, shown)).status_code == 422
    assert len(await world.rows("sso_session")) == 1


async def test_used_question_is_refused_to_the_browser_that_it_was_asked_of() -> None:
    world = PortalWorld()
    passkey = await give_passkey(world, await world.person("ada"), count=None)
    async with world.browser() as browser:
        shown = passkey.signed(await first(browser))
        before = browser.client.cookies["__Host-wg_browser"]
        await show(browser, shown)
    async with world.browser(cookies={"__Host-wg_browser": before}) as browser:
        page = await show(browser, shown)
        assert page.status_code == 422
        assert "no longer known" in page.text
    assert len(await world.rows("sso_session")) == 1


async def test_one_answer_sent_many_times_at_once_opens_one_session() -> None:
    world = PortalWorld()
    passkey = await give_passkey(world, await world.person("ada"), count=None)
    async with world.browser() as browser:
        shown = passkey.signed(await first(browser))
        await browser.get("/sign-in")
        form = browser.filled(1, {"passkey": shown})
        posts = [browser.client.post("/sign-in/passkey", data=form, headers=OURS) for _ in range(8)]
        replies = await asyncio.gather(*posts)
    assert sorted(reply.status_code for reply in replies) == [303, *[422] * 7]
    assert len(await world.rows("sso_session")) == 1
    assert len(await world.events("engine:login:granted")) == 1


async def test_password_that_has_to_be_changed_holds_the_passkey_up() -> None:
    world = PortalWorld()
    passkey = await give_passkey(world, await world.person("erin", must_change=True))
    async with world.browser() as browser:
        page = await show(browser, passkey.signed(await first(browser)))
        assert page.status_code == 422
    assert not await world.rows("sso_session")


async def test_new_person_with_an_old_name_inherits_no_passkey() -> None:
    world = PortalWorld()
    old = await world.person("ada")
    passkey = await give_passkey(world, old)
    world.directory.remove(old)
    await world.person("ada")
    async with world.browser() as browser:
        page = await show(browser, passkey.signed(await first(browser)))
        assert page.status_code == 422
    assert not await world.rows("sso_session")


async def test_directory_that_does_not_answer_lets_no_passkey_in() -> None:
    world = PortalWorld()
    passkey = await give_passkey(world, await world.person("ada"))
    async with world.browser() as browser:
        options = await first(browser)
        world.directory.behaviour = Behaviour.UNAVAILABLE
        assert (await show(browser, passkey.signed(options))).status_code == 503
    assert not await world.rows("sso_session")


async def test_question_of_another_browser_and_an_old_one_are_refused_uncounted() -> None:
    world = PortalWorld()
    passkey = await give_passkey(world, await world.person("ada"))
    async with world.browser() as victim, world.browser() as thief:
        shown = passkey.signed(await first(victim))
        assert "open too long" in (await show(thief, shown)).text
        options = await first(thief)
        world.later(CHALLENGE_LIFE_MS / 1000)
        assert "open too long" in (await show(thief, passkey.signed(options))).text
        forged_options = {**options, "challenge": b64(bytes(32))}
        assert "open too long" in (await show(thief, passkey.signed(forged_options))).text
    assert not await world.rows("brake")


async def test_stranger_learns_nothing_but_unknown() -> None:
    """Unknown, removed, of a disabled person, wrongly signed: one status and one page; only the unknown one is to be forgotten."""
    world = PortalWorld()
    known = await give_passkey(world, await world.person("ada"))
    disabled = await give_passkey(world, await world.person("bob", state=AccountState.DISABLED))
    pages = set()
    tried = {
        "unknown": SoftPasskey(handle=bytes(16)),
        "unknown of a known person": SoftPasskey(handle=known.handle),
        "nobody's": SoftPasskey(),
        "disabled": disabled,
        "wrongly signed": SoftPasskey(credential=known.credential, handle=known.handle),
    }
    for passkey in tried.values():
        async with world.browser() as browser:
            page = await show(browser, passkey.signed(await first(browser)))
            assert page.status_code == 422
            text = re.sub(r'name="csrf" value="\w+"|data-forget="[^"]*"', "", page.text)
            pages.add((text, repr(sorted((k, v) for k, v in page.headers.items() if k not in ("set-cookie", "content-length")))))
    assert len(pages) == 1
    reasons = {each["reason"] for each in await world.payloads("engine:login:denied")}
    assert reasons == {"passkey_unknown", "passkey_wrong", "account_disabled"}


async def test_wrong_signatures_are_braked_and_unknown_passkeys_are_not() -> None:
    world = PortalWorld()
    known = await give_passkey(world, await world.person("ada"))
    async with world.browser() as browser:
        for _ in range(8):
            unknown = SoftPasskey(handle=known.handle)
            assert (await show(browser, unknown.signed(await first(browser)))).status_code == 422
        assert await world.failures() == 0
        wrong = SoftPasskey(credential=known.credential, handle=known.handle)
        statuses = [(await show(browser, wrong.signed(await first(browser)))).status_code for _ in range(7)]
        assert statuses == [*[422] * 5, *[429] * 2]


async def test_guesses_at_the_password_do_not_stop_the_passkey() -> None:
    world = PortalWorld()
    passkey = await give_passkey(world, await world.person("ada"))
    async with world.browser() as stranger:
        for _ in range(7):
            page = await stranger.sign_in("ada", "guess")
        assert "Too many tries" in page.text
    async with world.browser() as browser:
        await show(browser, passkey.signed(await first(browser)))
        assert browser.path == "/account"


async def test_no_passkeys_at_an_address_without_a_name() -> None:
    world = PortalWorld(origin="https://127.0.0.1:8443")
    user = await world.person("ada")
    await world.give_totp(user)
    await give_passkey(world, user)
    async with world.browser() as browser:
        assert 'class="passkey' not in (await browser.get("/sign-in")).text
        assert (await browser.client.get("/sign-in/passkey")).status_code == 404
        await browser.post(username="ada", password="correct horse")
        await browser.post(code=world.totp(), act="answer")
        page = await browser.get("/enrol/passkey")
        assert "https://localhost:8443/enrol/passkey" in page.text
    async with world.browser(headers={"host": "localhost:8443"}) as browser:
        reply = await browser.client.get("/sign-in/passkey")
        assert reply.status_code == 200
    # A name of somebody else's that leads here is no name of ours.
    async with world.browser(headers={"host": "evil.test"}) as browser:
        assert (await browser.client.get("/sign-in/passkey")).status_code == 404


async def test_password_managers_are_told_where_passkeys_are() -> None:
    async with PortalWorld().browser() as browser:
        reply = await browser.client.get("/.well-known/passkey-endpoints")
        ours = "https://login.acme.test"
        assert reply.json() == {"enroll": f"{ours}/enrol/passkey", "manage": f"{ours}/account/authenticators"}
    async with PortalWorld(origin="https://127.0.0.1:8443").browser() as browser:
        assert (await browser.client.get("/.well-known/passkey-endpoints")).status_code == 404
    async with PortalWorld(hosts=frozenset({"login.acme.test"})).browser() as browser:
        reply = await browser.client.get("/.well-known/passkey-endpoints", headers={"host": "evil.test"})
        assert reply.status_code == 421


async def test_pages_without_passkeys_permit_none() -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        page = await browser.get("/forgot")
        assert "publickey-credentials-get=()" in page.headers["permissions-policy"]
        page = await browser.get("/sign-in")
        assert "publickey-credentials-get=(self)" in page.headers["permissions-policy"]
        assert "publickey-credentials-create=()" in page.headers["permissions-policy"]


async def test_checking_library_is_loaded_only_for_who_uses_a_passkey() -> None:
    code = "import sys, wardgate.app; sys.exit('webauthn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
