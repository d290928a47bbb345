"""Files that an operator names: metadata and certificates, read with a limit and without waiting for a pipe that nobody fills."""

import os
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from wardgate.errors import SettingsError

MAX_METADATA_OCTETS: Final = 2 * 1024 * 1024
MAX_PEM_OCTETS: Final = 256 * 1024


def read_metadata_file(path: str) -> bytes:
    """The octets of a metadata file. Raises SettingsError."""
    return _read(path, MAX_METADATA_OCTETS)


def read_certificates(path: str) -> tuple[bytes, ...]:
    """The certificates of a PEM file, DER. Raises SettingsError."""
    try:
        found = x509.load_pem_x509_certificates(_read(path, MAX_PEM_OCTETS))
    except ValueError as error:
        raise SettingsError(f"{path} holds no PEM certificate") from error
    return tuple(each.public_bytes(Encoding.DER) for each in found)


def _read(path: str, limit: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or 'unknown reason'}") from error
    if len(data) > limit:
        raise SettingsError(f"{path} is larger than {limit // 1024} KiB")
    return data
