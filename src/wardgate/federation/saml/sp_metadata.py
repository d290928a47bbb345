"""An application's metadata, read from a document of one entity or of many. SAML metadata sections 2.3 and 2.4; mdui 2.1.

Metadata is where all trust in an application comes from, and a document that can be read in two ways is refused: an entity that is
there twice, two consumers of one number, two SAML 2.0 roles.
"""

from collections.abc import Iterator, Sequence

from wardgate.errors import SamlMessageError
from wardgate.federation.saml import names
from wardgate.federation.saml.addresses import checked_url, is_plain_http
from wardgate.federation.saml.keys import public_key
from wardgate.federation.saml.values import (
    AttributeService,
    Binding,
    Contact,
    Endpoint,
    RequestedAttribute,
    SpMetadata,
)
from wardgate.federation.saml.verifying import verified
from wardgate.federation.saml.xml import (
    MAX_ENTITY_ID_CHARS,
    MAX_URI_CHARS,
    METADATA,
    Element,
    attribute,
    boolean,
    decoded,
    duration_s,
    instant,
    parse,
    refused,
    text_of,
    unsigned_short,
)

MAX_ENTITIES = 2_000
MAX_ENDPOINTS = 512
MAX_KEYS = 8
MAX_NAMES = 64
MAX_CERTIFICATE_OCTETS = 16 * 1024
MAX_CONTACTS = 16
MAX_TITLE_CHARS = 256
MAX_ADDRESS_CHARS = 320  # RFC 3696 section 3
MAX_REQUESTED_ATTRIBUTES = 256
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_ACS_BINDINGS = frozenset({names.POST})
_SLO_BINDINGS = frozenset({names.POST, names.REDIRECT})


def parse_sp_metadata(document: bytes, now_ms: int, entity_id: str = "", trusted_certificates: Sequence[bytes] = ()) -> SpMetadata:
    """The application in a metadata document, by `entity_id` or, where that is empty, the only one there is.

    With `trusted_certificates` (DER) the document has to be signed by one of them. Raises SamlMessageError, also when it has
    expired.
    """
    root = parse(document, METADATA)
    if trusted_certificates:
        root = verified(root, trusted_certificates, METADATA)
    entity, above = _entity(root, entity_id)
    role = _role(entity)
    valid_until = _first_end([*above, entity, role])
    if valid_until is not None and now_ms >= valid_until:
        raise refused("the metadata has expired", "saml_expired")
    signing, unusable = _certificates(role, "signing")
    encryption, _ = _certificates(role, "encryption")
    acs, acs_left_out = _consumers(role)
    slo, slo_left_out = _endpoints(role, "SingleLogoutService", _SLO_BINDINGS)
    return SpMetadata(
        entity_id=attribute(entity, "entityID", MAX_ENTITY_ID_CHARS),
        acs=acs,
        slo=slo,
        signing_certificates=signing,
        encryption_certificates=encryption,
        wants_assertions_signed=bool(boolean(role, "WantAssertionsSigned")),
        authn_requests_signed=bool(boolean(role, "AuthnRequestsSigned")),
        name_id_formats=tuple(text_of(each) for each in _named(role, "NameIDFormat", MAX_NAMES)),
        attribute_services=_attribute_services(role),
        valid_until=valid_until,
        cache_duration_s=_cache_duration([*above, entity, role]),
        display_names=_display_names(entity, role),
        logo_url=_logo(role),
        information_url=_information(role),
        contacts=_contacts(entity),
        unusable_certificates=unusable,
        unusable_addresses=acs_left_out + slo_left_out,
        acs_elsewhere=_elsewhere(role),
    )


def entity_ids(document: bytes) -> tuple[str, ...]:
    """The applications (entities with a SAML 2.0 SP role) that a document names, in its order. Raises SamlMessageError."""
    return tuple(
        attribute(entity, "entityID", MAX_ENTITY_ID_CHARS) for entity, _ in _entities(parse(document, METADATA)) if _roles(entity)
    )


# --- finding the entity ------------------------------------------------------------------------------------------------------


def _entity(root: Element, entity_id: str) -> tuple[Element, list[Element]]:
    found = list(_entities(root))
    ids = [attribute(entity, "entityID", MAX_ENTITY_ID_CHARS) for entity, _ in found]
    if len(set(ids)) != len(ids):
        raise refused("two entities have the same id", "saml_two_entities")
    if not all(ids):
        raise refused("an entity without an id", "saml_entity")
    wanted = [each for each, name in zip(found, ids, strict=True) if (name == entity_id if entity_id else _roles(each[0]))]
    if not wanted:
        raise refused("the document does not have this application", "saml_entity")
    if len(wanted) > 1:
        raise refused("the document has several applications: say which, by its entity id", "saml_entity")
    return wanted[0]


