"""Logins that begin with a Kerberos ticket: what policy and directory make of it. Real tickets: functional/test_kerberos.py."""

import base64
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import httpx
import pytest

from tests.flows.plans import use_plan
from tests.flows.portal_world import PortalWorld
from wardgate.backup.epoch import open_epoch
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.engine.runtime import TicketPlace
from wardgate.engine.ticket_first import KEPT_MS
from wardgate.errors import KerberosUnavailable, Overloaded, SettingsError
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.kerberos.port import NotTaken, Service, Ticket, Why
from wardgate.policy.rules import compile_policy
from wardgate.policy.settings import (
    ActionEntrySettings,
    FloorSettings,
    FloorThenSettings,
    PolicySettings,
    RuleSettings,
    ThenSettings,
)
from wardgate.storage.port import Upsert

WHERE = "/sign-in/kerberos"
SID = bytes.fromhex("010500000000000515000000010203040506070809101112e8030000")
EITHER = (("password", "kerberos"),)
WITH_APP = (*EITHER, ("totp",))


class Tickets:
    """Takes what it was told to take."""

    def __init__(self) -> None:
        self.good: dict[bytes, Ticket] = {}
        self.error: Exception | None = None
        self.bindings: list[bytes] = []

    async def check(self, service: Service, shown: bytes, bindings: bytes) -> Ticket | NotTaken:
        self.bindings.append(bindings)
        if self.error is not None:
            raise self.error
        return self.good.get(shown, NotTaken(Why.INVALID, "it was not given"))


