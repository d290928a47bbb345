"""Relying parties beside a real server: keys that it makes, our metadata while they change, and metadata that it fetches."""

import base64
import re
import secrets
import ssl
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.functional.harness import Served, audit_events, cli, cli_json, ended, serve_demo, wait_for
from tests.unit.cli.schemas import validate
from tests.unit.federation.parties import ACS, ENTITY_ID, metadata
from wardgate.certificates import self_signed
from wardgate.federation.saml import names

PATIENCE_S = 60.0
_CERTIFICATE = re.compile(r"<ds:X509Certificate>([^<]+)</ds:X509Certificate>")


@dataclass(slots=True)
class Application:
    """A web application on this machine that publishes its metadata over TLS."""

    url: str
    authority: Path
    answer: str = field(default_factory=metadata)
    asked: int = 0


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    certificate, key = self_signed(datetime.now(UTC))
    (tmp_path / "site.crt").write_bytes(certificate)
    (tmp_path / "site.key").write_bytes(key)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            body = made.answer.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Not in the middle of the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "site.crt", tmp_path / "site.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made = Application(f"https://localhost:{server.server_port}/metadata", tmp_path / "site.crt")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with ended(serve_demo(tmp_path / "data")) as running:
        yield running


def keys(served: Served) -> list[dict[str, Any]]:
    told = cli_json("relying-party", "keys", data=served.data)
    validate(told, "relying-party-keys")
    return list(told["keys"])


def published(served: Served) -> list[str]:
    """The certificates in our metadata, as a browser gets it."""
    with served.web() as web:
        answer = web.get("/saml/metadata")
    return _CERTIFICATE.findall(answer.text) if answer.status_code == 200 else []


def test_the_first_start_makes_a_key_and_our_metadata_shows_it_and_the_next(served: Served) -> None:
    [first] = wait_for(lambda: keys(served), PATIENCE_S)
    assert (first["name"], first["state"]) == ("rsa-1", "signs")
    before = wait_for(lambda: published(served), PATIENCE_S)
    assert len(set(before)) == 1
    rolled = cli_json("relying-party", "roll-key", data=served.data)
    validate(rolled, "relying-party-roll-key")
    assert rolled["key"]["state"] == "next"
    after = wait_for(lambda: found if len(set(found := published(served))) == 2 else None, PATIENCE_S)
    # The signature's own, and then the keys in their order: the one that signs still stands first.
    assert after[0] == before[0]
    made = [event for event in audit_events(served.data) if event["kind"] == "federation:key:made"]
    assert len(made) == 2


def test_metadata_is_fetched_by_the_server_and_what_is_told_can_be_seen(served: Served, application: Application) -> None:
    add = ("relying-party", "add", "wiki", "--metadata", application.url, "--authority", str(application.authority))
    refused = cli(*add, data=served.data, expect=3)
    assert "is inside your network, and metadata.allow (--allow) does not name it" in refused.stderr
    assert application.asked == 0
    added = cli_json(*add, "--allow", "127.0.0.1/32", "--allow", "::1/128", data=served.data)
    validate(added, "relying-party-add")
    assert added["party"]["entity_id"] == ENTITY_ID
    told = cli_json("relying-party", "preview", "wiki", "--user", "ada", data=served.data)
    validate(told, "relying-party-preview")
    assert ACS in told["xml"]
    tested = cli_json("relying-party", "test", "wiki", "--online", data=served.data)
    validate(tested, "relying-party-test")
    assert tested["ok"] is True
    assert cli_json("relying-party", "list", data=served.data)["relying_parties"][0]["problem"] is None
    [taken] = [event for event in audit_events(served.data) if event["kind"] == "federation:metadata:taken"]
    assert taken["payload"]["acs"] == [ACS]
    application.answer = metadata(acs=f"{ACS}/new")
    renewed = cli_json("relying-party", "renew", "wiki", data=served.data)
    validate(renewed, "relying-party-renew")
    assert [each["url"] for each in renewed["party"]["acs"]] == [f"{ACS}/new"]
    application.answer = "<html/>"
    assert "is not taken" in cli("relying-party", "renew", "wiki", data=served.data, expect=3).stderr
    cli_json("relying-party", "remove", "wiki", data=served.data)
    assert cli_json("relying-party", "list", data=served.data)["relying_parties"] == []


def test_an_address_that_answers_with_nonsense_adds_nothing(served: Served, application: Application) -> None:
    application.answer = "<html><body>log in</body></html>"
    add = ("relying-party", "add", "wiki", "--metadata", application.url, "--authority", str(application.authority))
    refused = cli(*add, "--allow", "127.0.0.1/32", "--allow", "::1/128", data=served.data, expect=1)
    assert "its metadata is not taken" in refused.stderr
    assert cli_json("relying-party", "list", data=served.data)["relying_parties"] == []


def ask(served: Served, entity_id: str) -> int:
    """The status of the page that a browser gets which an application sent here."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    request = (
        f'<samlp:AuthnRequest xmlns:samlp="{names.PROTOCOL}" xmlns:saml="{names.ASSERTION}" ID="_{secrets.token_hex(16)}" '
        f'Version="2.0" IssueInstant="{now}"><saml:Issuer>{entity_id}</saml:Issuer></samlp:AuthnRequest>'
    )
    packed = zlib.compressobj(wbits=-15)
    octets = packed.compress(request.encode()) + packed.flush()
    with served.web() as web:
        return web.get("/saml/sso", params={"SAMLRequest": base64.b64encode(octets).decode()}, follow_redirects=True).status_code


def test_an_application_is_served_as_soon_as_it_is_added_and_no_more_once_it_is_removed(served: Served) -> None:
    assert ask(served, ENTITY_ID) == 400
    cli_json("relying-party", "add", "wiki", "--entity-id", ENTITY_ID, "--acs", ACS, data=served.data)
    wait_for(lambda: ask(served, ENTITY_ID) == 200, PATIENCE_S)
    assert ask(served, f"{ENTITY_ID}/") == 400
    cli_json("relying-party", "remove", "wiki", data=served.data)
    wait_for(lambda: ask(served, ENTITY_ID) == 400, PATIENCE_S)
