"""What can be said of the adapter without a domain: its configuration, its limits, and what it says without its library."""

import importlib.util
import re
from pathlib import Path

import pytest

from wardgate.admin.directory_files import without_library
from wardgate.config.document import parse
from wardgate.errors import KerberosUnavailable
from wardgate.kerberos import acceptor
from wardgate.kerberos.acceptor import Acceptor
from wardgate.kerberos.port import MAX_TICKET_BYTES, SKEW_S, NotTaken, Service, Why
from wardgate.web.connection import MAX_HEAD_BYTES

SERVICE = Service("HTTP/login.acme.test@ACME.TEST", "/nonexistent/keytab")
DOCUMENT = """
realms: [{name: acme, default: true, directories: [acme-ad]}]
networks: [{name: office, cidr: [10.0.0.0/8]}]
directories:
  - name: acme-ad
    kind: active_directory
    servers: ["ldaps://dc1.acme.test:636"]
    bind: {dn: "CN=svc,DC=acme,DC=test", password: {env: AD_PASSWORD}}
    base: "DC=acme,DC=test"
    kerberos: {keytab: {file: /etc/wardgate/http.keytab}, principal: HTTP/login.acme.test, networks: [office]}
"""


def test_tickets_are_remembered_for_as_long_as_the_library_takes_them() -> None:
    written = Path(acceptor.__file__).with_name("krb5.conf").read_text()
    assert re.findall(r"clockskew = (\d+)", written) == [str(SKEW_S)]


def test_old_ciphers_are_not_permitted() -> None:
    written = Path(acceptor.__file__).with_name("krb5.conf").read_text()
    assert all(each.startswith("aes") for each in re.findall(r"permitted_enctypes = (.*)", written)[0].split())


def test_largest_ticket_and_some_cookies_fit_into_the_head() -> None:
    assert MAX_TICKET_BYTES * 4 // 3 + 14 * 1024 < MAX_HEAD_BYTES


async def test_ntlm_and_what_is_too_long_are_refused_unseen() -> None:
    """Before the library is loaded, which need not be there."""
    checks = Acceptor()
    assert await checks.check(SERVICE, b"NTLMSSP\0" + bytes(20), b"") == NotTaken(Why.NTLM)
    assert await checks.check(SERVICE, b"", b"") == NotTaken(Why.MALFORMED)
    assert await checks.check(SERVICE, bytes(MAX_TICKET_BYTES + 1), b"") == NotTaken(Why.MALFORMED)


async def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    acceptor._library.cache_clear()
    with pytest.raises(KerberosUnavailable, match="libkrb5-dev"):
        await Acceptor().check(SERVICE, b"x", b"")
    [told] = without_library(parse(DOCUMENT))
    assert told.startswith("directories.acme-ad.kerberos: Kerberos needs the Python package gssapi")
    assert "tools/kerberos" in told


def test_who_asks_for_no_tickets_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert without_library(parse(DOCUMENT.partition("    kerberos")[0])) == []
