"""Real OpenLDAP servers for tests: made in a temporary directory, on free loopback ports, stopped by their process id.

`shared()` is one server for all tests of a process, with ppolicy or without; a test that freezes or restarts a server, or counts
all its entries, makes its own with `server()`. Every server has an authority and a certificate of its own, the cast of `PEOPLE`
and `GROUPS`, and two service accounts: `SERVICE` with the least rights that resetting needs, `READER` that may only read. Tests
add users of their own with names of their own. A test run that is killed takes its servers and their data with it.

All passwords of the cast are `PASSWORD`. Changes are made as the root account, which no policy binds; what only the server itself
may write (pwdChangedTime, ...) passes with the relax control.
"""

import atexit
import base64
import functools
import hashlib
import ipaddress
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import argon2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.neighbours import executable
from tests.watchdog import watch

HOST = "127.0.0.1"
BASE = "dc=acme,dc=test"
PEOPLE_DN, GROUPS_DN, SERVICE_DN, POLICIES_DN = (f"ou={name},{BASE}" for name in ("people", "groups", "service", "policies"))
ROOT, ROOT_PASSWORD = f"cn=root,{BASE}", "root of all"
SERVICE, SERVICE_PASSWORD = f"uid=svc-sspr,{SERVICE_DN}", "service password"
READER, READER_PASSWORD = f"uid=svc-read,{SERVICE_DN}", "reader password"
PASSWORD = "Old-Passw0rd"
START_S = 60.0
DAY_S = 86_400

# What stands in olcAccess of cn=config after its number stands here after `access`.
ACCESS = (
    f'to attrs=userPassword by dn.exact="{SERVICE}" =xw by self =xw by anonymous auth by * none',
    f'to attrs=pwdReset,pwdAccountLockedTime by dn.exact="{SERVICE}" write by dn.children="{SERVICE_DN}" read by * none',
    "to attrs=pwdHistory by * none",
    f'to attrs=mobile by dn.exact="{SERVICE}" write by self write by dn.children="{SERVICE_DN}" read by * none',
    f'to dn.subtree="{BASE}" by dn.children="{SERVICE_DN}" read by self read by anonymous auth by * none',
)
LIMITS = f'dn.children="{SERVICE_DN}" size.soft=500 size.hard=500 size.pr=500 size.prtotal=unlimited'

_LOCKOUT = {"pwdLockout": "TRUE", "pwdMaxFailure": "5", "pwdLockoutDuration": "1800", "pwdFailureCountInterval": "1800"}
_COMMON = {"pwdMinLength": "8", "pwdCheckQuality": "2", "pwdAllowUserChange": "TRUE", **_LOCKOUT}
_AGES = {"pwdMaxAge": str(42 * DAY_S), "pwdExpireWarning": str(7 * DAY_S)}
# By the name of the policy: what it says beyond its name.
POLICIES: Mapping[str, Mapping[str, str]] = {
    "default": {**_COMMON, **_AGES, "pwdInHistory": "5", "pwdGraceAuthNLimit": "2", "pwdMustChange": "TRUE"},
    "no-grace": {**_COMMON, **_AGES, "pwdGraceAuthNLimit": "0"},
    "safe-modify": {**_COMMON, "pwdSafeModify": "TRUE"},
    "no-change": {**_COMMON, "pwdAllowUserChange": "FALSE"},
    "min-age": {**_COMMON, "pwdMinAge": str(DAY_S)},
    "plain": {"pwdMinLength": "0", "pwdAllowUserChange": "TRUE", **_LOCKOUT},
}

Values = str | bytes | Iterable[str | bytes]


def generalized(at: datetime) -> str:
    """A time as attributes hold it."""
    return at.astimezone(UTC).strftime("%Y%m%d%H%M%SZ")


def ago(seconds: float) -> str:
    """The time so many seconds ago, as attributes hold it."""
    return generalized(datetime.now(UTC) - timedelta(seconds=seconds))


def policy_dn(name: str) -> str:
    """The DN of one of `POLICIES`."""
    return f"cn={name},{POLICIES_DN}"


