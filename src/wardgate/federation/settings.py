"""Settings of applications that trust our statement, as they stand in the configuration document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from wardgate.engine.settings import AnyApplicationSettings, mark_of

NameIdWord = Literal["persistent", "transient", "email", "unspecified"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataSettings:
    """Where an application's metadata comes from: one of file, text and url."""

    file: str | None = field(
        default=None, metadata={"help": "XML file on the server, an absolute path; read when the server starts"}
    )
    text: str | None = field(default=None, metadata={"help": "the XML itself"})
    url: str | None = field(default=None, metadata={"help": "https address that it is fetched from, again and again"})
    refresh_s: int = field(
        default=14_400,
        metadata={"help": "how often it is fetched; sooner where the metadata's cacheDuration says so", "unit": "seconds"},
    )
    max_age_s: int = field(
        default=1_209_600,
        metadata={
            "help": "how long what was fetched last is used while the address fails, where it has no validUntil of its own",
            "unit": "seconds",
        },
    )
    allow: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "networks inside your own that the address may lead to, such as 10.1.2.0/24; empty: public addresses alone"
        },
    )
    authority: str | None = field(
        default=None,
        metadata={"help": "PEM file with the authority that the address's TLS certificate comes from; default: public ones"},
    )
    signed_by: str | None = field(
        default=None,
        metadata={"help": "PEM file with the certificate that must have signed the metadata; default: no signature is needed"},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSettings:
    """One claim: exactly one of source, template and constant; the rest shapes its values."""

    source: str | None = field(
        default=None,
        metadata={
            "help": "user_name, display_name, mail, phone, language, realm, directory, groups, attribute.NAME of the directory, or "
            "subject (an id that this application alone knows the person by)"
        },
    )
    template: str | None = field(default=None, metadata={"help": "text with sources in braces, such as {user_name}@acme.test"})
    constant: str | tuple[str, ...] | None = field(default=None, metadata={"help": "the same for everybody: a text or a list"})
    only: tuple[str, ...] = field(
        default=(),
        metadata={"help": "of the source's values those that fit one of these; * stands for anything; groups as acme-ad:wiki-*"},
    )
    map: Mapping[str, str] = field(
        default_factory=dict,
        metadata={"help": "what values are replaced by, such as {acme-ad:wiki-admins: admin}; the first that fits counts"},
    )
    unmapped: Literal["drop", "keep"] = field(default="drop", metadata={"help": "what becomes of values that `map` does not name"})
    qualified: bool = field(default=False, metadata={"help": "whether groups are told with their directory, acme-ad:staff"})
    friendly_name: str = field(default="", metadata={"help": "what people call the claim; for the application's log"})
    name_format: Literal["basic", "uri", "unspecified"] | None = field(
        default=None, metadata={"help": "how its name is meant; default: uri where it begins with urn: or http, else basic"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NameIdSettings:
    """The name by which an application knows a person."""

    format: NameIdWord = field(
        metadata={
            "help": "persistent (the same each time, and another for each application), transient (new each time), email or "
            "unspecified"
        }
    )
    source: str | None = field(
        default=None, metadata={"help": "where an email or unspecified name comes from; see a claim's source"}
    )
    template: str | None = field(default=None, metadata={"help": "the same by a template, such as {user_name}@acme.test"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchpadSettings:
    """How people see the application on the portal."""

    shown: bool = field(default=True, metadata={"help": "whether people see it among their applications"})
    title: Mapping[str, str] = field(
        default_factory=dict,
        metadata={"help": "its name by language, such as {en: Wiki, tr: Viki}; default: the application's title"},
    )
    icon_file: str | None = field(default=None, metadata={"help": "SVG or PNG shown beside it; an absolute path on the server"})
    address: str = field(
        default="", metadata={"help": "https address that it is opened at; empty: we begin the sign-in ourselves (IdP-initiated)"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlApplicationSettings(AnyApplicationSettings):
    """A web application that trusts our SAML statements. What is not said comes from its preset, and then from its metadata."""

    kind: Literal["saml"] = field(metadata={"help": "what it is: an application that trusts our SAML statements"})
    preset: str = field(
        default="generic", metadata={"help": "whose product it is; gives the defaults for names, claims and signing"}
    )
    metadata: MetadataSettings | None = field(default=None, metadata={"help": "what the application says of itself"})
    entity_id: str | None = field(
        default=None, metadata={"help": "what it calls itself; needed without metadata, or where the metadata holds several"}
    )
    acs: tuple[str, ...] = field(
        default=(), metadata={"help": "without metadata: addresses that responses go to by POST, the usual one first"}
    )
    slo: str | None = field(default=None, metadata={"help": "without metadata: address that logout messages go to"})
    slo_binding: Literal["redirect", "post"] = field(default="redirect", metadata={"help": "how they go there"})
    certificates: tuple[str, ...] = field(
        default=(),
        metadata={"help": "without metadata: PEM certificates that it signs with, the first also the one to encrypt for"},
    )
    signed_requests: bool | None = field(
        default=None, metadata={"help": "whether its requests must be signed; default: as its metadata says"}
    )
    sign: Literal["assertion", "response", "both"] | None = field(
        default=None,
        metadata={
            "help": "what of a response is signed; default: the preset's, which is both for an application of no known maker"
        },
    )
    encrypt: Literal["none", "aes256-gcm", "aes128-gcm", "aes256-cbc", "aes128-cbc"] | None = field(
        default=None, metadata={"help": "how assertions are encrypted; default: the preset's, usually not"}
    )
    key_transport: Literal["rsa-oaep-sha1", "rsa-oaep-sha256"] = field(
        default="rsa-oaep-sha1",
        metadata={"help": "how the key of an encrypted assertion is wrapped; all applications take the first"},
    )
    key: Literal["rsa", "p256"] = field(default="rsa", metadata={"help": "which of our keys signs for it"})
    name_id: NameIdSettings | None = field(
        default=None,
        metadata={
            "help": "the name that it knows a person by; default: the preset's, usually persistent, or what its metadata takes"
        },
    )
    name_id_formats: tuple[NameIdWord, ...] = field(
        default=(), metadata={"help": "further kinds of names that its requests may ask for"}
    )
    claims: Mapping[str, str | ClaimSettings] = field(
        default_factory=dict,
        metadata={"help": "what it is told, by the claim's name: a source, a template or a claim; added to the preset's"},
    )
    assertion_life_s: int = field(default=300, metadata={"help": "how long a response may be on its way", "unit": "seconds"})
    idp_initiated: bool = field(default=True, metadata={"help": "whether we may send people there without its having asked"})
    relay_state: str = field(default="", metadata={"help": "what goes along then: often the page to open"})
    launchpad: LaunchpadSettings = field(default_factory=LaunchpadSettings, metadata={"help": "how people see it on the portal"})
    logout: bool = field(default=True, metadata={"help": "whether it is told when a person signs out"})

    @property
    def keeps_group_aliases(self) -> bool:
        """Where groups are filtered or mapped: they may be written by DN or SID, and no group passes for another by its name."""
        return any(claim.only or claim.map for claim in self.claims.values() if not isinstance(claim, str))

    @property
    def claims_mark(self) -> str:
        """What a grant bears that was cut down to what these claims need."""
        return mark_of(self.name, self.preset, self.claims, self.name_id)

    @property
    def tells_phone(self) -> bool:
        """Whether a claim or the name is filled from it."""
        texts = [claim if isinstance(claim, str) else claim.source or claim.template or "" for claim in self.claims.values()]
        texts += [self.name_id.source or self.name_id.template or ""] if self.name_id is not None else []
        return any(text == "phone" or "{phone}" in text for text in texts)
