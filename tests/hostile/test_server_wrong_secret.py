"""A NAS that need not sign and has another secret: its garbled passwords lock nobody out, and the log names the cause."""

from tests.functional.harness import Served, Wire, wait_for
from tests.hostile.stronghold import LENIENT, MAIN, USERS
from tests.hostile.test_server_tells import log_page
from wardgate.radius.packet import Code
from wardgate.texts import Text, render


def test_a_wrong_secret_without_message_authenticator_locks_nobody_out(stronghold: Served) -> None:
    ada = USERS.with_app()
    with Wire(stronghold, "a-mistyped-secret", source=LENIENT) as mistyped, Wire(stronghold, source=LENIENT) as right:
        for _ in range(15):
            # Long, so that chance makes no text of it: one of 3,000 comes out as something that could be typed.
            mistyped.send(mistyped.request(ada.name, "p" * 60, client="198.51.100.231", message_authenticator="none"))
            assert mistyped.receive() is not None
        reply = right.log_in(ada.name, ada.password, client="198.51.100.231", message_authenticator="none")
        assert reply.code is Code.ACCESS_CHALLENGE


def test_a_wrong_secret_without_message_authenticator_is_named_with_the_cure(stronghold: Served) -> None:
    with Wire(stronghold, "a-mistyped-secret", source=LENIENT) as mistyped:
        mistyped.send(mistyped.request("ada", "p" * 60, message_authenticator="none"))
        assert mistyped.receive() is not None
    cure = render(Text("cure.wrong_secret", {"source": LENIENT, "nas": "lenient"}))
    wait_for(lambda: cure in log_page(stronghold), 5)


def test_a_control_character_in_a_signed_password_is_a_wrong_password_like_any_other(stronghold: Served) -> None:
    with Wire(stronghold, source=MAIN) as wire:
        assert wire.log_in("ada", b"\x01\x02 guess").code is Code.ACCESS_REJECT
