"""A real Active Directory domain controller for tests: one for all processes of a machine, while any of them uses it.

The ports of a domain controller are fixed, so a second one cannot be started beside it; what is in the domain is in
`samba_dc/cast.py`. Every process that asks for it holds a shared lock on a file until it ends, however it ends. The first starts
the keeper (`samba_dc/keeper.py`), which ends the server once nobody holds the lock. Needs root, for the ports and the namespaces.
"""

import atexit
import base64
import fcntl
import functools
import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any, TextIO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.samba_dc import cast
from wardgate.config.reference import ClearValue
from wardgate.directory.active_directory.settings import ActiveDirectorySettings
from wardgate.directory.active_directory.values import filetime
from wardgate.directory.ldap.settings import BindSettings

WAIT_S = 300.0
_APART = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc")
_PARTS = Path(__file__).parent / "samba_dc"
_numbers = count(1)
_keepers: list[subprocess.Popen[bytes]] = []  # so that none is collected while it runs


class DomainController:
    """The server that runs. Everything that changes it is done as its administrator, by OpenLDAP's own commands."""

    def __init__(self, home: Path, address: str = cast.ADDRESS) -> None:
        self.home = home
        self.address = address
        self.port = 636
        self.url = f"ldaps://{address}:636"
        self.ca_file = str(home / "ca.pem")
        self.took: Mapping[str, float] = json.loads((home / "ready").read_text())

    def settings(self, name: str = "acme-ad", **given: Any) -> ActiveDirectorySettings:
        """Settings of a directory on it, by the account that may reset passwords in one OU."""
        bind = BindSettings(dn=cast.SERVICE_DN, password=ClearValue(value=cast.SERVICE_PASSWORD))
        usual = {"servers": (self.url,), "bind": bind, "base": cast.BASE, "ca_file": self.ca_file}
        return ActiveDirectorySettings(**{"name": name, "kind": "active_directory", **usual, **given})

    @property
    def reader(self) -> BindSettings:
        """The account that may read and nothing else."""
        return BindSettings(dn=cast.READER_DN, password=ClearValue(value=cast.SERVICE_PASSWORD))

    def modify(self, ldif: str) -> None:
        """Apply LDIF with `changetype` lines."""
        self._run("ldapmodify", given=ldif)

    def read(self, dn: str, *attributes: str) -> dict[str, list[str]]:
        """An entry's attributes, as the administrator sees them."""
        told = self._run("ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-s", "base", "-b", dn, "(objectClass=*)", *attributes)
        return _attributes(told)

    def add_user(
        self,
        sam: str,
        password: str | None = cast.PASSWORD,
        *,
        cn: str = "",
        ou: str = cast.SCRATCH,
        pso: str | None = None,
        control: int = 512,
        groups: Sequence[str] = (),
        **attributes: str | Sequence[str] | bytes,
    ) -> str:
        """Make an account; its DN. `password`: None for none. `pso`: a policy for it, set before the password. `groups`: DNs."""
        dn = cast.Person(sam, cn or sam, ou).dn
        upn = attributes.pop("userPrincipalName", f"{sam}@{cast.DNS_DOMAIN}")
        given = {"objectClass": "user", "sAMAccountName": sam, "userPrincipalName": upn, "userAccountControl": "514", **attributes}
        lines = [_record(dn, "add", *_values(given))]
        if pso is not None:
            lines.append(_record(pso, "modify", "add: msDS-PSOAppliesTo", _line("msDS-PSOAppliesTo", dn)))
        lines += [_record(group, "modify", "add: member", _line("member", dn)) for group in groups]
        if password is None:
            control |= 0x20  # no password is needed
        else:
            lines.append(_record(dn, "modify", "replace: unicodePwd", _line("unicodePwd", unicode_pwd(password))))
        lines.append(_record(dn, "modify", "replace: userAccountControl", f"userAccountControl: {control}"))
        self.modify("\n".join(lines))
        return dn

    def add_ou(self, name: str, parent: str = cast.SCRATCH) -> str:
        """Make an OU; its DN."""
        self.modify(_record(f"OU={name},{parent}", "add", "objectClass: organizationalUnit"))
        return f"OU={name},{parent}"

    def add_group(
        self, name: str, kind: int = cast.GLOBAL, members: Sequence[str] = (), ou: str = cast.GROUPS, sam: str | None = None
    ) -> str:
        """Make a group; its DN. `name`: as it stands in a DN. `members`: DNs."""
        dn = f"CN={name},{ou}"
        given = {
            "objectClass": "group",
            "sAMAccountName": sam or name,
            "groupType": str(kind),
            **({"member": members} if members else {}),
        }
        self.modify(_record(dn, "add", *_values(given)))
        return dn

    def set(self, dn: str, **attributes: str | Sequence[str] | bytes) -> None:
        """Replace attributes; an empty sequence removes one."""
        parts: list[str] = []
        for name, value in attributes.items():
            parts += [f"replace: {name}", *_values({name: value}), "-"]
        self.modify(_record(dn, "modify", *parts))

    def lock(self, dn: str) -> None:
        """Lock an account, as too many wrong passwords do."""
        self.set(dn, lockoutTime=str(filetime(datetime.now(UTC))))

    def delete(self, dn: str, everything_below: bool = False) -> None:
        """Remove an entry."""
        if everything_below:
            self._run("ldapdelete", "-r", dn)
        else:
            self.modify(_record(dn, "delete"))

    def move(self, dn: str, rdn: str, parent: str) -> str:
        """Rename and move an entry; its new DN."""
        self.modify(_record(dn, "modrdn", _line("newrdn", rdn), "deleteoldrdn: 1", _line("newsuperior", parent)))
        return f"{rdn},{parent}"

    def samba_tool(self, *arguments: str) -> None:
        """Run a command of the domain's own administration as its administrator."""
        given = ["-H", f"ldap://{self.address}", "-U", f"administrator%{cast.ADMINISTRATOR_PASSWORD}", "-s", "/dev/null"]
        subprocess.run(["samba-tool", *arguments, *given], check=True, capture_output=True, timeout=WAIT_S)

    def bind(self, dn: str, password: str) -> str:
        """What the server says to this password, in the words of ldapwhoami's relative: empty when it is right."""
        done = self._start("ldapsearch", dn, password, "-LLL", "-s", "base", "-b", "", "1.1")
        return "" if done.returncode == 0 else done.stderr

    def _run(self, program: str, *arguments: str, given: str = "") -> str:
        done = self._start(program, f"administrator@{cast.DNS_DOMAIN}", cast.ADMINISTRATOR_PASSWORD, *arguments, given=given)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}\n{given}")
        return done.stdout

    def _start(self, program: str, who: str, password: str, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        read, write = os.pipe()
        os.write(write, password.encode())
        os.close(write)
        try:
            return subprocess.run(
                [program, "-x", "-H", self.url, "-D", who, "-y", f"/dev/fd/{read}", *arguments],
                env={**os.environ, "LDAPTLS_CACERT": self.ca_file},
                input=given,
                pass_fds=(read,),
                capture_output=True,
                text=True,
                timeout=WAIT_S,
                check=False,
            )
        finally:
            os.close(read)


def name(prefix: str = "u") -> str:
    """An account name that no other test has."""
    return f"{prefix}{os.getpid()}-{next(_numbers)}"


def unicode_pwd(password: str) -> bytes:
    """A password as the attribute wants it."""
    return f'"{password}"'.encode("utf-16-le")


@functools.cache
def second() -> DomainController:
    """Another domain controller of the same domain, which joins when it is asked for first and hears of no change after that."""
    first = shared()
    (first.home / "second.wanted").touch()
    deadline = time.monotonic() + WAIT_S
    while not (first.home / "second.ready").exists():
        if not (first.home / "ready").exists() or time.monotonic() > deadline:
            raise RuntimeError(f"the second domain controller did not start: {(first.home / 'log').read_text()[-4000:]}")
        time.sleep(0.05)
    return DomainController(first.home, cast.SECOND_ADDRESS)


@functools.cache
def shared() -> DomainController:
    """The domain controller, started by whoever asks first. Skips where it cannot be had, which is a failure in CI."""
    if problem := _why_not():
        pytest.skip(problem)
    home = Path(tempfile.gettempdir()) / f"wardgate-samba-{os.geteuid()}"
    home.mkdir(mode=0o755, exist_ok=True)
    deadline = time.monotonic() + WAIT_S
    while True:
        users = _use(home)
        if users is not None:
            atexit.register(users.close)
            return DomainController(home)
        # Another state of these files keeps a server of its own; the ports are free when its users are done.
        if time.monotonic() > deadline:
            raise RuntimeError("the domain controller of another test run keeps the ports")
        time.sleep(0.5)


def _why_not() -> str | None:
    """Why no domain controller can be started here."""
    if os.geteuid() != 0:
        return "a domain controller needs root, for its ports and its namespaces"
    tried = subprocess.run(["unshare", *_APART, "true"], capture_output=True, text=True, timeout=WAIT_S, check=False)
    return f"no namespaces can be made here: {tried.stderr.strip()}" if tried.returncode else None


def _use(home: Path) -> TextIO | None:
    """Hold the lock of a user, and see to it that there is a server. None when another state of these files has it."""
    with (home / "start.lock").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        users = (home / "users.lock").open("w")
        fcntl.flock(users, fcntl.LOCK_SH)  # waits for a keeper that is ending
        if not _kept(home):
            _start(home)
        elif (home / "fingerprint").read_text() != _fingerprint():
            users.close()
            return None
        return users


def _kept(home: Path) -> bool:
    """Whether a keeper lives and has made its server ready; waits for one that is about to."""
    deadline = time.monotonic() + WAIT_S
    with (home / "keeper.lock").open("w") as keeper:
        while True:
            try:
                fcntl.flock(keeper, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                if (home / "ready").exists():
                    return True
            else:
                return False
            if time.monotonic() > deadline:
                raise RuntimeError("the keeper of the domain controller hangs")
            time.sleep(0.1)


def _start(home: Path) -> None:
    for name in ("ready", "second.ready", "second.wanted"):
        (home / name).unlink(missing_ok=True)
    (home / "fingerprint").write_text(_fingerprint())
    _certify(home)
    with (home / "log").open("w") as log:
        keeper = subprocess.Popen(
            ["unshare", *_APART, "/usr/bin/python3", str(_PARTS / "keeper.py"), str(home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + WAIT_S
    while not (home / "ready").exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the domain controller did not start: {(home / 'log').read_text()[-4000:]}")
        time.sleep(0.05)
    _keepers.append(keeper)


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted(_PARTS.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _certify(home: Path) -> None:
    """An authority and the server's certificate."""
    now = datetime.now(UTC)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme test authority")])

    def signed(subject: x509.Name, public: ec.EllipticCurvePublicKey, extension: x509.ExtensionType) -> bytes:
        made = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
        made = made.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return made.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    names = [x509.DNSName(cast.HOST), x509.DNSName(cast.SECOND_HOST), x509.DNSName(cast.DNS_DOMAIN), x509.DNSName("localhost")]
    addresses = [x509.IPAddress(ip_address(address)) for address in (cast.ADDRESS, cast.SECOND_ADDRESS, "127.0.0.1")]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cast.HOST)])
    (home / "ca.pem").write_bytes(signed(issuer, authority.public_key(), x509.BasicConstraints(ca=True, path_length=0)))
    (home / "server.pem").write_bytes(signed(subject, key.public_key(), x509.SubjectAlternativeName([*names, *addresses])))
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    (home / "server.key").touch(mode=0o600)
    (home / "server.key").write_bytes(pem)


def _record(dn: str, change: str, *lines: str) -> str:
    return "\n".join((_line("dn", dn), f"changetype: {change}", *lines, ""))


def _values(attributes: Mapping[str, str | Sequence[str] | bytes]) -> list[str]:
    lines = []
    for name, given in attributes.items():
        values = [given] if isinstance(given, str | bytes) else given
        lines += [_line(name, value) for value in values]
    return lines


def _line(name: str, value: str | bytes) -> str:
    raw = value if isinstance(value, bytes) else value.encode()
    return f"{name}:: {base64.b64encode(raw).decode()}"


def _attributes(told: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in told.splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith(("#", " ")):
            text = base64.b64decode(value[2:]).decode(errors="replace") if value.startswith(":") else value.strip()
            found.setdefault(name, []).append(text)
    return found
