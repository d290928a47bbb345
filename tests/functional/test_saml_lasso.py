"""lasso, the library under mod_auth_mellon, plays the application: sign-in in every form that it knows, and logout both ways."""

import base64
import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.functional.harness import ROOT
from tests.saml import ACS, CONTENT, IDP, SLO_URL, SP, SSO_URL, pair
from wardgate.federation.saml import bindings, building, metadata, names, requests
from wardgate.federation.saml.requests import Arrival, open_message
from wardgate.federation.saml.sp_metadata import parse_sp_metadata
from wardgate.federation.saml.values import Encrypt, KeyTransport, LogoutRequest, LogoutResponse, ResponseSettings, Sign

pytestmark = pytest.mark.neighbour("lasso")

SP_SLO = "https://wiki.acme.test/sp/slo"
SP_METADATA = f"""<md:EntityDescriptor xmlns:md="{names.METADATA}" entityID="{SP}">
  <md:SPSSODescriptor AuthnRequestsSigned="true" WantAssertionsSigned="true" protocolSupportEnumeration="{names.PROTOCOL}">
    <md:KeyDescriptor><ds:KeyInfo xmlns:ds="{names.DSIG}"><ds:X509Data>
      <ds:X509Certificate>{{certificate}}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
    <md:SingleLogoutService Binding="{names.REDIRECT}" Location="{SP_SLO}"/>
    <md:AssertionConsumerService Binding="{names.POST}" Location="{ACS}" index="0" isDefault="true"/>
  </md:SPSSODescriptor></md:EntityDescriptor>"""


def now_ms() -> int:
    """lasso looks at the machine's clock, and so do these tests."""
    return time.time_ns() // 1_000_000


def arrival() -> Arrival:
    return Arrival(destinations=frozenset({SSO_URL, SLO_URL}), now_ms=now_ms())


class Application:
    """The application's files, and its metadata as we read it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        pair("rsa", "sp").write(folder, "sp")
        text = SP_METADATA.format(certificate=base64.b64encode(pair("rsa", "sp").certificate).decode())
        (folder / "sp.xml").write_text(text)
        own = metadata.OwnMetadata("_md", IDP, SSO_URL, SLO_URL, (pair().certificate,), now_ms() + 3_600_000, 3600)
        (folder / "idp.xml").write_bytes(metadata.own_metadata(own, pair().signer))
        self.certificates = parse_sp_metadata(text.encode(), now_ms()).signing_certificates

    def does(self, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
        command = ["/usr/bin/python3", str(ROOT / "tests/lasso_sp.py"), str(self.folder)]
        done = subprocess.run(command, input=json.dumps(jobs), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    def answer(self, asked: str, settings: ResponseSettings, kind: str = "rsa") -> str:
        at = now_ms()
        made = replace(
            CONTENT,
            in_response_to=asked,
            issued_at=at,
            authn_instant=at,
            not_before=at - 60_000,
            not_on_or_after=at + 300_000,
            session_not_on_or_after=at + 3_600_000,
        )
        return base64.b64encode(building.response(made, settings, pair(kind).signer)).decode()


def received(url: str) -> bindings.Received:
    return bindings.read_redirect(url.partition("?")[2].encode())


def test_its_requests_are_read_and_every_answer_that_it_knows_signs_in(tmp_path: Path) -> None:
    """Encrypted with AES-GCM and AES-CBC, signed in all three ways. RSA-OAEP with SHA-256 is newer than lasso 2.8."""
    application = Application(tmp_path)
    by_redirect, by_post = application.does({"do": "ask", "binding": "redirect"}, {"do": "ask", "binding": "post"})
    messages = [received(by_redirect["url"]), bindings.read_post([("SAMLRequest", by_post["body"])])]
    for message, sent in zip(messages, (by_redirect, by_post), strict=True):
        asked = requests.authn_request(open_message(message), application.certificates, arrival())
        assert asked.signed
        assert (asked.id, asked.binding) == (sent["id"], names.POST)
    assert messages[0].relay_state == "state <&"
    wanted = [
        ResponseSettings(sign, encrypt, pair("rsa", "sp").certificate, KeyTransport.OAEP_SHA1)
        for sign in Sign
        for encrypt in Encrypt
    ]
    found = application.does(*({"do": "take", "response": application.answer(by_post["id"], each)} for each in wanted))
    for settings, taken in zip(wanted, found, strict=True):
        assert taken.get("name") == CONTENT.name_id.value, (settings.sign, settings.encrypt, taken)
        assert taken["attributes"] == {each.name: list(each.values) for each in CONTENT.attributes}


def test_an_altered_answer_does_not_sign_in_there(tmp_path: Path) -> None:
    application = Application(tmp_path)
    document = base64.b64decode(application.answer("_asked", ResponseSettings()))
    altered = base64.b64encode(document.replace(b"ada@acme.test", b"bob@acme.test")).decode()
    (taken,) = application.does({"do": "take", "response": altered})
    assert "ignature" in taken["error"]


def test_logout_by_redirect_is_understood_both_ways(tmp_path: Path) -> None:
    application, ours = Application(tmp_path), pair().signer
    (taken,) = application.does({"do": "take", "response": application.answer("_asked", ResponseSettings())})
    (theirs,) = application.does({"do": "leave", "session": taken["session"], "answer": ""})
    asked = requests.logout_request(open_message(received(theirs["url"])), application.certificates, arrival())
    assert asked.signed
    assert (asked.name_id, asked.session_indexes) == (CONTENT.name_id, (CONTENT.session_index,))
    at = now_ms()
    told = LogoutResponse("_told", asked.id, IDP, SP_SLO, at, names.SUCCESS, "", True)
    answer = bindings.redirect_url(SP_SLO, bindings.RESPONSE, building.logout_response(told, None), None, ours)
    asking = LogoutRequest("_ours", IDP, SP_SLO, at, at + 60_000, asked.name_id, asked.session_indexes, True)
    request = bindings.redirect_url(SP_SLO, bindings.REQUEST, building.logout_request(asking, None), "back", ours)
    done, response = application.does(
        {"do": "leave", "session": taken["session"], "answer": answer.partition("?")[2]},
        {"do": "asked_to_leave", "session": taken["session"], "request": request.partition("?")[2]},
    )
    assert done == {"done": "yes"}
    ended = requests.logout_response(open_message(received(response["url"])), application.certificates, arrival())
    assert ended.signed
    assert (ended.in_response_to, ended.status) == ("_ours", names.SUCCESS)


def test_what_lasso_does_not_know_is_on_the_page(tmp_path: Path) -> None:
    """When this fails, lasso has learnt it, and docs/federation/saml.md is to say so."""
    application = Application(tmp_path)
    newer = ResponseSettings(Sign.ASSERTION, Encrypt.AES256_GCM, pair("rsa", "sp").certificate, KeyTransport.OAEP_SHA256)
    (taken,) = application.does({"do": "take", "response": application.answer("_asked", newer)})
    assert "error" in taken
    own = metadata.OwnMetadata("_md", IDP, SSO_URL, SLO_URL, (pair("p256").certificate,), now_ms() + 3_600_000, 3600)
    (tmp_path / "idp.xml").write_bytes(metadata.own_metadata(own, pair("p256").signer))
    (taken,) = application.does({"do": "take", "response": application.answer("_asked", ResponseSettings(), "p256")})
    assert "ignature" in taken["error"]
