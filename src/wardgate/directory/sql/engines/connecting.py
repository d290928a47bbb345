"""What the engines that are servers need to connect: TLS, the password, and words for what went wrong."""

import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wardgate.clock import Clock
from wardgate.config.reference import SecretSetting
from wardgate.crypto import Secret
from wardgate.directory.sql.address import Address, Host, sslmode_in
from wardgate.directory.sql.engines.engine import Limits, Writing
from wardgate.directory.sql.settings import SqlSettings
from wardgate.errors import DirectoryUnavailable, SettingsError

MAX_WORDS: Final = 200


@dataclass(frozen=True, slots=True)
class Connecting:
    """How to reach the database of a directory."""

    settings: SqlSettings
    address: Address
    limits: Limits
    writing: Writing
    clock: Clock
    secret: Callable[[SecretSetting], Secret]

    @property
    def name(self) -> str:
        """The directory."""
        return self.settings.name

    def password(self) -> bytes:
        """The password of our account there, read anew for each connection; empty for none."""
        if self.settings.password is None:
            return b""
        try:
            return self.secret(self.settings.password).reveal()
        except SettingsError as error:
            raise DirectoryUnavailable(error.message) from error

    def tls(self, host: Host) -> ssl.SSLContext | None:
        """How to speak TLS with a host; None for in clear. The files are read anew for each connection."""
        mode = sslmode_of(self.settings, host)
        if mode == "disable" or host.name.startswith("/"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            problem = os.strerror(error.errno).lower() if error.errno and not isinstance(error, ssl.SSLError) else "not PEM"
            raise DirectoryUnavailable(f"directories.{self.name}.ca_file: {self.settings.ca_file}: {problem}") from error
        context.check_hostname = mode == "verify-full"
        return context


def sslmode_of(settings: SqlSettings, host: Host) -> str:
    """What holds for a host: as set, else TLS with everything checked unless nobody else could listen."""
    return settings.sslmode or sslmode_in(settings.url) or ("disable" if host.is_here else "verify-full")


def in_words(error: BaseException) -> str:
    """What an operator reads of a failure of the system or of a library; never a value that we sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason or type(error).__name__}"
    if isinstance(error, OSError) and error.errno:
        told = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno)
        return str(told).lower()
    if isinstance(error, DirectoryUnavailable):
        return error.message
    return type(error).__name__
