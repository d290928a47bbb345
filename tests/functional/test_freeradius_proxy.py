"""FreeRADIUS stands between NAS and us as a proxy: it adds Proxy-State and Message-Authenticator and checks what comes back."""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import neighbours
from tests.functional.harness import SECRET, Served, Wire, free_udp_ports, message_of, totp_code, wait_for, wrong_code
from tests.functional.plant import BEHIND_PROXY, USERS
from tests.functional.relay import Relay
from wardgate.radius.packet import Code, Type, decode

pytestmark = [pytest.mark.neighbour("freeradius"), pytest.mark.neighbour("radclient")]

NAS_SECRET = "between-nas-and-proxy"

CONFIGURATION = """
prefix = /usr
confdir = {folder}
raddbdir = {folder}
logdir = {folder}
run_dir = {folder}
db_dir = {folder}
libdir = /usr/lib/freeradius
name = proxy
max_request_time = 30
cleanup_delay = 2
log {{
    destination = stdout
}}
security {{
    reject_delay = 0
    status_server = no
}}
proxy_requests = yes
proxy server {{
}}
home_server wardgate {{
    type = auth
    ipaddr = 127.0.0.1
    port = {home_port}
    secret = {secret}
    src_ipaddr = {source}
    response_window = 20
    status_check = none
}}
home_server_pool wardgate {{
    type = fail-over
    home_server = wardgate
}}
realm wardgate {{
    auth_pool = wardgate
    nostrip
}}
client nas {{
    ipaddr = 127.0.0.1
    secret = {nas_secret}
}}
thread pool {{
    start_servers = 2
    max_servers = 2
    min_spare_servers = 1
    max_spare_servers = 2
}}
modules {{
}}
listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {port}
    virtual_server = proxy
}}
server proxy {{
    authorize {{
        update control {{
            &Proxy-To-Realm := "wardgate"
        }}
    }}
}}
"""


@contextlib.contextmanager
def freeradius(folder: Path, home_port: int) -> Iterator[int]:
    """A FreeRADIUS of our own in the foreground; the port that it takes requests on."""
    (port,) = free_udp_ports(1)
    (folder / "dictionary").write_text("$INCLUDE /usr/share/freeradius/dictionary\n")
    (folder / "radiusd.conf").write_text(
        CONFIGURATION.format(
            folder=folder, home_port=home_port, secret=SECRET, source="127.0.0.1", nas_secret=NAS_SECRET, port=port
        )
    )
    for path in (folder, *folder.iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)
    log_path = folder / "output"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [neighbours.executable("freeradius"), "-f", "-d", str(folder), "-n", "radiusd"],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:

        def ready() -> bool:
            assert process.poll() is None, log_path.read_text()
            return "Ready to process requests" in log_path.read_text()

        wait_for(ready, 20)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def test_a_login_through_freeradius_as_a_proxy(plant: Served, tmp_path: Path) -> None:
    ada = USERS.with_app()
    # The relay gives us the proxy's address, and shows what really went over the wire.
    with (
        Relay(plant.port, BEHIND_PROXY) as relay,
        freeradius(tmp_path, relay.port) as port,
        Wire(plant, NAS_SECRET, port=port) as nas,
    ):
        challenge = nas.log_in(ada.name, ada.password)
        assert message_of(challenge) == "Enter the code from your app."
        again = nas.answer(ada.name, wrong_code(totp_code(ada.totp_hex)), challenge)
        assert again.code is Code.ACCESS_CHALLENGE
        accept = nas.answer(ada.name, totp_code(ada.totp_hex), again)
        assert accept.code is Code.ACCESS_ACCEPT
        assert accept.vendor(25461, 5) == [b"vpn-users"]
        refused = nas.log_in(ada.name, "not the password")
        assert refused.code is Code.ACCESS_REJECT
    assert len(relay.requests) == len(relay.replies) == 4
    for request, reply in zip(map(decode, relay.requests), map(decode, relay.replies), strict=True):
        assert request.all(Type.PROXY_STATE)
        assert reply.all(Type.PROXY_STATE) == request.all(Type.PROXY_STATE)
        assert request.first(Type.MESSAGE_AUTHENTICATOR) is not None
        assert reply.attributes[0][0] == Type.MESSAGE_AUTHENTICATOR


def test_what_the_proxy_resends_is_answered_with_the_same_octets(plant: Served, tmp_path: Path) -> None:
    ada = USERS.with_app()
    with Relay(plant.port, BEHIND_PROXY, lose_replies=1) as relay, freeradius(tmp_path, relay.port) as port:
        program = neighbours.executable("radclient")
        request = f'User-Name = "{ada.name}"\nUser-Password = "{ada.password}"\nMessage-Authenticator = 0x00\n'
        command = [program, "-x", "-r", "3", "-t", "2", f"127.0.0.1:{port}", "auth", NAS_SECRET]
        done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=60, check=False)
        assert re.search(r"^Received Access-Challenge", done.stdout, re.MULTILINE), done.stdout
        assert len(relay.requests) == 2
        assert len(set(relay.replies)) == 1
