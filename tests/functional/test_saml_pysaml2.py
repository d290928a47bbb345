"""pysaml2 plays the application: its requests by both bindings are read, and our answers sign somebody in there."""

import base64
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.client import Saml2Client
from saml2.config import SPConfig
from saml2.metadata import entity_descriptor
from saml2.response import StatusNoPassive

from tests.neighbours import executable
from tests.saml import ACS, CONTENT, IDP, SLO_URL, SP, SSO_URL, pair
from wardgate.errors import SamlMessageError
from wardgate.federation.saml import bindings, building, consumers, metadata, names, requests
from wardgate.federation.saml.requests import Arrival, open_message
from wardgate.federation.saml.sp_metadata import parse_sp_metadata
from wardgate.federation.saml.values import (
    AuthnRequest,
    Encrypt,
    ErrorContent,
    KeyTransport,
    LogoutRequest,
    LogoutResponse,
    ResponseSettings,
    Sign,
    SpMetadata,
)

pytestmark = pytest.mark.neighbour("xmlsec1")

SP_SLO = "https://wiki.acme.test/sp/slo"


def now_ms() -> int:
    """pysaml2 looks at the machine's clock, and so do these tests."""
    return time.time_ns() // 1_000_000


def arrival() -> Arrival:
    return Arrival(destinations=frozenset({SSO_URL, SLO_URL}), now_ms=now_ms())


class Application:
    """A relying party of pysaml2, and its metadata as we read it."""

    def __init__(self, folder: Path, *, idp_kind: str = "rsa", **service: Any) -> None:
        key_file, certificate_file = pair("rsa", "sp").write(folder, "sp")
        own = metadata.OwnMetadata("_md", IDP, SSO_URL, SLO_URL, (pair(idp_kind).certificate,), now_ms() + 3_600_000, 3600)
        files = {"key_file": str(key_file), "cert_file": str(certificate_file)}
        self.config = SPConfig().load(
            {
                "entityid": SP,
                "xmlsec_binary": executable("xmlsec1"),
                "allow_unknown_attributes": True,
                "service": {
                    "sp": {
                        "endpoints": {
                            "assertion_consumer_service": [(ACS, BINDING_HTTP_POST)],
                            "single_logout_service": [(SP_SLO, BINDING_HTTP_REDIRECT), (SP_SLO, BINDING_HTTP_POST)],
                        },
                        "authn_requests_signed": True,
                        "logout_requests_signed": True,
                        "want_response_signed": False,
                        "want_assertions_signed": False,
                        "name_id_format": names.FORMAT_PERSISTENT,
                        "name_id_policy_format": names.FORMAT_PERSISTENT,
                        "signing_algorithm": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
                        "digest_algorithm": names.DIGEST_SHA256,
                        **service,
                    }
                },
                "metadata": {"inline": [metadata.own_metadata(own, pair(idp_kind).signer).decode()]},
                **files,
                "encryption_keypairs": [files],
            }
        )
        self.client = Saml2Client(config=self.config)
        self.described: SpMetadata = parse_sp_metadata(str(entity_descriptor(self.config)).encode(), now_ms())

    def asks(self, binding: str, **extra: Any) -> tuple[str, AuthnRequest]:
        """An AuthnRequest of pysaml2, through the browser and read by us."""
        request_id, info = self.client.prepare_for_authenticate(IDP, relay_state="back", binding=binding, sign=True, **extra)
        message = open_message(self.through_the_browser(info, binding))
        return request_id, requests.authn_request(message, self.described.signing_certificates, arrival())

    @staticmethod
    def through_the_browser(info: dict[str, Any], binding: str) -> bindings.Received:
        if binding == BINDING_HTTP_REDIRECT:
            return bindings.read_redirect(urlsplit(dict(info["headers"])["Location"]).query.encode())
        fields = info["data"].split('name="')[1:]
        return bindings.read_post(
            (each.split('"')[0], each.split('value="')[1].split('"')[0]) for each in fields if 'value="' in each
        )

    def takes(self, document: bytes, asked: dict[str, str]) -> Any:
        form = bindings.post_form(ACS, bindings.RESPONSE, document, None)
        return self.client.parse_authn_request_response(dict(form.fields)[bindings.RESPONSE], BINDING_HTTP_POST, asked)


