"""The self-signed certificate that an installation begins with, and reading when any certificate ends."""

import ipaddress
import re
import socket
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wardgate.errors import SettingsError

# Browsers and phones refuse a trusted certificate that lives longer than 825 days.
LIFE_DAYS: Final = 825
_BACKDATED_BY: Final = timedelta(hours=1)  # clients' clocks are late sometimes
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
MAX_PEM_BYTES: Final = 1024 * 1024


def self_signed(now: datetime, host: str | None = None) -> tuple[bytes, bytes]:
    """A fresh certificate for this machine and its private key, both PEM. P-256; it is its own trust anchor.

    It names localhost, the loopback addresses and the host's name.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Wardgate")])
    own_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED_BY)
        .not_valid_after(now + timedelta(days=LIFE_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_digital_signature(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(host if host is not None else socket.gethostname())), critical=False)
        .add_extension(own_id, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own_id), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM), private


def valid_until(path: Path) -> datetime:
    """When the first certificate of a PEM file ends. Raises SettingsError when there is none."""
    return _first(path).not_valid_after_utc


def names_of(path: Path) -> tuple[str, ...]:
    """The host names and addresses that the first certificate of a PEM file is for. Raises SettingsError when there is none."""
    certificate = _first(path)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    hosts = names.get_values_for_type(x509.DNSName)
    return (*hosts, *(str(address) for address in names.get_values_for_type(x509.IPAddress)))


def covers(names: Iterable[str], host: str) -> bool:
    """Whether one of the names of a certificate is that of this host; `*` stands for one whole label (RFC 9525 section 6.3)."""
    wanted = host.lower()
    wildcard = "*." + wanted.partition(".")[2]
    return any(name.lower() in (wanted, wildcard) for name in names)


def _first(path: Path) -> x509.Certificate:
    try:
        with path.open("rb") as file:
            return x509.load_pem_x509_certificate(file.read(MAX_PEM_BYTES))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path}: holds no PEM certificate") from error


def _digital_signature() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _names(host: str) -> list[x509.GeneralName]:
    names = ["localhost"] + ([host] if host != "localhost" and _HOST_NAME.fullmatch(host) else [])
    addresses = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))
    return [*(x509.DNSName(name) for name in names), *(x509.IPAddress(address) for address in addresses)]


def endpoint_binding(certificate: Path) -> bytes:
    """What binds something to a TLS connection that ends at this certificate: `tls-server-end-point` of RFC 5929 section 4.

    Empty where the certificate's signature has no hash of its own, for which none is defined. Raises SettingsError.
    """
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes()[:MAX_PEM_BYTES])
    except (OSError, ValueError) as error:
        raise SettingsError(f"the TLS certificate {certificate} cannot be read: {error}") from error
    algorithm = found.signature_hash_algorithm
    if algorithm is None:
        return b""
    # MD5 and SHA-1 are replaced by SHA-256, as the section demands.
    weak = isinstance(algorithm, hashes.MD5 | hashes.SHA1)
    return b"tls-server-end-point:" + found.fingerprint(hashes.SHA256() if weak else algorithm)
