"""Language of pages, and that every page speaks each of them whole."""

import re
import string
from pathlib import Path

import pytest

import wardgate.web
from tests.unit.web.samples import GUIDE, Sample
from wardgate.audit.incidents import IncidentKind
from wardgate.delivery.outbox import OutboxState
from wardgate.texts import LANGUAGES, Text, catalogue, render
from wardgate.web.language import LANGUAGE_COOKIE, accepted, duration, number, round_duration
from wardgate.web.render import _ERRORS_WITH_A_PAGE
from wardgate.web.view import RESULTS

WEB = Path(wardgate.web.__file__).parent


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("tr", "tr"),
        ("tr-TR,tr;q=0.9,en;q=0.8", "tr"),
        ("en-GB,en;q=0.9,tr;q=0.8", "en"),
        ("de,tr;q=0.3", "tr"),
        ("de", "en"),
        ("en;q=0.1,tr;q=0.2", "tr"),
        ("tr;q=0", "en"),
        ("tr;q=x,en;q=0.1", "en"),
        ("TR-tr", "tr"),
        ("x" * 100_000 + ",tr", "en"),
        (";;;,,,q=", "en"),
    ],
)
def test_browsers_language_is_followed(header: str, language: str) -> None:
    assert accepted(header) == language


@pytest.mark.parametrize(
    ("ms", "en", "tr"),
    [
        (0, "0 ms", "0 ms"),
        (0.25, "0.2 ms", "0,2 ms"),
        (38.4, "38 ms", "38 ms"),
        (1234, "1.2 s", "1,2 sn"),
        (60_000, "1 min 0 s", "1 dk 0 sn"),
        (125_400, "2 min 5 s", "2 dk 5 sn"),
        (3_660_000, "1 h 1 min", "1 sa 1 dk"),
    ],
)
def test_durations_are_written_for_people(ms: float, en: str, tr: str) -> None:
    assert (duration(ms, "en"), duration(ms, "tr")) == (en, tr)


def test_numbers_and_marks() -> None:
    assert (number(1234567, "en"), number(1234567, "tr")) == ("1,234,567", "1.234.567")
    assert [round_duration(ms, "en") for ms in (5, 5000, 120_000)] == ["5 ms", "5 s", "2 min"]


def test_catalogues_hold_the_same_sentences_with_the_same_places() -> None:
    def places(sentence: str) -> set[str | None]:
        return {place for _, place, _, _ in string.Formatter().parse(sentence) if place is not None}

    # Only a language that needs it has a sentence of its own for one thing.
    one, *others = ({name: said for name, said in catalogue(each).items() if not name.endswith("_1")} for each in LANGUAGES)
    for other in others:
        assert set(one) == set(other)
        assert [text_id for text_id in one if places(one[text_id]) != places(other[text_id])] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentence_for_one_thing_stands_beside_that_for_several_and_is_told(language: str) -> None:
    sentences = catalogue(language)
    for text_id in [name for name in sentences if name.endswith("_1")]:
        several = sentences[text_id.removesuffix("_1")]
        counted = [place for _, place, _, _ in string.Formatter().parse(several) if place in ("min", "s", "n", "left")]
        assert len(counted) == 1, text_id
        assert f"{{{counted[0]}}}" not in sentences[text_id]


def test_one_minute_is_no_minutes() -> None:
    def told(minutes: int, language: str) -> str:
        return render(Text("wait.person", {"min": minutes, "ref": "7K3M9QXT"}), language)

    assert told(1, "en") == "Too many tries. Wait 1 minute, or use another way. Reference 7K3M9QXT"
    assert told(2, "en") == "Too many tries. Wait 2 minutes, or use another way. Reference 7K3M9QXT"
    assert "1 dakika bekleyin" in told(1, "tr")


def used_ids() -> set[str]:
    sources = [*WEB.glob("*.py"), *WEB.glob("templates/*.html")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    found = set(re.findall(r"[\"']((?:live|outbox|page)\.(?!(?:html|js|css)\b)[a-z_0-9]*[a-z0-9])[\"']", text))
    closed = set(re.findall(r"(?:Closed\(\d+, |LinkState\.[A-Z]+: )\"((?:live|page)\.[a-z_]+)\"", text))
    errors = {f"page.error_{status}" for status in _ERRORS_WITH_A_PAGE} | {"page.error_other"}
    return {
        *found,
        *(f"{text_id}_what" for text_id in closed | errors),
        *errors,
        "page.error_500_person",
        *(f"page.unit_{unit}" for unit in ("ms", "s", "min", "minutes", "h")),
        *(f"outbox.state_{state.value}" for state in OutboxState),
        *(f"outbox.channel_{channel}" for channel in ("sms", "email")),
        *(f"page.factor_{kind}" for kind in ("passkey", "totp", "hotp", "sms", "email", "recovery_code", "kba")),
        *(look.word for look in RESULTS.values()),
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_that_a_page_says_is_in_the_catalogue_and_none_is_idle(language: str) -> None:
    ours = {
        text_id.removesuffix("_1") for text_id in catalogue(language) if text_id.partition(".")[0] in ("live", "outbox", "page")
    }
    assert used_ids() - ours == set()
    assert ours - used_ids() == set()


@pytest.mark.parametrize("kind", list(IncidentKind))
@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_incident_shows_its_cure(kind: IncidentKind, language: str) -> None:
    sample = Sample()
    await sample.storage.commit([sample.incident(kind, "10.20.0.1", "branch-izmir", 2, 5)])
    async with sample.client() as browser:
        text = (await browser.get(f"/admin/log?lang={language}")).text
    assert catalogue(language)[f"incident.{kind.value}"].replace("'", "&#39;") in text
    cure = catalogue(language)[f"cure.{kind.value}"].format(source="10.20.0.1", nas="branch-izmir")
    assert cure.replace("'", "&#39;") in text


@pytest.mark.parametrize("page", ["/", "/outbox", "/admin/log", "/admin/log/7K3M9QXT", "/nowhere"])
async def test_choice_of_language_is_remembered(page: str) -> None:
    sample = Sample(guide=GUIDE)
    await sample.fill()
    async with sample.client(headers={"accept-language": "en"}) as browser:
        english, chosen, remembered = await browser.get(page), await browser.get(f"{page}?lang=tr"), await browser.get(page)
        back = await browser.get(f"{page}?lang=en")
    assert '<html lang="en">' in english.text
    assert "set-cookie" not in english.headers
    for reply in (chosen, remembered):
        assert '<html lang="tr">' in reply.text
        assert reply.headers["content-language"] == "tr"
    assert chosen.headers["set-cookie"].startswith(f"{LANGUAGE_COOKIE}=tr;")
    assert "Secure" in chosen.headers["set-cookie"]
    assert '<html lang="en">' in back.text


async def test_language_that_we_lack_is_not_remembered() -> None:
    sample = Sample()
    async with sample.client() as browser:
        reply = await browser.get("/outbox?lang=xx%0d%0aset-cookie:a=b")
    assert "set-cookie" not in reply.headers
    assert '<html lang="en">' in reply.text
