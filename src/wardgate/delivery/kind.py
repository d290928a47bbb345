"""How a kind of gateway is listed: the settings it takes, how they are checked, how it is built."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from wardgate.clock import Clock
from wardgate.config.reference import SecretSetting
from wardgate.crypto import Secret
from wardgate.delivery.port import Gateway
from wardgate.errors import SettingsError

Resolve = Callable[[SecretSetting], Secret]
S = TypeVar("S")

# The outbox gives a message at most half a minute in one round; a longer time for one try would starve the next gateway.
MIN_TIMEOUT_S = 0.1
MAX_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class GatewayKind(Generic[S]):
    """One kind. `check` raises SettingsError and touches no network; `build` is only called with settings that passed it."""

    settings: type[S]
    check: Callable[[S], None]
    build: Callable[[S, Resolve, Clock], Gateway]


def setting_error(gateway: str, setting: str, problem: str) -> SettingsError:
    """An error that names the setting by its path in the configuration document."""
    return SettingsError(f"gateways.{gateway}.{setting}: {problem}")


def check_timeout(gateway: str, timeout_s: float) -> None:
    """Refuse a time for one try that is no time, or that would hold a message back for too long."""
    if not MIN_TIMEOUT_S <= timeout_s <= MAX_TIMEOUT_S:
        raise setting_error(gateway, "timeout_s", f"must be between {MIN_TIMEOUT_S} and {MAX_TIMEOUT_S:.0f} seconds")
