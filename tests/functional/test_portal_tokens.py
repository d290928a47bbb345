"""A hardware token that a person adds by its serial number, in a real Chromium."""

import pytest

from tests.functional.acceptance import FOURTH, shows
from tests.functional.portal_site import Site, Visit
from wardgate.account.token import create_token
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.factors.totp import hotp

pytestmark = pytest.mark.neighbour("chromium")

SEED = Secret(b"12345678901234567890")


@shows("A12", FOURTH)
def test_hardware_token_is_added_by_its_number_and_signs_in(site: Site, visit: Visit) -> None:
    site.ada()
    world = site.world
    made = create_token(world.ring, "A100042", "hotp", "Red", {"digits": 6}, SEED, 0, to_ms(world.clock.now()))
    site.run(world.storage.commit([made]))
    ada = visit()
    ada.sign_in_by_app()
    ada.follow("account.authenticators")
    ada.follow("token.add")
    ada.sees("token", ada.t("token.heading"))
    ada.field("token.serial").fill("a1000 42")
    ada.field("token.code").fill("000000")
    ada.press("account.activate")
    ada.sees("token-wrong", ada.t("token.heading"), status=422, error=True)
    ada.field("token.code").fill(hotp(SEED, 3, 6))
    ada.press("account.activate")
    ada.sees("ways-in-with-token", ada.t("account.authenticators"))
    again = visit()
    again.sign_in()
    again.page.locator("summary, a", has_text=again.t("sign.other_way")).first.click()
    again.choose("hotp")
    again.type_code(hotp(SEED, 4, 6))
    again.sees("account-by-token", again.t("account.overview"))
