"""A forgotten password and a locked account on the portal, by a browser without script; and what an attacker would try."""

import asyncio
import re

import httpx
import pytest

from tests.flows.portal_world import OURS, PortalWorld
from tests.flows.world import elsewhere
from wardgate.account.contact import Source, compared, contact_key, create_contact, kept_contacts, prefer
from wardgate.account.subject import create_subject
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import AccountState, ContactKind, DirectoryUser, PasswordVerdict
from wardgate.directory.realm import Realm, Realms
from wardgate.directory.settings import RealmSettings
from wardgate.engine.self_service.starting import SOURCE_STARTS_PER_HOUR
from wardgate.engine.self_service.weighing import ages_of
from wardgate.engine.settings import SendingSettings
from wardgate.errors import DirectoryUnavailable
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.policy.rules import compile_policy
from wardgate.policy.settings import FloorSettings, FloorThenSettings, PolicySettings, RuleSettings, ThenSettings
from wardgate.storage.port import Operation

UNLIKE = r'name="csrf" value="\w+"|<bdi class="reference">\w+</bdi>|Reference:? \w{8}'
NEW = "a very long new passphrase"


async def newest_code(world: PortalWorld) -> str:
    """What was sent last."""
    return next(each.code for each in await world.messages() if each.code)


async def reset_with_app_and_text_message(world: PortalWorld, name: str = "ada") -> None:
    """The whole journey."""
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username=name)
        assert browser.path.startswith("/recover/")
        await browser.post(method="totp", act="choose")
        page = await browser.post(code=world.totp(), act="answer")
        assert "One more proof" in page.text
        await browser.post(method="sms", act="choose")
        page = await browser.post(code=await newest_code(world), act="answer")
        assert "Choose a new password" in page.text
        page = await browser.post(new_password=NEW, act="password")
        assert page.status_code == 200
        assert "Your password is changed" in page.text
        assert NEW not in page.text


async def test_two_proofs_reset_the_password_and_end_what_was_open() -> None:
    world = PortalWorld()
    user = await world.person("ada", phone="+905321234567", mail="ada@acme.test")
    await world.give_totp(user)
    async with world.browser() as old:
        await old.sign_in("ada")
        await old.post(code=world.totp(), act="answer")
        world.later(60)
        await reset_with_app_and_text_message(world)
        await old.get("/account")
        assert old.path == "/sign-in"
    assert await world.directory.check_password(user, Secret(NEW), 1.0) is PasswordVerdict.RIGHT
    texts = [each.text for each in await world.messages()]
    assert sum("begun to reset" in text for text in texts) == 1
    assert sum("password was" in text.lower() for text in texts) >= 2
    kinds = [str(row["kind"]) for row in await world.storage.find("audit_event")]
    assert "engine:recovery:done" in kinds
    assert "directory:password:set" in kinds


async def test_name_of_nobody_gets_the_same_pages_and_no_message() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada", phone="+905321234567"))
    await world.person("bob", state=AccountState.DISABLED, phone="+905321234568")
    seen: list[list[tuple[int, str, str]]] = []
    for name in ("ada", "nobody", "bob"):
        pages = []
        async with world.browser() as browser:
            await browser.get("/forgot")
            fields = [{"username": name}, {"method": "sms", "act": "choose"}]
            fields += [{"code": f"00000{number}", "act": "answer"} for number in range(3)]
            fields += [{"method": "totp", "act": "choose"}, *({"code": f"00000{number}", "act": "answer"} for number in range(2))]
            for sent in fields:
                page = await browser.post(**sent)
                body = re.sub(UNLIKE, "", page.text).replace(name, "")
                headers = {key: value for key, value in page.headers.items() if key not in ("set-cookie", "content-length")}
                pages.append((page.status_code, body, repr(sorted(headers.items()))))
        seen.append(pages)
    for number, (one, other, third) in enumerate(zip(*seen, strict=True)):
        assert one == other == third, number
    assert {each.user for each in await world.messages()} <= {"ada"}


