"""Signing in by a Kerberos ticket of a real domain: Samba's KDC, MIT's client library, curl, and our server with several workers.

What is attacked here is what only real tickets can show; what a policy makes of one is in the flow tests.
"""

import base64
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests import kerberos, samba
from tests.functional.harness import cli, ended, make_installation, serve, totp_code, wait_for
from tests.functional.ticket_place import WHERE, Place, document, signed_in
from tests.kerberos import Computer
from tests.samba_dc import cast
from wardgate.certificates import endpoint_binding

pytestmark = [pytest.mark.neighbour("samba"), pytest.mark.neighbour("kerberos")]

TOTP_HEX = "3132333435363738393031323334353637383930"


def test_ticket_signs_in_and_the_server_proves_itself(place: Place) -> None:
    name = place.person()
    reply = place.send(place.computer(name).token(place.host))
    assert signed_in(reply), reply.text
    assert reply.headers["www-authenticate"].startswith("Negotiate ")
    [granted] = place.granted(name)
    assert granted["factors"] == ["kerberos"]
    assert granted["assurance"] == 1


def test_browser_without_a_ticket_sees_the_form(place: Place) -> None:
    reply = place.send(None)
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Negotiate"
    assert 'name="password"' in reply.text


def test_curl_signs_in_by_itself(place: Place) -> None:
    name, port = place.person(), urlsplit(place.served.url).port
    computer = place.computer(name)
    where = (
        "--resolve",
        f"{place.host}:{port}:127.0.0.1",
        "--cookie",
        "",
        "--location",
        "--write-out",
        "\n%{http_code} %{url_effective}",
    )
    told = computer.curl(f"https://{place.host}:{port}{WHERE}", *where)
    assert told.endswith(f"200 https://{place.host}:{port}/account"), told[-2000:]
    assert name in told


def test_ticket_that_was_used_is_refused_on_every_worker(place: Place) -> None:
    token = place.computer(place.person()).token(place.host)
    assert signed_in(place.send(token))
    replies = [place.send(token) for _ in range(8)]
    assert [reply.status_code for reply in replies] == [403] * 8
    assert not any("__Host-wg_session" in reply.headers.get("set-cookie", "") for reply in replies)


def test_second_factor_of_the_plan_is_asked_for_beside_the_ticket(place: Place) -> None:
    name = place.person("careful")
    cli("directory", "test", "acme-ad", name, data=place.served.data, expect=None)
    refused = place.send(place.computer(name).token(place.host))
    assert not signed_in(refused)
    cli("authenticator", "add", name, "totp", "--secret-hex", TOTP_HEX, data=place.served.data)
    token = base64.b64encode(place.computer(name).token(place.host)).decode()
    with place.served.web() as web:
        asked = web.get(WHERE, headers={"authorization": f"Negotiate {token}"}, follow_redirects=True)
        assert asked.status_code == 200, asked.text
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', asked.text.split("<form ")[1]))
        fields = {**hidden, "code": totp_code(TOTP_HEX), "act": "answer"}
        done = web.post(urlsplit(str(asked.url)).path, data=fields, headers={"sec-fetch-site": "same-origin"})
        assert signed_in(done), done.text


def test_plan_that_wants_the_password_typed_takes_no_ticket(place: Place) -> None:
    assert not signed_in(place.send(place.computer(place.person("typed")).token(place.host)))


@pytest.mark.parametrize("change", [{"userAccountControl": "514"}, {"accountExpires": "116444736010000000"}, {"pwdLastSet": "0"}])
def test_account_that_was_closed_after_the_ticket_was_given_stays_out(place: Place, change: dict[str, str]) -> None:
    name = place.person()
    computer = place.computer(name)
    computer.token(place.host)
    samba.shared().set(cast.Person(name, name, cast.SCRATCH).dn, **change)
    assert place.send(computer.token(place.host)).status_code == 403


def test_ticket_of_a_password_that_was_changed_since_is_refused(place: Place) -> None:
    name = place.person()
    computer = place.computer(name)
    assert signed_in(place.send(computer.token(place.host)))
    wait_for_next_second()
    samba.shared().set(cast.Person(name, name, cast.SCRATCH).dn, unicodePwd=samba.unicode_pwd("An0ther-of-1817"))
    assert place.send(computer.token(place.host)).status_code == 403
    assert signed_in(place.send(Computer(computer.folder).sign_in(name, "An0ther-of-1817").token(place.host)))


def wait_for_next_second() -> None:
    """A ticket tells whole seconds."""
    began = int(time.time())
    wait_for(lambda: int(time.time()) > began)


def test_ticket_for_another_service_is_refused(place: Place) -> None:
    host = f"{samba.name('other')}.acme.test"
    kerberos.keytab(place.home, host)
    assert place.send(place.computer(place.person()).token(host)).status_code == 403


