"""Why messages of applications and their metadata are refused: short names that stay, what each means, and what to do.

The log, the timeline and the commands name them beside the sentence that says what was wrong with this very message.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a name means, and what an operator does about it."""

    means: str
    cure: str


_MAKER: Final = "tell the application's maker: its messages are not as SAML 2.0 says"
_METADATA: Final = "get the application's present metadata: wardgate relying-party renew NAME --metadata FILE"
_TRIED: Final = "somebody may be trying what we take; if it is the application, tell its maker"

REFUSALS: Final[Mapping[str, Refusal]] = {
    "saml_acs": Refusal("the address that the answer should go to is not in the application's metadata", _METADATA),
    "saml_address": Refusal(
        "metadata with an address that no answer may go to",
        "have the application name https addresses without fragment or user name",
    ),
    "saml_algorithm": Refusal(
        "signed with SHA-1 or in another way that proves too little",
        "set RSA-SHA256 at the application (mellon: MellonSignatureMethod rsa-sha256); Shibboleth needs our metadata as it is now",
    ),
    "saml_attributes": Refusal("a set of attributes that the application's metadata does not have", _METADATA),
    "saml_certificate": Refusal(
        "a certificate whose key is not taken", "have the application use RSA of 2048 to 8192 bits, P-256, P-384 or P-521"
    ),
    "saml_character": Refusal("a value with a character that XML cannot carry", "correct it where it comes from"),
    "saml_context": Refusal("a class of sign-in asked for in another shape than SAML's", _MAKER),
    "saml_destination": Refusal(
        "meant for another address than ours",
        "give the application our metadata as it is now, and compare public_url with the name that people reach us by",
    ),
    "saml_doctype": Refusal("a document type or an entity, with which XML readers are attacked", _TRIED),
    "saml_duplicate_id": Refusal("two elements of one id, with which signatures are moved", _TRIED),
    "saml_duplicate_parameter": Refusal("a parameter that is there twice", _TRIED),
    "saml_encoding": Refusal(
        "no Base64, no DEFLATE, or an unknown encoding",
        "look whether something on the way cuts long addresses; a form is never compressed (node-saml: skipRequestCompression)",
    ),
    "saml_entity": Refusal(
        "metadata without this application, or with several",
        "give its entity id (--entity-id), or the metadata of the service provider",
    ),
    "saml_expired": Refusal("metadata that has ended", _METADATA),
    "saml_form": Refusal("a POST without a form", _MAKER),
    "saml_id": Refusal("no id, or one that is no name", _MAKER),
    "saml_issuer": Refusal("no issuer, or several", _MAKER),
    "saml_malformed": Refusal("no XML, or a value that is none", _MAKER),
    "saml_name_id": Refusal(
        "no name of a person where one belongs, or an encrypted one", "turn off encrypted names at the application"
    ),
    "saml_no_logout": Refusal("its metadata has no address for logout", "have the application add a SingleLogoutService"),
    "saml_no_message": Refusal("no SAML message of a kind that we take", "set HTTP-Redirect or HTTP-POST at the application"),
    "saml_relay_state": Refusal("a RelayState that cannot be carried back", "have the application use a shorter one"),
    "saml_replayed": Refusal(
        "a request that came before", "nothing, where somebody went back in his browser; else somebody else has a copy of it"
    ),
    "saml_request": Refusal("a message at the wrong one of our addresses", "give the application our metadata as it is now"),
    "saml_response_to": Refusal("an answer to no request of ours", _TRIED),
    "saml_schema": Refusal("a part that does not belong there, or is there twice", _MAKER),
    "saml_signature": Refusal("a signature that does not hold, or by another key", _METADATA),
    "saml_status": Refusal("a status that is none", _MAKER),
    "saml_stray_node": Refusal("a comment or another node where none belongs, with which names are cut", _TRIED),
    "saml_time": Refusal(
        "too old, from the future, or without a time", "set the clocks right (timedatectl), the application's first"
    ),
    "saml_too_large": Refusal("more than a message or its metadata may hold", _MAKER),
    "saml_two_entities": Refusal("metadata with two entities of one id", "ask whoever publishes it which is right"),
    "saml_unknown": Refusal(
        "from an application that is not known, or whose metadata has ended",
        "wardgate relying-party list: compare its entity id, to the letter; wardgate relying-party add NAME --metadata FILE",
    ),
    "saml_unsigned": Refusal(
        "not signed, where it has to be", "have the application sign its requests, or set signed_requests: false for it"
    ),
    "saml_version": Refusal("another version than SAML 2.0", "set SAML 2.0 at the application"),
}


def cure_of(code: str) -> str:
    """What to do; empty for what has no name here."""
    refusal = REFUSALS.get(code)
    return refusal.cure if refusal is not None else ""