def answer_to(request_id: str, settings: ResponseSettings, kind: str = "rsa") -> bytes:
    at = now_ms()
    made = replace(
        CONTENT,
        in_response_to=request_id,
        issued_at=at,
        authn_instant=at,
        not_before=at - 60_000,
        not_on_or_after=at + 300_000,
        session_not_on_or_after=at + 3_600_000,
    )
    return building.response(made, settings, pair(kind).signer)


@pytest.mark.parametrize("binding", [BINDING_HTTP_POST, BINDING_HTTP_REDIRECT])
def test_requests_by_both_bindings_are_read_and_verified(tmp_path: Path, binding: str) -> None:
    application = Application(tmp_path)
    context = {"authn_context_class_ref": [names.CONTEXT_REFEDS_MFA], "comparison": "exact"}
    request_id, asked = application.asks(binding, requested_authn_context=context, force_authn="true")
    assert asked.signed
    assert (asked.id, asked.issuer, asked.destination) == (request_id, SP, SSO_URL)
    assert (asked.name_id_format, asked.force_authn, asked.contexts) == (
        names.FORMAT_PERSISTENT,
        True,
        (names.CONTEXT_REFEDS_MFA,),
    )
    assert consumers.consumer(application.described, asked).url == ACS
    assert application.described.authn_requests_signed


@pytest.mark.parametrize("kind", ["rsa", "p256"])
@pytest.mark.parametrize("sign", list(Sign))
def test_answers_sign_somebody_in(tmp_path: Path, sign: Sign, kind: str) -> None:
    wanted = {"want_assertions_signed": sign is not Sign.RESPONSE, "want_response_signed": sign is not Sign.ASSERTION}
    application = Application(tmp_path, idp_kind=kind, **wanted)
    request_id, _ = application.asks(BINDING_HTTP_REDIRECT)
    found = application.takes(answer_to(request_id, ResponseSettings(sign), kind), {request_id: "/"})
    assert found.name_id.text == CONTENT.name_id.value
    assert found.ava == {"mail": ["ada@acme.test"], "givenName": ["Ada"], "groups": list(CONTENT.attributes[2].values)}
    assert found.session_info()["session_index"] == CONTENT.session_index


@pytest.mark.parametrize("encrypt", [each for each in Encrypt if each is not Encrypt.NONE])
def test_encrypted_answers_sign_somebody_in(tmp_path: Path, encrypt: Encrypt) -> None:
    application = Application(tmp_path, want_assertions_signed=True)
    request_id, _ = application.asks(BINDING_HTTP_POST)
    certificate = application.described.encryption_certificates[0]
    settings = ResponseSettings(Sign.BOTH, encrypt, certificate, KeyTransport.OAEP_SHA1)
    found = application.takes(answer_to(request_id, settings), {request_id: "/"})
    assert found.ava["groups"] == list(CONTENT.attributes[2].values)


def test_an_answer_that_nobody_asked_for_signs_in_where_that_is_wanted(tmp_path: Path) -> None:
    application = Application(tmp_path, allow_unsolicited=True, want_assertions_signed=True)
    assert application.takes(answer_to("", ResponseSettings()), {}).name_id.text == CONTENT.name_id.value


def test_an_altered_answer_is_refused_there(tmp_path: Path) -> None:
    application = Application(tmp_path, want_assertions_signed=True)
    request_id, _ = application.asks(BINDING_HTTP_REDIRECT)
    altered = answer_to(request_id, ResponseSettings()).replace(b"ada@acme.test", b"bob@acme.test")
    with pytest.raises(Exception, match=r"[Ss]ignature"):
        application.takes(altered, {request_id: "/"})


def test_an_error_is_understood(tmp_path: Path) -> None:
    application = Application(tmp_path)
    request_id, asked = application.asks(BINDING_HTTP_REDIRECT, is_passive="true")
    assert asked.is_passive
    error = ErrorContent("_error", IDP, ACS, request_id, now_ms(), names.RESPONDER, names.NO_PASSIVE, "no session")
    with pytest.raises(StatusNoPassive):
        application.takes(building.error_response(error, pair().signer), {request_id: "/"})