class TicketWorld(PortalWorld):
    """A portal whose people come from computers of a domain."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.checks = Tickets()
        self.tickets = self.checks
        service, networks = Service("HTTP/login.acme.test@ACME.TEST", "/etc/keytab"), (ip_network("203.0.113.0/24"),)
        self.ticket_places = (TicketPlace(self.directory, self.realms.default, service, networks, 36_000),)
        use_plan(self, *EITHER)

    async def ada(self, sid: bytes = SID, **fields: object) -> DirectoryUser:
        """Somebody in the domain."""
        return await self.person("ada", attributes={"objectSid": (sid.hex(),)}, **fields)

    def ticket(self, use: bytes = b"once", **fields: object) -> bytes:
        """What her browser sends."""
        usual = Ticket("ada", "ACME.TEST", SID, self.clock.now() - timedelta(minutes=5), use, b"ours")
        shown = use + repr(sorted(fields)).encode()
        self.checks.good[shown] = replace(usual, **fields)  # type: ignore[arg-type]
        return shown


async def brought(world: TicketWorld, shown: bytes, **headers: str) -> httpx.Response:
    async with world.browser() as browser:
        given = {"authorization": f"Negotiate {base64.b64encode(shown).decode()}", **headers}
        return await browser.client.get(f"{WHERE}?then=/account/sessions", headers=given)


def signed_in(reply: httpx.Response) -> bool:
    return reply.status_code == 303 and "__Host-wg_session" in reply.headers.get("set-cookie", "")


def refused(reply: httpx.Response) -> bool:
    return reply.status_code == 403 and "was not taken here" in reply.text and "www-authenticate" not in reply.headers


async def test_ticket_stands_for_the_password_where_a_rule_says_so() -> None:
    world = TicketWorld()
    await world.ada()
    reply = await brought(world, world.ticket())
    assert signed_in(reply)
    assert reply.headers["location"] == "/account/sessions"
    assert reply.headers["www-authenticate"] == f"Negotiate {base64.b64encode(b'ours').decode()}"


@pytest.mark.parametrize("steps", [(("password",),), (("password",), ("totp",)), (("totp",),)])
async def test_ticket_opens_nothing_where_no_rule_names_it(steps: tuple[tuple[str, ...], ...]) -> None:
    world = TicketWorld()
    await world.give_totp(await world.ada())
    use_plan(world, *steps)
    assert refused(await brought(world, world.ticket()))


async def test_ticket_is_no_second_factor() -> None:
    world = TicketWorld()
    use_plan(world, *WITH_APP)
    await world.give_totp(await world.ada())
    async with world.browser() as browser:
        given = {"authorization": f"Negotiate {base64.b64encode(world.ticket()).decode()}"}
        page = await browser._follow(await browser.client.get(WHERE, headers=given))
        browser.page = page
        assert "Enter the code from your app" in page.text
        done = await browser.client.post(
            browser.path, data=browser.filled(0, {"code": world.totp(), "act": "answer"}), headers={"sec-fetch-site": "same-origin"}
        )
        assert signed_in(done)


async def test_ticket_counts_as_no_strong_factor_under_a_floor() -> None:
    world = TicketWorld()
    use_plan(world, *EITHER, floors=[FloorSettings(name="administrators", then=FloorThenSettings(strong_factors=2))])
    await world.ada()
    reply = await brought(world, world.ticket())
    assert not signed_in(reply)


@pytest.mark.parametrize("never", ["kerberos", "password"])
async def test_floor_that_forbids_tickets_or_passwords_forbids_the_ticket(never: str) -> None:
    world = TicketWorld()
    use_plan(world, *EITHER, floors=[FloorSettings(name="typed", then=FloorThenSettings(never=(never,)))])
    await world.ada()
    assert not signed_in(await brought(world, world.ticket()))


async def test_ticket_alone_enrols_nothing() -> None:
    world = TicketWorld()
    use_plan(world, *EITHER, demands=[ActionEntrySettings(enrol="totp", level="forced", deferrals=0)])
    await world.ada()
    reply = await brought(world, world.ticket())
    assert not signed_in(reply)
    assert "/step/" not in reply.headers.get("location", "")


async def test_ticket_alone_chooses_no_new_password() -> None:
    """Who comes by an unlocked computer when a change is due would set his own, without knowing the present one."""
    world = TicketWorld()
    use_plan(world, *EITHER, demands=[ActionEntrySettings(change="password", every="30d", level="forced", deferrals=0)])
    await world.ada(password_changed_at=world.clock.now() - timedelta(days=31))
    reply = await brought(world, world.ticket())
    assert not signed_in(reply)
    assert "/step/" not in reply.headers.get("location", "")


async def test_ticket_confirms_nothing_in_a_session() -> None:
    """Who sits at the computer now has to say something of his own before the account is changed."""
    world = TicketWorld()
    await world.ada()
    async with world.browser() as browser:
        given = {"authorization": f"Negotiate {base64.b64encode(world.ticket()).decode()}"}
        assert signed_in(await browser.client.get(WHERE, headers=given))
        confirm = await browser.client.get("/confirm?then=/enrol/totp", headers=given)
        assert confirm.status_code == 200
        assert 'name="password"' in confirm.text
        assert "www-authenticate" not in confirm.headers


async def test_ticket_that_was_used_opens_nothing_a_second_time() -> None:
    world = TicketWorld()
    await world.ada()
    shown = world.ticket()
    assert signed_in(await brought(world, shown))
    assert refused(await brought(world, shown))
    assert signed_in(await brought(world, world.ticket(b"another")))


async def test_ticket_whose_login_was_not_finished_is_used_all_the_same() -> None:
    world = TicketWorld()
    use_plan(world, *WITH_APP)
    await world.give_totp(await world.ada())
    shown = world.ticket()
    assert (await brought(world, shown)).status_code == 303
    assert refused(await brought(world, shown))


async def test_ticket_opens_nothing_right_after_a_restore() -> None:
    """What was used a moment before is not known to the storage that came back."""
    world = TicketWorld()
    await world.ada()
    await _opened(world)
    assert refused(await brought(world, world.ticket()))
    world.later(KEPT_MS / 1000)
    assert signed_in(await brought(world, world.ticket(b"later")))


async def _opened(world: TicketWorld) -> None:
    await world.storage.commit([Upsert("installation", {"name": "epoch", "value": "1"})])
    await open_epoch(world.storage, world.ring, world.clock, "test", {})


@pytest.mark.parametrize("state", [AccountState.DISABLED, AccountState.LOCKED, AccountState.EXPIRED])
async def test_account_that_is_closed_reads_like_nobodys(state: AccountState) -> None:
    world = TicketWorld()
    await world.ada(state=state)
    closed = await brought(world, world.ticket())
    nobodys = await brought(world, world.ticket(b"other", sid=SID[:-1] + b"\1"))
    assert refused(closed)
    assert _without_chance(closed) == _without_chance(nobodys)


def _without_chance(reply: httpx.Response) -> tuple[int, int, list[str]]:
    return reply.status_code, len(reply.content), sorted(reply.headers)


async def test_password_that_has_to_be_changed_is_not_got_round() -> None:
    world = TicketWorld()
    await world.ada(must_change=True)
    assert refused(await brought(world, world.ticket()))


async def test_ticket_of_a_password_that_was_changed_since_is_refused() -> None:
    world = TicketWorld()
    await world.ada(password_changed_at=world.clock.now() - timedelta(minutes=1))
    assert refused(await brought(world, world.ticket()))


async def test_ticket_from_too_long_ago_is_refused() -> None:
    world = TicketWorld()
    await world.ada()
    assert refused(await brought(world, world.ticket(proved_at=world.clock.now() - timedelta(hours=10, seconds=1))))
    assert signed_in(await brought(world, world.ticket(b"later", proved_at=world.clock.now() - timedelta(hours=9))))


async def test_ticket_of_another_realm_is_refused() -> None:
    """Of a domain that trusts ours, or is trusted: its accounts are not this directory's."""
    world = TicketWorld()
    await world.ada()
    assert refused(await brought(world, world.ticket(realm="OTHER.TEST")))


