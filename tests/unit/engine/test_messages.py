"""The words around a code."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flows.world import World, the_default_policy
from wardgate.delivery.gsm import parts_of
from wardgate.delivery.port import Channel
from wardgate.engine.messages import SMS_MAX_CHARS, compose
from wardgate.engine.runtime import Application
from wardgate.engine.settings import ApplicationSettings, NoticeSettings
from wardgate.factors.port import Sending
from wardgate.texts import LANGUAGES


@dataclass
class Begun:
    """What a code is for."""

    goal: str
    language: str
    id: str = "t"
    reference: str = "ABCD1234"
    application: str = "vpn"
    realm: str = "acme"
    subject_id: str = "s"
    user_name: str = "ada"


def words(
    channel: Channel, language: str = "en", goal: str = "login", brand: str = "Acme", host: str = "", **settings: Any
) -> tuple[str, str]:
    notices = settings.pop("notices", None) or NoticeSettings()
    application = Application(ApplicationSettings(**{"name": "vpn", **settings}), the_default_policy())
    configuration = replace(World().configuration(), brands={"": brand}, notices=notices)
    sending = Sending(channel, "+905321234567", "123456")
    return compose(configuration, application, sending, 180, Begun(goal, language), host)


@pytest.mark.parametrize("goal", ["login", "reset", "unlock", "activate", "change"])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["radius", "portal"])
def test_message_says_whose_code_it_is_and_what_for(goal: str, language: str, kind: str) -> None:
    _, text = words(Channel.SMS, language, goal, title="Acme VPN", kind=kind, host="login.acme.test")
    assert "123456" in text
    assert "Acme" in text
    assert parts_of(text) == 1
    assert (text.splitlines()[-1] == "@login.acme.test #123456") is (kind == "portal")
    assert (language != "tr") or text.isascii()
    subject, body = words(Channel.EMAIL, language, goal, title="Acme VPN", kind=kind)
    assert "Acme" in subject
    assert "123456" not in subject, "subjects are shown on locked screens"
    assert "123456" in body
    assert "ABCD1234" in body
    assert "3" in body.replace("123456", "").replace("ABCD1234", "")
    says_application = goal == "login" and kind == "radius"
    assert ("Acme VPN" in subject) is ("Acme VPN" in body) is ("Acme VPN" in text) is says_application
    other = [words(Channel.EMAIL, language, each)[0] for each in ("login", "reset", "unlock", "activate", "change")]
    assert len(set(other)) == 5


@pytest.mark.parametrize("language", LANGUAGES)
def test_long_names_are_cut_until_the_code_fits_one_part(language: str) -> None:
    _, text = words(Channel.SMS, language, brand="Ç" * 60, title="Şirket Çok Uzun Ağ " * 6, sms_domain="login.acme.test")
    assert parts_of(text) == 1
    assert text.endswith("\n@login.acme.test #123456")


def test_turkish_letters_stay_where_an_operator_wants_them_and_they_fit_one_part() -> None:
    wide = NoticeSettings(ascii_only=())
    _, text = words(Channel.SMS, "tr", "reset", notices=wide)
    assert text == "Acme parola sıfırlama kodu: 123456. Kimseyle paylaşmayın."
    assert parts_of(text) == 1
    _, text = words(Channel.SMS, "tr", "reset", notices=wide, sms_domain="login.acme.test")
    assert text == "Acme parola sifirlama kodu: 123456. Kimseyle paylasmayin.\n@login.acme.test #123456"
    assert parts_of(text) == 1


def test_name_that_has_no_latin_letters_is_not_turned_into_question_marks() -> None:
    _, text = words(Channel.SMS, brand="Ακρόπολις")
    assert "Ακρόπολις" in text
    assert "?" not in text


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
