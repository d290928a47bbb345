"""`wardgate user activate`: one person, many, on sheets; against the published schemas."""

from pathlib import Path

from .conftest import Cli


def test_code_is_shown_once_and_taken_back(cli: Cli) -> None:
    cli("user", "add", "grace", "--no-password", "--mail", "grace@acme.test")
    [issued] = cli("user", "activate", "grace", "--by", "print", "--json").json("user-activate")["issued"]
    assert len(issued["code"].replace("-", "")) == 13
    assert issued["second_proofs"] == ["email"]
    shown = cli("user", "activation", "grace", "--json")
    assert shown.json("user-activation")["activation"]["state"] == "open"
    assert issued["code"] not in shown.out
    assert cli("user", "activate", "grace", "--cancel", "--json").json("user-activate")["cancelled"][0]["cancelled"] is True
    assert cli("user", "activation", "grace", "--json").json("user-activation")["activation"]["state"] == "cancelled"
    assert cli("user", "activate", "grace", "--cancel").code == 1
    assert cli("user", "activate", "nobody", "--by", "print").code == 1
    assert cli("user", "activate", "--by", "print").code == 2


def test_many_are_written_on_sheets_and_who_cannot_be_is_told(cli: Cli, tmp_path: Path) -> None:
    for name in ("grace", "heidi"):
        cli("user", "add", name, "--no-password", "--mail", f"{name}@acme.test")
    names, sheet = tmp_path / "names.txt", tmp_path / "sheets.txt"
    names.write_text("grace\nheidi\nnobody\n")
    ran = cli("user", "activate", "--file", str(names), "--by", "print", "--sheet", str(sheet))
    assert ran.code == 1
    assert "nobody" in ran.err
    pages = sheet.read_text().split("\f")
    assert [("grace" in page, "heidi" in page) for page in pages] == [(True, False), (False, True)]
    codes = [page.split("Start code: ")[1].split()[0] for page in pages]
    assert not any(code in ran.out for code in codes)
    assert sheet.stat().st_mode & 0o077 == 0
    assert cli("user", "activate", "grace", "--by", "print", "--sheet", str(sheet)).code == 2
    assert cli("user", "activate", "grace", "--by", "mail", "--sheet", str(tmp_path / "other")).code == 2


def test_whole_group_gets_sheets_and_who_has_something_gets_none(cli: Cli, tmp_path: Path) -> None:
    for name, group in (("grace", "new"), ("heidi", "new"), ("ivan", "new"), ("judy", "other")):
        cli("user", "add", name, "--no-password", "--mail", f"{name}@acme.test", "--group", group)
    cli("user", "change", "heidi", "--display-name", "<b>Heidi</b>", "--language", "tr")
    cli("authenticator", "add", "ivan", "recovery")
    sheet = tmp_path / "sheets.html"
    asked = ("user", "activate", "--all-unenrolled", "--group", "new", "--by", "print")
    ran = cli(*asked, "--sheet", str(sheet), "--json").json("user-activate")
    assert [each["user"] for each in ran["issued"]] == ["grace", "heidi"]
    assert sheet.stat().st_mode & 0o077 == 0
    text = sheet.read_text()
    assert text.count('<section class="sheet"') == 2
    assert all(each["code"] in text for each in ran["issued"])
    assert "&lt;b&gt;Heidi&lt;/b&gt;" in text
    assert "Wardgate hesabınızı kurun" in text
    assert "src=" not in text
    assert "<script" not in text
    # Whoever has an activation is not among them: a second run takes no code from anybody.
    assert cli(*asked, "--json").json("user-activate")["issued"] == []
    assert cli("user", "activate", "--all-unenrolled", "grace", "--by", "print").code == 2
    assert cli("user", "activate", "grace", "--group", "new", "--by", "print").code == 2
    assert cli("user", "activate", "--all-unenrolled", "--cancel").code == 2


def test_sheet_that_cannot_be_written_costs_nobody_his_code(cli: Cli, tmp_path: Path) -> None:
    cli("user", "add", "grace", "--no-password")
    there = tmp_path / "sheets.html"
    there.write_text("another")
    assert cli("user", "activate", "grace", "--by", "print", "--sheet", str(there)).code == 2
    assert cli("user", "activation", "grace", "--json").json("user-activation")["activation"] is None
    assert there.read_text() == "another"


def test_user_show_tells_of_an_activation_that_is_open(cli: Cli) -> None:
    cli("user", "add", "grace", "--no-password")
    assert cli("user", "show", "grace", "--json").json("user-show")["activation"] is None
    [issued] = cli("user", "activate", "grace", "--by", "print", "--json").json("user-activate")["issued"]
    shown = cli("user", "show", "grace", "--json")
    assert shown.json("user-show")["activation"]["has_code"] is True
    assert issued["code"] not in shown.out
    assert "activation open, by print" in cli("user", "show", "grace").out
    cli("user", "activate", "grace", "--cancel")
    assert cli("user", "show", "grace", "--json").json("user-show")["activation"] is None
