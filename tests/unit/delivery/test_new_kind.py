"""A kind of gateway is known by its entry in the list alone: everything that deals with gateways takes it from there."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from tools.reference import settings_page
from wardgate.cli.main import run
from wardgate.clock import Clock, SystemClock
from wardgate.config.document import parse
from wardgate.config.reference import FileReference, SecretSetting
from wardgate.crypto import MAC_ROOT, KeyRing, Secret, new_key
from wardgate.delivery import registry
from wardgate.delivery.kind import Endpoint, GatewayKind, Resolve, setting_error
from wardgate.delivery.port import Channel, Message, Receipt
from wardgate.errors import SettingsError
from wardgate.installation import Installation
from wardgate.passwords import PasswordHasher
from wardgate.runtime import Builder
from wardgate.storage.memory import MemoryStorage

PIN = "4711-very-secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Where the modem hangs, and what opens it."""

    pin: SecretSetting
    spare_pin: SecretSetting | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModemSettings:
    """A modem on a port server."""

    name: str
    kind: Literal["modem"]
    host: str
    line: Line
    order: int = 100


class ModemGateway:
    """Tells what it was built from."""

    def __init__(self, settings: ModemSettings, pin: Secret) -> None:
        self.name = settings.name
        self.channel = Channel.SMS
        self.pin = pin

    async def send(self, message: Message, timeout_s: float) -> Receipt:
        return Receipt(f"dialled {len(self.pin.reveal())}")

    async def close(self) -> None:
        return None


def check(settings: ModemSettings) -> None:
    if not settings.host:
        raise setting_error(settings.name, "host", "is empty")


def build(settings: ModemSettings, resolve: Resolve, clock: Clock) -> ModemGateway:
    return ModemGateway(settings, resolve(settings.line.pin))


MODEM = GatewayKind(
    ModemSettings,
    lambda settings: Channel.SMS,
    lambda settings: (Endpoint(f"modem at {settings.host}", settings.host, 1),),
    check,
    build,
)

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line."""
    monkeypatch.setattr(registry, "KINDS", (*registry.KINDS, MODEM))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    asyncio.run(Installation.create(tmp_path / "data", False, SystemClock()))
    return tmp_path / "data"


@pytest.fixture
def wardgate(data: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command and gives its JSON."""

    def command(*arguments: str) -> Any:
        capsys.readouterr()
        code = run([*arguments, "--data", str(data), "--json"])
        captured = capsys.readouterr()
        assert code == 0, captured
        return json.loads(captured.out)

    return command


@pytest.fixture
def applied(wardgate: Run, tmp_path: Path) -> Path:
    """A document with a gateway of the new kind, in force. Returns the file of its spare PIN."""
    spare = tmp_path / "spare.pin"
    spare.write_text("0815")
    spare.chmod(0o644)
    document = wardgate("config", "export")["document"]
    line = {"pin": {"value": PIN}, "spare_pin": {"file": str(spare)}}
    document["gateways"] = [{"name": "attic", "kind": "modem", "host": "127.0.0.1", "line": line, "order": 7}]
    file = tmp_path / "document.json"
    file.write_text(json.dumps(document))
    wardgate("config", "apply", str(file))
    return spare


def test_the_document_takes_it_and_checks_what_every_gateway_has() -> None:
    settings = parse(
        {
            "realms": [{"name": "acme", "default": True, "directories": ["staff"]}],
            "directories": [{"name": "staff", "kind": "local"}],
            "gateways": [{"name": "attic", "kind": "modem", "host": "h", "line": {"pin": {"file": "/run/pin"}}}],
        }
    ).gateways[0]
    assert settings == ModemSettings(name="attic", kind="modem", host="h", line=Line(pin=FileReference(file="/run/pin")))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hots": "h"}, "gateways[0].hots: unknown key; did you mean 'host'?"),
        ({"host": ""}, "gateways[0].host: is empty"),
        ({"order": -1}, "gateways[0].order: must be between 0 and 10000"),
        ({"line": {"pin": {"file": "pin"}}}, "gateways[0].line.pin.file: must be an absolute path"),
        ({"kind": "modme"}, "gateways[0].kind: must be one of http, modem, pickup, smtp"),
    ],
)
def test_a_fault_in_it_is_told_with_its_path(change: dict[str, object], told: str) -> None:
    good = {"name": "attic", "kind": "modem", "host": "h", "line": {"pin": {"env": "PIN"}}}
    with pytest.raises(SettingsError) as caught:
        parse({"gateways": [{**good, **change}]})
    assert told in caught.value.message


def test_its_secrets_are_sealed_and_never_exported(applied: Path, wardgate: Run, data: Path) -> None:
    line = wardgate("config", "export")["document"]["gateways"][0]["line"]
    assert set(line["pin"]) == {"sealed"}
    assert PIN not in json.dumps(wardgate("config", "export"))
    assert PIN.encode() not in (data / "wardgate.db").read_bytes()


def test_it_is_listed_and_tried_with_its_secret(applied: Path, wardgate: Run) -> None:
    (listed,) = wardgate("gateway", "list")["gateways"]
    assert listed == {
        "name": "attic",
        "kind": "modem",
        "channel": "sms",
        "where": ["modem at 127.0.0.1"],
        "secret": f"sealed, file {applied}",
        "order": 7,
    }
    assert wardgate("gateway", "test", "attic", "--to", "+905321234567")["answer"] == f"dialled {len(PIN)}"


def test_check_knows_its_channel_its_servers_and_its_secret_files(
    applied: Path, wardgate: Run, capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    told = {finding["what"]: finding["level"] for finding in wardgate("check")["findings"]}
    assert "no gateway for e-mail: codes cannot go out that way" in told
    assert "no gateway for SMS: codes cannot go out that way" not in told
    assert told[f"{applied} can be read by everybody (mode 644)"] == "warning"
    assert run(["check", "--online", "--data", str(data), "--json"]) == 1
    (error,) = [each for each in json.loads(capsys.readouterr().out)["findings"] if each["level"] == "error"]
    assert error["what"].startswith("gateway attic: 127.0.0.1:1 takes no connection")


def test_a_server_is_built_with_it(tmp_path: Path) -> None:
    (tmp_path / "pin").write_text(PIN)
    document = parse(
        {
            "realms": [{"name": "acme", "default": True, "directories": ["staff"]}],
            "directories": [{"name": "staff", "kind": "local"}],
            "gateways": [{"name": "attic", "kind": "modem", "host": "h", "line": {"pin": {"file": str(tmp_path / "pin")}}}],
        }
    )
    ring = KeyRing({MAC_ROOT: new_key(), 1: new_key()})
    hasher = PasswordHasher(1, 1)
    (built,) = Builder(MemoryStorage(), lambda: ring, SystemClock(), hasher).build(1, document).gateways
    hasher.close()
    assert isinstance(built, ModemGateway)
    assert built.pin.reveal() == PIN.encode()


def test_the_settings_page_lists_it() -> None:
    page = "\n".join(settings_page())
    table = page.partition("### gateways (kind: modem)")[2].partition("###")[0]
    assert "A modem on a port server." in table
    assert "| `host` | text | needed |" in table
    assert "| `line.pin` | secret: " in table
