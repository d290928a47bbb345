"""The URL of a database, taken apart. Pure."""

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

MAX_HOSTS: Final = 8
MAX_URL_CHARS: Final = 2_000


class Engine(StrEnum):
    """Which database."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    SQLITE = "sqlite"


_ENGINES: Final = {
    "postgresql": Engine.POSTGRESQL,
    "postgres": Engine.POSTGRESQL,
    "mysql": Engine.MYSQL,
    "mariadb": Engine.MYSQL,
    "sqlite": Engine.SQLITE,
}
_PORTS: Final = {Engine.POSTGRESQL: 5432, Engine.MYSQL: 3306}


class AddressFault(ValueError):
    """The URL cannot be used. The message does not repeat it: a password may stand in it."""


@dataclass(frozen=True, slots=True)
class Host:
    """Where a server listens. `name` begins with / for a Unix socket: MySQL's own file, PostgreSQL's directory."""

    name: str
    port: int

    @property
    def is_here(self) -> bool:
        """Whether nobody but this machine sees what passes."""
        if self.name.startswith("/") or self.name == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.name).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.name.startswith("/"):
            return self.name
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """A database. `database` is the file of SQLite, which has no hosts."""

    engine: Engine
    database: str
    user: str = ""
    hosts: tuple[Host, ...] = ()


def read_address(url: str) -> Address:
    """The parts of a URL. Raises AddressFault."""
    if len(url) > MAX_URL_CHARS:
        raise AddressFault(f"is longer than {MAX_URL_CHARS} characters")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise AddressFault("cannot be read as a URL") from error
    engine = _ENGINES.get(parts.scheme)
    if engine is None:
        raise AddressFault("must begin with postgresql://, mysql://, mariadb:// or sqlite:///")
    if engine is Engine.SQLITE:
        return _file(parts)
    return _server(engine, parts)


def _file(parts: SplitResult) -> Address:
    path = unquote(parts.path)
    if parts.netloc or parts.query or parts.fragment or not path.startswith("/") or len(path) < 2 or "\0" in path:
        raise AddressFault("must name a file by its whole path: sqlite:////var/lib/hr.db or sqlite:///var/lib/hr.db")
    # Three slashes or four: some write the path's own slash once more.
    return Address(Engine.SQLITE, "/" + path.lstrip("/"))


def _server(engine: Engine, parts: SplitResult) -> Address:
    account, _, netloc = parts.netloc.rpartition("@")
    user, colon, _ = account.partition(":")
    options = dict(parse_qsl(parts.query))
    if colon or "password" in options:
        raise AddressFault("holds a password; set `password: {file: PATH}` instead")
    if unknown := sorted(options.keys() - {"host", "sslmode"}):
        raise AddressFault(f"has the option {unknown[0]!r}, which is not known here; there are host=/PATH and sslmode")
    if options.get("sslmode", "disable") not in ("disable", "verify-ca", "verify-full"):
        raise AddressFault("has an sslmode that checks no certificate; use verify-full, or verify-ca, or the setting `sslmode`")
    database = unquote(parts.path.removeprefix("/"))
    names = [unquote(name) for name in (netloc.split(",") if netloc else [options["host"]] if "host" in options else [])]
    if not user or not database or "/" in database or not names or parts.fragment:
        raise AddressFault("must name user, host and database: postgresql://USER@HOST/DATABASE")
    if len(names) > MAX_HOSTS:
        raise AddressFault(f"names more than {MAX_HOSTS} hosts")
    return Address(engine, database, unquote(user), tuple(_host(name, _PORTS[engine]) for name in names))


def sslmode_in(url: str) -> str | None:
    """The sslmode that the URL itself asks for."""
    return dict(parse_qsl(urlsplit(url).query)).get("sslmode")


def _host(text: str, default_port: int) -> Host:
    if text.startswith("/"):
        # The port belongs to the name of PostgreSQL's socket.
        name, colon, port = text.rpartition(":")
        if not colon:
            name, port = text, ""
    elif text.startswith("["):
        name, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        name, _, port = text.partition(":")
    if not name or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536)):
        raise AddressFault("has a host that cannot be read; write HOST or HOST:PORT")
    return Host(name, int(port) if port else default_port)
