"""Gateways: list them, and really send a message through one."""

from typing import Any

from wardgate.admin.nas import where_from
from wardgate.admin.office import Office
from wardgate.config.document import secrets_of
from wardgate.config.secrets import resolver
from wardgate.config.store import load_current
from wardgate.contacts import normalise_phone
from wardgate.crypto import new_id
from wardgate.delivery.kind import GatewaySettings
from wardgate.delivery.port import Channel, Gateway, Message
from wardgate.delivery.registry import build_gateway, kind_of
from wardgate.errors import GatewayRefused, GatewayUnavailable, NotFound

TEST_TEXT = "This is a test message from Wardgate. Nobody is logging in."
TEST_SUBJECT = "Wardgate: test message"
# Beyond any time that a gateway's own settings give to one try.
TEST_TIMEOUT_S = 60.0


async def list_gateways(office: Office) -> dict[str, Any]:
    """Every gateway in the order in which it is tried, without secrets."""
    _, document = await load_current(office.storage)
    ordered = sorted(document.gateways, key=lambda gateway: gateway.order)
    return {"gateways": [_describe(gateway) for gateway in ordered]}


async def test_gateway(office: Office, *, name: str, to: str) -> dict[str, Any]:
    """Send a test message through one gateway, now and past every queue, and tell what it answered.

    Raises NotFound, GatewayUnavailable or GatewayRefused with the time that it took.
    """
    _, document = await load_current(office.storage)
    settings = next((gateway for gateway in document.gateways if gateway.name == name), None)
    if settings is None:
        raise NotFound(f"there is no gateway {name}; wardgate gateway list shows them")
    gateway = build_gateway(settings, resolver("gateways", settings, office.ring), office.clock)
    started = office.clock.monotonic()
    try:
        answer = await _send(gateway, to)
    except (GatewayUnavailable, GatewayRefused) as error:
        raise type(error)(f"{name}: {error.message} (after {_since(office, started)} ms)", error.code) from error
    finally:
        await gateway.close()
    return {"gateway": name, "channel": gateway.channel.value, "answer": answer, "took_ms": _since(office, started)}


async def _send(gateway: Gateway, to: str) -> str:
    is_sms = gateway.channel is Channel.SMS
    message = Message(
        id=new_id(),
        channel=gateway.channel,
        to=normalise_phone(to) if is_sms else to,
        text=TEST_TEXT,
        subject="" if is_sms else TEST_SUBJECT,
    )
    return (await gateway.send(message, TEST_TIMEOUT_S)).answer


def _since(office: Office, started: float) -> int:
    return round((office.clock.monotonic() - started) * 1000)


def _describe(gateway: GatewaySettings) -> dict[str, Any]:
    kind = kind_of(gateway)
    return {
        "name": gateway.name,
        "kind": gateway.kind,
        "channel": kind.channel(gateway).value,
        "where": [endpoint.shown for endpoint in kind.endpoints(gateway)],
        "secret": ", ".join(filter(None, (where_from(setting) for _, setting in secrets_of("gateways", gateway)))) or None,
        "order": gateway.order,
    }
