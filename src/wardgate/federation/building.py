"""From settings and metadata to a relying party: the document says most, then its preset, then the application itself."""

from collections.abc import Mapping
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from wardgate.errors import MessageError, SettingsError
from wardgate.federation.claims import ClaimRule, Pattern, Values
from wardgate.federation.presets import preset_of
from wardgate.federation.presets.preset import Preset
from wardgate.federation.relying_party import KeyKind, Launchpad, NameIdFormat, NameIdRule, RelyingParty
from wardgate.federation.saml import names
from wardgate.federation.saml.values import Binding, Encrypt, Endpoint, KeyTransport, ResponseSettings, Sign, SpMetadata
from wardgate.federation.settings import ClaimSettings, NameIdSettings, NameIdWord, SamlApplicationSettings

FORMATS: Final[Mapping[str, NameIdFormat]] = {
    "persistent": NameIdFormat.PERSISTENT,
    "transient": NameIdFormat.TRANSIENT,
    "email": NameIdFormat.EMAIL,
    "unspecified": NameIdFormat.UNSPECIFIED,
}
_NAME_FORMATS: Final[Mapping[str, str]] = {
    "basic": names.ATTRIBUTE_BASIC,
    "uri": names.ATTRIBUTE_URI,
    "unspecified": names.ATTRIBUTE_UNSPECIFIED,
}


def build_party(settings: SamlApplicationSettings, metadata: SpMetadata, icon: str = "") -> RelyingParty:
    """The relying party of checked settings. Raises SettingsError for what only both together tell to be wrong."""
    preset = preset_of(settings.preset)
    encrypt = Encrypt(settings.encrypt or preset.encrypt)
    return RelyingParty(
        name=settings.name,
        title=settings.title or settings.name,
        metadata=metadata,
        name_id=_name_id(settings.name_id or _takes(metadata, preset) or preset.name_id),
        preset=preset.name,
        slo_wanted=settings.logout,
        requires_signed_requests=_requires_signed(settings, metadata),
        response=ResponseSettings(
            sign=Sign(settings.sign or preset.sign),
            encrypt=encrypt,
            encryption_certificate=_recipient(metadata) if encrypt is not Encrypt.NONE else b"",
            key_transport=KeyTransport(settings.key_transport),
        ),
        key_kind=KeyKind(settings.key),
        name_id_formats=tuple(FORMATS[word] for word in dict.fromkeys((*preset.name_id_formats, *settings.name_id_formats))),
        claims=tuple(compile_claim(name, claim) for name, claim in all_claims(settings, preset).items()),
        claims_mark=settings.claims_mark,
        assertion_life_s=settings.assertion_life_s,
        unsolicited=settings.idp_initiated,
        relay_state=settings.relay_state,
        launchpad=Launchpad(settings.launchpad.shown, {**_titles(settings, metadata)}, icon, settings.launchpad.address),
    )


def all_claims(settings: SamlApplicationSettings, preset: Preset) -> Mapping[str, str | ClaimSettings]:
    """The preset's claims, and the document's over them by name."""
    return {**preset.claims, **settings.claims}


def compile_claim(name: str, claim: str | ClaimSettings) -> ClaimRule:
    """One claim of checked settings."""
    full = unfolded(claim)
    return ClaimRule(name, _values(full), full.friendly_name, _name_format(name, full))


def unfolded(claim: str | ClaimSettings) -> ClaimSettings:
    """A claim that was written as a text: a template where it has a place, else a source."""
    if not isinstance(claim, str):
        return claim
    return ClaimSettings(template=claim) if "{" in claim else ClaimSettings(source=claim)


def metadata_by_hand(settings: SamlApplicationSettings) -> SpMetadata:
    """What the operator says in the application's place. Raises SettingsError for a certificate that cannot be read."""
    certificates = tuple(certificate_of(text) for text in settings.certificates)
    binding = Binding.POST if settings.slo_binding == "post" else Binding.REDIRECT
    return SpMetadata(
        entity_id=settings.entity_id or "",
        acs=tuple(Endpoint(url, Binding.POST, number, number == 0) for number, url in enumerate(settings.acs)),
        slo=(Endpoint(settings.slo, binding),) if settings.slo else (),
        signing_certificates=certificates,
        encryption_certificates=certificates[:1],
    )