async def test_directory_that_is_down_tells_nothing_of_a_name() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada", phone="+905321234567"))
    seen: list[list[int]] = []
    for name in ("ada", "nobody"):
        world.directory.behaviour = Behaviour.ANSWERS
        async with world.browser() as browser:
            await browser.get("/forgot")
            await browser.post("/forgot", username=name)
            address, form = browser.path, browser.filled(0, {"method": "totp", "act": "choose"})
            world.directory.behaviour = Behaviour.UNAVAILABLE
            shown = await browser.client.get(address)
            chosen = await browser.client.post(address, data=form, headers=OURS)
            seen.append([shown.status_code, chosen.status_code])
    assert seen == [[200, 503], [200, 503]]


@pytest.mark.parametrize("down", ["first", "second"])
async def test_outage_of_one_of_two_directories_tells_no_name_of_either_from_nobodys(down: str) -> None:
    world, second = PortalWorld(), MemoryDirectory("second")
    settings = RealmSettings(name="acme", default=True, directories=("local", "second"), reply_floor_ms=0)
    world.realms = Realms([Realm(settings, (world.directory, second))])
    await world.give_totp(await world.person("ada", phone="+905321234567"))
    bob = second.add("bob", "correct horse", phone="+905329876543")
    _, operations = create_subject("second", bob.immutable_id, to_ms(world.clock.now()))
    await world.storage.commit(operations)
    await world.give_totp(bob)
    # Whom somebody was let in as before is looked for in his own directory first.
    for name in ("ada", "bob"):
        async with world.browser() as browser:
            await browser.sign_in(name)
            await browser.post(code=world.totp(), act="answer")
            assert browser.path == "/account"
    directory = world.directory if down == "first" else second
    seen: list[list[int]] = []
    for name in ("ada", "bob", "nobody"):
        directory.behaviour = Behaviour.ANSWERS
        async with world.browser() as browser, world.browser() as late:
            await browser.get("/forgot")
            await browser.post("/forgot", username=name)
            address, form = browser.path, browser.filled(0, {"method": "sms", "act": "choose"})
            directory.behaviour = Behaviour.UNAVAILABLE
            shown = await browser.client.get(address)
            chosen = await browser.client.post(address, data=form, headers=OURS)
            await late.get("/forgot")
            begun = await late.client.post("/forgot", data=late.filled(0, {"username": name}), headers=OURS)
            seen.append([shown.status_code, chosen.status_code, begun.status_code])
    assert seen == [[200, 503, 503]] * 3
    assert not [each for each in await world.messages() if each.code]


@pytest.mark.parametrize("name", ["ada", "nobody"])
async def test_no_step_before_the_first_proof_leaves_before_the_realms_floor(name: str) -> None:
    """Whoever is somebody is looked up, and may be sent a message: by the time of the reply it would show."""
    world = PortalWorld(floor_ms=400)
    await world.person("ada", phone="+905321234567")
    slept: list[float] = []

    async def note(seconds: float) -> None:
        slept.append(seconds)

    async with world.browser() as browser:
        await browser.get("/forgot")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("wardgate.portal.recovery.asyncio.sleep", note)
            await browser.post("/forgot", username=name)
            await browser.post(method="sms", act="choose")
            await browser.post(code="000000", act="answer")
    assert slept == [pytest.approx(0.4, abs=0.1)] * 3


async def test_mailbox_behind_the_forgotten_password_counts_nothing() -> None:
    world = PortalWorld()
    user = await world.person("bob", mail="bob@acme.test", phone="+905321234567")
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username="bob")
        await browser.post(method="email", act="choose")
        code = await newest_code(world)
        page = await browser.post(code=code, act="answer")
        assert page.status_code == 410
        assert "not enough" in page.text
    assert await world.directory.check_password(user, Secret("correct horse"), 1.0) is PasswordVerdict.RIGHT


@pytest.mark.parametrize("spelling", ["bob@xn--bcher-kva.test", "Bob@BÜCHER.test", "bob@bu\u0308cher.test", "bob@bücher.test."])
async def test_mailbox_behind_the_forgotten_password_counts_nothing_however_it_is_written(spelling: str) -> None:
    world = PortalWorld()
    user = await world.person("bob", mail="bob@bücher.test", phone="+905321234567")
    subject, old_ms = await world.subject_of(user), to_ms(world.clock.now()) - 30 * 86_400_000
    mail = create_contact(world.ring, subject, ContactKind.MAIL, spelling, Source.OPERATOR, old_ms, old_ms)
    await world.storage.commit(mail)
    [rows] = await world.storage.read([kept_contacts(subject)])
    await world.storage.commit(prefer(rows, ContactKind.MAIL, rows[0]["value_key"]))  # type: ignore[arg-type]
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username="bob")
        await browser.post(method="sms", act="choose")
        page = await browser.post(code=await newest_code(world), act="answer")
        assert page.status_code == 410
        assert "not enough" in page.text


