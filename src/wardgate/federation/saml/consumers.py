"""Which of an application's addresses gets an answer: only ever one of its metadata, compared octet for octet."""

from collections.abc import Sequence

from wardgate.federation.saml.values import AttributeService, AuthnRequest, Binding, Endpoint, SpMetadata
from wardgate.federation.saml.xml import refused


def consumer(metadata: SpMetadata, request: AuthnRequest) -> Endpoint:
    """Where the answer to `request` goes. Raises SamlMessageError for an address or a number that the metadata does not have.

    Signed or not: a signature says who asks, and the metadata where that one may be answered.
    """
    if not request.acs_url and request.acs_index is None:
        return default_consumer(metadata)
    found = _named(metadata.acs, request)
    if not found and _named(metadata.acs_elsewhere, request):
        # It hears there that it cannot have it so (`asks_for_another_binding`).
        return default_consumer(metadata)
    if not found:
        raise refused("the consumer that is asked for is not in the application's metadata", "saml_acs")
    return found[0]


def default_consumer(metadata: SpMetadata) -> Endpoint:
    """Where answers go that nobody gave an address for: marked so, not marked otherwise, or first. Metadata section 2.2.3."""
    for wanted in (True, None):
        for each in metadata.acs:
            if each.is_default is wanted:
                return each
    if not metadata.acs:
        raise refused("the application has no consumer", "saml_acs")
    return metadata.acs[0]


def asks_for_another_binding(metadata: SpMetadata, request: AuthnRequest) -> bool:
    """Say whether the answer is wanted by a binding that we do not speak: the answer then is UnsupportedBinding, by POST."""
    if request.binding not in (None, Binding.POST):
        return True
    return bool(_named(metadata.acs_elsewhere, request)) and not _named(metadata.acs, request)


def _named(endpoints: Sequence[Endpoint], request: AuthnRequest) -> list[Endpoint]:
    """Those that the request names, by address or by number."""
    if request.acs_url:
        return [each for each in endpoints if each.url == request.acs_url]
    return [each for each in endpoints if request.acs_index is not None and each.index == request.acs_index]


def logout_endpoint(metadata: SpMetadata) -> Endpoint | None:
    """Where LogoutRequests go: by Redirect where the application takes it, which needs no script; None when it has no logout."""
    for binding in (Binding.REDIRECT, Binding.POST):
        for each in metadata.slo:
            if each.binding == binding:
                return each
    return None


def is_consumer(metadata: SpMetadata, url: str) -> bool:
    """Say whether answers to sign-ins go there, as the metadata is now: a request may have waited while it changed."""
    return any(each.url == url for each in metadata.acs)


def hears_of_logouts(metadata: SpMetadata, url: str) -> bool:
    """The same of answers to logouts."""
    return any(url == (each.response_url or each.url) for each in metadata.slo)


def attribute_service(metadata: SpMetadata, index: int | None) -> AttributeService | None:
    """The set of claims asked for, the default one, or None without any. Raises SamlMessageError for an unknown number.

    Where the metadata has no set at all a number tells nothing. It may be left aside (core section 3.4.1): some send one always.
    """
    services = metadata.attribute_services
    if index is not None and services:
        for each in services:
            if each.index == index:
                return each
        raise refused("the set of attributes that is asked for is not in the application's metadata", "saml_attributes")
    for wanted in (True, None):
        for each in services:
            if each.is_default is wanted:
                return each
    return services[0] if services else None
