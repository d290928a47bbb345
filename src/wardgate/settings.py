"""Settings that the start needs: `wardgate.toml` in the data directory. Everything else is in the configuration document."""

import ipaddress
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from wardgate.errors import SettingsError, UsageError
from wardgate.storage.settings import DatabaseSettings, has_password
from wardgate.storage.settings import problems as database_problems

FILE_NAME: Final = "wardgate.toml"
MAX_FILE_BYTES: Final = 65_536
MAX_PORT: Final = 65_535
MAX_WORKERS: Final = 64

MAX_LISTENERS: Final = 16
MAX_NODE_CHARS: Final = 64
_WRITE_URL: Final = "write https://login.acme.test, without a path"

LogLevel = Literal["debug", "info", "warning", "error"]
Door = Literal["admin", "portal", "health", "metrics"]
Role = Literal["logins", "delivery", "jobs"]
DOORS: Final[tuple[Door, ...]] = ("admin", "portal", "health", "metrics")
ROLES: Final[tuple[Role, ...]] = ("logins", "delivery", "jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The processes of this machine."""

    workers: int = field(default=0, metadata={"help": "worker processes; 0: one for each core", "unit": "processes"})
    node: str = field(default="", metadata={"help": "name of this machine among several on one database; empty: its host name"})
    roles: tuple[Role, ...] = field(
        default=ROLES,
        metadata={"help": "what this machine does: logins (RADIUS), delivery (sends messages), jobs (clears away what is old)"},
    )
    portal_url: str = field(
        default="",
        metadata={
            "help": "how people reach the portal where another machine serves it, such as https://login.acme.test: for the links "
            "that this one gives out; empty: the public_url of the listener here that has the door"
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings:
    """Where the key-encryption key is."""

    file: str = field(
        default="master.key",
        metadata={"help": "file with the key-encryption key, readable by the server alone; backups hold it, encrypted"},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RadiusListenerSettings:
    """The RADIUS door."""

    addresses: tuple[str, ...] = field(
        default=("0.0.0.0", "::"),  # noqa: S104 - firewalls ask from outside; every packet needs a configured NAS and its secret
        metadata={"help": "addresses to listen on; empty: no RADIUS"},
    )
    port: int = field(default=1812, metadata={"help": "port for logins; 0: any free one", "unit": "UDP port"})
    accounting_port: int = field(default=1813, metadata={"help": "port for accounting; 0: any free one", "unit": "UDP port"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpsListenerSettings:
    """An HTTPS listener and its doors. More listeners stand in `[[listener]]` tables with the same settings."""

    address: str = field(default="127.0.0.1", metadata={"help": "address to listen on"})
    port: int = field(default=8443, metadata={"help": "port; 0: any free one", "unit": "TCP port"})
    certificate: str = field(
        default="tls/cert.pem", metadata={"help": "PEM file with the certificate and its chain; relative to the data directory"}
    )
    key: str = field(default="tls/key.pem", metadata={"help": "PEM file with the private key; relative to the data directory"})
    doors: tuple[Door, ...] = field(
        default=DOORS,
        metadata={
            "help": "what is served here: admin (the live log), portal (sign-in and account pages), health, metrics; "
            "all else is not found; empty: do not listen"
        },
    )
    public_url: str = field(
        default="",
        metadata={"help": "how people reach this listener, such as https://login.acme.test; other Host names are then refused"},
    )
    trusted_proxies: tuple[str, ...] = field(
        default=(), metadata={"help": "addresses and networks of proxies whose X-Forwarded-For is believed"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The log for operators, on standard error. The audit trail is in the database."""

    level: LogLevel = field(default="info", metadata={"help": "least weight of a line: debug, info, warning, error"})
    format: Literal["text", "json"] = field(default="text", metadata={"help": "text for people, json for collectors"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSettings:
    """Everything in `wardgate.toml`, one table per field."""

    server: ServerSettings = field(default_factory=ServerSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    keys: KeySettings = field(default_factory=KeySettings)
    radius: RadiusListenerSettings = field(default_factory=RadiusListenerSettings)
    https: HttpsListenerSettings = field(default_factory=HttpsListenerSettings)
    log: LogSettings = field(default_factory=LogSettings)
    listener: tuple[HttpsListenerSettings, ...] = ()

    @property
    def https_listeners(self) -> tuple[HttpsListenerSettings, ...]:
        """The HTTPS listeners that are opened: those with a door."""
        return tuple(each for each in (self.https, *self.listener) if each.doors)

    @property
    def portal_url(self) -> str:
        """How people reach the portal, here or on another machine; empty where nothing says so. Without a slash at its end."""
        served = (each.public_url for each in self.https_listeners if "portal" in each.doors and each.public_url)
        return (self.server.portal_url or next(served, "")).rstrip("/")

    @property
    def radius_addresses(self) -> tuple[str, ...]:
        """Where RADIUS listens: nowhere on a machine that takes no logins."""
        return self.radius.addresses if "logins" in self.server.roles else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOverrides:
    """What the command line sets for one start, over the file. None: as the file says; port 0: any free one."""

    radius_port: int | None = None
    accounting_port: int | None = None
    https_port: int | None = None
    host: str | None = None
    workers: int | None = None


def demo_settings() -> StartSettings:
    """The demo listens on this machine only."""
    return StartSettings(
        server=ServerSettings(workers=1),
        radius=RadiusListenerSettings(addresses=("127.0.0.1", "::1")),
    )


def apply_overrides(settings: StartSettings, overrides: ServeOverrides) -> StartSettings:
    """The settings of one start. Raises SettingsError for a port or an address that cannot be."""
    radius, https, server = settings.radius, settings.https, settings.server
    if overrides.workers is not None:
        server = replace(server, workers=overrides.workers)
    if overrides.host is not None:
        radius, https = replace(radius, addresses=(overrides.host,)), replace(https, address=overrides.host)
    if overrides.radius_port is not None:
        # Accounting goes with it, as 1813 goes with 1812.
        beside = overrides.radius_port + 1 if 0 < overrides.radius_port < MAX_PORT else 0
        radius = replace(radius, port=overrides.radius_port, accounting_port=beside)
    if overrides.accounting_port is not None:
        radius = replace(radius, accounting_port=overrides.accounting_port)
    if overrides.https_port is not None:
        https = replace(https, port=overrides.https_port)
    return checked_settings(replace(settings, radius=radius, https=https, server=server), "the command line")


def named_database(url: str | None, password_file: Path | None) -> DatabaseSettings:
    """The database that a command line names, or the SQLite file. Raises UsageError."""
    if url is None:
        if password_file is not None:
            raise UsageError("--database-password-file belongs to --database")
        return DatabaseSettings()
    if has_password(url):
        # Whoever lists the processes of this machine reads the command line, and it would stand in the settings in clear.
        raise UsageError("--database must not hold a password: put it into a file of mode 600 and name that")
    return DatabaseSettings(url=url, password_file="" if password_file is None else str(password_file.absolute()))


def read_settings(path: Path) -> StartSettings:
    """The settings in a TOML file. Raises SettingsError that lists every fault with its path."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}; wardgate init makes one") from error
    if len(data) > MAX_FILE_BYTES:
        raise SettingsError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    try:
        return parse_settings(tomllib.loads(data.decode("utf-8")), str(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error


def parse_settings(tables: Mapping[str, Any], what: str = FILE_NAME) -> StartSettings:
    """The checked settings from plain tables."""
    # Only here: the command line asks a running server without reading settings, and pydantic takes long to load.
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    from wardgate.config.faults import from_pydantic, refuse

    around: Any = tuple.__class_getitem__((StartSettings,))
    adapter: TypeAdapter[tuple[StartSettings]] = TypeAdapter(around, config=ConfigDict(extra="forbid", strict=True))
    try:
        settings = adapter.validate_json(json.dumps([tables], default=str))[0]
    except ValidationError as error:
        raise refuse(from_pydantic(error, StartSettings), what) from error
    return checked_settings(settings, what)


def render_settings(settings: StartSettings) -> str:
    """`wardgate.toml`: every setting with its help beside it, so that the file explains itself."""
    lines = ["# What Wardgate needs to start. Everything else: wardgate config export", ""]
    for table in fields(settings):
        value = getattr(settings, table.name)
        if isinstance(value, tuple):
            lines += [line for item in value for line in (f"[[{table.name}]]", *_render_table(item), "")]
        else:
            lines += [f"[{table.name}]", *_render_table(value), ""]
    return "\n".join(lines)


def _render_table(value: Any) -> Iterator[str]:
    for item in fields(value):
        help_text = item.metadata.get("help", "")
        yield f"# {help_text}"
        yield f"{item.name} = {_toml(getattr(value, item.name))}"


def _toml(value: object) -> str:
    """Text, whole numbers and lists of text: JSON writes them as TOML does."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def checked_settings(settings: StartSettings, what: str) -> StartSettings:
    """`settings` itself when ports and addresses can be; `what` names their origin in the SettingsError otherwise."""
    problems = [*_ports(settings), *_addresses(settings), *_server(settings.server), *database_problems(settings.database)]
    if len(settings.listener) > MAX_LISTENERS:
        problems.append(f"listener: at most {MAX_LISTENERS}")
    if problems:
        raise SettingsError("\n".join([f"{what}:", *problems]))
    return settings


def _server(server: ServerSettings) -> Iterator[str]:
    if not 0 <= server.workers <= MAX_WORKERS:
        yield f"server.workers: must be between 0 and {MAX_WORKERS}"
    if len(server.node) > MAX_NODE_CHARS or not all(char.isascii() and (char.isalnum() or char in "-._") for char in server.node):
        yield f"server.node: letters, digits, - . _ and at most {MAX_NODE_CHARS} of them"
    if server.portal_url and not _is_address(server.portal_url):
        yield f"server.portal_url: {_WRITE_URL}"


def _https_tables(settings: StartSettings) -> Iterator[tuple[str, HttpsListenerSettings]]:
    yield "https", settings.https
    for number, each in enumerate(settings.listener):
        yield f"listener[{number}]", each


def _ports(settings: StartSettings) -> Iterator[str]:
    radius = settings.radius
    numbers = [("radius.port", radius.port), ("radius.accounting_port", radius.accounting_port)]
    numbers += [(f"{name}.port", each.port) for name, each in _https_tables(settings)]
    for name, port in numbers:
        if not 0 <= port <= MAX_PORT:
            yield f"{name}: must be between 0 and {MAX_PORT}"
    if radius.addresses and radius.port == radius.accounting_port != 0:
        yield "radius.accounting_port: must differ from radius.port"
    taken: set[tuple[str, int]] = set()
    for name, each in _https_tables(settings):
        if each.doors and each.port and (each.address, each.port) in taken:
            yield f"{name}.port: another listener has this address and port"
        taken.add((each.address, each.port))


def _addresses(settings: StartSettings) -> Iterator[str]:
    named = [("radius.addresses", address) for address in settings.radius.addresses]
    named += [(f"{name}.address", each.address) for name, each in _https_tables(settings)]
    for name, each in _https_tables(settings):
        yield from _reached(name, each)
    for name, text in named:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            yield f"{name}: {text[:64]!r} is not an address; write 127.0.0.1, 0.0.0.0 (all of IPv4) or :: (all of IPv6)"


def _reached(name: str, listener: HttpsListenerSettings) -> Iterator[str]:
    if listener.public_url and not _is_address(listener.public_url):
        yield f"{name}.public_url: {_WRITE_URL}"
    for text in listener.trusted_proxies:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            yield f"{name}.trusted_proxies: {error}; write 10.0.0.0/8"


def _is_address(text: str) -> bool:
    """Whether it is a whole address of pages: a host, perhaps a port, and nothing else."""
    url = urlsplit(text)
    return url.scheme == "https" and bool(url.hostname) and url.path in ("", "/") and not url.query and not url.username
