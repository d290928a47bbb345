"""The real programs of other makers that tests talk to: how each is recognised, and what installs it on Debian.

A test says which it needs, `@pytest.mark.neighbour("radclient")`. Where one is missing the test is skipped with a reason;
where neighbours are required (`./test --install`, or CI=true) it fails. tests/conftest.py does that; here is the table
and what can be asked of it.
"""

import glob
import importlib.util
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

REQUIRE = "WARDGATE_REQUIRE_NEIGHBOURS"
# Daemons live in sbin directories, which a person's PATH often lacks.
DAEMON_PLACES = ("/usr/local/sbin", "/usr/sbin", "/sbin")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One real program.

    `programs`: each a choice of names, of which the first that is found counts. `files`: patterns, any match will do. `module`: a
    Python package that is built when the rest is there.
    """

    name: str
    purpose: str
    packages: tuple[str, ...]
    programs: tuple[tuple[str, ...], ...]
    files: tuple[str, ...] = ()
    module: str = ""


NEIGHBOURS = {
    neighbour.name: neighbour
    for neighbour in (
        Neighbour(
            name="radclient",
            purpose="FreeRADIUS' client sends requests of every mode",
            packages=("freeradius-utils",),
            programs=(("radclient",),),
        ),
        Neighbour(
            name="freeradius",
            purpose="FreeRADIUS stands in front as a proxy",
            packages=("freeradius",),
            programs=(("freeradius", "radiusd"),),
        ),
        Neighbour(
            name="pam_radius",
            purpose="a PAM stack logs in by a real challenge loop",
            packages=("libpam-radius-auth", "pamtester"),
            programs=(("pamtester",),),
            files=(
                "/*/security/pam_radius_auth.so",
                "/lib/*/security/pam_radius_auth.so",
                "/usr/lib/*/security/pam_radius_auth.so",
            ),
        ),
        Neighbour(
            name="oathtool",
            purpose="another maker computes the one-time codes",
            packages=("oathtool",),
            programs=(("oathtool",),),
        ),
        Neighbour(
            name="postgresql",
            purpose="the database that several nodes share",
            packages=("postgresql",),
            programs=(),
            files=("/usr/lib/postgresql/*/bin/postgres",),
        ),
        Neighbour(
            name="samba",
            purpose="a real Active Directory domain controller",
            packages=(
                "samba-ad-dc",
                "samba-ad-provision",
                "samba-dsdb-modules",
                "samba-vfs-modules",
                "winbind",
                "krb5-user",
                "ldap-utils",
            ),
            programs=(("samba",), ("samba-tool",), ("ldapsearch",), ("unshare",)),
            files=("/usr/share/samba/setup/provision.ldif",),
        ),
        Neighbour(
            name="slapd",
            purpose="a real OpenLDAP server",
            packages=("slapd", "slapd-contrib", "ldap-utils"),
            programs=(("slapd",), ("slapadd",), ("ldapsearch",), ("ldapmodify",)),
            files=("/usr/lib/ldap/ppolicy.so", "/usr/lib/ldap/ppolicy.la"),
        ),
        Neighbour(
            name="python-ldap",
            purpose="another maker's LDAP client says what an answer means",
            packages=("python3-ldap",),
            programs=(("python3",),),
            files=("/usr/lib/python3/dist-packages/ldap/__init__.py",),
        ),
        Neighbour(
            name="mariadb",
            purpose="users in a table of MariaDB",
            packages=("mariadb-server",),
            programs=(("mariadbd", "mysqld"), ("mariadb-install-db", "mysql_install_db")),
        ),
        Neighbour(
            name="age",
            purpose="another maker opens our backups",
            packages=("age",),
            programs=(("age",), ("age-keygen",)),
        ),
        Neighbour(
            name="xmlsec1",
            purpose="another maker checks our signatures and opens what we encrypt",
            packages=("xmlsec1",),
            programs=(("xmlsec1",),),
        ),
        Neighbour(
            name="lasso",
            purpose="the library under mod_auth_mellon plays a SAML application",
            packages=("python3-lasso",),
            programs=(("python3",),),
            files=("/usr/lib/python3/dist-packages/lasso.py",),
        ),
        Neighbour(
            name="mellon",
            purpose="another maker's application signs in and out by SAML",
            packages=("apache2-bin", "libapache2-mod-auth-mellon"),
            programs=(("apache2", "httpd"),),
            files=("/usr/lib/apache2/modules/mod_auth_mellon.so",),
        ),
        Neighbour(
            name="shibboleth",
            purpose="a third maker's application asks for all that SAML lets it ask for",
            packages=("apache2-bin", "libapache2-mod-shib"),
            programs=(("apache2", "httpd"), ("shibd",)),
            files=("/usr/lib/apache2/modules/mod_shib.so",),
        ),
        Neighbour(
            name="kerberos",
            purpose="browsers sign in by tickets of a domain; tools/kerberos builds the Python package",
            packages=("krb5-user", "libkrb5-dev", "gcc", "libc6-dev", "curl"),
            programs=(("kinit",), ("ktutil",), ("krb5-config",), ("cc", "gcc"), ("curl",)),
            module="gssapi",
        ),
        Neighbour(
            name="ip",
            purpose="network namespaces in which a cable can be cut",
            packages=("iproute2",),
            programs=(("ip",),),
        ),
        Neighbour(
            name="cc",
            purpose="machines with a clock that jumps or a slow disk are made of a small C library",
            packages=("gcc", "libc6-dev"),
            programs=(("cc", "gcc"),),
        ),
        Neighbour(
            name="chromium",
            purpose="a real browser opens the pages",
            packages=("chromium",),
            programs=(("chromium", "chromium-browser", "google-chrome"),),
        ),
    )
}


def executable(name: str) -> str:
    """Return the path of a neighbour's (first) program, for a test that has asked for it by its mark."""
    found = _first(NEIGHBOURS[name].programs[0])
    if found is None:
        raise LookupError(why_missing(NEIGHBOURS[name]))
    return found


def why_missing(neighbour: Neighbour) -> str | None:
    """Return why a neighbour cannot be used here and what would install it; None when it is complete."""
    absent = [" or ".join(choice) for choice in neighbour.programs if _first(choice) is None]
    if neighbour.files and not any(glob.glob(pattern) for pattern in neighbour.files):
        absent.append(os.path.basename(neighbour.files[0]))
    if neighbour.module and importlib.util.find_spec(neighbour.module) is None:
        absent.append(f"Python package {neighbour.module}")
    if not absent:
        return None
    return f"no {', no '.join(absent)} here ({neighbour.purpose}); on Debian: apt-get install {' '.join(neighbour.packages)}"


def missing_packages() -> list[str]:
    """Return the Debian packages of all neighbours that are missing or incomplete."""
    absent = [neighbour for neighbour in NEIGHBOURS.values() if why_missing(neighbour) is not None]
    return sorted({package for neighbour in absent for package in neighbour.packages})


def required(environment: Mapping[str, str]) -> bool:
    """Say whether a missing neighbour is a failure and no excuse: under `./test --install` and in CI."""
    return any(environment.get(name, "").lower() in {"1", "true"} for name in (REQUIRE, "CI"))


def _first(choice: tuple[str, ...]) -> str | None:
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *DAEMON_PLACES))
    return next((found for name in choice if (found := shutil.which(name, path=places))), None)
