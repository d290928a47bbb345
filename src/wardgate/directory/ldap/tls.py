"""The TLS that servers are spoken to with: chain and name are always verified, by the system's authorities or by one file."""

import os
import ssl
from pathlib import Path

from wardgate.errors import DirectoryUnavailable


class Trust:
    """Gives a context, made anew when the file of the authority was replaced."""

    def __init__(self, ca_file: str | None) -> None:
        self._path = Path(ca_file) if ca_file is not None else None
        self._context: ssl.SSLContext | None = None
        self._made_of: tuple[int, int, int] | None = None

    def context(self) -> ssl.SSLContext:
        """The context to connect with. Reads files: not for the event loop. Raises DirectoryUnavailable."""
        try:
            made_of = _identity(self._path) if self._path is not None else None
            if self._context is None or made_of != self._made_of:
                self._context, self._made_of = _context(self._path), made_of
        except (OSError, ssl.SSLError, ValueError) as error:
            raise DirectoryUnavailable(
                f"ca_file {self._path} cannot be used: {getattr(error, 'strerror', None) or error}", "directory_ca_file"
            ) from error
        return self._context


def _identity(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_mtime_ns, found.st_size


def _context(path: Path | None) -> ssl.SSLContext:
    # Names in the certificate may be IP addresses; the common name never counts.
    context = ssl.create_default_context(cafile=path)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    return context
