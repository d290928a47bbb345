"""What can go wrong: one small tree of exceptions.

A refused login is a value (`engine.outcome.Denied`), never an exception. These mean that the work could not be done.
Adapters turn library exceptions into these at the edge, with `raise ... from`.
"""


class WardgateError(Exception):
    """The work could not be done. `code` is stable and short; `message` is for operators and holds no secret."""

    code = "error"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class MessageError(WardgateError):
    """The peer sent something malformed."""

    code = "message_malformed"


class PacketError(MessageError):
    """A RADIUS datagram that RFC 2865 section 3 forbids; `code` names which rule."""

    code = "radius_malformed"


class SamlMessageError(MessageError):
    """A SAML message or metadata that the specification or our limits forbid; `code` names which rule."""

    code = "saml_malformed"


class CodeFormatError(MessageError):
    """Not digits, or not as many as a one-time code has. Not counted as a try."""

    code = "code_format"


class UnavailableError(WardgateError):
    """A neighbour failed; a retry may help."""

    code = "unavailable"


class DirectoryUnavailable(UnavailableError):
    """A directory did not answer in time or refused the connection."""

    code = "directory_unavailable"


class MetadataUnavailable(UnavailableError):
    """What a relying party says of itself could not be fetched from its address, or may not be."""

    code = "metadata_unavailable"


class KerberosUnavailable(UnavailableError):
    """No Kerberos ticket can be checked now: the library or the keytab is not there."""

    code = "kerberos_unavailable"


class GatewayUnavailable(UnavailableError):
    """A gateway could not take a message now; the next gateway or a later try may."""

    code = "gateway_unavailable"


class GatewayRefused(WardgateError):
    """A gateway answered that it will never take this message (bad number, blocked): trying it again is pointless."""

    code = "gateway_refused"


class StorageUnavailable(UnavailableError):
    """The database could not take or give data (disk full, connection lost). Nothing of the unit was written."""

    code = "storage_unavailable"


class ClockWrong(UnavailableError):
    """The clock of this machine cannot be trusted now, and with it no one-time code can be judged."""

    code = "clock_wrong"


class ServerUnavailable(UnavailableError):
    """The command needs a running server, or another process holds the installation."""

    code = "server_unavailable"


class Overloaded(UnavailableError):
    """A bounded queue is full. Fail closed and let the asker try again."""

    code = "overloaded"


class StorageError(WardgateError):
    """The stored state does not allow what was asked."""

    code = "storage_error"


class NotFound(StorageError):
    """Nothing has this name or id."""

    code = "not_found"


class AlreadyExists(StorageError):
    """Something else has this name or id."""

    code = "already_exists"


class Conflict(StorageError):
    """Somebody else changed it first. Read again and repeat."""

    code = "conflict"


class SealError(WardgateError):
    """A sealed value does not open: wrong key, wrong row, or changed bytes."""

    code = "seal_broken"


class SettingsError(WardgateError):
    """A setting is wrong. The message names the setting, the kind of value and the cure."""

    code = "settings"


class UsageError(WardgateError):
    """A command was called with arguments that do not fit."""

    code = "usage"