async def test_contact_on_hold_is_on_hold_however_it_is_written() -> None:
    world = PortalWorld()
    user = await world.person("bob", phone="+905321234567")
    subject, now_ms = await world.subject_of(user), to_ms(world.clock.now())
    made = create_contact(world.ring, subject, ContactKind.MAIL, "bob@bücher.test", Source.PERSON, now_ms, now_ms)
    await world.storage.commit(made)
    [rows] = await world.storage.read([kept_contacts(subject)])
    ages = ages_of(world.ring, rows, (), {})
    assert ages.contacts[compared("BOB@xn--bcher-kva.test")] == now_ms
    [key] = [row["value_key"] for row in rows]
    assert contact_key(world.ring, subject, ContactKind.MAIL, "bob@XN--BCHER-KVA.test") == key


async def test_code_that_has_run_out_is_told_after_the_first_proof_and_never_before() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada", phone="+905321234567"))
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username="ada")
        await browser.post(method="sms", act="choose")
        code = await newest_code(world)
        world.later(200)
        page = await browser.post(code=code, act="answer")
        assert page.status_code == 422
        assert "run out" not in page.text
        assert len(await world.messages()) == 1
    world.later(3600)
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username="ada")
        await browser.post(method="totp", act="choose")
        await browser.post(code=world.totp(), act="answer")
        await browser.post(method="sms", act="choose")
        code, sent = await newest_code(world), len([each for each in await world.messages() if each.code])
        world.later(200)
        page = await browser.post(code=code, act="answer")
        assert page.status_code == 422
        assert "That code has run out. A new one is on its way." in page.text
        assert len([each for each in await world.messages() if each.code]) == sent + 1
        page = await browser.post(code=await newest_code(world), act="answer")
        assert "Choose a new password" in page.text


async def test_private_mailbox_and_phone_are_enough_after_the_hold_and_not_before() -> None:
    world = PortalWorld()
    user = await world.person("bob", phone="+905321234567")
    subject, now_ms = await world.subject_of(user), to_ms(world.clock.now())
    mail = create_contact(world.ring, subject, ContactKind.MAIL, "bob@home.test", Source.PERSON, now_ms, now_ms)
    await world.storage.commit(mail)
    for hours, enough in ((1, False), (24, True)):
        world.later(hours * 3600)
        async with world.browser() as browser:
            await browser.get("/forgot")
            await browser.post("/forgot", username="bob")
            await browser.post(method="sms", act="choose")
            code = await newest_code(world)
            page = await browser.post(code=code, act="answer")
            assert ("One more proof" in page.text) is enough
            assert ("not enough" in page.text) is not enough


async def test_code_sent_to_a_new_phone_does_not_count_as_the_old_one() -> None:
    """Whoever has a stolen session prefers his own phone, has the code sent there, and prefers the old phone before he answers."""
    for resent in (False, True):
        world = PortalWorld()
        user = await world.person("ada", phone="+905321234567")
        await world.give_totp(user)
        subject, now_ms = await world.subject_of(user), to_ms(world.clock.now())
        await world.storage.commit(
            create_contact(world.ring, subject, ContactKind.PHONE, "+905329876543", Source.PERSON, now_ms, now_ms)
        )
        await world.storage.commit(await preferred(world, user, yes=True))
        async with world.browser() as browser:
            await browser.get("/forgot")
            await browser.post("/forgot", username="ada")
            await browser.post(method="sms", act="choose")
            [sent] = [each for each in await world.messages() if each.code]
            assert sent.to == "+905329876543"
            await world.storage.commit(await preferred(world, user, yes=False))
            if resent:
                world.later(60)
                await browser.post(act="choose", method="sms")
                assert {each.to for each in await world.messages() if each.code} == {"+905329876543", "+905321234567"}
            page = await browser.post(code=sent.code, act="answer")
            assert page.status_code == 422
            assert "One more proof" not in page.text


