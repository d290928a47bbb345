"""All kinds of gateways, and what is done with a configured one: find its kind, check it, build it."""

from typing import Any

from wardgate.clock import Clock, SystemClock
from wardgate.delivery import pickup, sms, smtp
from wardgate.delivery.kind import GatewayKind, GatewaySettings, Resolve
from wardgate.delivery.port import Gateway
from wardgate.errors import SettingsError

# Of SMS kinds the list is in `sms/__init__.py`.
KINDS: tuple[GatewayKind[Any], ...] = (smtp.KIND, pickup.KIND, *sms.KINDS)


def check_settings(settings: GatewaySettings) -> None:
    """Say whether a gateway could be built from `settings`, without building it. Raises SettingsError naming the setting."""
    kind_of(settings).check(settings)


def build_gateway(settings: GatewaySettings, resolve: Resolve, clock: Clock | None = None) -> Gateway:
    """The gateway that `settings` describe. `resolve` turns a secret's reference into its value.

    Raises SettingsError naming the setting, and whatever `resolve` raises.
    """
    kind = kind_of(settings)
    kind.check(settings)
    gateway: Gateway = kind.build(settings, resolve, clock or SystemClock())
    return gateway


def kind_of(settings: GatewaySettings) -> GatewayKind[Any]:
    """The kind that takes these settings. Raises SettingsError when none does."""
    for kind in KINDS:
        if isinstance(settings, kind.settings):
            return kind
    raise SettingsError(f"gateways: no kind of gateway takes {type(settings).__name__}")
