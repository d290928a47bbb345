"""TLS of our listeners: which versions and ciphers, whose certificate, and how many handshakes at once."""

import ssl
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wardgate.errors import SettingsError

# A connection is counted once its handshake is over. One that is not begun takes fifty KiB, half of one twice as much.
MAX_HANDSHAKES = 4000


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The server's certificate chain and its key, both PEM, the key without a passphrase."""

    certificate: Path
    key: Path


class BoundedContext(ssl.SSLContext):
    """Begins so many handshakes at once and no more: whoever opens connections and says nothing would fill the memory."""

    def __init__(self, protocol: int) -> None:
        # The event loop lets go of those that fail.
        self._begun: weakref.WeakSet[ssl.SSLObject] = weakref.WeakSet()

    def wrap_bio(self, *arguments: Any, **keywords: Any) -> ssl.SSLObject:
        """One more; the event loop asks for it when a connection is there. Raises ConnectionAbortedError, and it hangs up."""
        if len(self._begun) >= MAX_HANDSHAKES:
            raise ConnectionAbortedError("too many handshakes")
        begun = super().wrap_bio(*arguments, **keywords)
        self._begun.add(begun)
        return begun

    def over(self, begun: ssl.SSLObject) -> None:
        """It is over, and counted as a connection from now on."""
        self._begun.discard(begun)


def tls_context(tls: TlsFiles) -> ssl.SSLContext:
    """What a listener speaks with this certificate. Raises SettingsError."""
    context = BoundedContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # Of TLS 1.2 only what keeps old recordings closed when the key is lost; TLS 1.3 has its own list.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    load_certificate(context, tls)
    return context


def load_certificate(context: ssl.SSLContext, tls: TlsFiles) -> None:
    """Show this certificate from now on. Raises SettingsError, and may leave the context half changed."""

    def no_passphrase() -> str:
        raise SettingsError(f"the TLS key {tls.key} asks for a passphrase: store it without one, readable by this user only")

    for file in (tls.certificate, tls.key):
        if not file.exists():
            raise SettingsError(f"the TLS file {file} cannot be used: it is missing; put it there or name another in wardgate.toml")
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=no_passphrase)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(f"the TLS certificate {tls.certificate} with the key {tls.key} cannot be used: {error}") from error
