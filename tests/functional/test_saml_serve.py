"""Single sign-on on a server that was started as people start it: keys made by itself, the application from the document."""

import base64
import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
from lxml import etree

from tests.flows.portal_world import OURS
from tests.flows.saml_world import by_redirect
from tests.functional.harness import Served, audit_events, ended, make_installation, serve, wait_for
from tests.functional.plant import USERS
from wardgate.federation.saml import names
from wardgate.federation.saml.verifying import verified
from wardgate.federation.saml.xml import parse

SP, ACS = "https://wiki.acme.test/sp", "https://wiki.acme.test/sp/acs"
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local]}}]
directories: [{{name: local, kind: local}}]
policies:
  - name: web
    rules: [{{name: all, then: {{steps: [[password]]}}}}]
applications:
  - {{name: own, kind: portal, policy: web}}
  - {{name: wiki, kind: saml, policy: web, entity_id: "{SP}", acs: ["{ACS}"]}}
"""
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The server, once it has made its keys."""
    data = tmp_path_factory.mktemp("sso") / "data"
    make_installation(data, DOCUMENT, USERS.csv())
    with ended(serve(data)) as one:
        wait_for(lambda: all(shows_metadata(one) for _ in range(12)), 60)
        yield one
        one.stop()


def shows_metadata(served: Served) -> bool:
    """Whether the worker that takes a new connection has the keys by now."""
    with served.web() as web:
        return web.get("/saml/metadata").status_code == 200


def request(served: Served, number: int) -> bytes:
    """An AuthnRequest."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = f'ID="_{number:032d}" Version="2.0" IssueInstant="{now}" Destination="{served.url}/saml/sso"'
    head = f'<p:AuthnRequest xmlns:p="{names.PROTOCOL}" xmlns:a="{names.ASSERTION}" {said}>'
    return f"{head}<a:Issuer>{SP}</a:Issuer></p:AuthnRequest>".encode()


def followed(web: httpx.Client, reply: httpx.Response) -> httpx.Response:
    """Follow our own redirects."""
    while reply.status_code == 303:
        reply = web.get(reply.headers["location"])
    return reply


def test_application_of_the_document_is_told_who_signed_in(served: Served) -> None:
    person = USERS.without_factor()
    with served.web() as web:
        certificates = re.findall(r"<ds:X509Certificate>([^<]+)<", web.get("/saml/metadata").text)
        page = followed(web, web.get(by_redirect(request(served, 1), "here")))
        form = page.text.split("<form ")[1]
        fields = {**dict(_HIDDEN.findall(form)), "username": person.name, "password": person.password}
        page = followed(web, web.post("/sign-in", data=fields, headers={**OURS, "origin": served.url}))
        told = dict(_HIDDEN.findall(page.text))
        assert told["RelayState"] == "here", page.text
        assert f'action="{ACS}"' in page.text
        root = parse(base64.b64decode(html.unescape(told["SAMLResponse"])))
        [assertion] = root.findall(f"{{{names.ASSERTION}}}Assertion")
        verified(parse(etree.tostring(assertion)), [base64.b64decode(each) for each in certificates])
        again = followed(web, web.get(by_redirect(request(served, 2))))
        assert "SAMLResponse" in again.text
    granted = [each for each in audit_events(served.data) if each["kind"] == "engine:login:granted"]
    # The second and third are grants by the session that the first began.
    assert len(granted) == 3


def test_message_that_is_too_large_is_refused_before_it_is_read(served: Served) -> None:
    with served.web() as web:
        reply = web.get("/saml/sso?SAMLRequest=" + "A" * 60_000)
        assert reply.status_code in (400, 414, 431)
        reply = web.post(
            "/saml/sso", content=b"SAMLRequest=" + b"A" * 200_000, headers={"content-type": "application/x-www-form-urlencoded"}
        )
        assert reply.status_code == 413
