"""The words around a code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flows.world import the_default_policy
from wardgate.delivery.port import Channel
from wardgate.engine.messages import SMS_MAX_CHARS, compose
from wardgate.engine.runtime import Application
from wardgate.engine.settings import ApplicationSettings


def words(channel: Channel, language: str = "en", **settings: object) -> tuple[str, str]:
    application = Application(ApplicationSettings(name="vpn", **settings), the_default_policy())  # type: ignore[arg-type]
    return compose(application, channel, "123456", 180, language, "ABCD1234")


@pytest.mark.parametrize("language", ["en", "tr"])
def test_a_message_holds_the_code_the_application_and_its_life(language: str) -> None:
    subject, text = words(Channel.SMS, language, title="Acme VPN")
    assert subject == ""
    assert "123456" in text
    assert "Acme VPN" in text
    assert "3" in text.replace("123456", "")
    assert len(text) <= 160
    subject, text = words(Channel.EMAIL, language, title="Acme VPN")
    assert "Acme VPN" in subject
    assert "123456" not in subject, "subjects are shown on locked screens"
    assert "ABCD1234" in text


def test_the_last_line_of_an_sms_binds_the_code_to_a_host() -> None:
    _, text = words(Channel.SMS, sms_domain="vpn.acme.test")
    assert text.splitlines()[-1] == "@vpn.acme.test #123456"


def test_an_operators_text_is_no_program() -> None:
    _, text = words(Channel.SMS, sms_text={"en": "{code.__class__} {0} {code!r} %s {application[0]} {code}"})
    assert text == "{code.__class__} {0} {code!r} %s {application[0]} 123456"


def test_an_own_text_in_another_language_is_not_used() -> None:
    assert "123456" in words(Channel.SMS, "tr", sms_text={"en": "only english {code}"})[1]
    assert "only english" not in words(Channel.SMS, "tr", sms_text={"en": "only english {code}"})[1]


def test_a_subject_is_one_line() -> None:
    """Or a title with a line break would write header lines of its own."""
    subject, _ = words(Channel.EMAIL, title="Acme\r\nBcc: everybody@acme.test")
    assert "\n" not in subject
    assert "\r" not in subject
    own, _ = words(Channel.EMAIL, email_subject={"en": "a\nb {application}"})
    assert own == "a b vpn"


@given(st.text(max_size=1000))
def test_an_sms_has_an_end(text: str) -> None:
    assert len(words(Channel.SMS, sms_text={"en": text})[1]) <= SMS_MAX_CHARS
