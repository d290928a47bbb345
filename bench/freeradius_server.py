"""FreeRADIUS as a peer: the same two steps from a `users` file, TOTP by rlm_totp.

Alone it is the fastest that a well-known server does this, and it promises less: a code can be used again, and nothing is recorded.
With a database it makes the promise about codes that we make: each login ends with an UPDATE that only the first use of a time
step passes, on SQLite in WAL with synchronous=FULL or on PostgreSQL with its defaults: a commit that is on the disk before the
accept. rlm_totp takes the code of the present time step only.
"""

import base64
import contextlib
import hashlib
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.generator import Mode
from bench.load import User
from bench.postgres_server import SUPERUSER, Cluster
from bench.wardgate_server import SECRET, START_S, Running, free_ports

PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"

# How every FreeRADIUS of ours begins.
MAIN = """
prefix = /usr
confdir = {folder}
raddbdir = {folder}
logdir = {folder}
run_dir = {folder}
db_dir = {folder}
libdir = /usr/lib/freeradius
name = bench
max_requests = 65536
cleanup_delay = 2
proxy_requests = no
log {{
    destination = stdout
}}
security {{
    reject_delay = 0
    status_server = no
}}
client bench {{
    ipaddr = 127.0.0.1
    secret = {secret}
    require_message_authenticator = yes
}}
thread pool {{
    start_servers = {threads}
    max_servers = {threads}
    min_spare_servers = 1
    max_spare_servers = {threads}
    max_queue_size = 65536
}}
"""

_CONFIGURATION = (
    MAIN
    + """modules {{
    pap {{
    }}
    totp {{
    }}
    expr {{
    }}
    files {{
        usersfile = {folder}/users
    }}
{sql}    always reject {{
        rcode = reject
    }}
    always handled {{
        rcode = handled
    }}
    always ok {{
        rcode = ok
    }}
}}
listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {port}
    virtual_server = bench
}}
server bench {{
    authorize {{
        files
        if (&State) {{
            if (&session-state:Tmp-String-0 != &User-Name) {{
                reject
            }}
            update request {{
                &TOTP-Password := &User-Password
            }}
            update control {{
                &Auth-Type := code
            }}
        }}
        else {{
            update control {{
                &Auth-Type := password
            }}
        }}
    }}
    authenticate {{
        Auth-Type password {{
            pap
            update session-state {{
                &Tmp-String-0 := &User-Name
            }}
            update reply {{
                &Message-Authenticator := 0x00
                &Reply-Message := "Enter the code from your app."
            }}
            update control {{
                &Response-Packet-Type := Access-Challenge
            }}
            handled
        }}
        Auth-Type code {{
            totp
            if (!ok) {{
                reject
            }}
{once}            update reply {{
                &Message-Authenticator := 0x00
            }}
        }}
    }}
}}
"""
)


# The step is taken from the server's clock, as rlm_totp takes it; a code of an earlier step was refused by then.
_ONCE = """
            update control {{
                &Tmp-Integer-0 := "%{{expr:%l / 30}}"
            }}
            update control {{
                &Tmp-Integer-1 := "%{{sql:UPDATE code SET step = %{{control:Tmp-Integer-0}} \\
                    WHERE name = '%{{User-Name}}' AND step < %{{control:Tmp-Integer-0}}}}"
            }}
            if (&control:Tmp-Integer-1 != 1) {{
                reject
            }}
"""

_SQL = """
    sql {{
        {driver}
        sql_user_name = "%{{User-Name}}"
        read_clients = no
        read_groups = no
        read_profiles = no
        pool {{
            start = 4
            min = 4
            max = 4
            spare = 0
            uses = 0
            lifetime = 0
            idle_timeout = 0
        }}
    }}
"""

_SQLITE = """dialect = "sqlite"
        driver = "rlm_sql_sqlite"
        sqlite {{
            filename = "{folder}/codes.db"
            busy_timeout = 5000
        }}
        open_query = "PRAGMA synchronous = FULL"
"""