def certificate_of(text: str) -> bytes:
    """The DER of one PEM certificate, or of the base64 inside one, as consoles show it. Raises SettingsError."""
    # Imported here: only who configures by hand pays for the strict reading of keys.
    from wardgate.federation.saml.keys import public_key

    pem = text.strip()
    if "-----" not in pem:
        pem = f"-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----"
    try:
        found = x509.load_pem_x509_certificates(pem.encode("ascii", "strict"))
    except ValueError as error:
        raise SettingsError("holds no PEM certificate: copy it with its BEGIN and END lines") from error
    if len(found) != 1:
        raise SettingsError("holds several certificates: write each as an entry of its own, without those of its issuers")
    der = found[0].public_bytes(Encoding.DER)
    try:
        public_key(der)
    except MessageError as error:
        raise SettingsError("shows a key that is not taken: RSA of 2048 to 8192 bits, P-256, P-384 or P-521") from error
    return der


def _requires_signed(settings: SamlApplicationSettings, metadata: SpMetadata) -> bool:
    wanted = metadata.authn_requests_signed if settings.signed_requests is None else settings.signed_requests
    if wanted and not metadata.signing_certificates:
        raise SettingsError("its requests are to be signed, and its metadata has no certificate to check them with")
    return wanted


def _recipient(metadata: SpMetadata) -> bytes:
    """The certificate that assertions are encrypted for: the first with an RSA key, for only those can take one."""
    from wardgate.federation.saml.encrypting import can_encrypt_to

    found = next((each for each in metadata.encryption_certificates if can_encrypt_to(each)), None)
    if found is None:
        raise SettingsError("assertions are to be encrypted, and its metadata has no RSA certificate to encrypt for")
    return found


def _titles(settings: SamlApplicationSettings, metadata: SpMetadata) -> Mapping[str, str]:
    """The document's, else the application's own; a title that stands for all languages is the operator's word too."""
    if settings.launchpad.title or settings.title:
        return settings.launchpad.title
    return dict(metadata.display_names)


def _takes(metadata: SpMetadata, preset: Preset) -> NameIdSettings | None:
    """The first kind of name that the application says it takes, where the preset's own is none of them; None where that will do.

    Of an unspecified one nobody knows what it is filled from: that is the operator's to say.
    """
    listed = metadata.name_id_formats
    if not preset.follows_metadata or {FORMATS[preset.name_id.format], names.FORMAT_UNSPECIFIED} & {*listed}:
        return None
    words: dict[str, NameIdWord] = {FORMATS[word]: word for word in ("persistent", "transient", "email")}
    return next((NameIdSettings(format=words[each]) for each in listed if each in words), None)


def _name_id(settings: NameIdSettings) -> NameIdRule:
    source = settings.source or ("mail" if settings.format == "email" and not settings.template else "")
    return NameIdRule(FORMATS[settings.format], Values(source=source, template=settings.template or ""))


def _values(claim: ClaimSettings) -> Values:
    constant = claim.constant
    return Values(
        source=claim.source or "",
        template=claim.template or "",
        constant=() if constant is None else (constant,) if isinstance(constant, str) else constant,
        only=tuple(Pattern.of(text) for text in claim.only),
        mapping=tuple((Pattern.of(text), value) for text, value in claim.map.items()),
        keep_unmapped=claim.unmapped == "keep",
        qualified=claim.qualified,
    )


def _name_format(name: str, claim: ClaimSettings) -> str:
    if claim.name_format is not None:
        return _NAME_FORMATS[claim.name_format]
    is_uri = name.startswith(("urn:", "http:", "https:"))
    return names.ATTRIBUTE_URI if is_uri else names.ATTRIBUTE_BASIC