def user_dn(uid: str) -> str:
    """The DN of a user of the cast, or of one whom `add_user` added."""
    escaped = "".join(f"\\{char}" if char in '\\,+"<>;=' else char for char in uid)
    return f"uid={escaped},{PEOPLE_DN}"


def group_dn(name: str) -> str:
    """The DN of one of `GROUPS`."""
    return f"cn={name},{GROUPS_DN}"


def ssha(password: str | bytes) -> str:
    """The password as {SSHA}."""
    salt = secrets.token_bytes(8)
    given = password.encode() if isinstance(password, str) else password
    return "{SSHA}" + base64.b64encode(hashlib.sha1(given + salt, usedforsecurity=False).digest() + salt).decode()


def argon(password: str) -> str:
    """The password as {ARGON2}, at the cost that slappasswd takes by default."""
    return "{ARGON2}" + argon2.PasswordHasher(time_cost=3, memory_cost=4096, parallelism=1).hash(password)


def ldif(dn: str, attributes: Mapping[str, Values], lines: tuple[str, ...] = ()) -> str:
    """One record. All values in base64, so that nothing needs escaping."""
    found = [f"dn:: {base64.b64encode(dn.encode()).decode()}", *lines]
    for name, values in attributes.items():
        for value in [values] if isinstance(values, str | bytes) else values:
            given = value.encode() if isinstance(value, str) else value
            found.append(f"{name}:: {base64.b64encode(given).decode()}")
    return "\n".join(found) + "\n\n"


def person(uid: str, **attributes: Values) -> dict[str, Values]:
    """The attributes of a user, who is a posixAccount too. What is given replaces what would be made up."""
    number = str(10_000 + int.from_bytes(hashlib.blake2b(uid.encode(), digest_size=4).digest(), "big") % 1_000_000)
    return {
        "objectClass": ("inetOrgPerson", "posixAccount"),
        "uid": uid,
        "cn": uid,
        "sn": uid,
        "uidNumber": number,
        "gidNumber": "500",
        "homeDirectory": "/nonexistent",
        **attributes,
    }


def _people(with_ppolicy: bool) -> dict[str, dict[str, Values]]:
    """The cast: attributes by uid."""
    hashed = ssha(PASSWORD)
    people: dict[str, dict[str, Values]] = {
        "alice": person(
            "alice",
            userPassword=hashed,
            cn="Alice Liddell",
            displayName="Alice",
            mail=("alice@acme.test", "a.liddell@acme.test"),
            mobile="+90 532 123 45 67",
            telephoneNumber="+90 212 555 66 77",
            preferredLanguage="tr",
        ),
        "argon": person("argon", userPassword=argon(PASSWORD)),
        "ümit": person("ümit", userPassword=hashed, cn="Ümit Öztürk", mail="umit@acme.test"),
        "smith, (pat)*": person("smith, (pat)*", userPassword=hashed, cn="Smith (Contractor), Pat"),
        "shared-one": person("shared-one", userPassword=hashed, mail="both@acme.test"),
        "shared-two": person("shared-two", userPassword=hashed, mail="both@acme.test"),
    }
    if not with_ppolicy:
        return people
    changed = {"pwdChangedTime": ago(DAY_S)}
    for each in people.values():
        each.update(changed)
    for uid, extra in {
        "near": {"pwdChangedTime": ago(39 * DAY_S)},
        "grace": {"pwdChangedTime": ago(60 * DAY_S)},
        "expired": {"pwdChangedTime": ago(60 * DAY_S), "pwdPolicySubentry": policy_dn("no-grace")},
        "must": {"pwdReset": "TRUE"},
        "locked": {"pwdAccountLockedTime": ago(60)},
        "was-locked": {"pwdAccountLockedTime": ago(DAY_S)},
        "disabled": {"pwdAccountLockedTime": "000001010000Z"},
        "safe": {"pwdPolicySubentry": policy_dn("safe-modify")},
        "fixed": {"pwdPolicySubentry": policy_dn("no-change")},
        "young": {"pwdPolicySubentry": policy_dn("min-age"), "pwdChangedTime": ago(60)},
    }.items():
        people[uid] = person(uid, userPassword=hashed, **{**changed, **extra})
    return people


