"""Sentences that are the same on every page are drawn once; the others when the page is."""

from collections.abc import Callable
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import escape

from wardgate.texts import LANGUAGES, Text, catalogue, render
from wardgate.web.templating import SpeakingEnvironment

SKIP = "page.skip"


def drawn(folder: Path, source: str, language: str = "en", t: Callable[..., str] | None = None) -> str:
    (folder / "page.html").write_text(source)
    asked = t or (lambda text_id, **values: render(Text(text_id, values), language))
    return SpeakingEnvironment(language, (folder,)).get_template("page.html").render(t=asked)


def never(text_id: str, **_: object) -> str:
    raise AssertionError(f"{text_id} is asked for while a page is drawn")


@pytest.mark.parametrize("language", LANGUAGES)
def test_fixed_sentence_is_asked_for_once_for_all_pages(language: str, tmp_path: Path) -> None:
    assert drawn(tmp_path, '<p>{{ t("page.skip") }}</p>', language, never) == f"<p>{catalogue(language)[SKIP]}</p>"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_reads_as_it_did(language: str, tmp_path: Path) -> None:
    words = {name: sentence for name, sentence in catalogue(language).items() if "{" not in sentence}
    source = "\n".join(f'{{{{ t("{name}") }}}}|{{{{ t("{name}")|length }}}}|{{{{ t("{name}") ~ "<" }}}}' for name in words)
    lines = [f"{escape(sentence)}|{len(sentence)}|{escape(sentence + '<')}" for sentence in words.values()]
    assert drawn(tmp_path, source, language) == "\n".join(lines)


def test_markup_in_a_sentence_is_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.web.templating.catalogue", lambda _: {"page.skip": "<b>&"})
    assert drawn(tmp_path, '{{ t("page.skip") }}', "en", never) == "&lt;b&gt;&amp;"


def test_brand_may_stand_in_the_place_of_our_name(tmp_path: Path) -> None:
    assert drawn(tmp_path, '{{ t("page.brand") }}', t=lambda text_id: f"Acme for {text_id}") == "Acme for page.brand"


def test_values_and_chosen_ids_are_asked_for_when_the_page_is_drawn(tmp_path: Path) -> None:
    asked = drawn(
        tmp_path, '{% set n = 2 %}{{ t("page.skip", n=n) }} {{ t("page." ~ n) }}', t=lambda text_id, **values: f"{text_id}{values}"
    )
    assert asked == escape("page.skip{'n': 2} page.2{}")


def test_unknown_sentence_is_an_error_of_the_page_that_wants_it(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        drawn(tmp_path, '{{ t("page.no_such_sentence") }}')


def test_unknown_value_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UndefinedError):
        drawn(tmp_path, "{{ nobody }}")
