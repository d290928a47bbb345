"""Where answers go: to an address of the metadata, octet for octet, or nowhere."""

from dataclasses import replace

import pytest

from tests.saml import ACS, ARRIVAL, SP, authn_request, posted
from wardgate.errors import SamlMessageError
from wardgate.federation.saml import consumers, requests
from wardgate.federation.saml.requests import open_message
from wardgate.federation.saml.values import AttributeService, AuthnRequest, Binding, Endpoint, SpMetadata

FIRST = Endpoint(ACS, Binding.POST, 0)
SECOND = Endpoint(f"{ACS}/second", Binding.POST, 3)
METADATA = SpMetadata(entity_id=SP, acs=(FIRST, SECOND))
PLAIN = requests.authn_request(open_message(posted(authn_request())), (), ARRIVAL)


def asking(url: str = "", index: int | None = None, binding: str | None = None) -> AuthnRequest:
    return replace(PLAIN, acs_url=url, acs_index=index, binding=binding)


def test_by_address_by_number_and_by_default() -> None:
    assert consumers.consumer(METADATA, asking(ACS)) == FIRST
    assert consumers.consumer(METADATA, asking(SECOND.url)) == SECOND
    assert consumers.consumer(METADATA, asking(index=3)) == SECOND
    assert consumers.consumer(METADATA, asking()) == FIRST


@pytest.mark.parametrize(
    "url",
    [
        ACS + "/",
        ACS.upper(),
        ACS + "?x",
        ACS.replace("https", "http"),
        "https://evil.test/acs",
        ACS + "%2f",
        "https://wiki.acme.test:443/sp/acs",
    ],
)
def test_acs_that_is_not_in_the_metadata_is_refused(url: str) -> None:
    for request in (asking(url), replace(asking(url), signed=True)):
        with pytest.raises(SamlMessageError) as caught:
            consumers.consumer(METADATA, request)
        assert caught.value.code == "saml_acs"


def test_number_that_is_not_in_the_metadata_is_refused() -> None:
    with pytest.raises(SamlMessageError):
        consumers.consumer(METADATA, asking(index=1))


def test_the_default_is_marked_or_else_the_first_that_is_not_marked_otherwise() -> None:
    def default(*marks: bool | None) -> int:
        acs = tuple(Endpoint(f"{ACS}{i}", Binding.POST, i, mark) for i, mark in enumerate(marks))
        return acs.index(consumers.default_consumer(SpMetadata(SP, acs)))

    assert default(None, True) == 1
    assert default(False, None) == 1
    assert default(False, False) == 0
    with pytest.raises(SamlMessageError):
        consumers.default_consumer(SpMetadata(SP, ()))


def test_another_binding_is_seen() -> None:
    artifact = Endpoint(f"{ACS}/artifact", "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact", 5)
    metadata = replace(METADATA, acs_elsewhere=(artifact, replace(artifact, url=ACS, index=6)))
    assert consumers.asks_for_another_binding(metadata, asking(binding=artifact.binding))
    for fine in (asking(binding=Binding.POST), asking(), asking(ACS), asking(index=3)):
        assert not consumers.asks_for_another_binding(metadata, fine)
    by_post = asking(artifact.url, binding=Binding.POST)
    for other in (asking(artifact.url), asking(index=5), asking(artifact.url, binding=artifact.binding), by_post):
        assert consumers.asks_for_another_binding(metadata, other)
        assert consumers.consumer(metadata, other) == FIRST  # it is told there, and by POST


def test_sets_of_claims() -> None:
    one, other = AttributeService(1, None, ()), AttributeService(2, True, ())
    metadata = replace(METADATA, attribute_services=(one, other))
    assert consumers.attribute_service(metadata, 1) == one
    assert consumers.attribute_service(metadata, None) == other
    assert consumers.attribute_service(METADATA, None) is None
    assert consumers.attribute_service(METADATA, 1) is None
    with pytest.raises(SamlMessageError):
        consumers.attribute_service(metadata, 3)


def test_logout_goes_by_redirect_where_that_is_taken() -> None:
    post, redirect = Endpoint("https://a.test/p", Binding.POST), Endpoint("https://a.test/r", Binding.REDIRECT)
    assert consumers.logout_endpoint(replace(METADATA, slo=(post, redirect))) == redirect
    assert consumers.logout_endpoint(replace(METADATA, slo=(post,))) == post
    assert consumers.logout_endpoint(METADATA) is None
