"""Synthetic users by the million: rows that share one password hash, put straight into the tables of a stopped installation.

    python -m bench.users --data DIR --users 10000000

The first user is made by the product's own import; the others are its rows with a name, ids and a sealed TOTP secret of their
own: whatever the product's rows look like, these do too. Nothing is audited: such an installation is for measuring. DIR is made
when it does not exist, and may be used again with more users; `python -m bench.radius --crowd` does both by itself.
"""

import argparse
import asyncio
import base64
import hashlib
import secrets
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from bench import wardgate_server
from bench.load import User
from wardgate.account.authenticator import bound_to
from wardgate.crypto import KeyRing
from wardgate.installation import Installation
from wardgate.storage.backends import open_storage
from wardgate.storage.port import Where

ROWS_AT_A_TIME = 20_000
TABLES = ("local_user", "subject", "subject_link", "authenticator")

Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Crowd:
    """Users `prefix`00000000 and on, with one password. `argon2id`: how the password is kept; else as a salted SHA-1 that stays."""

    prefix: str
    count: int
    password: str = "the password of all of them"
    argon2id: bool = False

    def name(self, number: int) -> str:
        """A user's name."""
        return f"{self.prefix}{number:08d}"

    def secret(self, number: int) -> bytes:
        """A user's TOTP secret: 20 octets."""
        return hashlib.sha1(f"{self.prefix} {number}".encode()).digest()

    def users(self, first: int = 0, count: int | None = None) -> list[User]:
        """Some of them, for the generator."""
        numbers = range(first, first + (self.count if count is None else count))
        return [User(self.name(number).encode(), self.password.encode(), self.secret(number)) for number in numbers]


def enrol(data: Path, crowd: Crowd, already: int = 0) -> None:
    """Put the users from number `already` on into an installation whose server does not run."""
    if already == 0:
        _import_first(data, crowd)
    asyncio.run(_copy(data, crowd, max(1, already)))


def _import_first(data: Path, crowd: Crowd) -> None:
    column, value = ("password", crowd.password) if crowd.argon2id else ("password_hash", ssha(crowd.password))
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write(f"username,{column},totp_secret_hex\n{crowd.name(0)},{value},{crowd.secret(0).hex()}\n")
        file.flush()
        keep = () if crowd.argon2id else ("--keep-hashes",)
        wardgate_server.command("user", "import", file.name, "--silent", *keep, "--data", str(data))


async def _copy(data: Path, crowd: Crowd, first: int) -> None:
    installation = Installation.open(data)
    with installation.lock():
        storage = await open_storage(installation.settings.database, data)
        try:
            ring = await installation.unlock(storage)
            template = await _template(storage, crowd)
        finally:
            await storage.close()
        made = _made(template, ring, crowd, first)
        if installation.settings.database.embedded:
            _into_sqlite(installation.database, template, made)
        else:
            await _into_postgres(installation.settings.database.url, template, made)


async def _template(storage: Any, crowd: Crowd) -> Rows:
    """The rows of the first user, by table."""
    user = (await storage.find("local_user", [Where("name_key", "=", crowd.name(0))], limit=1))[0]
    link = (await storage.find("subject_link", [Where("immutable_id", "=", user["id"])], limit=1))[0]
    subject = (await storage.find("subject", [Where("id", "=", link["subject_id"])], limit=1))[0]
    authenticator = (await storage.find("authenticator", [Where("subject_id", "=", subject["id"])], limit=1))[0]
    return {"local_user": dict(user), "subject": dict(subject), "subject_link": dict(link), "authenticator": dict(authenticator)}


def _made(template: Rows, ring: KeyRing, crowd: Crowd, first: int) -> Iterator[Rows]:
    """Rows of user after user."""
    head = f"{time.time_ns() // 1_000_000:012x}"
    for number in range(first, crowd.count):
        name = crowd.name(number)
        # Ids rise, as the product's do.
        user, subject, authenticator = (f"{head}{kind}{number:019x}" for kind in "abc")
        yield {
            "local_user": {**template["local_user"], "id": user, "name": name, "name_key": name},
            "subject": {**template["subject"], "id": subject},
            "subject_link": {**template["subject_link"], "immutable_id": user, "subject_id": subject},
            "authenticator": {
                **template["authenticator"],
                "id": authenticator,
                "subject_id": subject,
                "sealed": ring.seal(crowd.secret(number), bound_to(authenticator)),
            },
        }


def _into_sqlite(file: Path, template: Rows, made: Iterator[Rows]) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    # Nobody misses these rows when the machine stops in the middle.
    connection.execute("pragma synchronous = off")
    connection.execute("pragma cache_size = -262144")
    statements = {
        table: f"insert into {table} ({', '.join(template[table])}) values ({', '.join('?' * len(template[table]))})"
        for table in TABLES
    }
    while part := list(islice(made, ROWS_AT_A_TIME)):
        connection.execute("begin")
        for table in TABLES:
            connection.executemany(statements[table], [tuple(rows[table].values()) for rows in part])
        connection.execute("commit")
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()


async def _into_postgres(url: str, template: Rows, made: Iterator[Rows]) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        while part := list(islice(made, ROWS_AT_A_TIME)):
            for table in TABLES:
                records = [tuple(rows[table].values()) for rows in part]
                await connection.copy_records_to_table(table, records=records, columns=list(template[table]))
        await connection.execute("analyze")
    finally:
        await connection.close()


def ssha(password: str) -> str:
    """The password as OpenLDAP keeps it: {SSHA}."""
    salt = secrets.token_bytes(8)
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the users and say how long it took."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.users", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="directory of the installation; made when it does not exist")
    parser.add_argument("--users", type=int, required=True, help="how many there shall be")
    parser.add_argument("--already", type=int, default=0, help="how many of them there are from the time before")
    given = parser.parse_args(arguments)
    if not given.data.exists():
        wardgate_server.install(given.data)
        wardgate_server.configure(given.data, 0)
    began = time.monotonic()
    enrol(given.data, Crowd("user", given.users), given.already)
    took = time.monotonic() - began
    print(f"{given.users - given.already} users in {took:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
