"""Every command, alone and beside a server; every `--json` output against its published schema."""

import asyncio
import json
from pathlib import Path

import pytest

from wardgate.audit.timeline import entry
from wardgate.crypto import Secret
from wardgate.factors.totp import hotp
from wardgate.installation import Installation

from .conftest import Cli
from .schemas import validate

PASSWORD = "a lantern over the lake"
SECRET = "s3cret-of-the-firewall"


def test_a_user_is_added_shown_changed_and_removed(cli: Cli) -> None:
    added = cli(
        "user", "add", "Ada", "--password-stdin", "--mail", "ada@acme.test", "--phone", "+90 532 123 45 67",
        "--group", "vpn", "--group", "staff", "--display-name", "Ada L.", "--language", "tr", "--json", stdin=PASSWORD + "\n",
    )  # fmt: skip
    user = added.json("user-add")
    assert (user["name"], user["phone"], user["groups"]) == ("Ada", "+905321234567", ["vpn", "staff"])
    assert user["password_hash"] == "argon2id"
    assert cli("user", "show", "ada", "--json").json("user-show")["authenticators"] == []
    changed = cli("user", "change", "ada", "--mail", "", "--group", "ops", "--json").json("user-change")
    assert (changed["mail"], changed["groups"], changed["phone"]) == (None, ["ops"], "+905321234567")
    assert cli("user", "change", "ada", "--no-groups", "--json").json()["groups"] == []
    assert cli("user", "disable", "ada", "--json").json("user-disable")["state"] == "disabled"
    assert cli("user", "enable", "ada", "--json").json("user-enable")["state"] == "active"
    assert cli("user", "lock", "ada", "--json").json("user-lock")["state"] == "locked"
    unlocked = cli("user", "unlock", "ada", "--json").json("user-unlock")
    assert (unlocked["was_locked"], unlocked["state"]) == (True, "active")
    assert cli("user", "unlock", "ada", "--json").json("user-unlock")["was_locked"] is False
    cli("user", "set-password", "ada", "--password-stdin", "--json", stdin="another one, quite long").json("user-set-password")
    assert cli("user", "remove", "ada", "--json").json("user-remove")["removed"] is True
    assert cli("user", "show", "ada", "--json").code == 1


def test_a_password_of_an_operator_is_held_to_the_policy_unless_he_forces_it(cli: Cli) -> None:
    def told(*words: str, password: str) -> tuple[int, str]:
        ran = cli("user", *words, "--password-stdin", stdin=password)
        return ran.code, ran.err.strip()

    assert told("add", "ada", password="short") == (2, "wardgate: choose a password of at least 15 characters")
    assert told("add", "ada", password="ada-ada-ada-ada-1")[0] == 2
    assert told("add", "ada", "--force", password="short")[0] == 0
    assert told("set-password", "ada", password="passwordpassword")[0] == 2
    assert told("set-password", "ada", password="a lantern over the lake")[0] == 0
    assert told("set-password", "ada", password="a boat upon the lake")[0] == 0
    assert told("set-password", "ada", password="a lantern over the lake") == (
        2,
        "wardgate: choose a password that was not in use before",
    )
    assert told("set-password", "ada", "--force", password="a lantern over the lake")[0] == 0