# By name: object class, and who is in it. The first three name each other in a circle.
GROUPS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "vpn-users": ("groupOfNames", (user_dn("alice"), user_dn("argon"), group_dn("everybody"))),
    "staff": ("groupOfNames", (group_dn("vpn-users"),)),
    "everybody": ("groupOfNames", (group_dn("staff"),)),
    "auditors": ("groupOfUniqueNames", (user_dn("alice"),)),
    "printers": ("posixGroup", ("alice", "argon")),
}


def _groups() -> Iterator[str]:
    attribute = {"groupOfNames": "member", "groupOfUniqueNames": "uniqueMember", "posixGroup": "memberUid"}
    for number, (name, (kind, members)) in enumerate(GROUPS.items()):
        extra: dict[str, Values] = {"gidNumber": str(600 + number)} if kind == "posixGroup" else {}
        yield ldif(group_dn(name), {"objectClass": kind, "cn": name, attribute[kind]: members, **extra})
    yield ldif(group_dn("posix-users"), {"objectClass": "posixGroup", "cn": "posix-users", "gidNumber": "500"})


def _member_of(dn: str) -> tuple[str, ...]:
    """What the memberof overlay would have written, had the groups been added while it ran."""
    return tuple(group_dn(name) for name, (kind, members) in GROUPS.items() if kind == "groupOfNames" and dn in members)


def _tree(with_ppolicy: bool, users: int) -> Iterator[str]:
    yield ldif(BASE, {"objectClass": ("dcObject", "organization"), "dc": "acme", "o": "Acme"})
    for dn in (PEOPLE_DN, GROUPS_DN, SERVICE_DN, POLICIES_DN):
        yield ldif(dn, {"objectClass": "organizationalUnit", "ou": dn.partition(",")[0].partition("=")[2]})
    for dn, password in ((SERVICE, SERVICE_PASSWORD), (READER, READER_PASSWORD)):
        account = {"objectClass": ("account", "simpleSecurityObject"), "uid": dn.partition(",")[0].partition("=")[2]}
        yield ldif(dn, {**account, "userPassword": ssha(password)})
    if with_ppolicy:
        for name, rules in POLICIES.items():
            yield ldif(
                policy_dn(name),
                {"objectClass": ("device", "pwdPolicy"), "cn": name, "pwdAttribute": "userPassword", **rules},
            )
    for uid, attributes in _people(with_ppolicy).items():
        member_of = _member_of(user_dn(uid))
        yield ldif(user_dn(uid), {**attributes, **({"memberOf": member_of} if member_of else {})})
    yield from _groups()
    hashed = ssha(PASSWORD)
    for number in range(users):
        uid = f"user{number:06}"
        yield ldif(user_dn(uid), person(uid, userPassword=hashed, mail=f"{uid}@acme.test"))