async def preferred(world: PortalWorld, user: DirectoryUser, *, yes: bool) -> list[Operation]:
    """Prefer his own phone, or none of his own."""
    [rows] = await world.storage.read([kept_contacts(await world.subject_of(user))])
    key = rows[0]["value_key"]
    return prefer(rows, ContactKind.PHONE, key if yes and isinstance(key, bytes) else None)


async def test_recovery_codes_that_a_thief_of_a_session_made_reset_nothing_for_a_day() -> None:
    world = PortalWorld()
    await world.person("bob", phone="+905321234567")
    async with world.browser() as browser:
        await browser.sign_in("bob")
        await browser.post(code=await newest_code(world), act="answer")
        await browser.get("/enrol/recovery-codes")
        page = await browser.post()
        assert re.search(r"\w{4}-\w{4}-\w{5}", page.text)
    for hours, enough in ((1, False), (24, True)):
        world.later(hours * 3600)
        async with world.browser() as browser:
            await browser.get("/forgot")
            await browser.post("/forgot", username="bob")
            await browser.post(method="sms", act="choose")
            page = await browser.post(code=await newest_code(world), act="answer")
            assert ("One more proof" in page.text) is enough
            assert ("not enough" in page.text) is not enough


async def test_thief_who_prefers_his_own_phone_does_not_hide_a_reset_from_its_owner() -> None:
    world = PortalWorld()
    user = await world.person("ada", phone="+905321234567")
    await world.give_totp(user)
    subject, day_ago = await world.subject_of(user), to_ms(world.clock.now()) - 86_400_000
    phone = create_contact(world.ring, subject, ContactKind.PHONE, "+905329876543", Source.PERSON, day_ago, day_ago)
    await world.storage.commit(phone)
    await world.storage.commit(await preferred(world, user, yes=True))
    await reset_with_app_and_text_message(world)
    told = [each.to for each in await world.messages() if not each.code]
    assert [to for to in told if to == "+905321234567"] == ["+905321234567"] * 2


async def test_administrator_needs_two_strong_factors_and_no_message_helps() -> None:
    world = PortalWorld()
    strict = FloorThenSettings(strong_factors=2, never=("sms", "email"))
    floors = (FloorSettings(name="administrators", when={"user": ["ada"]}, then=strict),)
    rules = (RuleSettings(name="all", then=ThenSettings(steps=(("password",), ("totp", "sms")))),)
    world.policy = compile_policy(PolicySettings(name="p", rules=rules, floors=floors), KINDS, STRONG_KINDS)
    user = await world.person("ada", phone="+905321234567")
    await world.give_totp(user)
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username="ada")
        await browser.post(method="totp", act="choose")
        page = await browser.post(code=world.totp(), act="answer")
        assert "not enough" in page.text
    codes = await world.give_recovery_codes(user)
    world.later(60)
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username="ada")
        await browser.post(method="totp", act="choose")
        page = await browser.post(code=world.totp(), act="answer")
        assert 'value="sms"' not in page.text
        await browser.post(method="recovery_code", act="choose")
        page = await browser.post(code=codes[0], act="answer")
        assert "Choose a new password" in page.text


async def test_refused_password_keeps_the_proofs() -> None:
    world = PortalWorld()
    user = await world.person("ada", phone="+905321234567")
    await world.give_totp(user)
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username="ada")
        await browser.post(method="totp", act="choose")
        await browser.post(code=world.totp(), act="answer")
        await browser.post(method="sms", act="choose")
        await browser.post(code=await newest_code(world), act="answer")
        for short in ("", " ", "7 chars"):
            page = await browser.post(new_password=short, act="password")
            assert page.status_code == 422
        page = await browser.post(new_password="correct horse", act="password")
        assert page.status_code in (200, 422)


