"""The gateway of the demo: it takes every message and sends nothing. People read them on the outbox page."""

from dataclasses import dataclass, field
from typing import Literal

from wardgate.clock import Clock
from wardgate.delivery.kind import Endpoint, GatewayKind, Resolve, setting_error
from wardgate.delivery.port import Channel, Message, Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class PickupSettings:
    """Sends nothing: messages wait to be read on the demo's outbox page."""

    name: str
    kind: Literal["pickup"]
    channel: Literal["sms", "email"] = field(metadata={"help": "what it takes"})
    order: int = field(default=100, metadata={"help": "lower is tried first among the gateways of a channel"})


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


def _channel(settings: PickupSettings) -> Channel:
    return Channel(settings.channel)


def _endpoints(settings: PickupSettings) -> tuple[Endpoint, ...]:
    return ()


def _check(settings: PickupSettings) -> None:
    if settings.channel not in tuple(Channel):
        raise setting_error(settings.name, "channel", f"must be one of {', '.join(Channel)}")


def _build(settings: PickupSettings, resolve: Resolve, clock: Clock) -> PickupGateway:
    return PickupGateway(settings)


KIND = GatewayKind(PickupSettings, _channel, _endpoints, _check, _build)