class Authority:
    """A certification authority of its own; its certificate is in the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        path.write_bytes(self._sign(self._name, self._key, True, ()).public_bytes(serialization.Encoding.PEM))

    def issue(self, names: Iterable[str] = ("localhost", HOST)) -> tuple[bytes, bytes]:
        """A server's certificate for these names and addresses, and its key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "slapd")])
        made = self._sign(subject, key, False, tuple(names))
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return made.public_bytes(serialization.Encoding.PEM), private

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, ca: bool, names: tuple[str, ...]) -> x509.Certificate:
        now = datetime.now(UTC)
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(own, critical=False)
            .add_extension(issuer, critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Server:
    """One server. `start` and `stop` may be called again; the data stays until `remove`.

    `users`: so many beside the cast, `user000000` and on. `tls`: without it there is no ldaps port and StartTLS is refused.
    `names`: what its certificate is for. `access`, `limits`: instead of `ACCESS` and `LIMITS`.
    """

    def __init__(
        self,
        with_ppolicy: bool = True,
        users: int = 0,
        tls: bool = True,
        names: Iterable[str] = ("localhost", HOST),
        access: Iterable[str] = ACCESS,
        limits: str = LIMITS,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="wardgate-slapd-"))
        self.with_ppolicy = with_ppolicy
        self.ldap_port, self.ldaps_port = _free_ports(2)
        self.authority = Authority(self.directory / "ca.pem")
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        (self.directory / "data").mkdir()
        for name, content in zip(("cert.pem", "key.pem"), self.authority.issue(names), strict=True):
            (self.directory / name).write_bytes(content)
        for name, password in (("root", ROOT_PASSWORD), ("service", SERVICE_PASSWORD), ("reader", READER_PASSWORD)):
            (self.directory / f"{name}.password").write_text(password)
            (self.directory / f"{name}.password").chmod(0o600)
        self._config.write_text(self._configuration(access, limits))
        try:
            self._load("".join(_tree(with_ppolicy, users)))
        except BaseException:
            self.remove()
            raise

    @property
    def _config(self) -> Path:
        return self.directory / "slapd.conf"

    def _configuration(self, access: Iterable[str], limits: str) -> str:
        here = self.directory
        lines = [
            *(f"include /etc/ldap/schema/{name}.schema" for name in ("core", "cosine", "inetorgperson", "nis")),
            f"pidfile {here}/slapd.pid",
            "modulepath /usr/lib/ldap",
            *(f"moduleload {name}" for name in ("back_mdb", "memberof", "argon2")),
            *(("moduleload ppolicy",) if self.with_ppolicy else ()),
            *((f"TLSCACertificateFile {here}/ca.pem",) if self._tls else ()),
            *((f"TLSCertificateFile {here}/cert.pem", f"TLSCertificateKeyFile {here}/key.pem") if self._tls else ()),
            "threads 4",
            "loglevel none",
            "database mdb",
            f'suffix "{BASE}"',
            f'rootdn "{ROOT}"',
            f"rootpw {ssha(ROOT_PASSWORD)}",
            f"directory {here}/data",
            "maxsize 1073741824",
            "dbnosync",
            "index objectClass,uid,mail,member,uniqueMember,memberUid,gidNumber,entryUUID,entryCSN eq",
            *(f"access {rule}" for rule in access if self.with_ppolicy or "pwd" not in rule),
            f"limits {limits}",
            "overlay memberof",
            *(("overlay ppolicy", f'ppolicy_default "{policy_dn("default")}"') if self.with_ppolicy else ()),
            *(("ppolicy_use_lockout", "ppolicy_hash_cleartext") if self.with_ppolicy else ()),
        ]
        return "\n".join(lines) + "\n"

    def _load(self, content: str) -> None:
        """Put entries in while the server is down: fast, and with whatever operational attributes they name."""
        program = shutil.which("slapadd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "slapadd"
        done = subprocess.run(
            [program, "-q", "-f", str(self._config)],
            input=content.encode(),
            capture_output=True,
            timeout=10 * START_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"slapadd: {done.stderr.decode()}")

    @property
    def ldaps(self) -> str:
        """Its URL with TLS from the beginning."""
        return f"ldaps://{HOST}:{self.ldaps_port}"

    @property
    def ldap(self) -> str:
        """Its URL in clear."""
        return f"ldap://{HOST}:{self.ldap_port}"

    @property
    def starttls(self) -> str:
        """Its URL with StartTLS, as a setting of Wardgate's names it."""
        return f"ldap+starttls://{HOST}:{self.ldap_port}"

    @property
    def ca_file(self) -> str:
        """The PEM file of its authority."""
        return str(self.authority.path)

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise RuntimeError("the server is not started")
        return self._process.pid

    def start(self) -> "Server":
        """Start, and wait until it answers."""
        urls = f"{self.ldap}/ {self.ldaps}/" if self._tls else f"{self.ldap}/"
        command = [executable("slapd"), "-f", str(self._config), "-h", urls, "-d", "none"]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._watch = watch(self._process.pid, self.directory)
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"slapd did not start: {(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.02)
        return self

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.ldap_port), 1):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        """End it in order; at once when it is frozen."""
        process, self._process = self._process, None
        watching, self._watch = self._watch, None
        if process is None:
            return
        if watching is not None:
            watching.kill()
            watching.communicate()
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(START_S)

    def restart(self) -> None:
        """Stop and start again, on the same ports."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """From now on it accepts connections (the kernel does) and says nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)  # until every thread of it stands still

    def thaw(self) -> None:
        """It goes on."""
        os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- what another maker's client sees and changes ----------------------------------------------------------------

    def run(self, program: str, *arguments: str, who: str = "root", given: str = "") -> subprocess.CompletedProcess[bytes]:
        """Run ldapsearch, ldapmodify, ... as `root`, `service` or `reader`."""
        dn = {"root": ROOT, "service": SERVICE, "reader": READER}[who]
        password = self.directory / f"{who}.password"
        command = [program, "-x", "-H", self.ldap, "-D", dn, "-y", str(password), *arguments]
        return subprocess.run(command, input=given.encode(), capture_output=True, timeout=START_S, check=False)

    def change(self, content: str) -> None:
        """Apply LDIF as root, whom no rule binds."""
        done = self.run("ldapmodify", "-e", "relax", given=content)
        if done.returncode:
            raise RuntimeError(f"ldapmodify: {done.stderr.decode()}")

    def add(self, dn: str, attributes: Mapping[str, Values]) -> str:
        """Add an entry; its DN."""
        self.change(ldif(dn, attributes, ("changetype: add",)))
        return dn

    def add_user(self, uid: str, password: str | bytes | None = PASSWORD, **attributes: Values) -> str:
        """Add a user to ou=people; the DN. `password`: as {SSHA}; None: none at all."""
        given: dict[str, Values] = {} if password is None else {"userPassword": ssha(password)}
        return self.add(user_dn(uid), person(uid, **{**given, **attributes}))

    def replace(self, dn: str, attribute: str, values: Values) -> None:
        """Replace all values of an attribute; no values remove it."""
        self.change(ldif(dn, {attribute: values}, ("changetype: modify", f"replace: {attribute}")))

    def rename(self, dn: str, rdn: str, superior: str = PEOPLE_DN) -> str:
        """Give an entry another name, or another place; the new DN."""
        self.change(ldif(dn, {"newrdn": rdn, "deleteoldrdn": "1", "newsuperior": superior}, ("changetype: modrdn",)))
        return f"{rdn},{superior}"

    def delete(self, dn: str) -> None:
        """Remove an entry."""
        self.change(ldif(dn, {}, ("changetype: delete",)))

    def read(self, dn: str, *attributes: str, who: str = "root") -> dict[str, list[str]]:
        """What an entry holds, by attribute names as the server writes them; operational ones by name or `+`. Nothing: no entry."""
        done = self.run("ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-s", "base", "-b", dn, "(objectClass=*)", *attributes, who=who)
        found: dict[str, list[str]] = {}
        for line in done.stdout.decode().splitlines():
            name, colon, value = line.partition(":")
            if colon and name != "dn":
                plain = base64.b64decode(value[1:]).decode() if value.startswith(":") else value.strip()
                found.setdefault(name, []).append(plain)
        return found

    def binds(self, dn: str, password: str) -> bool:
        """Whether another maker's client can log in so. It counts as any login does."""
        mine = self.directory / f"{secrets.token_hex(8)}.password"
        mine.write_text(password)
        command = ["ldapwhoami", "-x", "-H", self.ldap, "-D", dn, "-y", str(mine)]
        done = subprocess.run(command, capture_output=True, timeout=START_S, check=False)
        mine.unlink()
        return done.returncode == 0


@contextmanager
def server(
    with_ppolicy: bool = True,
    users: int = 0,
    tls: bool = True,
    names: Iterable[str] = ("localhost", HOST),
    access: Iterable[str] = ACCESS,
    limits: str = LIMITS,
) -> Iterator[Server]:
    """A server of one's own, as `Server` says."""
    made = Server(with_ppolicy, users, tls, names, access, limits)
    try:
        yield made.start()
    finally:
        made.remove()


@functools.cache
def shared(with_ppolicy: bool = True) -> Server:
    """The server of all tests of this process."""
    made = Server(with_ppolicy)
    atexit.register(made.remove)
    return made.start()
