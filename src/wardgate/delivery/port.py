"""What a gateway must do. Gateways never see a subject or a transaction: an address, a text and an id."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Channel(StrEnum):
    """How a message travels."""

    SMS = "sms"
    EMAIL = "email"


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one address.

    `id` is the idempotency key: the same for every try at every gateway. `to` is E.164 (`+905321234567`) for SMS, a mail
    address for e-mail. `text` is plain text; `subject` is empty for SMS.
    """

    id: str
    channel: Channel
    to: str
    text: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The gateway took the message. `answer`: what it said, short, for the timeline, without secrets or the text."""

    answer: str


class Gateway(Protocol):
    """One configured way out, for one channel."""

    @property
    def name(self) -> str:
        """The configured name."""
        ...

    @property
    def channel(self) -> Channel:
        """What it carries."""
        ...

    async def send(self, message: Message, timeout_s: float) -> Receipt:
        """Hand the message over within `timeout_s`.

        Raises GatewayUnavailable (try the next gateway, later this one again) or GatewayRefused (never this message).
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
