"""A web application that trusts us: pysaml2, which nobody here wrote, behind the smallest of web servers.

All that is ours is the glue: its pages hand what the browser brings to pysaml2 and show what pysaml2 made of it.
"""

import json
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.client import Saml2Client
from saml2.config import SPConfig
from saml2.metadata import entity_descriptor

from tests.neighbours import executable
from tests.saml import pair
from wardgate.federation.saml import names

RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
Start = Callable[[str, list[tuple[str, str]]], Any]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is written."""


@dataclass
class PythonSp:
    """The application. `received`: every Response as it came, decoded; `wrong`: what pysaml2 objected to."""

    address: str
    client: Any = None
    metadata: bytes = b""
    received: list[bytes] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _asked: dict[str, str] = field(default_factory=dict)
    _sessions: dict[str, Any] = field(default_factory=dict)

    @property
    def entity_id(self) -> str:
        """What it calls itself."""
        return f"{self.address}/metadata"

    def trust(self, folder: Path, idp_metadata: str) -> None:
        """From now on it trusts whoever wrote this."""
        key_file, certificate_file = pair("rsa", "python-sp").write(folder, "sp")
        files = {"key_file": str(key_file), "cert_file": str(certificate_file)}
        service = {
            "endpoints": {
                "assertion_consumer_service": [(f"{self.address}/acs", BINDING_HTTP_POST)],
                "single_logout_service": [(f"{self.address}/slo", BINDING_HTTP_REDIRECT)],
            },
            "authn_requests_signed": True,
            "logout_requests_signed": True,
            "want_response_signed": True,
            "want_assertions_signed": True,
            "allow_unsolicited": True,
            "name_id_format": names.FORMAT_PERSISTENT,
            "name_id_policy_format": names.FORMAT_PERSISTENT,
            "signing_algorithm": RSA_SHA256,
            "digest_algorithm": names.DIGEST_SHA256,
        }
        settings = {
            "entityid": self.entity_id,
            "xmlsec_binary": executable("xmlsec1"),
            "allow_unknown_attributes": True,
            # Our clock stands still in these tests, and its own goes on.
            "accepted_time_diff": 120,
            "service": {"sp": service},
            "metadata": {"inline": [idp_metadata]},
            "encryption_keypairs": [files],
            **files,
        }
        self.client = Saml2Client(config=SPConfig().load(settings))
        self.metadata = str(entity_descriptor(self.client.config)).encode()
        [self.idp] = self.client.metadata.identity_providers()

    # --- its pages -----------------------------------------------------------------------------------------------------------

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        query = dict(parse_qsl(environ["QUERY_STRING"]))
        length = int(environ.get("CONTENT_LENGTH") or 0)
        form = dict(parse_qsl(environ["wsgi.input"].read(length).decode(), keep_blank_values=True))
        mine = SimpleCookie(environ.get("HTTP_COOKIE", "")).get("python-sp")
        bearer = mine.value if mine is not None else ""
        try:
            status, headers, page = self._page(environ["PATH_INFO"], query, form, bearer)
        except Exception as error:
            self.wrong.append(f"{type(error).__name__}: {error}")
            status, headers, page = "500 Wrong", [], "<h1>Refused there</h1>"
        start(status, [("content-type", "text/html; charset=utf-8"), *headers])
        return [page.encode()]

    def _page(self, path: str, query: dict[str, str], form: dict[str, str], bearer: str) -> tuple[str, list[tuple[str, str]], str]:
        match path:
            case "/login":
                return self._login(query["next"], signed="unsigned" not in query)
            case "/acs":
                return self._consumed(form)
            case "/logout":
                session = self._sessions[bearer]
                sent = self.client.do_logout(session, [self.idp], "", None, sign=True, expected_binding=BINDING_HTTP_REDIRECT)
                return _to(dict(sent[self.idp][1]["headers"])["Location"])
            case "/slo":
                return self._signed_out(query, bearer)
            case _:
                return self._shown(path, bearer)

    def _login(self, then: str, signed: bool) -> tuple[str, list[tuple[str, str]], str]:
        request_id, info = self.client.prepare_for_authenticate(self.idp, relay_state=then, binding=BINDING_HTTP_POST, sign=signed)
        self._asked[request_id] = then
        return "200 OK", [], info["data"]

    def _consumed(self, form: dict[str, str]) -> tuple[str, list[tuple[str, str]], str]:
        told = self.client.parse_authn_request_response(form["SAMLResponse"], BINDING_HTTP_POST, self._asked)
        self._asked.pop(told.in_response_to or "", None)
        self.received.append(told.origxml.encode() if isinstance(told.origxml, str) else told.origxml)
        bearer = secrets.token_urlsafe(16)
        self._sessions[bearer] = told.name_id
        self._told = {"name": told.name_id.text, "claims": told.ava}
        cookie = f"python-sp={bearer}; Path=/; HttpOnly; SameSite=Lax"
        then = form.get("RelayState", "/")
        return "303 See", [("location", self.address + then), ("set-cookie", cookie)], ""

    def _shown(self, path: str, bearer: str) -> tuple[str, list[tuple[str, str]], str]:
        if bearer not in self._sessions:
            return "200 OK", [], "<!doctype html><title>Out</title><h1>Nobody there</h1>"
        return "200 OK", [], f"<!doctype html><title>In</title><h1>Signed in there</h1><pre>{json.dumps(self._told)}</pre>"

    def _signed_out(self, query: dict[str, str], bearer: str) -> tuple[str, list[tuple[str, str]], str]:
        told = self.client.parse_logout_request_response(query["SAMLResponse"], BINDING_HTTP_REDIRECT)
        if told.response.status.status_code.value != names.SUCCESS:
            raise ValueError("the answer to the logout is no success")
        self._sessions.pop(bearer, None)
        return "200 OK", [], "<!doctype html><title>Out</title><h1>Signed out there</h1>"


def _to(address: str) -> tuple[str, list[tuple[str, str]], str]:
    return "303 See", [("location", address)], ""


@contextmanager
def python_sp() -> Iterator[PythonSp]:
    """The application on a port of its own, until the end of the block; it trusts nobody yet."""
    holder: list[PythonSp] = []
    server = make_server("127.0.0.1", 0, lambda environ, start: holder[0](environ, start), _Server, _Quiet)
    holder.append(PythonSp(f"http://localhost:{server.server_port}"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield holder[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20.0)