def test_users_are_listed_page_by_page(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("username,groups\n" + "".join(f"user{n:04},a;b\n" for n in range(1_203)))
    assert cli("user", "import", str(file)).code == 0
    listed = cli("user", "list", "--limit", "1100", "--json").json("user-list")
    assert [user["name"] for user in listed["users"]] == [f"user{n:04}" for n in range(1_100)]
    rest = cli("user", "list", "--after", listed["next"], "--json").json("user-list")
    assert len(rest["users"]) == 100
    assert "There are more: --after user0001" in cli("user", "list", "--limit", "2").err


def test_an_import_is_cut_into_pieces_and_tells_the_lines_of_the_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wardgate.cli.user_files.PIECE_BYTES", 200)
    rows = [f"user{n},user{n}@acme.test\n" for n in range(100)]
    rows[70] = "user70,not a mail address\n"
    rows[90] = "user90\n"
    file = tmp_path / "users.csv"
    text = "\ufeffusername,mail,shoe size\n" + "".join(f"{row[:-1]},42\n" for row in rows)
    file.write_text(text, encoding="utf-8")
    ran = cli("user", "import", str(file), "--json")
    assert ran.code == 1
    told = ran.json("user-import")
    assert (told["added"], told["refused"], told["ignored_columns"]) == (98, 2, ["shoe size"])
    assert [problem["line"] for problem in told["problems"]] == [72, 92]
    again = cli("user", "import", str(file), "--json").json("user-import")
    assert (again["added"], again["unchanged"]) == (0, 98)


def test_a_line_that_is_not_utf_8_spoils_only_itself(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_bytes("username,display_name\nada,Ayşe\n".encode() + b"bob,B\xfcb\ncarol,C\n")
    told = cli("user", "import", str(file), "--json").json("user-import")
    assert (told["added"], told["problems"]) == (2, [{"line": 3, "reason": "not UTF-8"}])
    assert cli("user", "show", "ada", "--json").json()["display_name"] == "Ayşe"


def test_an_empty_or_wrong_import_is_told(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("username,mail\n")
    assert cli("user", "import", str(file), "--json").json("user-import")["added"] == 0
    file.write_text("name,mail\nada,x\n")
    ran = cli("user", "import", str(file), "--json")
    assert (ran.code, ran.json("error")["error"]["code"]) == (2, "usage")
    assert cli("user", "import", str(tmp_path / "gone.csv")).code == 2


LDIF = """\
dn: ou=people,dc=acme
objectClass: organizationalUnit

dn: uid=ada,ou=people,dc=acme
objectClass: inetOrgPerson
uid: ada
mail: ada@acme.test

dn: uid=bad,ou=people,dc=acme
objectClass: inetOrgPerson
uid: bad
userPassword:< file:///etc/shadow
"""


def test_an_ldif_file_is_previewed_and_imported(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "people.ldif"
    file.write_text(LDIF)
    preview = cli("user", "import", str(file), "--dry-run", "--json")
    told = preview.json("user-import")
    assert (preview.code, told["dry_run"], told["added"], told["refused"], told["passed_over"]) == (1, True, 1, 1, 1)
    assert told["problems"] == [
        {"line": 9, "reason": "userpassword refers to a file or an address, which is not followed"},
    ]
    assert cli("user", "show", "ada").code == 1
    assert cli("user", "import", str(file), "--json").json("user-import")["added"] == 1
    assert cli("user", "show", "ada", "--json").json("user-show")["mail"] == "ada@acme.test"


@pytest.mark.parametrize("form", ["csv", "ldif", "json"])
def test_users_are_exported_and_imported_again(cli: Cli, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.cli.user_files.PAGE", 2)
    monkeypatch.setattr("wardgate.cli.user_files.PIECE_RECORDS", 2)
    for name in ("Ada", "bob", "Çelik"):
        added = cli("user", "add", name, "--password-stdin", "--phone", "+905321234567", "--group", "vpn", stdin=PASSWORD)
        assert added.code == 0
    file = tmp_path / f"users.{form}"
    told = cli("user", "export", "--output", str(file), "--with-hashes", "--json").json("user-export")
    assert told == {"directory": "local", "users": 3, "file": str(file), "with_hashes": True}
    assert file.stat().st_mode & 0o777 == 0o600
    again = cli("user", "import", str(file), "--json").json("user-import")
    assert (again["unchanged"], again["changed"], again["refused"]) == (3, 0, 0)
    for name in ("Ada", "bob", "Çelik"):
        assert cli("user", "remove", name).code == 0
    assert cli("user", "import", str(file), "--json").json("user-import")["added"] == 3
    assert cli("user", "show", "çelik", "--json").json("user-show")["groups"] == ["vpn"]


def test_an_export_goes_to_standard_output_without_secrets_and_never_over_a_file(cli: Cli, tmp_path: Path) -> None:
    assert cli("user", "export", "--format", "json").out == "[\n]\n"
    assert cli("user", "add", "ada", "--password-stdin", "--display-name", "-Ada", stdin=PASSWORD).code == 0
    lines = cli("user", "export").out.splitlines()
    assert lines == ["username,mail,phone,groups,display_name,language,state,must_change,expires_at", "ada,,,,'-Ada,,active,false,"]
    assert json.loads(cli("user", "export", "--format", "json").out)[0]["username"] == "ada"
    file = tmp_path / "there.csv"
    file.write_text("precious")
    assert cli("user", "export", "--output", str(file)).code == 2
    assert file.read_text() == "precious"
    (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    assert cli("user", "export", "--output", str(tmp_path / "link.csv")).code == 2
    assert cli("user", "export", "--output", str(tmp_path / "gone" / "x.csv")).code == 2
    assert cli("user", "export", "--json").code == 2


def test_half_an_export_is_not_left_behind(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    assert cli("user", "add", "ada", "--no-password", "--group", "a;b").code == 0
    ran = cli("user", "export", "--output", str(file))
    assert (ran.code, file.exists()) == (2, False)
    assert "export JSON or LDIF" in ran.err


def test_authenticators_are_added_listed_and_revoked(cli: Cli) -> None:
    cli("user", "add", "ada", "--no-password")
    hex_secret = "3132333435363738393031323334353637383930"
    given = cli("authenticator", "add", "ada", "totp", "--secret-hex", hex_secret, "--digits", "8", "--period", "60",
                "--algorithm", "sha256", "--json").json("authenticator-add")  # fmt: skip
    assert (given["digits"], given["period_s"], given["algorithm"]) == (8, 60, "SHA256")
    assert "otpauth_uri" not in given
    made = cli("authenticator", "add", "ada", "totp", "--label", "phone", "--json").json("authenticator-add")
    assert made["otpauth_uri"].startswith("otpauth://totp/Wardgate:ada?secret=")
    cli("authenticator", "add", "ada", "hotp", "--secret-stdin", "--counter", "7", "--json", stdin="aa" * 20).json(
        "authenticator-add"
    )
    assert len(cli("authenticator", "add", "ada", "recovery", "--json").json("authenticator-add")["codes"]) == 10
    listed = cli("authenticator", "list", "ada", "--json").json("authenticator-list")["authenticators"]
    assert [each["kind"] for each in listed] == ["totp", "totp", "hotp", "recovery_code"]
    assert cli("authenticator", "revoke", made["id"], "--json").json("authenticator-revoke")["user"] == "ada"
    states = cli("user", "show", "ada", "--json").json("user-show")["authenticators"]
    assert [each["state"] for each in states] == ["active", "revoked", "active", "active"]
    assert cli("authenticator", "revoke", made["id"]).code == 1
    assert cli("authenticator", "revoke", "nosuch").code == 1
    assert "otpauth://" in cli("authenticator", "add", "ada", "totp").out


def test_a_generated_secret_makes_codes(alone: Cli) -> None:
    alone("user", "add", "ada", "--no-password")
    uri = alone("authenticator", "add", "ada", "hotp", "--json").json()["otpauth_uri"]
    assert "counter=0" in uri
    assert len(hotp(Secret(b"x" * 20), 0, 6)) == 6


def test_nas_are_added_listed_and_removed(cli: Cli) -> None:
    added = cli("nas", "add", "fw", "--address", "10.0.0.1", "--address", "10.0.1.0/24", "--secret-stdin", "--application", "vpn",
                "--vendor", "paloalto", "--message-authenticator", "accept_missing", "--mode", "password_then_code",
                "--separator", ",", "--code-digits", "8", "--identifier", "hq", "--no-limit-proxy-state", "--language", "tr",
                "--json", stdin=SECRET + "\n").json("nas-add")  # fmt: skip
    assert added["application_created"] is True
    assert "secret" not in added
    nas = cli("nas", "show", "fw", "--json").json("nas-show")["nas"]
    assert nas == added["nas"]
    assert (nas["addresses"], nas["secret"], nas["limit_proxy_state"]) == (["10.0.0.1", "10.0.1.0/24"], "sealed", False)
    changed = cli("nas", "change", "fw", "--message-authenticator", "accept_missing", "--new-secret", "--json").json("nas-change")
    assert changed["changed"] == ["message_authenticator", "secret"]
    assert changed["nas"] == {**nas, "message_authenticator": "accept_missing"}
    assert len(changed["secret"]) >= 24
    assert cli("nas", "change", "fw").code == 2
    assert cli("nas", "change", "nobody", "--new-secret").code == 1
    made = cli("nas", "add", "lab", "--address", "10.9.0.1", "--application", "vpn", "--json").json("nas-add")
    assert len(made["secret"]) == 32
    assert made["application_created"] is False
    assert [each["name"] for each in cli("nas", "list", "--json").json("nas-list")["nas"]] == ["fw", "lab"]
    assert cli("nas", "remove", "lab", "--json").json("nas-remove")["removed"] is True
    assert cli("nas", "show", "lab").code == 1
    assert "Shared secret, shown this once: " in cli("nas", "add", "lab", "--address", "10.9.0.1", "--application", "vpn").out


def test_a_nas_secret_may_be_a_reference(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    one = cli("nas", "add", "a", "--address", "10.0.0.1", "--application", "vpn", "--secret-env", "A_SECRET", "--json").json()
    other = cli("nas", "add", "b", "--address", "10.0.0.2", "--application", "vpn", "--secret-file", "/etc/b", "--json").json()
    assert (one["nas"]["secret"], other["nas"]["secret"]) == ("env A_SECRET", "file /etc/b")
    both = cli("nas", "add", "c", "--address", "10.0.0.3", "--application", "vpn", "--secret-env", "A", "--secret-file", "/b")
    assert both.code == 2


DOCUMENT = """
realms: [{name: default, default: true, directories: [local]}]
directories: [{name: local, kind: local}]
applications: [{name: vpn}]
gateways: [{name: sms, kind: pickup, channel: sms}]
nas: [{name: fw, addresses: [10.0.0.1], secret: {value: s3cret-of-the-firewall}, application: vpn}]
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "wardgate.yaml"
    file.write_text(DOCUMENT)
    return file


def test_a_document_is_applied_exported_compared_and_rolled_back(cli: Cli, document: Path) -> None:
    dry = cli("config", "apply", str(document), "--dry-run", "--json").json("config-apply")
    assert (dry["applied"], dry["version"]) == (False, 1)
    applied = cli("config", "apply", str(document), "--reason", "first", "--json").json("config-apply")
    assert (applied["applied"], applied["version"]) == (True, 2)
    assert applied["added"] == ["gateways sms", "nas fw", "applications vpn"]
    exported = cli("config", "export")
    assert SECRET not in exported.out
    document.write_text(exported.out)
    assert cli("config", "apply", str(document), "--json").json("config-apply")["applied"] is False
    document.write_text(exported.out.replace("10.0.0.1", "10.0.0.7").replace("channel: sms", "channel: email"))
    diff = cli("config", "diff", str(document), "--json").json("config-diff")
    assert diff["changed"] == ["gateways sms (channel)", "nas fw (addresses)"]
    assert "-  addresses: [10.0.0.1]\n+  addresses: [10.0.0.7]" in diff["unified"]
    assert "~ nas fw (addresses)" in cli("config", "diff", str(document)).out
    assert cli("config", "apply", str(document)).code == 0
    back = cli("config", "rollback", "2", "--reason", "wrong", "--json").json("config-rollback")
    assert (back["version"], back["changed"]) == (4, ["gateways sms (channel)", "nas fw (addresses)"])
    assert cli("config", "export", "--json").json("config-export")["document"]["nas"][0]["addresses"] == ["10.0.0.1"]
    assert cli("config", "export", "--version", "3", "--json").json()["version"] == 3
    history = cli("config", "history", "--json").json("config-history")["versions"]
    assert [each["version"] for each in history] == [4, 3, 2, 1]
    assert history[0]["reason"] == "rollback to version 2: wrong"
    assert history[0]["author"].startswith("cli:")
    assert cli("config", "rollback", "77").code == 1


def test_the_same_clear_secret_is_no_change(cli: Cli, document: Path) -> None:
    cli("config", "apply", str(document))
    again = cli("config", "apply", str(document), "--json").json("config-apply")
    assert (again["applied"], again["changed"]) == (False, [])
    document.write_text(DOCUMENT.replace("s3cret-of", "n3w-secret-of"))
    assert cli("config", "apply", str(document), "--json").json()["changed"] == ["nas fw (secret)"]


def test_a_document_comes_from_standard_input_too(cli: Cli) -> None:
    assert cli("config", "apply", "-", "--json", stdin=DOCUMENT).json("config-apply")["applied"] is True


def test_gateways_are_listed_and_tried(cli: Cli, document: Path) -> None:
    cli("config", "apply", str(document))
    assert [each["name"] for each in cli("gateway", "list", "--json").json("gateway-list")["gateways"]] == ["sms"]
    tried = cli("gateway", "test", "sms", "--to", "+905321234567", "--json").json("gateway-test")
    assert tried["channel"] == "sms"
    assert cli("gateway", "test", "sms", "--to", "nobody").code == 1
    assert cli("gateway", "test", "fax", "--to", "1").code == 1


def test_a_gateway_that_cannot_be_reached_is_unavailable(cli: Cli, tmp_path: Path) -> None:
    # Nobody listens on port 1 of loopback.
    mail = "{name: mail, kind: smtp, servers: ['smtp://127.0.0.1:1'], sender: a@acme.test}"
    (tmp_path / "d.yaml").write_text(DOCUMENT.replace("gateways: [", f"gateways: [{mail}, "))
    assert cli("config", "apply", str(tmp_path / "d.yaml")).code == 0
    ran = cli("gateway", "test", "mail", "--to", "ada@acme.test", "--json")
    assert (ran.code, ran.json("error")["error"]["code"]) == (3, "gateway_unavailable")
    assert " ms)" in ran.json()["error"]["message"]
    online = cli("check", "--online", "--json")
    assert online.code == 1
    assert any("127.0.0.1:1 takes no connection" in each["what"] for each in online.json("check")["findings"])


def test_keys_are_rotated_and_everything_still_opens(cli: Cli, document: Path) -> None:
    cli("config", "apply", str(document))
    cli("user", "add", "ada", "--no-password")
    cli("authenticator", "add", "ada", "totp")
    rotated = cli("key", "rotate", "--json").json("key-rotate")
    assert rotated == {"key": 2, "resealed": 2, "broken": 0, "dropped": [1], "resumed": False}
    assert cli("check", "--json").json("check")["ok"] is True
    assert cli("key", "rotate", "--json").json("key-rotate")["dropped"] == [2]


def test_the_audit_trail_is_verified_and_exported(cli: Cli) -> None:
    cli("user", "add", "ada", "--no-password")
    verified = cli("audit", "verify", "--json")
    head = verified.json("audit-verify")["heads"][0]
    assert verified.code == 0
    cli("user", "remove", "ada")
    assert cli("audit", "verify", "--head", head).code == 0
    lines = [json.loads(line) for line in cli("audit", "export").out.splitlines()]
    for line in lines:
        validate(line, "audit-export-line")
    events = [line["kind"] for line in lines if line["type"] == "event"]
    assert events[-2:] == ["directory:user:added", "directory:user:removed"]
    assert (lines[0]["type"], lines[-1]["type"]) == ("export", "head")
    writer, epoch, seq, link = head.split(":")
    beyond = cli("audit", "verify", "--head", f"{writer}:{epoch}:{int(seq) + 9}:{link}", "--json")
    assert beyond.code == 1
    assert "cut off" in beyond.json("audit-verify")["findings"][0]["problem"]
    assert cli("audit", "verify", "--head", "nonsense").code == 2


async def _record(data: Path) -> None:
    installation = Installation.open(data)
    with installation.lock():
        opened = await installation.connect()
        body = {
            "door": "radius", "nas": "fw", "application": "vpn", "user": "ada", "source": "10.0.0.1", "client": "203.0.113.7",
            "result": "challenge", "reason": "second_factor_asked", "text": "Enter the code",
            "steps": [
                {"at_ms": 0.4, "what": "packet", "detail": {"identifier": 7}}, {"at_ms": 21.0, "what": "asked", "detail": {}},
            ],
            "took_ms": 21.5,
        }  # fmt: skip
        row = entry(
            opened.rings(), at_ms=1_767_600_000_000, reference="7H2K9QXA", transaction_id="t1", door="radius",
            result="challenge", user="ada", body=body,
        )  # fmt: skip
        await opened.storage.commit([row])
        await opened.storage.close()


def test_a_login_is_traced_by_reference_and_by_user(alone: Cli) -> None:
    asyncio.run(_record(alone.data))
    traced = alone("trace", "7h2k-9qxa", "--json").json("trace")
    assert traced == alone("trace", "--user", "ADA", "--last", "--json").json("trace")
    assert traced["entries"][0]["steps"][0]["what"] == "packet"
    shown = alone("trace", "7H2K9QXA").out
    for words in ("7H2K9QXA  2026-01-05T", "(21.5 ms)", "0.4 ms  packet (identifier: 7)", "second_factor_asked", "Enter the code"):
        assert words in shown
    assert alone("trace", "00000000").code == 1
    assert alone("trace", "--user", "nobody", "--last").code == 1


def test_a_one_time_link_is_printed(cli: Cli) -> None:
    told = cli("admin", "link", "--json").json("admin-link")
    assert "/admin/enter/" in told["url"]
    assert cli("admin", "link").out.startswith("https://127.0.0.1:")


def test_a_healthy_installation_has_no_error(cli: Cli) -> None:
    ran = cli("check", "--json")
    assert ran.code == 0
    assert {each["level"] for each in ran.json("check")["findings"]} <= {"info", "warning"}
    assert "no NAS is configured" in cli("check").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(alone: Cli, shell: str) -> None:
    ran = alone("completion", shell)
    assert ran.code == 0
    assert f"_WARDGATE_COMPLETE=complete_{shell}" in ran.out


def test_completion_offers_commands(alone: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_WARDGATE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "wardgate us")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert alone().out.split() == ["user"]
    monkeypatch.setenv("COMP_WORDS", "wardgate user un")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert alone().out.split() == ["unlock", "unfreeze"]
