"""The two bindings: how a message is packed into a query (HTTP-Redirect) or a form (HTTP-POST), and taken out again.

SAML bindings sections 3.4 and 3.5. RelayState is the application's own text: it is carried as it came, and never looked into.
"""

import base64
import re
import zlib
from collections.abc import Iterable, Sequence
from urllib.parse import quote, unquote_to_bytes

from wardgate.errors import SamlMessageError
from wardgate.federation.saml import signing
from wardgate.federation.saml.values import Binding, Signer
from wardgate.federation.saml.xml import MESSAGE, decoded, refused
from wardgate.values import quick_value

REQUEST = "SAMLRequest"
RESPONSE = "SAMLResponse"
MAX_QUERY_OCTETS = 64 * 1024
MAX_RELAY_STATE_OCTETS = 4_096
"""The specification says 80; the applications that we know of send whole addresses."""
MAX_SIGNATURE_OCTETS = 1_024
# A byte order mark and white space.
MAX_BEFORE_XML = 64
DEFLATE = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"
_OURS = (REQUEST, RESPONSE, "RelayState", "SigAlg", "Signature", "SAMLEncoding")
_AS_OCTETS = {name.encode(): name for name in _OURS}
_SIGNED = (REQUEST, RESPONSE, "RelayState", "SigAlg")
_SIGNED_ALONE = (REQUEST, RESPONSE, "SigAlg")
# What cannot travel in a form: HTML has no NUL, headers must not be made of the rest, and half a pair is no character.
_UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
# Characters that a query may hold as they are, RFC 3986 section 3.4; the rest of the marks are escaped as applications do.
_PLAIN = "-._~"


@quick_value
class QuerySignature:
    """A signature of the Redirect binding: over the octets of the query as they came, before any decoding.

    `signed`: what it may be over. Of an empty RelayState some leave out what they send all the same (section 3.4.4.1).
    """

    algorithm: str
    value: bytes
    signed: tuple[bytes, ...]


@quick_value
class Received:
    """A message as it came through the browser. `kind` is SAMLRequest or SAMLResponse; `relay_state` None when there was none."""

    kind: str
    binding: Binding
    document: bytes
    relay_state: str | None
    signature: QuerySignature | None


@quick_value
class Form:
    """A form that the browser posts by itself: where to, and its hidden fields in their order, the message first, in base64."""

    action: str
    fields: tuple[tuple[str, str], ...]


def read_redirect(query: bytes) -> Received:
    """The message in a raw query string. Raises SamlMessageError.

    A parameter that is there twice is refused, also where percent signs hide its name: one reader would take the first and
    another the last, and the signature would cover only one of them.
    """
    raw = _parameters(query)
    kind = _kind(raw)
    encoding = _unquoted(raw.get("SAMLEncoding", b""))
    if encoding not in ("", DEFLATE):
        raise refused("an encoding that is not DEFLATE", "saml_encoding")
    return Received(
        kind=kind,
        binding=Binding.REDIRECT,
        document=_inflated(decoded(_unquoted(raw[kind]), MAX_QUERY_OCTETS)),
        relay_state=_relay_state(raw["RelayState"]) if "RelayState" in raw else None,
        signature=_query_signature(raw),
    )


def read_post(fields: Iterable[tuple[str, str]]) -> Received:
    """The message among the fields of a form. Raises SamlMessageError."""
    known: dict[str, str] = {}
    for name, value in fields:
        if name in _OURS:
            if name in known:
                raise refused(f"{name} is there twice", "saml_duplicate_parameter")
            known[name] = value
    kind = _kind(known)
    document = decoded(known[kind], MESSAGE.octets)
    relay_state = _carriable(known["RelayState"]) if "RelayState" in known else None
    if b"<" not in document[:MAX_BEFORE_XML] and _is_packed(document):
        # Section 3.5.4; ruby-saml and node-saml do it until compress_request is off and skipRequestCompression is on.
        raise refused(
            "packed by DEFLATE in a form, as only an address may be: have the application not compress it", "saml_encoding"
        )
    return Received(kind=kind, binding=Binding.POST, document=document, relay_state=relay_state, signature=None)


def redirect_url(endpoint: str, kind: str, document: bytes, relay_state: str | None, signer: Signer | None) -> str:
    """The address to send the browser to, signed when there is a signer. `document` is XML without a signature inside."""
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(document) + packer.flush()
    query = f"{kind}={quote(base64.b64encode(packed), safe=_PLAIN)}"
    if relay_state is not None:
        query += f"&RelayState={quote(_carriable(relay_state), safe=_PLAIN)}"
    if signer is not None:
        query += f"&SigAlg={quote(signer.algorithm, safe=_PLAIN)}"
        query += f"&Signature={quote(base64.b64encode(signing.query_signature(signer, query.encode())), safe=_PLAIN)}"
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"


