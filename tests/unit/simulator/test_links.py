"""Where the window of a challenge leads to, as the simulator reads it."""

import pytest

from wardgate.simulator.links import LedTo, led_to
from wardgate.texts import LANGUAGES, Text, render

LINK = "https://login.acme.test:8443/approve/ABCD-EF0H"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("sentence", ["approve.ask_passkey", "approve.enrol"])
def test_a_link_that_the_window_shows_is_found(sentence: str, language: str) -> None:
    said = render(Text("approve.first"), language) + " " + render(Text(sentence, {"link": LINK}), language)
    assert led_to(said) == LedTo(link=LINK)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("sentence", ["approve.ask_passkey_sent", "approve.enrol_sent"])
@pytest.mark.parametrize("masked", ["+90 *** ** 67", "a***@e***.test"])
def test_a_link_that_was_sent_is_known_by_its_sentence(sentence: str, masked: str, language: str) -> None:
    said = render(Text(sentence, {"masked": masked}), language) + " " + render(Text("approve.again", {"word": "link"}), language)
    assert led_to(said) == LedTo(sent_to=masked)


@pytest.mark.parametrize(
    "said",
    ["Enter the code from your app.", "Enter the code sent to +90 *** ** 67.", "https://login.acme.test/approve/", LINK[:-1], ""],
)
def test_what_asks_for_a_code_leads_nowhere(said: str) -> None:
    assert led_to(said) is None
