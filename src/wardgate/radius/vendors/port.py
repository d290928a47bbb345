"""What the RADIUS door asks of a NAS vendor: one frozen value, mostly a table.

A profile knows how the vendor's devices show a prompt, where they put the client's address, how long they wait and what
their operators get wrong. It never decides a login. To add one, write `vendors/<name>.py` with its profile and its
attributes, and list it in `vendors/__init__.py`.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from wardgate.radius.attributes import AttributeDefinition
from wardgate.radius.packet import MAX_VALUE_BYTES, Packet

ReleaseRule = Mapping[str, Mapping[str, object]]
"""One rule as in the configuration document: `{"when": {...}, "add": {...}}`."""

MAX_INFO_CHARS = 128
PROMPTS_REMEMBERED = 256
_MAX_ADDRESS_OCTETS = 64


class NameForm(StrEnum):
    """A shape in which a user name may arrive. Every shape is accepted from every NAS; these are the usual ones."""

    BARE = "user"
    DOWN_LEVEL = "DOMAIN\\user"
    PRINCIPAL = "user@domain"


class Trouble(StrEnum):
    """What an operator may have to cure on the device; the key of `VendorProfile.setup_hints`."""

    NO_MESSAGE_AUTHENTICATOR = "no_message_authenticator"
    WRONG_SECRET = "wrong_secret"  # noqa: S105 - the name of a trouble, not a secret
    CHAP = "chap"
    RETRANSMISSION = "retransmission"
    CREDENTIAL_REPLAY = "credential_replay"
    NO_CHALLENGE = "no_challenge"


GENERIC_HINTS: Mapping[Trouble, str] = {
    Trouble.NO_MESSAGE_AUTHENTICATOR: (
        "update the device so that it sends Message-Authenticator (CVE-2024-3596), or set message_authenticator: accept_missing"
    ),
    Trouble.WRONG_SECRET: "enter the same shared secret on the device and in wardgate; watch for a trailing space",
    Trouble.CHAP: "set the device's RADIUS protocol to PAP: CHAP cannot be checked against a directory and cannot carry a code",
    Trouble.RETRANSMISSION: "raise the device's RADIUS timeout to 60 seconds and its retries to 1",
    Trouble.CREDENTIAL_REPLAY: "the device sent the code of the login before as a password: let it ask for one anew",
    Trouble.NO_CHALLENGE: "the device cannot show a challenge: use mode: password_then_code for it",
}

# A line break or a quote ends GlobalProtect's respMsg too early; angle brackets are read as HTML by several portals.
# U+2028 and U+2029 end a line in JavaScript. Readable stand-ins where there are any.
_STAND_INS = str.maketrans({'"': "'", "\\": "/", "<": "(", ">": ")", "“": "'", "”": "'"})
_BREAKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VendorProfile:
    """Everything about one maker's devices that the door needs to know. One is equal to itself only, which is cheap to look up."""

    name: str
    title: str
    attributes: tuple[AttributeDefinition, ...] = ()
    """The vendor's own dictionary."""
    group_attribute: str | None = None
    """The attribute that carries a group, for forms and documents."""
    default_release: tuple[ReleaseRule, ...] = ()
    """Reply rules that hold when the application has none of its own."""
    suggested_release: tuple[ReleaseRule, ...] = ()
    """Reply rules that forms and `wardgate init` propose; nothing is sent until an operator takes them over."""
    address_sources: tuple[AttributeDefinition, ...] = ()
    """Where the user's own address is found; the first one that holds an address wins."""
    info_sources: tuple[tuple[str, AttributeDefinition], ...] = ()
    """What else the device tells about the user's machine: (our key, attribute)."""
    max_prompt_chars: int = 120
    max_prompt_octets: int = MAX_VALUE_BYTES
    empty_prompt: str = "Enter the code"
    """Sent when nothing is left of a text: pam_radius refuses a challenge without a Reply-Message."""
    prompt_echo: bool | None = False
    """The Prompt attribute of a challenge (RFC 2869 section 5.10): show what is typed, hide it, or None to send none."""
    time_budget_s: float = 10.0
    """How long the device or its client surely waits for a reply; a held push must end before it."""
    chap_first: bool = False
    """Some releases try CHAP before PAP: such a request is refused at once and counts nowhere."""
    forms: tuple[NameForm, ...] = (NameForm.BARE, NameForm.DOWN_LEVEL, NameForm.PRINCIPAL)
    setup_hints: tuple[tuple[Trouble, str], ...] = ()

    def hint(self, trouble: Trouble) -> str:
        """What the operator of this vendor's device can do about it, in one sentence."""
        return dict(self.setup_hints).get(trouble, GENERIC_HINTS[trouble])

    def client_address(self, request: Packet) -> str | None:
        """The address of the user's own machine, canonical and without port, or None when the device tells none.

        It is hearsay: the device vouches for it with the shared secret, and no more.
        """
        for definition in self.address_sources:
            for value in definition.read(request):
                address = parse_address(value)
                if address is not None:
                    return address
        return None

    def client_info(self, request: Packet) -> dict[str, str]:
        """What the device tells about the user's machine: any of `os`, `hostname`, `app_version`, `user_domain`."""
        info: dict[str, str] = {}
        for key, definition in self.info_sources:
            for value in definition.read(request)[:1]:
                text = _printable(value.decode("utf-8", "replace"))[:MAX_INFO_CHARS]
                if text:
                    info[key] = text
        return info

    def prompt(self, text: str, ending: str = "") -> str:
        """`text` as one line that this vendor's devices show whole, never empty.

        `ending` (a reference, say) is kept whole and `text` is cut before it. What would break a device's page is
        replaced; the result has at most `max_prompt_chars` characters and `max_prompt_octets` octets of UTF-8.
        """
        return self._fitted(text, ending) if ending else _remembered(self, text)

    def _fitted(self, text: str, ending: str) -> str:
        ending = _one_line(ending)
        tail = f" {ending}" if ending else ""
        room_chars = max(self.max_prompt_chars - len(tail), 0)
        room_octets = max(self.max_prompt_octets - len(tail.encode()), 0)
        line = _cut(_one_line(text), room_chars, room_octets) + tail
        return _cut(line.strip(), self.max_prompt_chars, self.max_prompt_octets) or self.empty_prompt


