"""What can go wrong before a login exists, each with the cure that the live log shows (texts `incident.*` and `cure.*`)."""

from enum import StrEnum


class IncidentKind(StrEnum):
    """Why a packet was dropped or refused at once."""

    UNKNOWN_SOURCE = "unknown_source"
    WRONG_SECRET = "wrong_secret"  # noqa: S105 - a name, not a secret
    MESSAGE_AUTHENTICATOR_MISSING = "message_authenticator_missing"
    PROXY_STATE_UNSIGNED = "proxy_state_unsigned"
    MALFORMED = "malformed"
    CHAP = "chap"
    MSCHAP = "mschap"
    EAP = "eap"
    NO_PASSWORD = "no_password"  # noqa: S105 - a name, not a secret
    UNSUPPORTED_CODE = "unsupported_code"
    STATUS_SERVER_OFF = "status_server_off"
    ACCOUNTING_WRONG_SECRET = "accounting_wrong_secret"  # noqa: S105 - a name, not a secret
    OVERLOADED = "overloaded"
    REPLY_TOO_LARGE = "reply_too_large"
    BRAKE = "brake"
