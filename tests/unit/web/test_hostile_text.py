"""What an attacker can put into the log by a packet must stay text on every page."""

from html.parser import HTMLParser

import pytest

from tests.unit.web.samples import Sample
from wardgate.audit.incidents import IncidentKind
from wardgate.delivery.port import Channel
from wardgate.web.assets import Assets
from wardgate.web.log import LogLook, RenderedRows
from wardgate.web.log_query import Filters
from wardgate.web.render import Pages

MARK = "xss7"
ATTACKS = (
    f"<script>{MARK}()</script>",
    f'"><img src=x onerror={MARK}()>',
    f"'><svg/onload={MARK}()>",
    f"</title><script>{MARK}()</script>",
    f"{{{{ {MARK} }}}}{{% {MARK} %}}",
    f"{{0.__class__}}{{user.__init__}}{MARK}",
    f"javascript:{MARK}()",
    f"\n\nevent: row\ndata: <script>{MARK}()</script>\n\n",
    f"\u202e{MARK}\x1b[31m",
)


class Tags(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name.startswith("on") or (
                name in ("href", "src", "action") and MARK in (value or "") and not (value or "").startswith(("/", "?"))
            ):
                self.bad.append(f"{tag} {name}={value}")
        if tag == "script" and not dict(attrs).get("src", "").startswith("/static/"):  # type: ignore[union-attr]
            self.bad.append(tag)
        if tag in ("img", "iframe", "object", "embed", "base", "style"):
            self.bad.append(tag)


def assert_only_text(html: str) -> None:
    tags = Tags()
    tags.feed(html)
    assert tags.bad == []
    assert f"<script>{MARK}" not in html


async def attacked(attack: str) -> Sample:
    sample = Sample()
    steps = [(0.1, attack, {attack: attack, "list": [attack], "nested": {"a": attack}})]
    row = sample.request(
        "7K3M9QXT", 1, attack, "denied", "no_factor", steps, nas=attack, application=attack, text=attack, client=attack
    )
    other = sample.request("XXXXXXXX", 1, attack, attack[:20], attack, steps, nas=attack)
    incident = sample.incident(IncidentKind.WRONG_SECRET, attack, attack, 1, 1, attack)
    await sample.storage.commit([row, other, incident])
    await sample.storage.commit(sample.message(1, Channel.SMS, attack, attack, attack, attack, 1))
    return sample


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("page", ["/admin/log", "/admin/log/7K3M9QXT", "/admin/log/XXXXXXXX", "/outbox", "/admin/log?lang=tr"])
async def test_markup_in_a_packet_stays_text(attack: str, page: str) -> None:
    sample = await attacked(attack)
    async with sample.client() as browser:
        reply = await browser.get(page)
    assert reply.status_code == 200
    assert MARK in reply.text
    assert_only_text(reply.text)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_markup_in_an_address_stays_text(attack: str) -> None:
    sample = Sample()
    async with sample.client() as browser:
        for name in ("user", "nas", "result", "before", "lang", "reference"):
            reply = await browser.get("/admin/log", params={name: attack}, follow_redirects=True)
            assert_only_text(reply.text)
        assert_only_text((await browser.get("/admin/log/" + "".join(f"%{byte:02x}" for byte in attack.encode()))).text)
        assert_only_text((await browser.get("/", headers={"host": f"localhost{MARK}<script>"})).text)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_markup_in_a_packet_stays_text_in_live_events(attack: str) -> None:
    sample = await attacked(attack)
    pages = Pages(sample.context, Assets())
    look = LogLook(sample.context, RenderedRows(pages), Filters(), "en", "0" * 24)
    pieces = await look.look()
    assert {piece.name for piece in pieces} == {"row", "incidents"}
    for piece in pieces:
        assert_only_text(piece.html)