def _entities(root: Element) -> Iterator[tuple[Element, list[Element]]]:
    """Each EntityDescriptor and the groups that it is in, outermost first."""
    if root.tag == _md("EntityDescriptor"):
        yield root, []
        return
    if root.tag != _md("EntitiesDescriptor"):
        raise refused("no SAML metadata: neither EntityDescriptor nor EntitiesDescriptor", "saml_entity")
    count, waiting = 0, [(root, [root])]
    while waiting:
        group, above = waiting.pop(0)
        for child in group:
            if child.tag == _md("EntityDescriptor"):
                count += 1
                if count > MAX_ENTITIES:
                    raise refused("too many entities", "saml_too_large")
                yield child, above
            elif child.tag == _md("EntitiesDescriptor"):
                waiting.append((child, [*above, child]))


def _roles(entity: Element) -> list[Element]:
    return [
        role
        for role in entity.iterchildren(_md("SPSSODescriptor"))
        if names.PROTOCOL in attribute(role, "protocolSupportEnumeration").split()
    ]


def _role(entity: Element) -> Element:
    roles = _roles(entity)
    if len(roles) != 1:
        raise refused("not one service provider role for SAML 2.0", "saml_entity")
    return roles[0]


def _first_end(elements: Sequence[Element]) -> int | None:
    ends = [end for end in (instant(each, "validUntil") for each in elements) if end is not None]
    return min(ends, default=None)


def _cache_duration(elements: Sequence[Element]) -> int | None:
    return min((duration_s(each) for each in (attribute(one, "cacheDuration") for one in elements) if each), default=None)


# --- endpoints and keys --------------------------------------------------------------------------------------------------------


def _consumers(role: Element) -> tuple[tuple[Endpoint, ...], int]:
    found, left_out = _endpoints(role, "AssertionConsumerService", _ACS_BINDINGS)
    if not found and left_out:
        raise refused("no consumer of the application is https (http is for localhost alone)", "saml_address")
    if not found:
        raise refused("the application has no consumer that takes HTTP-POST", "saml_acs")
    numbers = [each.index for each in found if each.index is not None]
    if len(set(numbers)) != len(numbers):
        raise refused("two consumers have the same number", "saml_acs")
    return found, left_out


def _elsewhere(role: Element) -> tuple[Endpoint, ...]:
    """Consumers by bindings that we do not speak: their addresses are compared with what is asked for, and nothing goes there."""
    others = [
        each for each in _named(role, "AssertionConsumerService", MAX_ENDPOINTS) if attribute(each, "Binding") not in _ACS_BINDINGS
    ]
    return tuple(
        Endpoint(attribute(each, "Location"), attribute(each, "Binding"), unsigned_short(each, "index")) for each in others
    )


def _endpoints(role: Element, name: str, bindings: frozenset[str]) -> tuple[tuple[Endpoint, ...], int]:
    """The endpoints of the bindings that we speak, and how many of them are left out because anybody on the way could listen.

    Applications list their http address beside the https one. Whatever else is wrong with an address is nobody's habit.
    """
    endpoints: list[Endpoint] = []
    left_out = 0
    for each in _named(role, name, MAX_ENDPOINTS):
        binding, url, response_url = (attribute(each, part) for part in ("Binding", "Location", "ResponseLocation"))
        if binding not in bindings:
            continue
        if is_plain_http(url) or is_plain_http(response_url):
            left_out += 1
            continue
        endpoints.append(
            Endpoint(
                url=checked_url(url),
                binding=Binding(binding),
                index=unsigned_short(each, "index"),
                is_default=boolean(each, "isDefault"),
                response_url=checked_url(response_url) if response_url else "",
            )
        )
    return tuple(endpoints), left_out


def _certificates(role: Element, use: str) -> tuple[tuple[bytes, ...], int]:
    """The certificates for one use, and how many of them show a key that we do not take.

    Of each KeyDescriptor the first certificate alone: what follows it are those who issued it, and their keys are not the
    application's.
    """
    usable: list[bytes] = []
    unusable = 0
    for descriptor in _named(role, "KeyDescriptor", MAX_KEYS * 2):
        if attribute(descriptor, "use") not in ("", use):
            continue
        shown = next(descriptor.iter(f"{{{names.DSIG}}}X509Certificate"), None)
        if shown is None:
            unusable += 1
            continue
        try:
            certificate = decoded(text_of(shown, MAX_CERTIFICATE_OCTETS * 2), MAX_CERTIFICATE_OCTETS)
            public_key(certificate)
        except SamlMessageError:
            unusable += 1
        else:
            usable.append(certificate)
    if len(usable) > MAX_KEYS:
        raise refused(f"more than {MAX_KEYS} keys for one use", "saml_too_large")
    return tuple(dict.fromkeys(usable)), unusable


