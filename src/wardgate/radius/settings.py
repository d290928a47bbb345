"""Settings of a NAS, as they stand in the configuration document under `nas`."""

from dataclasses import dataclass, field
from typing import Literal

from wardgate.config.reference import SecretSetting

Mode = Literal["challenge", "password_then_code", "code_then_password", "code_only"]
MessageAuthenticatorPolicy = Literal["require", "accept_missing", "auto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NasSettings:
    """One device, or an HA pair, that asks us by RADIUS."""

    name: str
    addresses: tuple[str, ...] = field(
        metadata={"help": "IPv4 or IPv6 addresses or networks that its packets come from; the longest prefix wins"}
    )
    secret: SecretSetting = field(metadata={"help": "shared secret; 16 or more random characters (a warning below 12)"})
    application: str = field(metadata={"help": "what a login through it is for; policy and reply attributes hang there"})
    vendor: str = field(default="generic", metadata={"help": "profile with the vendor's defaults: generic, paloalto"})
    identifier: str | None = field(
        default=None,
        metadata={"help": "NAS-Identifier that tells two NAS at one address apart; on PAN-OS the authentication profile's name"},
    )
    mode: Mode = field(
        default="challenge",
        metadata={"help": "challenge: password, then a second request with the code; the others take everything in one request"},
    )
    separator: str = field(default="", metadata={"help": "between password and code in one field; empty: split by length"})
    code_digits: int = field(
        default=6, metadata={"help": "length of the code in one field when there is no separator", "unit": "digits"}
    )
    message_authenticator: MessageAuthenticatorPolicy = field(
        default="require",
        metadata={
            "help": "require: drop requests without it; auto: required from the first signed login on, for good (one address only)"
        },
    )
    limit_proxy_state: bool = field(
        default=True,
        metadata={
            "help": "while Message-Authenticator is not required: drop requests with Proxy-State and without it (CVE-2024-3596)"
        },
    )
    trust_client_address: bool = field(
        default=True,
        metadata={
            "help": "whether the user's address that it tells (Calling-Station-Id and the like) counts for brakes and for policy; "
            "false: it is only shown, because users could make it up"
        },
    )
    status_server: bool = field(default=True, metadata={"help": "answer Status-Server"})
    language: str | None = field(default=None, metadata={"help": "language of prompts; default: the user's, then the realm's"})
    charset: Literal["utf-8", "iso-8859-1", "iso-8859-9", "windows-1252", "windows-1254"] = field(
        default="utf-8", metadata={"help": "encoding of names and passwords; what does not decode is taken byte for byte"}
    )
