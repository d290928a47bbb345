"""A real relying party: Apache with Shibboleth's service provider on this machine, which nobody here wrote."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests import neighbours
from tests.flows.saml_world import a_signer
from tests.functional.mellon import DEADLINE_S, MODULES, free_port

ETC = Path("/etc/shibboleth")
_LOADED = ("mpm_event", "authn_core", "authz_core", "authz_user", "dir", "env", "headers", "mime", "shib")
_APACHE = """
ServerName localhost:{port}
UseCanonicalName On
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
Listen 127.0.0.1:{port}
{modules}
ErrorLog {folder}/error.log
LogLevel warn
TypesConfig /dev/null
AddType text/html .html
DocumentRoot {folder}/pages
ShibConfig {folder}/shibboleth2.xml
<Location />
  Require all granted
</Location>
<Location /secret>
  AuthType shibboleth
  ShibRequestSetting requireSession true
  Require shib-session
  Header set x-user "%{{name}}e"
  Header set x-mail "%{{mail}}e"
  Header set x-groups "%{{groups}}e"
</Location>
"""
_SP = """<SPConfig xmlns="urn:mace:shibboleth:3.0:native:sp:config" clockSkew="180">
  <OutOfProcess logger="{folder}/shibd.logger"/>
  <InProcess logger="{folder}/native.logger"/>
  <UnixListener address="{folder}/shibd.sock"/>
  <ApplicationDefaults entityID="{address}/shibboleth" REMOTE_USER="name" signing="{signs}" encryption="false">
    <Sessions lifetime="28800" timeout="3600" relayState="ss:mem" checkAddress="false" handlerSSL="false" cookieProps="http">
      <SSO entityID="{idp}">SAML2</SSO>
      <Logout>SAML2 Local</Logout>
      <Handler type="MetadataGenerator" Location="/Metadata" signing="false"/>
      <Handler type="Session" Location="/Session" showAttributeValues="true"/>
    </Sessions>
    <Errors session="{folder}/errors.html" metadata="{folder}/errors.html" localLogout="{ETC}/localLogout.html"
      globalLogout="{ETC}/globalLogout.html" partialLogout="{ETC}/partialLogout.html"/>
    <MetadataProvider type="XML" path="{folder}/idp.xml">
      <MetadataFilter type="RequireValidUntil" maxValidityInterval="2419200"/>
      <MetadataFilter type="Signature" certificate="{folder}/idp.crt"/>
    </MetadataProvider>
    <AttributeExtractor type="XML" path="{folder}/attribute-map.xml"/>
    <CredentialResolver type="File" use="signing" key="{folder}/sp.key" certificate="{folder}/sp.crt"/>
    <CredentialResolver type="File" use="encryption" key="{folder}/sp.key" certificate="{folder}/sp.crt"/>
  </ApplicationDefaults>
  <SecurityPolicyProvider type="XML" path="{ETC}/security-policy.xml"/>
  <ProtocolProvider type="XML" path="{ETC}/protocols.xml"/>
</SPConfig>
"""
_MAP = """<Attributes xmlns="urn:mace:shibboleth:2.0:attribute-map" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <Attribute name="mail" nameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic" id="mail"/>
  <Attribute name="groups" nameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic" id="groups"/>
  {formats}