async def test_stolen_session_and_device_end_though_the_answer_to_the_new_password_is_lost() -> None:
    world = PortalWorld()
    user = await world.person("ada", phone="+905321234567")
    await world.give_totp(user)

    async def write_and_die(user: DirectoryUser, new: Secret, must_change: bool, timeout_s: float) -> None:
        await type(world.directory).reset_password(world.directory, user, new, must_change, timeout_s)
        raise DirectoryUnavailable("the connection broke")

    async with world.browser() as stolen, world.browser() as browser:
        await stolen.sign_in("ada")
        await stolen.post(code=world.totp(), act="answer", trust_device="yes")
        assert stolen.path == "/account"
        world.later(60)
        await browser.get("/forgot")
        await browser.post("/forgot", username="ada")
        await browser.post(method="totp", act="choose")
        await browser.post(code=world.totp(), act="answer")
        await browser.post(method="sms", act="choose")
        await browser.post(code=await newest_code(world), act="answer")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world.directory, "reset_password", write_and_die)
            page = await browser.post(new_password=NEW, act="password")
        assert page.status_code == 503
        await stolen.get("/account")
        assert stolen.path == "/sign-in"
    assert await world.storage.find("sso_session") == []
    assert await world.storage.find("trusted_device") == []


async def test_eight_forms_at_once_set_one_password() -> None:
    world = PortalWorld()
    user = await world.person("ada", phone="+905321234567")
    await world.give_totp(user)
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username="ada")
        await browser.post(method="totp", act="choose")
        await browser.post(code=world.totp(), act="answer")
        await browser.post(method="sms", act="choose")
        await browser.post(code=await newest_code(world), act="answer")
        form, cookies = browser.filled(0, {"act": "password"}), dict(browser.client.cookies)

        async def send(number: int) -> httpx.Response:
            async with world.browser(cookies=cookies) as copy:
                return await copy.client.post(browser.path, data={**form, "new_password": f"{NEW} {number}"}, headers=OURS)

        replies = await asyncio.gather(*(send(number) for number in range(8)))
    assert sum("Your password is changed" in reply.text for reply in replies) >= 1
    events = [row for row in await world.storage.find("audit_event") if row["kind"] == "directory:password:set"]
    assert len(events) == 1


async def test_fourth_reset_in_a_week_is_refused_after_the_proofs() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada", phone="+905321234567"))
    for _ in range(3):
        await reset_again(world)
        world.later(3600)
    page = await reset_again(world)
    assert page.status_code == 410
    assert "3 times" in page.text
    world.later(7 * 86_400)
    page = await reset_again(world)
    assert "Your password is changed" in page.text


async def reset_again(world: PortalWorld) -> httpx.Response:
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username="ada")
        await browser.post(method="totp", act="choose")
        await browser.post(code=world.totp(), act="answer")
        await browser.post(method="sms", act="choose")
        code = await newest_code(world)
        await browser.post(code=code, act="answer")
        return await browser.post(new_password=f"{NEW} {to_ms(world.clock.now())}", act="password")


async def test_starts_are_braked_alike_for_somebody_and_nobody() -> None:
    world = PortalWorld()
    await world.person("ada")
    for name in ("ada", "nobody"):
        async with world.browser() as browser:
            statuses = []
            for _ in range(7):
                await browser.get("/forgot")
                statuses.append((await browser.post("/forgot", username=name)).status_code)
        assert statuses == [200] * 5 + [429] * 2


async def test_one_source_fills_no_table_with_starts_for_many_names() -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        await browser.get("/forgot")
        replies = [
            await browser.client.post("/forgot", data=browser.filled(0, {"username": f"n{number}"}), headers=OURS)
            for number in range(SOURCE_STARTS_PER_HOUR + 3)
        ]
    assert [reply.status_code for reply in replies] == [303] * SOURCE_STARTS_PER_HOUR + [429] * 3
    assert "Too many requests come from your network" in replies[-1].text
    for table in ("self_service", "page_step"):
        assert len(await world.storage.find(table)) == SOURCE_STARTS_PER_HOUR, table


async def test_flow_of_another_browser_is_not_there() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser, world.browser() as thief:
        await browser.get("/forgot")
        await browser.post("/forgot", username="ada")
        await thief.get("/forgot")
        assert (await thief.get(browser.path)).status_code == 410


async def test_answer_of_an_old_page_proves_nothing() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada", phone="+905321234567"))
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username="ada")
        await browser.post(method="totp", act="choose")
        old = browser.filled(0, {"act": "answer", "code": world.totp()})
        await browser.post(code="000000", act="answer")
        reply = await browser.client.post(browser.path, data=old, headers=OURS)
        assert reply.status_code == 409
        assert "already done" in reply.text


