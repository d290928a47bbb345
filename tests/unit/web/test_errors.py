"""What an error says, to whom, and in which form: pages for people in their language, JSON or a line for programs."""

import re

import pytest

from tests.unit.web.samples import Sample
from wardgate.errors import StorageUnavailable
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Row
from wardgate.texts import LANGUAGES, catalogue
from wardgate.web.accepting import MAX_ACCEPT_CHARS, Form, form_for
from wardgate.web.early import early_reply

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
ENGLISH = re.compile(r"Not Found|Forbidden|Gone|Method Not Allowed|Error: |Bad Request")


class Down(MemoryStorage):
    async def get(self, table: str, key: Row) -> Row | None:
        raise StorageUnavailable("away")


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (CHROMIUM, Form.PAGE),
        ("", Form.PAGE),
        ("*/*", Form.PAGE),
        ("application/json", Form.JSON),
        ("application/json, text/plain, */*", Form.JSON),
        ("text/html, application/json", Form.PAGE),
        ("text/plain", Form.TEXT),
        ("text/event-stream", Form.TEXT),
        ("image/png", Form.TEXT),
        ("x" * MAX_ACCEPT_CHARS + ",text/html", Form.TEXT),
    ],
)
def test_browsers_get_a_page_and_programs_what_they_ask_for(accept: str, form: Form) -> None:
    assert form_for(accept) is form


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [("GET", "/admin/log", 403), ("GET", "/admin/enter/" + "A" * 43, 410), ("GET", "/nowhere", 404), ("PUT", "/admin/log", 405)],
)
async def test_operators_error_pages_speak_turkish_and_no_english(method: str, address: str, status: int) -> None:
    async with Sample(demo=False).client(headers={"accept-language": "tr", "accept": CHROMIUM}) as browser:
        page = await browser.request(method, address)
    assert page.status_code == status
    assert ENGLISH.search(page.text) is None
    assert "<title>Hata: " in page.text
    assert f"HTTP {status}" in page.text


@pytest.mark.parametrize("language", LANGUAGES)
async def test_program_gets_the_same_error_without_a_page(language: str) -> None:
    said = catalogue(language)
    async with Sample(demo=False).client(headers={"accept-language": language}) as program:
        told = await program.get("/nowhere", headers={"accept": "application/json"})
        line = await program.get("/nowhere", headers={"accept": "text/plain"})
    assert told.status_code == line.status_code == 404
    body = told.json()
    assert (body["status"], body["title"], body["detail"]) == (404, said["page.error_404"], said["page.error_404_what"])
    assert re.fullmatch(r"[0-9A-Z]{8}", body["reference"])
    assert line.headers["content-type"] == "text/plain; charset=utf-8"
    assert line.text.startswith(said["page.error_404"])
    assert "accept" in line.headers["vary"].split(", ")


async def test_page_of_a_neighbour_that_is_down_leads_to_itself() -> None:
    sample = Sample(demo=False, storage=Down())
    async with sample.client(headers={"accept": CHROMIUM, "cookie": "__Host-wg_admin=" + "A" * 43}) as browser:
        page = await browser.get("/admin/log?user=ada")
    assert page.status_code == 503
    assert '<a class="button primary" href="/admin/log?user=ada">Try again</a>' in page.text


@pytest.mark.parametrize("status", [400, 431])
def test_what_cannot_be_parsed_is_answered_in_every_language(status: int) -> None:
    head, _, body = early_reply(status).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert f"content-length: {len(body)}".encode() in head.split(b"\r\n")
    assert b"default-src 'none'" in head
    for language in LANGUAGES:
        assert f'<div lang="{language}" dir="ltr"><h1>{catalogue(language)[f"page.error_{status}"]}</h1>' in body.decode()
