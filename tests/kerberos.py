"""Computers of people in the domain of the tests: they get real tickets, and open pages with them.

Each has a Kerberos configuration and a place for its tickets of its own; nothing of the machine's is read or changed.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests import samba
from tests.samba_dc import cast

SERVICE_KEY = "Serv1ce-key-of-1816"
WAIT_S = 60.0
ENCRYPTION = "aes256-cts-hmac-sha1-96"
_AES = "24"
_CONFIGURATION = f"""[libdefaults]
 default_realm = {cast.REALM}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 {cast.REALM} = {{
  kdc = {cast.ADDRESS}
 }}
[domain_realm]
 localhost = {cast.REALM}
 .acme.test = {cast.REALM}
"""


@dataclass
class Computer:
    """A computer in the domain. `folder`: where its tickets are."""

    folder: Path
    variables: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "krb5.conf"
        configuration.write_text(_CONFIGURATION)
        self.variables = {**os.environ, "KRB5_CONFIG": str(configuration), "KRB5CCNAME": f"FILE:{self.folder / 'tickets'}"}

    def sign_in(self, name: str, password: str = cast.PASSWORD, *options: str) -> "Computer":
        """Somebody signs in to the computer, and has a ticket for tickets."""
        self._run(["kinit", *options, name], password + "\n")
        return self

    def token(self, host: str, bindings: bytes = b"") -> bytes:
        """What a browser here would send to this host: a fresh message each time. `bindings`: of its TLS, if it tells."""
        asked = "import sys,gssapi as g;"
        asked += "n=g.Name('HTTP@'+sys.argv[1],g.NameType.hostbased_service);"
        asked += "m=g.OID.from_int_seq('1.3.6.1.5.5.2');"
        asked += "d=bytes.fromhex(sys.argv[2]);b=g.raw.ChannelBindings(application_data=d) if d else None;"
        asked += "c=g.SecurityContext(name=n,usage='initiate',mech=m,channel_bindings=b);sys.stdout.write(c.step().hex())"
        return bytes.fromhex(self._run([sys.executable, "-c", asked, host, bindings.hex()]))

    def curl(self, url: str, *options: str) -> str:
        """What curl says of a page that it opens with the ticket."""
        return self._run(["curl", "--silent", "--show-error", "--insecure", "--negotiate", "--user", ":", *options, url])

    def _run(self, command: Sequence[str], given: str = "") -> str:
        done = subprocess.run(command, input=given, env=self.variables, capture_output=True, text=True, timeout=WAIT_S, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")
        return done.stdout


def keytab(folder: Path, host: str) -> Path:
    """A keytab for the pages at this host, of a service account that is made for it: `ktpass` does the same."""
    domain, account = samba.shared(), samba.name("http")
    principal = f"HTTP/{host}"
    dn = domain.add_user(
        account, SERVICE_KEY, servicePrincipalName=principal, control=66048, **{"msDS-SupportedEncryptionTypes": _AES}
    )
    number = domain.read(dn, "msDS-KeyVersionNumber")["msDS-KeyVersionNumber"][0]
    file = folder / f"{account}.keytab"
    entry = f"addent -password -p {principal}@{cast.REALM} -k {number} -e {ENCRYPTION} -s {cast.REALM}{account}"
    Computer(folder / account)._run(["ktutil"], f"{entry}\n{SERVICE_KEY}\nwkt {file}\nquit\n")
    return file
