"""How a kind of gateway is listed: the settings it takes, what it carries and where to, how it is checked and built."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from wardgate.clock import Clock
from wardgate.config.reference import SecretSetting
from wardgate.crypto import Secret
from wardgate.delivery.port import Channel, Gateway
from wardgate.errors import SettingsError

Resolve = Callable[[SecretSetting], Secret]
S = TypeVar("S")

# The outbox gives a message at most half a minute in one round; a longer time for one try would starve the next gateway.
MIN_TIMEOUT_S = 0.1
MAX_TIMEOUT_S = 30.0


class GatewaySettings(Protocol):
    """What the settings of every kind have. Each kind's are a frozen dataclass with `kind: Literal["its name"]`.

    A field of type `SecretSetting`, in it or in a dataclass inside it (not in a list), is a secret: it is sealed when stored,
    exported as sealed and proved to resolve before the document takes effect, without being named anywhere else.
    """

    @property
    def name(self) -> str:
        """What the gateway is called."""
        ...

    @property
    def kind(self) -> str:
        """Which kind it is."""
        ...

    @property
    def order(self) -> int:
        """Lower is tried first among the gateways of a channel."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that the gateway speaks to. `shown`: for people and logs, so without anything that may be a secret."""

    shown: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class GatewayKind(Generic[S]):
    """One kind. `check` raises SettingsError and touches no network; the others are only called with settings that passed it.

    `endpoints`: in the order in which they are tried; none when nothing leaves the machine.
    """

    settings: type[S]
    channel: Callable[[S], Channel]
    endpoints: Callable[[S], Sequence[Endpoint]]
    check: Callable[[S], None]
    build: Callable[[S, Resolve, Clock], Gateway]


def setting_error(gateway: str, setting: str, problem: str) -> SettingsError:
    """An error that names the setting by its path in the configuration document."""
    return SettingsError(f"gateways.{gateway}.{setting}: {problem}")


def check_timeout(gateway: str, timeout_s: float) -> None:
    """Refuse a time for one try that is no time, or that would hold a message back for too long."""
    if not MIN_TIMEOUT_S <= timeout_s <= MAX_TIMEOUT_S:
        raise setting_error(gateway, "timeout_s", f"must be between {MIN_TIMEOUT_S} and {MAX_TIMEOUT_S:.0f} seconds")