@pytest.mark.parametrize("why", list(Why))
async def test_whatever_was_wrong_reads_alike(why: Why) -> None:
    world = TicketWorld()
    usual = await brought(world, b"unknown")

    async def check(service: Service, shown: bytes, bindings: bytes) -> NotTaken:
        return NotTaken(why)

    world.checks.check = check  # type: ignore[method-assign]
    assert _without_chance(await brought(world, b"other")) == _without_chance(usual)
    assert refused(usual)


async def test_without_the_library_people_sign_in_by_password() -> None:
    world = TicketWorld()
    world.checks.error = KerberosUnavailable("not here")
    assert refused(await brought(world, b"x"))


async def test_flood_of_tickets_is_refused_when_too_many_wait() -> None:
    world = TicketWorld()
    world.checks.error = Overloaded("too many")
    assert (await brought(world, b"x")).status_code == 503


async def test_browser_elsewhere_is_not_asked_and_what_it_brings_is_not_looked_at() -> None:
    world = TicketWorld()
    world.ticket_places = tuple(replace(each, networks=(ip_network("10.0.0.0/8"),)) for each in world.ticket_places)
    await world.ada()
    reply = await brought(world, world.ticket())
    assert (reply.status_code, reply.headers["location"]) == (303, "/sign-in?then=/account/sessions")
    assert world.checks.bindings == []


async def test_form_offers_it_to_those_who_are_asked_and_asks_them_once() -> None:
    world = TicketWorld()
    async with world.browser() as browser:
        assert WHERE in (await browser.get("/sign-in")).text
        asked = await browser.client.get(WHERE)
        assert asked.status_code == 401
        assert asked.headers["www-authenticate"] == "Negotiate"
        # Otherwise somebody without a ticket would be sent round in a circle.
        assert WHERE not in asked.text


async def test_right_password_still_opens_a_step_that_takes_either() -> None:
    world = TicketWorld()
    use_plan(world, *WITH_APP)
    await world.give_totp(await world.ada())
    async with world.browser() as browser:
        assert "Enter the code from your app" in (await browser.sign_in("ada")).text


def test_ticket_stands_only_beside_the_password() -> None:
    for steps in ((("kerberos",),), (("password",), ("totp", "kerberos")), (("password", "kerberos", "totp"),)):
        rule = RuleSettings(name="all", then=ThenSettings(steps=steps))
        with pytest.raises(SettingsError, match=r"\[password, kerberos\]"):
            compile_policy(PolicySettings(name="test", rules=(rule,)), KINDS, STRONG_KINDS)
