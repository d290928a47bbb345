"""Neighbours that fail amid a journey, in a real Chromium: gateways that send nothing, and a lost answer of a directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator

from tests.flows.plans import use_plan
from tests.flows.test_password_writes import LingeringWorld
from tests.functional.acceptance import FOURTH, THIRD, shows
from tests.functional.chromium import Loop
from tests.functional.portal_site import Site, Visit, Visitor
from wardgate.crypto import Secret
from wardgate.delivery.port import Channel
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import DirectoryUser
from wardgate.engine.reconciling import Reconciling
from wardgate.errors import DirectoryUnavailable

pytestmark = pytest.mark.neighbour("chromium")

NEW = "A very long new passphrase of 1816"
NO_GATEWAY = frozenset({Channel.SMS, Channel.EMAIL})


@pytest.fixture
def site(loop: Loop, tmp_path: Path) -> Iterator[Site]:
    """A portal that asks again what became of a password whose answer was lost."""
    one = Site(loop, tmp_path, LingeringWorld())
    yield one
    one.close()


def told(person: Visitor) -> Locator:
    """Where the page would say that nothing could be sent."""
    return person.page.get_by_text(person.t("code.not_sent"))


def asks_for_a_proof(person: Visitor, kind: str) -> None:
    """Say that the password is forgotten, and choose the first proof."""
    person.open("/forgot")
    person.field("sign.user_name").fill("ada")
    person.press("sign.continue")
    person.choose(kind)


@shows("A16", THIRD)
def test_dead_gateway_is_told_after_the_password_and_silent_before_any_proof(site: Site, visit: Visit) -> None:
    use_plan(site.world, ["password"], ["sms", "totp"])
    site.ada()
    site.world.down = NO_GATEWAY
    ada, stranger = visit(), visit()
    ada.sign_in()
    ada.reads("code.not_sent")
    ada.sees("gateway-down", ada.t("sign.step_sms"))
    ada.follow("sign.other_way")
    ada.choose("totp")
    assert not told(ada).count()
    ada.type_code(site.world.totp())
    ada.page.wait_for_url("**/account")
    asks_for_a_proof(stranger, "sms")
    stranger.sees("gateway-down-unproved", stranger.t("sign.step_sms"))
    assert not told(stranger).count()


@shows("A16", FOURTH)
def test_lost_answer_is_told_as_unknown_and_found_out_when_the_directory_is_back(
    site: Site, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = site.world
    assert isinstance(world, LingeringWorld)
    codes = site.ada()

    async def written_but_not_answered(user: DirectoryUser, new: Secret, must_change: bool, timeout_s: float) -> None:
        await MemoryDirectory.reset_password(world.directory, user, new, must_change, timeout_s)
        raise DirectoryUnavailable("the connection broke")

    ada = visit()
    ada.secrets += [NEW, codes[0]]
    asks_for_a_proof(ada, "totp")
    ada.type_code(world.totp())
    ada.choose("recovery_code")
    ada.type_code(codes[0])
    ada.field("recover.new_password_label").fill(NEW)
    with monkeypatch.context() as patched:
        patched.setattr(world.directory, "reset_password", written_but_not_answered)
        ada.press("recover.set_password")
    ada.sees("unknown-result", ada.t("recover.closed_heading"), status=503)
    site.later(61)
    assert site.run(Reconciling(world.parts()).run_once()) == 1
    ada.follow("recover.look_again")
    ada.sees("found-out", ada.t("recover.done_pw_found_set"))
