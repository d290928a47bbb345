"""Settings of gateways, as they stand in the configuration document under `gateways`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from wardgate.config.reference import SecretSetting


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """A mail server, or several in order of preference."""

    name: str
    kind: Literal["smtp"]
    servers: tuple[str, ...] = field(
        metadata={
            "help": "smtps://host:465 (TLS), smtp+starttls://host:587 (StartTLS required), or smtp://host:25 (clear, only without password)"
        }
    )
    sender: str = field(metadata={"help": "the From address"})
    username: str | None = field(default=None, metadata={"help": "user name for authentication"})
    password: SecretSetting | None = field(default=None, metadata={"help": "password for authentication"})
    ca_file: str | None = field(
        default=None, metadata={"help": "PEM file of the authority that signed the servers' certificates; default: the system's"}
    )
    timeout_s: float = field(default=10.0, metadata={"help": "longest time for one try at one server", "unit": "seconds"})
    order: int = field(default=100, metadata={"help": "lower is tried first among the gateways of a channel"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequestSettings:
    """The request template. Places: {number}, {text}, {id} (idempotency key), {secret}, {username}."""

    method: Literal["POST", "PUT", "GET"] = "POST"
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: object = None
    form: Mapping[str, str] | None = None
    query: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedSettings:
    """How to tell from the answer that the message was taken. Every test that is given must hold."""

    status: tuple[int, ...] = (200, 201, 202, 204)
    json_path: str | None = field(default=None, metadata={"help": "dotted path into a JSON answer, such as result.0.status"})
    json_equals: object = field(
        default=None, metadata={"help": "value that must stand at json_path; when absent, any value but null"}
    )
    matches: str | None = field(default=None, metadata={"help": "regular expression that the answer's text must match"})
    refused_status: tuple[int, ...] = field(default=(400, 422), metadata={"help": "answers that mean: never this message"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSmsSettings:
    """Any SMS service with an HTTP interface, described by a template."""

    name: str
    kind: Literal["http"]
    request: HttpRequestSettings
    accepted: AcceptedSettings = field(default_factory=AcceptedSettings)
    username: str | None = None
    secret: SecretSetting | None = None
    number_format: Literal["e164", "digits", "national"] = field(
        default="e164", metadata={"help": "+905321234567, 905321234567 or 05321234567 in {number}"}
    )
    ca_file: str | None = field(
        default=None, metadata={"help": "PEM file of the authority that signed the service's certificate; default: the system's"}
    )
    timeout_s: float = field(default=8.0, metadata={"help": "longest time for one try", "unit": "seconds"})
    order: int = field(default=100, metadata={"help": "lower is tried first among the gateways of a channel"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PickupSettings:
    """Sends nothing: messages wait to be read on the demo's outbox page."""

    name: str
    kind: Literal["pickup"]
    channel: Literal["sms", "email"]
    order: int = 100


GatewaySettings = SmtpSettings | HttpSmsSettings | PickupSettings
