"""A document with every kind of directory, none of which is there yet: it is accepted as it stands, and keeps nobody else out."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.harness import SECRET, Served, Wire, cli, cli_json, ended, make_installation, reason_of, serve, totp_code
from wardgate.cli.performing import Performer
from wardgate.clock import SystemClock
from wardgate.config.document import parse
from wardgate.errors import SettingsError
from wardgate.installation import Installation
from wardgate.radius.packet import Code

TOTP_HEX = "3132333435363738393031323334353637383930"
PASSWORD = "correct horse battery staple"
# As an operator would write it the first time, before any of the files is on the machine.
DOCUMENT = """\
realms:
  - {name: acme, default: true, directories: [acme-ad, acme-ldap, hr, staff]}
directories:
  - name: acme-ad
    kind: active_directory
    servers: ["ldaps://dc1.acme.test:636", "ldaps://127.0.0.11:636"]
    ca_file: /etc/wardgate/acme-ca.pem
    bind: {dn: "CN=svc-sspr,OU=Service,DC=acme,DC=test", password: {file: /run/secrets/ad}}
    base: "DC=acme,DC=test"
    attributes: {mail: mail, phone: mobile}
    timeouts: {connect_s: 3, operation_s: 5}
  - {name: acme-ldap, kind: openldap, servers: ["ldaps://127.0.0.20:636"], ca_file: /etc/wardgate/ldap-ca.pem, bind: {dn: "uid=svc-sspr,ou=service,dc=acme,dc=test", password: {file: /run/secrets/ldap}}, base: "dc=acme,dc=test"}
  - {name: hr, kind: sql, url: "postgresql://hr@127.0.0.1/hr", table: employee, columns: {id: id, username: login, password: pw_hash, mail: email, phone: gsm, disabled: is_disabled}}
  - {name: staff, kind: local}
"""  # noqa: E501
FILES = ("/run/secrets/ad", "/run/secrets/ldap", "/etc/wardgate/acme-ca.pem", "/etc/wardgate/ldap-ca.pem")
NAS = f"""\
nas: [{{name: hq, addresses: [127.0.0.1], secret: {{value: {SECRET}}}, application: vpn}}]
applications: [{{name: vpn}}]
"""
OTHER_REALM = DOCUMENT.replace("hr, staff]}\n", "hr]}\n  - {name: here, directories: [staff], reply_floor_ms: 0}\n", 1)

pytestmark = pytest.mark.skipif(any(Path(file).exists() for file in FILES), reason="this machine has files of these names")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server on the document, with one user of its own in another realm."""
    data = Path(tmp_path_factory.mktemp("document")) / "data"
    make_installation(data, OTHER_REALM + NAS)
    with Performer(data) as performer:
        performer.do("user.add", {"name": "ada", "password": PASSWORD, "directory": "staff"})
        performer.do("authenticator.add_totp", {"name": "ada", "secret_hex": TOTP_HEX, "directory": "staff"})
    with ended(serve(data)) as server:
        yield server
        server.stop()


@pytest.fixture
def performer(tmp_path: Path) -> Iterator[Performer]:
    """An installation without a server."""
    asyncio.run(Installation.create(tmp_path / "data", False, SystemClock()))
    with Performer(tmp_path / "data") as performer:
        yield performer


def apply(performer: Performer, document: str) -> dict[str, Any]:
    """What `wardgate config apply` is told."""
    return performer.do("config.apply", {"document": document})


def test_the_document_is_accepted_as_it_stands_with_a_warning_for_each_file(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "wardgate.yaml"
    file.write_text(DOCUMENT)
    cli("init", "--yes", data=data)
    said = cli("config", "apply", str(file), data=data)
    assert "Version 2 is in force." in said.stdout
    assert all(f"{name}: No such file" in said.stderr for name in FILES)
    assert said.stderr.count("warning: directories") == len(FILES)


def test_an_export_is_the_same_document_and_changes_nothing(performer: Performer) -> None:
    assert len(apply(performer, DOCUMENT)["warnings"]) == len(FILES)
    exported = performer.do("config.export", {})["yaml"]
    assert parse(exported) == parse(DOCUMENT)
    again = apply(performer, exported)
    assert (again["applied"], again["changed"]) == (False, [])
    assert performer.do("config.rollback", {"version": 1})["warnings"] == []
    assert len(performer.do("config.rollback", {"version": 2})["warnings"]) == len(FILES)


def test_another_secret_that_is_missing_is_refused_as_ever(performer: Performer) -> None:
    document = DOCUMENT + NAS.replace(f"{{value: {SECRET}}}", "{file: /run/secrets/nobody-has-this}")
    with pytest.raises(SettingsError, match="nobody-has-this") as refused:
        apply(performer, document)
    assert "/run/secrets/ad" not in refused.value.message


def test_directories_that_are_not_there_keep_nobody_elses_users_out(served: Served) -> None:
    with Wire(served) as wire:
        for _ in range(4):
            refused = wire.log_in("somebody", "a password")
            assert refused.code is Code.ACCESS_REJECT
            assert reason_of(served, refused) == "directory_down"
        challenge = wire.log_in("ada@here", PASSWORD)
        assert wire.answer("ada@here", totp_code(TOTP_HEX), challenge).code is Code.ACCESS_ACCEPT
    with served.web() as web:
        assert web.get("/readyz").status_code == 200
    listed = cli_json("directory", "list", data=served.data, expect=3)["directories"]
    assert {each["name"]: each["answers"] for each in listed} == {
        "acme-ad": False, "acme-ldap": False, "hr": False, "staff": True
    }  # fmt: skip
    assert all(each["problem"] for each in listed if not each["answers"])


def test_check_names_every_file_that_is_missing(served: Served) -> None:
    checked = cli_json("check", data=served.data, expect=1)
    errors = " ".join(each["what"] for each in checked["findings"] if each["level"] == "error")
    assert all(file in errors for file in FILES)


def test_the_password_of_a_service_account_is_sealed_stays_sealed_and_does_not_move(performer: Performer, tmp_path: Path) -> None:
    """Its seal is bound to its place: copied under another name it opens nothing, and the operator is told what to do."""
    clear = DOCUMENT.replace("{file: /run/secrets/ad}", "{value: a-service-password}")

    def password() -> dict[str, str]:
        directory = performer.do("config.export", {})["document"]["directories"][0]
        return dict(directory["bind"]["password"])

    apply(performer, clear)
    sealed = password()
    assert list(sealed) == ["sealed"]
    assert apply(performer, clear)["applied"] is False

    assert performer.do("key.rotate", {})["broken"] == 0
    assert password() != sealed
    assert list(password()) == ["sealed"]
    assert performer.do("config.diff", {"document": clear})["changed"] == []

    renamed = re.sub(r"\bacme-ad\b", "acme-dc", performer.do("config.export", {})["yaml"])
    with pytest.raises(SettingsError, match=r"bind\.password.*Write the secret again"):
        apply(performer, renamed)
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"a-service-password" in path.read_bytes()]


def test_a_changed_setting_of_a_directory_is_told_by_its_name(performer: Performer) -> None:
    apply(performer, DOCUMENT)
    told = performer.do("config.diff", {"document": DOCUMENT.replace("connect_s: 3", "connect_s: 2")})
    assert told["changed"] == ["directories acme-ad (timeouts)"]
    assert "connect_s" in told["unified"]