_POSTGRESQL = """dialect = "postgresql"
        driver = "rlm_sql_postgresql"
        radius_db = "{connection}"
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to run it. `passwords`: clear or ssha; `once`: where used codes are kept, if anywhere."""

    label: str
    passwords: str = "clear"
    once: str = ""

    @property
    def mode(self) -> Mode:
        """How the generator must use codes."""
        return Mode.PRESENT if self.once else Mode.AGAIN


FILES = Peer("FreeRADIUS files, no replay protection")
SALTED = Peer("FreeRADIUS files, passwords as SSHA", passwords="ssha")
SQLITE = Peer("FreeRADIUS + SQLite FULL", once="sqlite")
POSTGRESQL = Peer("FreeRADIUS + PostgreSQL", once="postgresql")


def missing(peer: Peer) -> str | None:
    """What has to be installed for this peer, or None."""
    if program() is None:
        return "freeradius"
    if peer.once and not Path(f"/usr/lib/freeradius/rlm_sql_{peer.once}.so").exists():
        return f"freeradius-{peer.once}" if peer.once == "postgresql" else f"rlm_sql_{peer.once}"
    return None


def program() -> str | None:
    """Where FreeRADIUS is, or None."""
    return next((found for name in ("freeradius", "radiusd") if (found := shutil.which(name, path=PLACES))), None)


@contextlib.contextmanager
def running(folder: Path, people: Sequence[User], peer: Peer = FILES, cluster: Cluster | None = None) -> Iterator[Running]:
    """FreeRADIUS in the foreground with a configuration of its own. `cluster`: where a peer with PostgreSQL keeps used codes."""
    folder.mkdir(mode=0o700)
    port = free_ports()[0]
    (folder / "dictionary").write_text("$INCLUDE /usr/share/freeradius/dictionary\n")
    sql = _SQL.format(driver=_database(folder, people, peer, cluster)) if peer.once else ""
    once = _ONCE.format() if peer.once else ""
    text = _CONFIGURATION.format(folder=folder, port=port, secret=SECRET, threads=4, sql=sql, once=once)
    (folder / "radiusd.conf").write_text(text)
    with (folder / "users").open("w") as users:
        users.writelines(_entry(each, peer) for each in people)
    log_path = folder / "output"
    with log_path.open("wb") as log:
        process = subprocess.Popen([program() or "freeradius", "-f", "-d", str(folder), "-n", "radiusd"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_S
        while b"Ready to process requests" not in log_path.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"FreeRADIUS does not start: {log_path.read_text()[-2000:]}")
            time.sleep(0.05)
        yield Running(process.pid, port)
    finally:
        process.terminate()
        process.wait(30)


def _entry(user: User, peer: Peer) -> str:
    shared = base64.b32encode(user.secret).decode()
    if peer.passwords == "ssha":
        salt = hashlib.sha1(user.name).digest()[:8]
        kept = base64.b64encode(hashlib.sha1(user.password + salt).digest() + salt)
        # Octets in the dictionary: the text form in hexadecimal, which rlm_pap takes apart.
        password = f"SSHA-Password := 0x{kept.hex()}"
    else:
        password = f'Cleartext-Password := "{user.password.decode()}"'
    return f'{user.name.decode()} {password}, TOTP-Secret := "{shared}"\n'


def _database(folder: Path, people: Sequence[User], peer: Peer, cluster: Cluster | None) -> str:
    """A table of all users; how the server finds it."""
    names = [user.name.decode() for user in people]
    if peer.once == "sqlite":
        connection = sqlite3.connect(folder / "codes.db")
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table code (name text primary key, step integer not null) without rowid")
        connection.executemany("insert into code values (?, 0)", ((name,) for name in names))
        connection.commit()
        connection.close()
        return _SQLITE.format(folder=folder)
    if cluster is None:
        raise SystemExit("there is no PostgreSQL for FreeRADIUS")
    cluster.run("create database radius")
    table = "create table code (name text primary key, step bigint not null) with (fillfactor = 50);"
    rows = "".join(f"{name}\t0\n" for name in names)
    cluster.run(f"{table}\ncopy code from stdin;\n{rows}\\.\nvacuum analyze code;\n", "radius")
    return _POSTGRESQL.format(connection=f"host=127.0.0.1 port={cluster.port} dbname=radius user={SUPERUSER}")