@lru_cache(maxsize=PROMPTS_REMEMBERED)
def _remembered(profile: VendorProfile, text: str) -> str:
    """A prompt that many are asked by; the ones with a reference of their own at the end are not remembered."""
    return profile._fitted(text, "")


def _one_line(text: str) -> str:
    """Fold white space and line breaks into single blanks, replace or drop what a device's page cannot stand."""
    safe = "".join(char for char in text.translate(_STAND_INS) if char.isprintable() or char.isspace())
    return _BREAKS.sub(" ", unicodedata.normalize("NFC", safe)).strip()


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable()).strip()


def _cut(text: str, chars: int, octets: int) -> str:
    """The longest beginning of `text` within both limits, on a character boundary."""
    return text[:chars].encode("utf-8", "replace")[:octets].decode("utf-8", "ignore").rstrip()


_WITH_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+)(?::\d+|\[\d+\])|\[([0-9A-Fa-f:.]+)\](?::\d+)?|([0-9A-Fa-f:.]+)\[\d+\]")


def parse_address(value: bytes) -> str | None:
    """The IP address in a station id, without port, in canonical form; None when it is something else.

    Devices write 192.0.2.1, 192.0.2.1:4500, 192.0.2.1[4500] (strongSwan), 2001:db8::1 or [2001:db8::1]:443, and others
    put a MAC address or a telephone number there. An IPv4 address inside IPv6 is the IPv4 address.
    """
    if len(value) > _MAX_ADDRESS_OCTETS or not value.isascii():
        return None
    text = value.decode("ascii").strip()
    ported = _WITH_PORT.fullmatch(text)
    if ported is not None:
        text = next(group for group in ported.groups() if group is not None)
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if address.scope_id is not None:
            return None
    return str(address)
