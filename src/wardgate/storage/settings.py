"""Where state is kept, and how patient we are with it."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

SQLITE: Final = "sqlite:"
POSTGRESQL: Final = ("postgresql://", "postgres://")
POSTGRESQL_PORT: Final = 5432
MAX_HOSTS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """Where state is kept."""

    url: str = field(
        default="sqlite:wardgate.db",
        metadata={
            "help": "sqlite:PATH, from the data directory, or postgresql://USER@HOST[:PORT][,HOST2...]/NAME[?sslmode=verify-full]"
        },
    )
    password_file: str = field(
        default="",
        metadata={"help": "PostgreSQL: file with the password, readable by the server alone"},
    )
    pool_size: int = field(
        default=4,
        metadata={"help": "PostgreSQL: connections of each worker: one writes, one listens, the rest read", "unit": "connections"},
    )
    connect_timeout_s: int = field(default=5, metadata={"help": "PostgreSQL: how long to try one host", "unit": "seconds"})
    statement_timeout_s: int = field(default=3, metadata={"help": "PostgreSQL: how long one statement may take", "unit": "seconds"})

    @property
    def embedded(self) -> bool:
        """Whether this is the SQLite file beside the server."""
        return self.url.startswith(SQLITE)


def problems(settings: DatabaseSettings) -> list[str]:
    """What cannot be, each with the setting's path."""
    found = []
    if settings.url.startswith(POSTGRESQL):
        found += _url_problems(settings.url)
    elif not settings.embedded or len(settings.url) <= len(SQLITE):
        found.append("database.url: must be sqlite:PATH or postgresql://USER@HOST/NAME")
    for name, least, most in (("pool_size", 3, 64), ("connect_timeout_s", 1, 60), ("statement_timeout_s", 1, 60)):
        if not least <= getattr(settings, name) <= most:
            found.append(f"database.{name}: must be between {least} and {most}")
    return found


def _url_problems(url: str) -> list[str]:
    """Never quotes the URL: it may hold a password."""
    try:
        hosts, name = hosts_of(url), urlsplit(url).path.strip("/")
    except ValueError:
        return ["database.url: a host or port cannot be read; write postgresql://USER@HOST[:PORT][,HOST2...]/NAME"]
    if not name or not hosts or any(not host for host, _ in hosts):
        return ["database.url: names no host or no database; write postgresql://USER@HOST[:PORT][,HOST2...]/NAME"]
    if len(hosts) > MAX_HOSTS:
        return [f"database.url: at most {MAX_HOSTS} hosts"]
    return []


def hosts_of(url: str) -> list[tuple[str, int]]:
    """The hosts and ports of a PostgreSQL URL; a host that begins with / is a directory with a socket. Raises ValueError."""
    parts = urlsplit(url)
    text = unquote(parts.netloc.rpartition("@")[2])
    asked = dict(parse_qsl(parts.query))
    if not text and asked.get("host"):
        port = asked.get("port", str(POSTGRESQL_PORT))
        return [(host, int(port)) for host in asked["host"].split(",")]
    return [_host(each) for each in text.split(",")]


def _host(text: str) -> tuple[str, int]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    number = int(port) if port else POSTGRESQL_PORT
    if not 0 < number < 65_536:
        raise ValueError("a port is a number from 1 to 65535")
    return host, number


def without_password(url: str) -> str:
    """The URL with its password taken out, for messages."""
    parts = urlsplit(url)
    account, at, hosts = parts.netloc.rpartition("@")
    return parts._replace(netloc=account.partition(":")[0] + at + hosts).geturl()


def has_password(url: str) -> bool:
    """Whether a password stands in the URL."""
    parts = urlsplit(url)
    return ":" in parts.netloc.rpartition("@")[0] or any(name == "password" for name, _ in parse_qsl(parts.query))
