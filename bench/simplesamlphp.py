"""SimpleSAMLphp from Debian, behind nginx and php-fpm with two processes each: the peer of `bench.sso`.

Everything it needs stands in a folder of the benchmark's own, Debian's configuration is neither read nor changed, and its user's
password is compared in clear: one person, one relying party, RSA-2048, the assertion signed and the response not, as we do it.
"""

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.wardgate_server import START_S, free_ports

PROGRAM: Final = Path("/usr/share/simplesamlphp")
PROCESSES: Final = 2
USER: Final = "ada"
PASSWORD: Final = "ada-password"
ENTRY: Final = "/simplesaml/saml2/idp/SSOService.php"

_CONFIG: Final = """<?php
$config = [
    'baseurlpath' => '{origin}/simplesaml/',
    'certdir' => '{folder}/', 'loggingdir' => '{folder}/', 'datadir' => '{folder}/', 'tempdir' => '{folder}/temporary',
    'metadatadir' => '{folder}/metadata/', 'attributenamemapdir' => '/etc/simplesamlphp/attributemap/',
    'secretsalt' => '{salt}', 'auth.adminpassword' => '{salt}', 'timezone' => 'UTC',
    'technicalcontact_name' => 'nobody', 'technicalcontact_email' => 'nobody@acme.test',
    'enable.saml20-idp' => true,
    'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
    'logging.handler' => 'file', 'logging.level' => SimpleSAML\\Logger::NOTICE,
    'store.type' => 'phpsession', 'session.cookie.secure' => true, 'production' => true,
];
"""
_USERS: Final = """<?php
$config = ['users' => ['exampleauth:UserPass', '{user}:{password}' => [
    'uid' => ['{user}'], 'mail' => ['ada@acme.test'], 'givenName' => ['Ada'], 'sn' => ['Lovelace'], 'department' => ['Research'],
]]];
"""
_OURSELVES: Final = """<?php
$metadata['__DYNAMIC:1__'] = [
    'host' => '__DEFAULT__', 'privatekey' => 'idp.key', 'certificate' => 'idp.crt', 'auth' => 'users',
    'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
];
"""
_PARTY: Final = """<?php
$metadata['{entity_id}'] = [
    'AssertionConsumerService' => '{acs}', 'saml20.sign.response' => false, 'saml20.sign.assertion' => true,
    'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent', 'simplesaml.nameidattribute' => 'uid',
];
"""
_FPM: Final = """[global]
error_log = {folder}/fpm.log
daemonize = no
[idp]
listen = {folder}/fpm.sock
pm = static
pm.max_children = {processes}
php_admin_value[session.save_path] = {folder}/sessions
"""
_NGINX: Final = """daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
worker_processes {processes};
events {{ worker_connections 256; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxied; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/idp.crt;
        ssl_certificate_key {folder}/idp.key;
        location ~ ^/simplesaml(?<script>/.+?\\.php)(?<rest>/.*)?$ {{
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME {program}/www$script;
            fastcgi_param PATH_INFO $rest;
            fastcgi_param SIMPLESAMLPHP_CONFIG_DIR {folder}/config;
            fastcgi_pass unix:{folder}/fpm.sock;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """It, serving. `pids`: of its two trees."""

    port: int
    pids: tuple[int, ...]
    certificate: Path
    version: str


def missing() -> str:
    """What keeps it from being measured; empty when nothing does."""
    programs = {"php-fpm": _fpm(), "nginx": _program("nginx"), "openssl": _program("openssl")}
    absent = [name for name, found in programs.items() if not found]
    if not PROGRAM.is_dir():
        absent.insert(0, "simplesamlphp")
    return f"{', '.join(absent)} not installed" if absent else ""


@contextlib.contextmanager
def serving(folder: Path, entity_id: str, acs: str) -> Iterator[Peer]:
    """It, from the moment at which it answers until the end of the block."""
    _, _, port = free_ports()
    _write(folder, port, entity_id, acs)
    # As root it asks to be told that this is meant.
    as_root = ["--allow-to-run-as-root"] if os.getuid() == 0 else []
    with contextlib.ExitStack() as stack:
        fpm = stack.enter_context(_process(_fpm(), "--nodaemonize", *as_root, "--fpm-config", str(folder / "fpm.conf")))
        nginx = stack.enter_context(_process(_program("nginx"), "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")))
        deadline = time.monotonic() + START_S
        while not ((folder / "fpm.sock").exists() and (folder / "nginx.pid").exists()):
            if time.monotonic() > deadline or fpm.poll() is not None or nginx.poll() is not None:
                raise SystemExit("SimpleSAMLphp does not start: " + _said(folder))
            time.sleep(0.02)
        yield Peer(port, (fpm.pid, nginx.pid), folder / "idp.crt", version())


def version() -> str:
    """What Debian calls it."""
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "simplesamlphp"], capture_output=True, text=True, timeout=30, check=False
    )
    return shown.stdout.strip() or "?"


def _write(folder: Path, port: int, entity_id: str, acs: str) -> None:
    for name in ("config", "metadata", "sessions", "temporary"):
        (folder / name).mkdir(parents=True)
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(folder / "idp.key"), "-out", str(folder / "idp.crt")]
    subprocess.run([_program("openssl"), *made], capture_output=True, timeout=60, check=True)
    values = {
        "folder": folder,
        "origin": f"https://localhost:{port}",
        "port": port,
        "salt": secrets.token_hex(16),
        "user": USER,
        "password": PASSWORD,
        "entity_id": entity_id,
        "acs": acs,
        "processes": PROCESSES,
        "program": PROGRAM,
    }
    texts = {
        "config/config.php": _CONFIG,
        "config/authsources.php": _USERS,
        "metadata/saml20-idp-hosted.php": _OURSELVES,
        "metadata/saml20-sp-remote.php": _PARTY,
    }
    for name, text in texts.items():
        for key, value in values.items():
            text = text.replace(f"{{{key}}}", str(value))
        (folder / name).write_text(text)
    (folder / "fpm.conf").write_text(_FPM.format(**values))
    values["user"] = f"user {getpass.getuser()};" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(_NGINX.format(**values))


@contextlib.contextmanager
def _process(*command: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _said(folder: Path) -> str:
    return "\n".join(file.read_text() for file in (folder / "fpm.log", folder / "nginx.log") if file.exists())


def _program(name: str) -> str:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin") or ""


def _fpm() -> str:
    """Debian names it after its version."""
    found = sorted(Path("/usr/sbin").glob("php-fpm*"))
    return str(found[-1]) if found else ""