def test_new_person_with_an_old_name_inherits_no_ticket(place: Place) -> None:
    """The ticket bears the name of the day it was given; whose it is, its SID says."""
    name, later = place.person(), samba.name("later")
    computer = place.computer(name)
    computer.token(place.host)
    domain, dn = samba.shared(), cast.Person(name, name, cast.SCRATCH).dn
    domain.set(dn, sAMAccountName=later, userPrincipalName=f"{later}@{cast.DNS_DOMAIN}")
    domain.add_user(name, cn=f"{name} the second")
    assert signed_in(place.send(computer.token(place.host)))
    assert place.granted(later)
    assert not place.granted(name)


@pytest.mark.parametrize(
    "shown",
    [
        b"NTLMSSP\0\1\0\0\0\x07\x82\x08\xa2" + bytes(24),
        bytes.fromhex("604806062b0601050502a03e303ca00e300c060a2b06010401823702020aa22a0428")
        + b"NTLMSSP\0\1\0\0\0\x07\x82\x08\xa2"
        + bytes(24),
        b"",
        b"\x60\x84\xff\xff\xff\xff",
        b"\x60" + bytes(4000),
    ],
)
def test_what_is_no_ticket_gets_the_form(place: Place, shown: bytes) -> None:
    reply = place.send(shown)
    assert reply.status_code == 403
    assert 'name="password"' in reply.text


def test_damaged_tickets_are_refused_and_the_server_lives(place: Place) -> None:
    good = place.computer(place.person()).token(place.host)
    for at in range(0, len(good), 37):
        damaged = good[:at] + bytes((good[at] ^ 0x41,)) + good[at + 1 :]
        reply = place.send(damaged)
        # Around the sealed parts an octet may mean nothing; what is signed in is then the person whose ticket it is.
        assert reply.status_code in (303, 403), (at, reply.status_code)
        assert place.send(good[:at]).status_code == 403
    assert place.send(None).status_code == 401


def test_text_that_is_no_base64_is_no_ticket(place: Place) -> None:
    assert place.send("%%%").status_code == 403


def test_ticket_that_was_wrapped_anew_is_still_the_one_that_was_used(place: Place) -> None:
    """What is around the sealed part of a ticket is anybody's to rewrite."""
    token = place.computer(place.person()).token(place.host)
    assert signed_in(place.send(token))
    kerberos_oid, ms_oid = bytes.fromhex("06092a864886f712010202"), bytes.fromhex("06092a864882f712010202")
    wrapped = token.replace(kerberos_oid, ms_oid, 1)
    assert wrapped != token
    assert place.send(wrapped).status_code == 403


def test_header_that_does_not_end_is_cut_off(place: Place) -> None:
    with place.served.web() as web:
        try:
            reply = web.get(WHERE, headers={"authorization": "Negotiate " + "A" * 200_000})
        except httpx.TransportError:
            return
        assert reply.status_code == 431


def test_ticket_that_somebody_in_between_passes_on_is_refused(place: Place) -> None:
    """It names the certificate that the browser saw (RFC 5929), which is not ours."""
    computer = place.computer(place.person())
    ours = endpoint_binding(place.served.ca_file)
    assert place.send(computer.token(place.host, ours[:-1] + bytes((ours[-1] ^ 1,)))).status_code == 403
    assert signed_in(place.send(computer.token(place.host, ours)))


def test_large_ticket_is_read_to_its_limit(place: Place) -> None:
    assert place.send(b"\x60" + bytes(48 * 1024 - 1)).status_code == 403


def test_somebody_who_is_signed_in_is_not_signed_in_as_another(place: Place) -> None:
    one, other = place.person(), place.person()
    with place.served.web() as web:
        token = base64.b64encode(place.computer(one).token(place.host)).decode()
        assert signed_in(web.get(WHERE, headers={"authorization": f"Negotiate {token}"}))
        token = base64.b64encode(place.computer(other).token(place.host)).decode()
        reply = web.get(WHERE, headers={"authorization": f"Negotiate {token}"})
        assert reply.status_code == 303
        assert "set-cookie" not in reply.headers
        assert one in web.get("/account").text


def test_picture_on_another_site_uses_up_no_ticket(place: Place) -> None:
    token = place.computer(place.person()).token(place.host)
    reply = place.send(token, **{"sec-fetch-dest": "image"})
    assert reply.status_code == 303
    assert "www-authenticate" not in reply.headers
    assert signed_in(place.send(token))


def test_browser_of_another_network_is_asked_for_no_ticket(place: Place, tmp_path: Path) -> None:
    names = {each: dn.split(",")[0][3:] for each, dn in place.groups.items()}
    make_installation(tmp_path / "data", document(place.keytab, place.host, names, "elsewhere"))
    with ended(serve(tmp_path / "data")) as served:
        away = Place(served, place.host, place.keytab, place.groups, tmp_path)
        asked, brought = away.send(None), away.send(place.computer(place.person()).token(place.host))
        for reply in (asked, brought):
            assert reply.status_code == 303
            assert reply.headers["location"].startswith("/sign-in?then=")
            assert "www-authenticate" not in reply.headers
        with served.web() as web:
            assert WHERE not in web.get("/sign-in").text
        served.stop()
