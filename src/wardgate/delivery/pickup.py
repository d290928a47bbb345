"""The gateway of the demo: it takes every message and sends nothing. People read them on the outbox page."""

from wardgate.clock import Clock
from wardgate.delivery.kind import GatewayKind, Resolve, setting_error
from wardgate.delivery.port import Channel, Message, Receipt
from wardgate.delivery.settings import PickupSettings


class PickupGateway:
    """Takes messages of one channel and leaves them where they are."""

    def __init__(self, settings: PickupSettings) -> None:
        self._name = settings.name
        self._channel = Channel(settings.channel)

    @property
    def name(self) -> str:
        """The configured name."""
        return self._name

    @property
    def channel(self) -> Channel:
        """What it carries."""
        return self._channel

    async def send(self, message: Message, timeout_s: float) -> Receipt:
        """Take the message."""
        return Receipt("waits on the outbox page; nothing was sent")

    async def close(self) -> None:
        """Nothing is held."""


def _check(settings: PickupSettings) -> None:
    if settings.channel not in tuple(Channel):
        raise setting_error(settings.name, "channel", f"must be one of {', '.join(Channel)}")


def _build(settings: PickupSettings, resolve: Resolve, clock: Clock) -> PickupGateway:
    return PickupGateway(settings)


KIND = GatewayKind(PickupSettings, _check, _build)