@pytest.mark.parametrize("binding", [BINDING_HTTP_POST, BINDING_HTTP_REDIRECT])
def test_their_logout_request_is_read_and_our_answer_is_taken(tmp_path: Path, binding: str) -> None:
    application = Application(tmp_path)
    request_id, _ = application.asks(BINDING_HTTP_REDIRECT)
    found = application.takes(answer_to(request_id, ResponseSettings()), {request_id: "/"})
    sent = application.client.do_logout(found.name_id, [IDP], "", None, sign=True, expected_binding=binding)
    _, info = sent[IDP]
    received = application.through_the_browser(info, binding)
    asked = requests.logout_request(open_message(received), application.described.signing_certificates, arrival())
    assert asked.signed
    assert (asked.name_id, asked.session_indexes) == (CONTENT.name_id, (CONTENT.session_index,))
    told = LogoutResponse("_told", asked.id, IDP, SP_SLO, now_ms(), names.SUCCESS, "", True)
    ours = pair().signer
    if binding == BINDING_HTTP_REDIRECT:
        url = bindings.redirect_url(SP_SLO, bindings.RESPONSE, building.logout_response(told, None), None, ours)
        packed = bindings.read_redirect(urlsplit(url).query.encode()).document
        assert b"Signature" not in packed
        value = dict(one.split("=") for one in urlsplit(url).query.split("&"))["SAMLResponse"]
        answer = application.client.parse_logout_request_response(unquote(value), binding)
    else:
        form = bindings.post_form(SP_SLO, bindings.RESPONSE, building.logout_response(told, ours), None)
        answer = application.client.parse_logout_request_response(dict(form.fields)["SAMLResponse"], binding)
    assert answer.response.status.status_code.value == names.SUCCESS
    assert answer.response.in_response_to == asked.id


@pytest.mark.parametrize("binding", [BINDING_HTTP_POST, BINDING_HTTP_REDIRECT])
def test_our_logout_request_is_taken_there_and_their_answer_is_read(tmp_path: Path, binding: str) -> None:
    application = Application(tmp_path)
    at = now_ms()
    asking = LogoutRequest("_ours", IDP, SP_SLO, at, at + 60_000, CONTENT.name_id, (CONTENT.session_index,), True)
    ours = pair().signer
    if binding == BINDING_HTTP_POST:
        packed = base64.b64encode(building.logout_request(asking, ours)).decode()
        parsed = application.client.parse_logout_request(packed, binding)
    else:
        url = bindings.redirect_url(SP_SLO, bindings.REQUEST, building.logout_request(asking, None), "back", ours)
        query = {name: unquote(value) for name, value in (one.split("=") for one in urlsplit(url).query.split("&"))}
        parsed = application.client.parse_logout_request(
            query["SAMLRequest"],
            binding,
            relay_state=query["RelayState"],
            sigalg=query["SigAlg"],
            signature=query["Signature"],
        )
    assert parsed.message.session_index[0].text == CONTENT.session_index
    response = application.client.create_logout_response(parsed.message, [binding], sign=binding == BINDING_HTTP_POST)
    info = application.client.apply_binding(binding, str(response), SLO_URL, "back", response=True, sign=True)
    told = requests.logout_response(
        open_message(application.through_the_browser(info, binding)), application.described.signing_certificates, arrival()
    )
    assert told.signed
    assert (told.in_response_to, told.status) == ("_ours", names.SUCCESS)


def test_a_request_signed_by_another_application_is_refused(tmp_path: Path) -> None:
    application = Application(tmp_path)
    _, info = application.client.prepare_for_authenticate(IDP, binding=BINDING_HTTP_POST, sign=True)
    message = open_message(application.through_the_browser(info, BINDING_HTTP_POST))
    with pytest.raises(SamlMessageError):
        requests.authn_request(message, [pair("rsa", "other").certificate], arrival())