</Attributes>
"""
_FORMAT = """<Attribute name="urn:oasis:names:tc:SAML:{format}" id="name">
    <AttributeDecoder xsi:type="NameIDAttributeDecoder" formatter="$Name" defaultQualifiers="true"/></Attribute>"""
_FORMATS = ("2.0:nameid-format:persistent", "2.0:nameid-format:transient", "1.1:nameid-format:emailAddress")
# What it says of an answer that it does not take, in words that a test can look for.
_ERRORS = (
    "<!doctype html><title>No</title><p><shibmlp errorType/>: <shibmlp errorText/> <shibmlp statusCode/> <shibmlp statusCode2/>"
)
_LOGGER = """log4j.rootCategory=INFO, file
log4j.appender.file=org.apache.log4j.FileAppender
log4j.appender.file.fileName={folder}/{name}.log
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=%p %c: %m%n
"""


@dataclass(frozen=True, slots=True)
class Shibboleth:
    """The application. `address`: its own; `metadata`: what it says of itself; `folder`: with its logs."""

    address: str
    metadata: bytes
    folder: Path

    def log(self) -> str:
        """What it says of what went wrong."""
        lines = [line for name in ("shibd.log", "error.log") for line in (self.folder / name).read_text().splitlines()]
        return "\n".join(line for line in lines if not line.startswith("INFO"))


@contextmanager
def shibboleth(folder: Path, idp: str, idp_metadata: bytes, idp_certificate: bytes, *, signs: bool = True) -> Iterator[Shibboleth]:
    """Apache and shibd, until the end of the block. Our metadata has to be signed by this certificate (DER)."""
    port = free_port()
    address = f"http://localhost:{port}"
    signer = a_signer("shibboleth")
    files = {
        "idp.xml": idp_metadata,
        "idp.crt": x509.load_der_x509_certificate(idp_certificate).public_bytes(Encoding.PEM),
        "sp.key": signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "sp.crt": x509.load_der_x509_certificate(signer.certificate).public_bytes(Encoding.PEM),
    }
    modules = "\n".join(
        f"LoadModule {'mod_shib' if name == 'shib' else name + '_module'} {MODULES}/mod_{name}.so" for name in _LOADED
    )
    texts = {
        "apache.conf": _APACHE.format(folder=folder, port=port, modules=modules),
        "shibboleth2.xml": _SP.format(folder=folder, address=address, idp=idp, ETC=ETC, signs="true" if signs else "false"),
        "attribute-map.xml": _MAP.format(formats="".join(_FORMAT.format(format=each) for each in _FORMATS)),
        "errors.html": _ERRORS,
        "shibd.logger": _LOGGER.format(folder=folder, name="shibd"),
        "native.logger": _LOGGER.format(folder=folder, name="native"),
    }
    for name, content in {**files, **{name: text.encode() for name, text in texts.items()}}.items():
        (folder / name).write_bytes(content)
    pages = folder / "pages"
    (pages / "secret").mkdir(parents=True)
    (pages / "secret" / "page.html").write_text("<!doctype html><title>Secret</title><h1>The secret page</h1>")
    shibd = shutil.which("shibd", path="/usr/sbin:/sbin") or "shibd"
    apache = neighbours.executable("shibboleth")
    with ExitStack() as stack:
        daemon = _running(
            stack, [shibd, "-F", "-f", "-c", str(folder / "shibboleth2.xml"), "-p", str(folder / "shibd.pid")], folder
        )
        _until(lambda: (folder / "shibd.sock").exists(), daemon, folder)
        web = _running(stack, [apache, "-X", "-f", str(folder / "apache.conf")], folder)
        found: list[bytes] = []
        _until(lambda: _shows(address, found), web, folder)
        yield Shibboleth(address, found[0], folder)


def _running(stack: ExitStack, command: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    output = stack.enter_context((folder / "programs.err").open("ab"))
    process = subprocess.Popen(command, stdout=output, stderr=output)
    stack.callback(_ended, process)
    return process


def _ended(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(DEADLINE_S)


def _shows(address: str, found: list[bytes]) -> bool:
    try:
        found.append(httpx.get(f"{address}/Shibboleth.sso/Metadata").raise_for_status().content)
    except httpx.HTTPError:
        return False
    return True


def _until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", folder: Path) -> None:
    until = time.monotonic() + DEADLINE_S
    while not ready():
        if time.monotonic() > until or process.poll() is not None:
            said = [each.read_text() for each in sorted(folder.glob("*.err")) + sorted(folder.glob("*.log"))]
            raise AssertionError("Shibboleth does not start: " + "\n".join(said))
        time.sleep(0.05)
