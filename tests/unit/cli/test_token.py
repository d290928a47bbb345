"""`wardgate token ...` as an operator types it."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli
from wardgate.crypto import Secret
from wardgate.factors.totp import hotp

SEEDS = "serial,kind,secret\nA1,hotp,3132333435363738393031323334353637383930\nA2,totp,GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJR\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "seeds.csv"
    made.write_text(SEEDS)
    return made


def test_a_token_goes_from_the_file_to_a_person_and_back(cli: Cli, file: Path) -> None:
    cli("user", "add", "ada", "--password-stdin", stdin="a long enough password\n")
    assert cli("token", "import", str(file), "--json").json("token-import") == {"imported": 2, "refused": 0, "problems": []}
    listed = cli("token", "list", "--json").json("token-list")["tokens"]
    assert [(each["serial"], each["state"]) for each in listed] == [("A1", "spare"), ("A2", "spare")]
    assert cli("token", "assign", "a1", "ada", "--json").json("token-assign")["user"] == "ada"
    codes = [hotp(Secret(b"12345678901234567890"), counter, 6) for counter in (40, 41)]
    assert cli("token", "resync", "A1", *codes, "--json").json("token-resync")["skipped"] == 40
    assert "assigned" in cli("token", "list").out
    assert cli("token", "return", "A1", "--json").json("token-return")["returned"] is True
    assert cli("token", "remove", "A1", "--json").json("token-remove")["removed"] is True


def test_bad_rows_are_told_and_the_exit_code_says_so(cli: Cli, file: Path) -> None:
    file.write_text(SEEDS + "A3,hotp,12\n")
    ran = cli("token", "import", str(file))
    assert ran.code == 1
    assert "4: secret: 10 to 128 bytes" in ran.err
    assert "2 tokens lie in the stock now, 1 were refused." in ran.out
    again = cli("token", "import", str(file))
    assert again.code == 1
    assert "in the stock already" in again.err


def test_a_file_that_is_none_is_a_usage_fault(cli: Cli, file: Path) -> None:
    file.write_text("<html/>")
    ran = cli("token", "import", str(file))
    assert (ran.code, "no PSKC" in ran.err) == (2, True)
    assert cli("token", "import", str(file.parent / "none")).code == 2


def test_nobody_has_an_unknown_token(cli: Cli) -> None:
    for arguments in (("assign", "X1", "ada"), ("return", "X1"), ("remove", "X1"), ("resync", "X1", "1", "2")):
        assert cli("token", *arguments).code == 1
