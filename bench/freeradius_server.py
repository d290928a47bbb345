"""FreeRADIUS as a peer: the same two steps from a `users` file, passwords in clear, TOTP by rlm_totp, no replay protection.

It is the fastest that a well-known server does this, and it promises less: a code can be used again, and nothing is recorded.
"""

import base64
import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.wardgate_server import SECRET, START_S, Account, Running, free_ports

PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"

_CONFIGURATION = """
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
    start_servers = 4
    max_servers = 4
    min_spare_servers = 1
    max_spare_servers = 4
    max_queue_size = 65536
}}
modules {{
    pap {{
    }}
    totp {{
    }}
    files {{
        usersfile = {folder}/users
    }}
    always reject {{
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
            update reply {{
                &Message-Authenticator := 0x00
            }}
        }}
    }}
}}
"""


def program() -> str | None:
    """Where FreeRADIUS is, or None."""
    return next((found for name in ("freeradius", "radiusd") if (found := shutil.which(name, path=PLACES))), None)


@contextlib.contextmanager
def running(folder: Path, people: Sequence[Account]) -> Iterator[Running]:
    """FreeRADIUS in the foreground with a configuration of its own."""
    folder.mkdir(mode=0o700)
    port = free_ports()[0]
    (folder / "dictionary").write_text("$INCLUDE /usr/share/freeradius/dictionary\n")
    (folder / "radiusd.conf").write_text(_CONFIGURATION.format(folder=folder, port=port, secret=SECRET))
    with (folder / "users").open("w") as users:
        for each in people:
            shared = base64.b32encode(bytes.fromhex(each.totp_hex)).decode()
            users.write(f'{each.name} Cleartext-Password := "{each.password}", TOTP-Secret := "{shared}"\n')
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