# --- what people see, and what is asked for ----------------------------------------------------------------------------------


def _attribute_services(role: Element) -> tuple[AttributeService, ...]:
    services = []
    for each in _named(role, "AttributeConsumingService", MAX_ENDPOINTS):
        index = unsigned_short(each, "index")
        if index is None:
            raise refused("a set of attributes without a number", "saml_attributes")
        asked = tuple(
            RequestedAttribute(
                name=attribute(wish, "Name"),
                friendly_name=attribute(wish, "FriendlyName"),
                name_format=attribute(wish, "NameFormat") or names.ATTRIBUTE_UNSPECIFIED,
                required=bool(boolean(wish, "isRequired")),
            )
            for wish in _named(each, "RequestedAttribute", MAX_REQUESTED_ATTRIBUTES)
        )
        services.append(AttributeService(index=index, is_default=boolean(each, "isDefault"), attributes=asked))
    if len({each.index for each in services}) != len(services):
        raise refused("two sets of attributes have the same number", "saml_attributes")
    return tuple(services)


def _display_names(entity: Element, role: Element) -> tuple[tuple[str, str], ...]:
    """Names per language: of the application's own description, else of its services, else of its organisation."""
    services = [each for service in _named(role, "AttributeConsumingService", MAX_ENDPOINTS) for each in service]
    for found in (
        _described(role, "DisplayName"),
        [each for each in services if each.tag == _md("ServiceName")],
        list(entity.iterfind(f"{_md('Organization')}/{_md('OrganizationDisplayName')}")),
    ):
        if found:
            by_language = {attribute(each, _LANG).lower(): _shown(each, MAX_TITLE_CHARS) for each in found[:MAX_NAMES]}
            return tuple((language, name) for language, name in by_language.items() if name)
    return ()


def _logo(role: Element) -> str:
    """The widest logo that is fetched over https: the page's policy loads no other, and one in the text is not taken."""
    found = [(_width(each), _shown(each, MAX_URI_CHARS)) for each in _described(role, "Logo")]
    return max(((width, url) for width, url in found if _fetched(url)), default=(0, ""))[1]


def _information(role: Element) -> str:
    return next((url for url in (_shown(each, MAX_URI_CHARS) for each in _described(role, "InformationURL")) if _fetched(url)), "")


def _width(logo: Element) -> int:
    try:
        return unsigned_short(logo, "width") or 0
    except SamlMessageError:
        return 0


def _shown(element: Element, limit: int) -> str:
    """A text that people alone read: one that cannot be shown is left out, and the application is no worse for it."""
    try:
        return text_of(element, limit)
    except SamlMessageError:
        return ""


def _fetched(url: str) -> bool:
    try:
        return checked_url(url).startswith("https:")
    except SamlMessageError:
        return False


def _described(role: Element, name: str) -> list[Element]:
    """The parts of mdui:UIInfo."""
    place = f"{_md('Extensions')}/{{{names.METADATA_UI}}}UIInfo/{{{names.METADATA_UI}}}{name}"
    return list(role.iterfind(place))[:MAX_NAMES]


def _contacts(entity: Element) -> tuple[Contact, ...]:
    contacts = []
    for each in list(entity.iterchildren(_md("ContactPerson")))[:MAX_CONTACTS]:
        names_ = [_first(each, part) for part in ("GivenName", "SurName")]
        contacts.append(
            Contact(
                kind=attribute(each, "contactType"),
                name=" ".join(part for part in names_ if part) or _first(each, "Company"),
                email=_first(each, "EmailAddress").removeprefix("mailto:"),
            )
        )
    return tuple(contacts)


def _first(parent: Element, name: str) -> str:
    found = next(parent.iterchildren(_md(name)), None)
    return "" if found is None else _shown(found, MAX_ADDRESS_CHARS)


def _named(parent: Element, name: str, limit: int) -> list[Element]:
    found = list(parent.iterchildren(_md(name)))
    if len(found) > limit:
        raise refused(f"too many of {name}", "saml_too_large")
    return found


def _md(name: str) -> str:
    return f"{{{names.METADATA}}}{name}"
