"""Runs the one domain controller of a machine while somebody uses it. Started by tests/samba.py, by the system's Python.

It is the first process of a PID and a mount namespace of its own: whatever it started ends with it, however it ends, and nothing
that it writes is seen outside. Whoever uses the server holds a shared lock; once it can be had exclusively, nobody is left.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cast
import ldb
from samba.auth import system_session
from samba.dcerpc import security
from samba.ndr import ndr_pack, ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.sd_utils import SDUtils

START_S = 120.0
USER_CLASS = "bf967aba-0de6-11d0-a285-00aa003049e2"
RIGHTS = (
    f"(OA;CIIO;CR;00299570-246d-11d0-a768-00aa006e0529;{USER_CLASS};{{0}})",
    f"(OA;CIIO;RPWP;28630ebf-41d5-11d1-a9c1-0000f80367c1;{USER_CLASS};{{0}})",
    f"(OA;CIIO;RPWP;bf967a0a-0de6-11d0-a285-00aa003049e2;{USER_CLASS};{{0}})",
)
# Contacts of accounts that tests make may be written too: mobile and mail.
CONTACTS = (
    f"(OA;CIIO;RPWP;f0f8ffa3-1191-11d0-a060-00aa006c33ed;{USER_CLASS};{{0}})",
    f"(OA;CIIO;RPWP;bf967961-0de6-11d0-a285-00aa003049e2;{USER_CLASS};{{0}})",
)
# name, precedence, length, complexity, history, min age, max age, threshold, lock and window; ages in 100 ns.
DAY, MINUTE = 864_000_000_000, 600_000_000
PSOS = (
    (cast.FINE_PSO, 10, 14, "TRUE", 10, 0, 30 * DAY, 3, 10 * MINUTE, "fine"),
    (cast.YOUNG_PSO, 20, 8, "TRUE", 3, 2 * DAY, 30 * DAY, 0, 10 * MINUTE, "young"),
    (cast.LAX_PSO, 5, 0, "FALSE", 0, 0, 0, 0, 10 * MINUTE, None),
)


def main(home: Path) -> None:
    """Make a domain, serve it, and end once nobody uses it."""
    with (home / "keeper.lock").open("w") as mine, (home / "users.lock").open("w") as users:
        fcntl.flock(mine, fcntl.LOCK_EX)
        started = time.monotonic()
        state = private_places(home)
        environment = dict(os.environ, KRB5_CONFIG=str(state / "etc/krb5.conf"))
        provision(state, environment)
        provisioned = time.monotonic()
        populate(state)
        populated = time.monotonic()
        servers = [start(state / "etc/smb.conf", cast.ADDRESS, (389, 636, 445), environment)]
        took = {"provision_s": provisioned - started, "populate_s": populated - provisioned}
        took["start_s"] = time.monotonic() - populated
        tell(home / "ready", json.dumps(took))
        while servers[0].poll() is None and not unused(users):
            if len(servers) == 1 and (home / "second.wanted").exists():
                join(state, environment)
                servers.append(start(state / "second/etc/smb.conf", cast.SECOND_ADDRESS, (389, 636), environment))
                tell(home / "second.ready", "")
            reap({server.pid for server in servers})
            time.sleep(0.2)
        for name in ("ready", "second.ready", "second.wanted"):
            (home / name).unlink(missing_ok=True)


def tell(path: Path, text: str) -> None:
    """A file that is there with its whole content, or not."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def start(settings: Path, address: str, ports: tuple[int, ...], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A server that answers."""
    command = ["/usr/sbin/samba", "-F", "--no-process-group", "-s", str(settings)]
    server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + START_S
    for port in ports:
        while not answers(address, port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the domain controller at {address} did not start")
            time.sleep(0.05)
    return server


def join(state: Path, environment: dict[str, str]) -> None:
    """A second domain controller with a copy of everything as it is now. It hears of nothing later: it is one that lags behind."""
    place = state / "second"
    given = ["-U", f"administrator%{cast.ADMINISTRATOR_PASSWORD}", f"--server={cast.HOST}", f"--realm={cast.REALM}"]
    given += ["--dns-backend=NONE", f"--targetdir={place}", "--option=netbios name=DC2"]
    given += [f"--option={name}={value}" for name, value in options(state, cast.SECOND_ADDRESS, place / "log").items()]
    subprocess.run(["/usr/bin/samba-tool", "domain", "join", cast.DNS_DOMAIN, "DC", *given], check=True, env=environment)


def private_places(home: Path) -> Path:
    """Directories that only this process and its children see as they are."""
    state = home / "state"
    hosts = home / "hosts"
    names = {cast.ADDRESS: f"{cast.HOST} dc1 {cast.DNS_DOMAIN}", cast.SECOND_ADDRESS: f"{cast.SECOND_HOST} dc2"}
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {named}\n" for address, named in names.items()))
    for place in (state, Path("/run/samba"), Path("/var/log/samba"), Path("/var/lib/samba"), Path("/var/cache/samba")):
        place.mkdir(parents=True, exist_ok=True)
        mount("-t", "tmpfs", "-o", "mode=0755", "none", str(place))
    mount("--bind", str(hosts), "/etc/hosts")
    (state / "etc").mkdir()
    return state


def mount(*arguments: str) -> None:
    """Mount in our own namespace."""
    subprocess.run(["/bin/mount", *arguments], check=True)


def provision(state: Path, environment: dict[str, str]) -> None:
    """Make an empty domain."""
    (state / "etc/krb5.conf").write_text(
        f"[libdefaults]\n default_realm = {cast.REALM}\n dns_lookup_kdc = false\n rdns = false\n"
        f"[realms]\n {cast.REALM} = {{\n  kdc = {cast.ADDRESS}\n  admin_server = {cast.ADDRESS}\n }}\n"
    )
    given = [f"--option={name}={value}" for name, value in options(state, cast.ADDRESS, state / "log").items()]
    given += ["--realm", cast.REALM, "--domain", cast.NETBIOS, "--host-name", "dc1", "--host-ip", cast.ADDRESS, "--server-role=dc"]
    given += ["--dns-backend=NONE", f"--adminpass={cast.ADMINISTRATOR_PASSWORD}", f"--targetdir={state}"]
    subprocess.run(["/usr/bin/samba-tool", "domain", "provision", "--quiet", *given], check=True, env=environment)


def options(state: Path, address: str, log: Path) -> dict[str, str]:
    """What differs from a usual installation."""
    return {
        "interfaces": f"{address}/8",
        "bind interfaces only": "yes",
        "vfs objects": "dfs_samba4 acl_xattr xattr_tdb",
        "server services": "s3fs, rpc, ldap, cldap, kdc, drepl, winbindd" if address == cast.ADDRESS else "rpc, ldap, cldap, kdc",
        "log file": str(log),
        # Two servers on one machine must not take each other for themselves.
        "pid directory": str(log.parent),
        "ncalrpc dir": str(log.parent / "ncalrpc"),
        "tls enabled": "yes",
        "tls certfile": str(state.parent / "server.pem"),
        "tls keyfile": str(state.parent / "server.key"),
        "tls cafile": str(state.parent / "ca.pem"),
        "ntlm auth": "mschapv2-and-ntlmv2-only",
        "prefork children": "1",
        "disable spoolss": "yes",
    }


def populate(state: Path) -> None:
    """Put everybody in."""
    parameters = LoadParm()
    parameters.load(str(state / "etc/smb.conf"))
    directory = SamDB(url=str(state / "private/sam.ldb"), session_info=system_session(), lp=parameters)
    directory.transaction_start()
    set_rules(directory)
    for ou in ("OU=Service," + cast.BASE, cast.STAFF, cast.ISTANBUL, cast.SCRATCH, cast.GUARDED, cast.GROUPS):
        directory.add({"dn": ou, "objectClass": "organizationalUnit"})
    for dn in (cast.SERVICE_DN, cast.READER_DN):
        add_account(directory, cast.Person(dn.split(",")[0][3:], ou="OU=Service," + cast.BASE), cast.SERVICE_PASSWORD)
    for person in cast.PEOPLE:
        add_account(directory, person, cast.PASSWORD)
    for group in cast.MEMBERS.values():
        given = {
            "dn": cast.member_dn(group.name),
            "objectClass": "group",
            "sAMAccountName": group.name,
            "groupType": str(group.kind),
        }
        directory.add(given)
    for group in cast.MEMBERS.values():
        members = [cast.member_dn(name) for name in group.members]
        modify(directory, cast.member_dn(group.name), {"member": members}, ldb.FLAG_MOD_ADD)
    for dn, precedence, length, complexity, history, least, most, threshold, window, member in PSOS:
        add_pso(directory, dn, precedence, length, complexity, history, least, most, threshold, window, member)
    grant(directory)
    directory.transaction_commit()
    write_past(state, parameters)


def set_rules(directory: SamDB) -> None:
    """The domain's own rules."""
    ticks = cast.LOCKOUT_MINUTES * MINUTE
    modify(
        directory,
        cast.BASE,
        {
            "minPwdLength": [str(cast.MIN_LENGTH)],
            "pwdHistoryLength": [str(cast.HISTORY)],
            "minPwdAge": ["0"],
            "maxPwdAge": [str(-cast.MAX_AGE_DAYS * DAY)],
            "lockoutThreshold": [str(cast.LOCKOUT_THRESHOLD)],
            "lockoutDuration": [str(-ticks)],
            "lockOutObservationWindow": [str(-ticks)],
        },
        ldb.FLAG_MOD_REPLACE,
    )


def add_account(directory: SamDB, person: cast.Person, password: str) -> None:
    """One account, with its password."""
    given = {
        "dn": person.dn,
        "objectClass": "user",
        "sAMAccountName": person.sam,
        "userPrincipalName": f"{person.sam}@{cast.DNS_DOMAIN}",
        "userAccountControl": str(person.control),
        "unicodePwd": f'"{password}"'.encode("utf-16-le"),
    }
    later = {name: values for name, values in person.attributes.items() if name in ("pwdLastSet", "adminCount")}
    directory.add({**given, **{name: values for name, values in person.attributes.items() if name not in later}})
    if later:
        modify(directory, person.dn, later, ldb.FLAG_MOD_REPLACE)


def add_pso(
    directory: SamDB,
    dn: str,
    precedence: int,
    length: int,
    complexity: str,
    history: int,
    least: int,
    most: int,
    threshold: int,
    window: int,
    member: str | None,
) -> None:
    """One fine-grained policy. `most` 0: passwords never expire."""
    given = {
        "dn": dn,
        "objectClass": "msDS-PasswordSettings",
        "msDS-PasswordSettingsPrecedence": str(precedence),
        "msDS-PasswordReversibleEncryptionEnabled": "FALSE",
        "msDS-PasswordHistoryLength": str(history),
        "msDS-PasswordComplexityEnabled": complexity,
        "msDS-MinimumPasswordLength": str(length),
        "msDS-MinimumPasswordAge": str(-least),
        "msDS-MaximumPasswordAge": str(-most if most else -(2**63)),
        "msDS-LockoutThreshold": str(threshold),
        "msDS-LockoutObservationWindow": str(-window),
        "msDS-LockoutDuration": str(-window),
    }
    if member is not None:
        given["msDS-PSOAppliesTo"] = cast.member_dn(member)
    directory.add(given)


def grant(directory: SamDB) -> None:
    """The three rights on one OU, the right to read policies, and an account that inherits nothing."""
    found = directory.search(base=cast.SERVICE_DN, scope=ldb.SCOPE_BASE, attrs=["objectSid"])
    sid = str(ndr_unpack(security.dom_sid, found[0]["objectSid"][0]))
    rights = SDUtils(directory)
    for ace in RIGHTS:
        rights.dacl_add_ace(cast.STAFF, ace.format(sid))
    for ace in CONTACTS:
        rights.dacl_add_ace(cast.SCRATCH, ace.format(sid))
    rights.dacl_add_ace(cast.PSO_CONTAINER, f"(A;CI;RPLCLORC;;;{sid})")
    domain = security.dom_sid(directory.get_domain_sid())
    alone = "O:DAG:DAD:PAI(A;;RPWPCRCCDCLCLORCWOWDSDSW;;;DA)(A;;RPLCLORC;;;AU)(OA;;CR;ab721a53-1e2f-11d0-9819-00aa0040529b;;WD)"
    descriptor = ndr_pack(security.descriptor.from_sddl(alone, domain))
    modify(directory, cast.person("chief").dn, {"nTSecurityDescriptor": [descriptor]}, ldb.FLAG_MOD_REPLACE)


def modify(directory: ldb.Ldb, dn: str, changes: dict[str, list[object]], flag: int) -> None:
    """Change one entry."""
    message = ldb.Message(ldb.Dn(directory, dn))
    for name, values in changes.items():
        message[name] = ldb.MessageElement(values, flag, name)
    directory.modify(message)


def write_past(state: Path, parameters: LoadParm) -> None:
    """What the server refuses to be told: when a password was set, and that an account is locked."""
    now = str(int((time.time() + 11_644_473_600) * 10_000_000))
    path = state / "private/sam.ldb.d" / f"{cast.BASE.upper()}.ldb"
    partition = ldb.Ldb(str(path), options=["disable_full_db_scan_for_self_test:0"])
    for person in cast.PEOPLE:
        if person.raw:
            changes = {name: [now if value == "now" else value] for name, value in person.raw.items()}
            modify(partition, person.dn, changes, ldb.FLAG_MOD_REPLACE)


def answers(address: str, port: int) -> bool:
    """Whether somebody listens."""
    try:
        with socket.create_connection((address, port), 5):
            return True
    except OSError:
        return False


def unused(users: object) -> bool:
    """Whether no process holds its shared lock any more; then we hold ours, and newcomers wait until we are gone."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def reap(ours: set[int]) -> None:
    """Bury what lost its parent: here we are process 1."""
    while True:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None or found.si_pid in ours:
            return
        os.waitpid(found.si_pid, 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main(Path(sys.argv[1]))