def post_form(endpoint: str, kind: str, document: bytes, relay_state: str | None) -> Form:
    """The form that carries a message, which is signed inside when it is."""
    fields: Sequence[tuple[str, str]] = [(kind, base64.b64encode(document).decode())]
    if relay_state is not None:
        fields = [*fields, ("RelayState", _carriable(relay_state))]
    return Form(action=endpoint, fields=tuple(fields))


def _parameters(query: bytes) -> dict[str, bytes]:
    if len(query) > MAX_QUERY_OCTETS:
        raise refused("a query that is too long", "saml_too_large")
    found: dict[str, bytes] = {}
    for part in query.split(b"&"):
        raw_name, _, value = part.partition(b"=")
        name = _AS_OCTETS.get(raw_name)
        if name is None:
            if unquote_to_bytes(raw_name).decode("utf-8", "replace") in _OURS:
                raise refused("a parameter whose name is escaped", "saml_duplicate_parameter")
            continue
        if name in found:
            raise refused(f"{name} is there twice", "saml_duplicate_parameter")
        found[name] = value
    return found


def _kind(known: dict[str, bytes] | dict[str, str]) -> str:
    kinds = [kind for kind in (REQUEST, RESPONSE) if kind in known]
    if len(kinds) != 1:
        raise refused("neither one request nor one response", "saml_no_message")
    return kinds[0]


def _query_signature(raw: dict[str, bytes]) -> QuerySignature | None:
    if ("Signature" in raw) != ("SigAlg" in raw):
        raise refused("half a signature", "saml_signature")
    if "Signature" not in raw:
        return None
    # In the order of section 3.4.4.1, whatever the order in the address: these octets are what the application signed.
    orders = (_SIGNED, _SIGNED_ALONE) if raw.get("RelayState") == b"" else (_SIGNED,)
    return QuerySignature(
        algorithm=_unquoted(raw["SigAlg"]),
        value=decoded(_unquoted(raw["Signature"]), MAX_SIGNATURE_OCTETS),
        signed=tuple(_in_order(raw, order) for order in orders),
    )


def _in_order(raw: dict[str, bytes], order: tuple[str, ...]) -> bytes:
    return b"&".join(b"%s=%s" % (name.encode(), raw[name]) for name in order if name in raw)


def _unquoted(value: bytes) -> str:
    """Percent signs decoded. A bare plus is left: in Base64 it is one that somebody forgot to escape."""
    # The marks of Base64 at once, which are most of what is escaped: none of them can become part of another escape.
    plain = value.replace(b"%2B", b"+").replace(b"%2F", b"/").replace(b"%3D", b"=") if b"%" in value else value
    try:
        return (unquote_to_bytes(plain) if b"%" in plain else plain).decode("ascii")
    except UnicodeDecodeError as error:
        raise refused("a parameter that is not ASCII", "saml_encoding") from error


def _relay_state(value: bytes) -> str:
    if len(value) > MAX_RELAY_STATE_OCTETS * 3:
        raise refused("RelayState is too long", "saml_relay_state")
    try:
        return _carriable(unquote_to_bytes(value.replace(b"+", b" ")).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise refused("RelayState is not UTF-8", "saml_relay_state") from error


def _carriable(relay_state: str) -> str:
    """The text itself, when a form can carry it back unchanged."""
    if len(relay_state) > MAX_RELAY_STATE_OCTETS or len(relay_state.encode("utf-8", "replace")) > MAX_RELAY_STATE_OCTETS:
        raise refused("RelayState is too long", "saml_relay_state")
    if _UNSENDABLE.search(relay_state):
        raise refused("RelayState holds control characters", "saml_relay_state")
    return relay_state


def _is_packed(document: bytes) -> bool:
    try:
        return b"<" in _inflated(document)[:MAX_BEFORE_XML]
    except SamlMessageError:
        return False


def _inflated(packed: bytes) -> bytes:
    """Raw DEFLATE (RFC 1951) undone, and never more than a message may have."""
    unpacker = zlib.decompressobj(wbits=-15)
    try:
        document = unpacker.decompress(packed, MESSAGE.octets + 1)
    except zlib.error as error:
        raise refused("no DEFLATE", "saml_encoding") from error
    if len(document) > MESSAGE.octets:
        raise refused("larger than a message may be once it is unpacked", "saml_too_large")
    if not unpacker.eof or unpacker.unused_data:
        raise refused("DEFLATE that ends early, or has something behind it", "saml_encoding")
    return document