async def test_locked_account_is_opened_and_one_that_is_not_locked_is_told_so() -> None:
    world = PortalWorld()
    user = await world.person("dave", phone="+905321234567")
    await world.give_totp(user)
    world.directory.change_state(user, AccountState.LOCKED)
    results = []
    for _ in range(2):
        async with world.browser() as browser:
            await browser.get("/unlock")
            await browser.post("/unlock", username="dave")
            await browser.post(method="totp", act="choose")
            page = await browser.post(code=world.totp(), act="answer")
            if "One more proof" in page.text:
                await browser.post(method="sms", act="choose")
                page = await browser.post(code=await newest_code(world), act="answer")
            results.append(page.text)
        world.later(60)
    assert "is open again" in results[0]
    assert "was not locked" in results[1]


async def test_account_that_an_administrator_closed_is_told_of_after_the_proof_and_looks_like_nobodys_before() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("bob", state=AccountState.DISABLED))
    seen = []
    for name in ("bob", "nobody"):
        pages = []
        async with world.browser() as browser:
            await browser.get("/unlock")
            for sent in ({"username": name}, {"method": "totp", "act": "choose"}, {"code": world.wrong_code(), "act": "answer"}):
                page = await browser.post(**sent)
                pages.append((page.status_code, re.sub(UNLIKE, "", page.text).replace(name, "")))
            page = await browser.post(code=world.totp(), act="answer")
            pages.append(("cannot be opened here" in page.text, page.status_code))
        seen.append(pages)
    assert seen[0][:3] == seen[1][:3]
    assert seen[0][3] == (True, 410)
    assert seen[1][3] == (False, 422)
    user = await world.directory.find("bob", 1.0)
    assert user is not None
    assert user.state is AccountState.DISABLED


async def test_reset_pumps_no_messages_to_a_closed_prefix_and_looks_as_ever() -> None:
    world = PortalWorld()
    await world.person("ada", phone="+882123456789")
    world.sending = SendingSettings(sms_prefixes=("+90",))
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username="ada")
        page = await browser.post(method="sms", act="choose")
        assert "If your account has a phone number" in page.text
    assert not await world.messages()


async def test_resets_of_many_names_send_no_more_than_the_cap() -> None:
    world = PortalWorld()
    world.sending = SendingSettings(sms_per_day=3)
    for number in range(6):
        await world.person(f"user{number}", phone=f"+90532123456{number}")
        async with world.browser() as browser:
            await browser.get("/forgot")
            await browser.post("/forgot", username=f"user{number}")
            await browser.post(method="sms", act="choose")
    assert len(await world.messages()) == 3


async def attacked(world: PortalWorld, name: str, network: int) -> None:
    """Others guess at it until no stranger's password is looked at any more."""
    for number in range(world.brakes.user_failures):
        await world.begin(name, "guess", origin=elsewhere(client=f"10.{network}.{number}.1"), application="portal")


async def greeted(world: PortalWorld, address: str, name: str = "dave") -> bool:
    """Whether his password is looked at when it comes from there."""
    world.address = address
    async with world.browser() as browser:
        page = await browser.sign_in(name)
        return "Too many tries" not in page.text


async def test_unlock_clears_our_own_waits_too_and_his_home_stays_known() -> None:
    world, home = PortalWorld(), "203.0.113.7"
    user = await world.person("dave", phone="+905321234567")
    await world.give_totp(user)
    async with world.browser() as browser:
        await browser.sign_in("dave")
        await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"
    world.directory.change_state(user, AccountState.LOCKED)
    await attacked(world, "dave", 0)
    world.later(60)
    assert not await greeted(world, "198.51.100.1")
    world.address = home
    async with world.browser() as browser:
        await browser.get("/unlock")
        await browser.post("/unlock", username="dave")
        await browser.post(method="totp", act="choose")
        page = await browser.post(code=world.totp(), act="answer")
        assert "is open again" in page.text
    assert await greeted(world, "198.51.100.1")
    # The guesses go on: they make a stranger wait again, and not him at home.
    await attacked(world, "dave", 1)
    assert not await greeted(world, "198.51.100.2")
    assert await greeted(world, home)
