"""A run that exercises everything; then a search for each secret in every row, every timeline and every log line.

And the audit chain verifies after it, with an event for each thing that happened.
"""

import base64
import logging
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.flows.test_storage_faults import FaultyStorage
from tests.flows.world import SECRET, World, elsewhere, floor, is_granted, rule
from wardgate.audit.recorder import Recorder
from wardgate.crypto import Secret
from wardgate.directory.memory import Behaviour
from wardgate.engine.outcome import Challenge, Outcome
from wardgate.engine.settings import BrakeSettings
from wardgate.errors import StorageUnavailable
from wardgate.factors.totp import hotp
from wardgate.storage.shapes import SHAPES

PASSWORD = "Tr0ub4dor-und-3-Pferde"
GUESS = "Wr0ng-Passw0rd-Guess"
PHONE, MAIL = "+905321234567", "carol.secretname@acme.test"


class Run:
    """Everything that can happen to a login, and what was said in it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.codes: set[str] = set()
        self.handles: set[bytes] = set()

    async def begin(self, name: str, password: str | None = PASSWORD, **options: Any) -> Outcome:
        self.codes.add(str(options.get("code") or ""))
        return self.seen(await self.world.begin(name, password, **options))

    async def answer(self, challenge: Outcome, answer: str, name: str, **options: Any) -> Outcome:
        if any(char.isdigit() for char in answer):
            self.codes.add(answer)
        return self.seen(await self.world.answer(challenge, answer, name=name, **options))

    def seen(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Challenge):
            self.handles.add(outcome.handle)
        return outcome

    async def everything(self) -> None:
        world = self.world
        ada = await world.person("ada", PASSWORD)
        await world.give_totp(ada)
        await world.person("bob", PASSWORD, phone=PHONE)
        await world.person("carol", PASSWORD, mail=MAIL)
        dave = await world.person("dave", PASSWORD, phone=PHONE, mail=MAIL, groups=("admins",))
        await world.give_totp(dave)
        self.sheet = await world.give_recovery_codes(dave)
        erin = await world.person("erin", PASSWORD)
        await world.give_hotp(erin)
        await world.person("frank", PASSWORD)
        world.directory.add("newbie", PASSWORD, phone=PHONE)

        challenge = await self.begin("ada")
        challenge = await self.answer(challenge, world.wrong_code(), "ada")
        assert is_granted(await self.answer(challenge, world.totp(), "ada", fingerprint=b"p"))
        await self.answer(challenge, world.totp(), "ada", fingerprint=b"p")
        await self.answer(challenge, world.totp(1), "ada")
        await self.begin("ada", world.totp())
        await self.answer(await self.begin("ada"), world.totp(), "ada")
        world.later(30)
        await self.begin("ada", code=world.totp(), can_challenge=False)
        await self.begin("ada", code=world.wrong_code(), can_challenge=False)
        await self.begin("ada", GUESS)
        await self.begin("nobody", GUESS)
        await self.begin("frank")
        for name in ("bob", "carol", "newbie"):
            challenge = await self.begin(name)
            self.codes.add(await world.code(name))
            await self.begin(name)
            world.later(31)
            challenge = await self.answer(challenge, "sms", name) if name != "carol" else challenge
            self.codes.add(await world.code(name))
            await self.answer(challenge, await world.code(name), name)
        challenge = await self.begin("dave")
        challenge = await self.answer(challenge, "recovery", "dave")
        challenge = await self.answer(challenge, "sms", "dave")
        challenge = await self.answer(challenge, "", "dave")
        challenge = await self.answer(challenge, "recovery", "dave")
        await self.answer(challenge, self.sheet[0], "eve")
        await self.answer(challenge, self.sheet[0], "dave", origin=elsewhere(binding="radius:other:"))
        assert is_granted(await self.answer(challenge, self.sheet[0], "dave"))
        challenge = await self.begin("erin")
        await self.answer(challenge, hotp(Secret(SECRET), 0, 6), "erin")
        world.use_policy([rule("all", ["password"], ["totp", "recovery_code"])], [floor("two", strong=2)])
        challenge = await self.begin("dave")
        await self.answer(await self.answer(challenge, world.totp(), "dave"), self.sheet[1], "dave")
        world.use_policy([rule("nobody", deny=True)])
        await self.begin("ada")
        world.directory.behaviour = Behaviour.UNAVAILABLE
        await self.begin("ada")
        world.directory.behaviour = Behaviour.ANSWERS
        for _ in range(8):
            await self.begin("bob", GUESS)

    def secrets(self) -> dict[str, list[bytes]]:
        """Each secret in every form in which it might be written."""
        found = {
            "password": [PASSWORD.encode(), GUESS.encode()],
            "phone": [PHONE.encode(), PHONE[1:].encode(), PHONE[3:].encode()],
            "mail": [MAIL.encode()],
            "authenticator secret": _forms(SECRET),
            "code": [code.encode() for code in self.codes if code],
            "recovery code": [form.encode() for code in self.sheet[:2] for form in (code, code.replace("-", ""), code.lower())],
            "State": [form for handle in self.handles for form in _forms(handle)],
        }
        assert all(found.values())
        return found


def _forms(value: bytes) -> list[bytes]:
    return [
        value,
        value.hex().encode(),
        value.hex().upper().encode(),
        base64.b64encode(value).rstrip(b"="),
        base64.urlsafe_b64encode(value).rstrip(b"="),
        base64.b32encode(value).rstrip(b"="),
        repr(value).encode(),
    ]


def octets(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


async def test_no_secret_is_written_to_any_table_timeline_or_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    run = Run(world)
    recorder = Recorder(world.storage, lambda: world.ring, world.clock)
    with caplog.at_level(logging.DEBUG), capture_logs() as lines:
        await run.everything()
        for trail in world.trails:
            recorder.publish(trail)
        await recorder.flush()
    written = {f"log: {line.get('event')}": octets(line) for line in lines}
    written |= {f"log: {record.name}": octets(record.getMessage()) for record in caplog.records}
    for table in SHAPES:
        for number, row in enumerate(await world.rows(table)):
            written |= {f"{table}.{column} of row {number}": octets(value) for column, value in row.items()}
    assert len([place for place in written if place.startswith("timeline.body")]) > 40

    for kind, forms in run.secrets().items():
        for form in forms:
            places = [place for place, text in written.items() if form in text]
            # Digits of a code turn up by accident in longer numbers, such as times and ids.
            places = [place for place in places if kind != "code" or not _inside_a_longer_run(written[place], form)]
            assert places == [], (kind, places)


def _inside_a_longer_run(text: bytes, code: bytes) -> bool:
    """Whether each place where these digits stand is part of a longer word."""
    at = text.find(code)
    while at >= 0:
        around = text[max(0, at - 1) : at] + text[at + len(code) : at + len(code) + 1]
        if not any(chr(octet).isalnum() or octet > 127 for octet in around):
            return False
        at = text.find(code, at + 1)
    return True


def test_the_search_finds_what_it_looks_for() -> None:
    assert not _inside_a_longer_run(b'{"code":"123456"}', b"123456")
    assert not _inside_a_longer_run(b"typed 123456", b"123456")
    assert _inside_a_longer_run(b"1795251234567", b"123456")
    assert base64.b32encode(SECRET).rstrip(b"=") in _forms(SECRET)


async def test_the_chain_verifies_after_everything_and_each_grant_is_in_it(world: World) -> None:
    await Run(world).everything()
    found = await world.verified()
    assert (found.findings, found.erased) == ((), 0)
    kinds = [str(event["kind"]) for event in await world.events()]
    assert kinds.count("engine:login:granted") == sum(trail.result == "granted" for trail in world.trails)
    assert {
        "engine:login:granted",
        "engine:login:denied",
        "engine:login:challenged",
        "engine:login:answer_wrong",
        "engine:code:sent",
        "engine:brake:locked",
        "account:subject:created",
    } <= set(kinds)


async def test_each_request_leaves_one_timeline_with_its_reason(world: World) -> None:
    recorder = Recorder(world.storage, lambda: world.ring, world.clock)
    await Run(world).everything()
    for trail in world.trails:
        recorder.publish(trail)
        assert trail.result, trail.steps
        assert trail.reason, trail.steps
    await recorder.flush()
    assert len(await world.rows("timeline")) == len(world.trails)


async def test_an_error_on_the_way_names_no_secret(world: World) -> None:
    """What a door logs when something breaks inside."""
    world.brakes = BrakeSettings(user_source_failures=1000)
    run = Run(world)
    await run.everything()
    faulty = FaultyStorage(world.storage)
    world.storage = faulty
    engine = world.another_engine()
    texts = []
    for at in range(1, 8):
        faulty.watch("read", at)
        try:
            await world.begin("ada", GUESS, code="424242", engine=engine)
        except StorageUnavailable as error:
            texts.append(f"{error!r} {error.message} {error.__context__!r}")
    assert texts
    assert not any(GUESS in text or "424242" in text for text in texts)
