"""A real relying party: Apache with mod_auth_mellon on this machine, which nobody here wrote."""

import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests import neighbours
from tests.flows.saml_world import a_signer

DEADLINE_S = 30.0
MODULES = Path("/usr/lib/apache2/modules")
_LOADED = ("mpm_event", "authn_core", "authz_core", "authz_user", "dir", "env", "headers", "mime", "auth_mellon")
_CONFIGURATION = """
ServerName localhost
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/pid
Listen 127.0.0.1:{port}
{modules}
ErrorLog {folder}/error.log
LogLevel warn
TypesConfig /dev/null
AddType text/html .html
DocumentRoot {folder}/pages
MellonLockFile {folder}/lock
<Location />
  MellonEnable info
  MellonEndpointPath /mellon
  MellonSPentityId {address}/mellon/metadata
  MellonSPPrivateKeyFile {folder}/sp.key
  MellonSPCertFile {folder}/sp.crt
  MellonIdPMetadataFile {folder}/idp.xml
  MellonSignatureMethod rsa-sha256
  MellonUser NAME_ID
  # A POST of another site brings no Lax cookie; on this machine Chromium takes a secure one over plain HTTP too.
  MellonSecureCookie On
  MellonCookieSameSite None
  MellonRedirectDomains *
  Require all granted
</Location>
<Location /secret>
  AuthType Mellon
  MellonEnable auth
  Require valid-user
  Header set x-mail "%{{MELLON_mail}}e"
  Header set x-user "%{{MELLON_NAME_ID}}e"
</Location>
"""


@dataclass(frozen=True, slots=True)
class Mellon:
    """The application. `address`: its own; `metadata`: what it says of itself."""

    address: str
    metadata: bytes
    log: Path


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


@contextmanager
def mellon(folder: Path, idp_metadata: bytes, *, by_post: bool = False) -> Iterator[Mellon]:
    """Apache, until the end of the block. `by_post`: our metadata is shown to it without the Redirect binding of sign-in."""
    if by_post:
        idp_metadata = re.sub(rb"<md:SingleSignOnService [^>]*HTTP-Redirect[^>]*></md:SingleSignOnService>", b"", idp_metadata)
        assert idp_metadata.count(b"SingleSignOnService ") == 1
    port = free_port()
    address = f"http://localhost:{port}"
    (folder / "idp.xml").write_bytes(idp_metadata)
    signer = a_signer("mellon")
    key = signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "sp.key").write_bytes(key)
    (folder / "sp.crt").write_bytes(x509.load_der_x509_certificate(signer.certificate).public_bytes(Encoding.PEM))
    pages = folder / "pages"
    (pages / "secret").mkdir(parents=True)
    (pages / "secret" / "page.html").write_text("<!doctype html><title>Secret</title><h1>The secret page</h1>")
    (pages / "out.html").write_text("<!doctype html><title>Out</title><h1>Signed out there</h1>")
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in _LOADED)
    (folder / "apache.conf").write_text(_CONFIGURATION.format(folder=folder, port=port, modules=modules, address=address))
    command = [neighbours.executable("mellon"), "-X", "-f", str(folder / "apache.conf")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(folder / "apache.err").open("wb")) as apache:
        try:
            yield Mellon(address, _metadata(address, apache, folder), folder / "error.log")
        finally:
            apache.send_signal(signal.SIGTERM)
            try:
                apache.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                apache.kill()


def _metadata(address: str, apache: "subprocess.Popen[bytes]", folder: Path) -> bytes:
    """What it says of itself, once it answers."""
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until and apache.poll() is None:
        try:
            return httpx.get(f"{address}/mellon/metadata").raise_for_status().content
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError((folder / "apache.err").read_text() + (folder / "error.log").read_text())
