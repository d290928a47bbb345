"""Many who have forgotten their passwords at once, on SQLite, with a slow gateway: `bench.portal` has the figures."""

import asyncio
import re
from pathlib import Path

from tests.flows.portal_world import PortalWorld
from tests.flows.world import a_storage
from tests.unit.delivery.fakes import FakeGateway, Timeline
from wardgate.crypto import Secret
from wardgate.delivery.outage import Outages
from wardgate.delivery.outbox import OutboxState
from wardgate.delivery.port import Message
from wardgate.delivery.worker import OutboxWorker
from wardgate.directory.port import PasswordVerdict

PEOPLE = 16
PATIENCE_S = 180.0
NEW = "a very long new passphrase {}"


class Crowd:
    """Sixteen people, and a gateway that takes no message before everybody's page has come."""

    def __init__(self, world: PortalWorld) -> None:
        self.world = world
        self.pages = asyncio.Barrier(PEOPLE + 1)
        self.taken: dict[str, list[str]] = {}
        self.gateway = FakeGateway("slow", self._takes)
        self.open = asyncio.Event()

    async def _takes(self, message: Message) -> str:
        await self.open.wait()
        self.taken.setdefault(message.to, []).append(message.text)
        return "taken"

    async def resets(self, number: int) -> str:
        """One of them, from the form to the last page."""
        world = self.world
        async with world.browser() as browser:
            await browser.get("/forgot")
            await browser.post("/forgot", username=f"user{number}")
            page = await browser.post(method="sms", act="choose")
            assert page.status_code == 200, "no page waits for a gateway"
            await self.pages.wait()
            await self.pages.wait()
            [code] = re.findall(r"\b\d{6}\b(?= is)", " ".join(self.taken[phone(number)]))
            await browser.post(code=code, act="answer")
            await browser.post(method="totp", act="choose")
            await browser.post(code=world.totp(), act="answer")
            page = await browser.post(new_password=NEW.format(number), act="password")
            assert page.status_code == 200
            return page.text


def phone(number: int) -> str:
    return f"+9053212345{number:02}"


async def test_a_crowd_that_resets_at_once_loses_no_page_and_gets_every_message_once(tmp_path: Path) -> None:
    async with a_storage("sqlite", tmp_path) as storage, asyncio.timeout(PATIENCE_S):
        world = PortalWorld(storage=storage)
        users = [await world.person(f"user{number}", phone=phone(number)) for number in range(PEOPLE)]
        for user in users:
            await world.give_totp(user)
        crowd = Crowd(world)
        outages = Outages(storage, world.clock, "w")
        outbox = OutboxWorker(
            storage,
            lambda: world.ring,
            world.clock,
            lambda: [crowd.gateway],
            Timeline(),
            outages,
            keep_text=False,
            holder="w",
            parallel=PEOPLE,
        )
        people = [asyncio.create_task(crowd.resets(number)) for number in range(PEOPLE)]
        await crowd.pages.wait()
        crowd.open.set()
        await outbox.deliver_due()
        assert {to: len(texts) for to, texts in crowd.taken.items()} == {phone(number): 1 for number in range(PEOPLE)}
        await crowd.pages.wait()
        texts = await asyncio.gather(*people)
        assert all("Your password is changed" in text for text in texts)
        await outbox.deliver_due()
        for number, user in enumerate(users):
            assert await world.directory.check_password(user, Secret(NEW.format(number)), 1.0) is PasswordVerdict.RIGHT
        rows = await storage.find("outbox")
        assert {row["state"] for row in rows} == {OutboxState.SENT.value}
        assert sum(map(len, crowd.taken.values())) == len(rows), "each once"
