"""`wardgate kba`: prepared answers from a file, who set which, clearing. Alone and beside a server."""

from pathlib import Path

from .conftest import Cli

DOCUMENT = """
realms: [{name: default, default: true, directories: [local]}]
directories: [{name: local, kind: local}]
questions:
  - {name: staff_number, kind: mandatory, form: digits, texts: {en: What is your staff number?, tr: Sicil numaranız nedir?}}
kba: {preload: true, asked: 1}
"""


def prepared(cli: Cli, tmp_path: Path, rows: str) -> Path:
    document, file = tmp_path / "w.yaml", tmp_path / "answers.csv"
    document.write_text(DOCUMENT)
    file.write_text("username,question,answer\n" + rows)
    assert cli("config", "apply", str(document)).code == 0
    assert cli("user", "add", "ada", "--no-password").code == 0
    return file


def test_a_file_of_prepared_answers_is_imported_shown_and_cleared(cli: Cli, tmp_path: Path) -> None:
    file = prepared(cli, tmp_path, "ada,staff_number,0012 34\n")
    assert cli("kba", "import", str(file), "--json").json("kba-import")["set"] == 1
    shown = cli("kba", "show", "ada", "--json").json("kba-show")
    assert [each["id"] for each in shown["answers"]] == ["staff_number"]
    assert "0012" not in str(shown)
    assert cli("kba", "reopen", "ada", "--json").json("kba-reopen")["was_closed"] is False
    assert cli("kba", "clear", "ada", "--json").json("kba-clear")["cleared"] == 1
    assert cli("kba", "questions", "--json").json("kba-questions")["questions"][0]["id"] == "staff_number"


def test_bad_rows_end_with_exit_code_1_and_are_told_by_their_line_in_the_file(cli: Cli, tmp_path: Path) -> None:
    """Lines beyond the first piece too, and one that is longer than any row may be."""
    rows = "".join("ada,staff_number,7777\n" for _ in range(150)) + f"ada,staff_number,{'9' * 20_000}\nnobody,staff_number,4242\n"
    file = prepared(cli, tmp_path, rows)
    ran = cli("kba", "import", str(file))
    assert ran.code == 1
    assert "line 152: longer than" in ran.err
    assert "line 153: nobody answers" in ran.err
    for word in ("7777", "9999", "4242"):
        assert word not in ran.out + ran.err


def test_answers_are_not_taken_unless_the_configuration_says_so(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "answers.csv"
    file.write_text("username,question,answer\nada,staff_number,1234\n")
    ran = cli("kba", "import", str(file))
    assert ran.code != 0
    assert "kba.preload" in ran.err


def test_people_read_tables(cli: Cli, tmp_path: Path) -> None:
    file = prepared(cli, tmp_path, "ada,staff_number,0012 34\n")
    assert "1 answers of 1 people were set" in cli("kba", "import", str(file)).out
    assert "What is your staff number?" in cli("kba", "show", "ada").out
    assert "mandatory" in cli("kba", "questions").out
    assert "not closed" in cli("kba", "reopen", "ada").out
    assert "1 answers of ada were removed" in cli("kba", "clear", "ada").out


def test_a_caller_is_checked_and_only_right_or_wrong_is_said(cli: Cli, tmp_path: Path) -> None:
    file, said = prepared(cli, tmp_path, "ada,staff_number,0012 34\n"), tmp_path / "said.txt"
    assert cli("kba", "import", str(file)).code == 0
    ran = cli("kba", "ask", "ada")
    assert (ran.code, "kba.verbal" in ran.err) == (1, True)
    (tmp_path / "w.yaml").write_text(DOCUMENT.replace("asked: 1", "asked: 1, verbal: true"))
    assert cli("config", "apply", str(tmp_path / "w.yaml")).code == 0
    assert cli("kba", "ask", "ada", "--json").json("kba-ask")["questions"][0]["text"] == "What is your staff number?"
    assert "Sicil numaranız nedir?" in cli("kba", "ask", "ada", "--language", "tr").out
    said.write_text("001234\n")
    ran = cli("kba", "check", "ada", "--answers", str(said), "--json")
    assert (ran.code, ran.json("kba-check")["right"]) == (0, True)
    said.write_text("777777\n")
    ran = cli("kba", "check", "ada", "--answers", str(said))
    assert (ran.code, ran.out.strip()) == (1, "The answers are wrong.")
    assert "777777" not in ran.out + ran.err
    said.write_text("1\n2\n")
    assert cli("kba", "check", "ada", "--answers", str(said)).code == 2
    assert cli("kba", "check", "ada").code == 2
