"""Where a fault stands: file, line and column, and the word that was probably meant."""

from pathlib import Path

import pytest

from wardgate.config.document import examine, in_their_files, parse, parse_sources
from wardgate.config.faults import Fault, nearest
from wardgate.config.includes import MAX_INCLUDE_DEPTH, gather
from wardgate.config.sources import Source, locate
from wardgate.errors import SettingsError

MAIN = """\
realms:
  - name: acme
    default: true
    directories: [staff]
directories:
  - {name: staff, kind: local}
applications:
  - {name: vpn}
"""
NAS = """\
nas:
  - name: fw
    addresses: [10.0.0.1]
    secret: {env: FW}
    application: vpn
"""


def places(*sources: Source) -> list[tuple[str, int, int, str]]:
    return [(fault.file, fault.line, fault.column, fault.path) for fault in examine(sources)[1]]


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("default: true", "defualt: true", (3, 5, "realms[0].defualt")),
        ("kind: local", "kind: locl", (6, 19, "directories[0].kind")),
        ("kind: local", "kind: local, keep_hashes: 1", (6, 32, "directories[0].keep_hashes")),
        ("[staff]", "[staff, stuff]", (4, 26, "realms[0].directories[1]")),
        ("default: true", "default: true\n    time_zone: Mars/Olympus", (4, 5, "realms[0].time_zone")),
        ("{name: vpn}", "{title: x}", (8, 5, "applications[0].name")),
        ("applications:", "aplications:", (7, 1, "aplications")),
        ("{name: vpn}", "{name: vpn, policy: web}", (8, 17, "applications[0].policy")),
    ],
)
def test_a_fault_is_told_with_line_and_column(old: str, new: str, place: tuple[int, int, str]) -> None:
    assert ("", *place) in places(Source("", MAIN.replace(old, new)))
    with pytest.raises(SettingsError, match=f"line {place[0]}, column {place[1]}: "):
        parse(MAIN.replace(old, new))


def test_a_fault_in_a_named_file_begins_as_editors_take_it() -> None:
    with pytest.raises(
        SettingsError, match=r"(?m)^wardgate\.yaml:3:5: realms\[0\]\.defualt: unknown key; did you mean 'default'\?$"
    ):
        parse_sources([Source("wardgate.yaml", MAIN.replace("default: true", "defualt: true"))])


def test_bad_syntax_is_told_with_line_and_column() -> None:
    assert places(Source("w.yaml", MAIN + "nas: [\n")) == [("w.yaml", 10, 1, "")]
    assert places(Source("w.yaml", "a: 1\na: 2\n")) == [("w.yaml", 2, 1, "")]


def test_a_setting_that_a_room_refuses_has_its_place() -> None:
    gateway = "gateways:\n  - {name: m, kind: smtp, sender: a@acme.test, servers: ['smtp://x'], username: u}\n"
    assert [place[:3] for place in places(Source("w.yaml", MAIN + gateway))] == [("w.yaml", 10, 71)]


def test_what_stands_behind_an_alias_is_told_where_the_alias_stands() -> None:
    text = MAIN.replace("[staff]", "&a [staff, stuff]") + "  - {name: wifi}\n"
    assert locate(text + "x: *a\n", {"x[1]"}) == {"x[1]": (10, 1)}


def test_a_key_with_dots_does_not_lead_astray() -> None:
    assert locate("a.b: {c: 1}\na: {b: {c: 2}}\n", {"a.b.c"})["a.b.c"] in ((1, 7), (2, 9))
    assert locate("a: [1, [2, 3]]\n", {"a[1][1]", "a[7]", "b"}) == {"a[1][1]": (1, 12), "a[7]": (1, 1)}


@pytest.mark.parametrize(
    ("word", "known", "told"),
    [
        ("vpm", ["vpn", "wifi"], "did you mean 'vpn'?"),
        ("VPN", ["vpn", "wifi"], "did you mean 'vpn'?"),
        ("remote-acess", ["remote-access", "web"], "did you mean 'remote-access'?"),
        ("zebra", ["vpn", "wifi"], ""),
        ("", ["vpn"], ""),
        ("x" * 1_000_000, ["vpn"], ""),
    ],
)
def test_the_nearest_word_is_suggested(word: str, known: list[str], told: str) -> None:
    assert nearest(word, known) == told


def test_an_unknown_name_is_told_with_the_one_that_was_probably_meant() -> None:
    with pytest.raises(SettingsError, match="no directory has the name 'stuff': did you mean 'staff'"):
        parse(MAIN.replace("[staff]", "[stuff]"))
    with pytest.raises(SettingsError, match=r"must be one of .*; did you mean 'local'"):
        parse(MAIN.replace("kind: local", "kind: locl"))


# --- several files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nas").mkdir()
    (tmp_path / "wardgate.yaml").write_text("include: [nas/*.yaml]\n" + MAIN)
    (tmp_path / "nas" / "b.yaml").write_text(NAS.replace("fw", "b").replace("10.0.0.1", "10.0.0.2"))
    (tmp_path / "nas" / "a.yaml").write_text(NAS.replace("fw", "a"))
    return tmp_path


def collect(folder: Path) -> tuple[Source, ...]:
    file = folder / "wardgate.yaml"
    return gather(Source("wardgate.yaml", file.read_text()), file)


def refused(folder: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        collect(folder)
    return caught.value.message


def test_the_lists_of_included_files_are_joined_in_the_order_of_their_names(folder: Path) -> None:
    document = parse_sources(collect(folder))
    assert [each.name for each in document.nas] == ["a", "b"]
    assert [each.name for each in document.realms] == ["acme"]


def test_a_fault_is_told_in_the_file_that_has_it(folder: Path) -> None:
    (folder / "nas" / "b.yaml").write_text(NAS.replace("application: vpn", "application: vpm"))
    fault = next(fault for fault in examine(collect(folder))[1] if "vpm" in fault.problem)
    assert (fault.file, fault.line, fault.path) == (str(folder / "nas" / "b.yaml"), 5, "nas[0].application")


def test_two_files_with_one_name_are_both_told(folder: Path) -> None:
    (folder / "nas" / "b.yaml").write_text(NAS.replace("fw", "a").replace("10.0.0.1", "10.0.0.2"))
    (fault,) = examine(collect(folder))[1]
    assert str(fault) == (
        f"{folder}/nas/b.yaml:2:5: nas[0].name: the name 'a' is already taken by nas[0] ({folder}/nas/a.yaml:2:5)"
    )


def test_a_secret_that_is_not_there_is_told_in_its_file(folder: Path) -> None:
    (told,) = in_their_files(collect(folder), ["nas[1].secret: the server has no environment variable FW"])
    assert told == f"{folder}/nas/b.yaml:4:5: nas[0].secret: the server has no environment variable FW"


def test_what_is_no_list_stands_in_one_file(folder: Path) -> None:
    for name in "ab":
        (folder / "nas" / f"{name}.yaml").write_text("codes: {digits: 8}\n")
    (fault,) = examine(collect(folder))[1]
    assert (fault.file, fault.line) == (str(folder / "nas" / "b.yaml"), 1)
    assert "stands in one file only" in fault.problem


def test_files_may_include_files_from_where_they_are(folder: Path) -> None:
    (folder / "nas" / "a.yaml").write_text("include: [more/c.yaml]\n" + NAS.replace("fw", "a"))
    (folder / "nas" / "more").mkdir()
    (folder / "nas" / "more" / "c.yaml").write_text(NAS.replace("fw", "c").replace("10.0.0.1", "10.0.0.3"))
    assert [each.name for each in parse_sources(collect(folder)).nas] == ["a", "c", "b"]


def test_a_pattern_without_a_file_is_refused_because_it_would_remove_what_was_there(folder: Path) -> None:
    (folder / "wardgate.yaml").write_text("include: [nas/*.yaml, gateways.yaml]\n" + MAIN)
    assert "wardgate.yaml:1:23: include[1]: no file is there: gateways.yaml" in refused(folder)
    (folder / "wardgate.yaml").write_text("include: [nsa/*.yaml]\n" + MAIN)
    assert "no file is there" in refused(folder)


@pytest.mark.parametrize("pattern", ["/etc/passwd", "../other.yaml", "nas/../../other.yaml", "**/*.yaml", ""])
def test_an_include_names_nothing_outside_the_directory_of_the_document(folder: Path, pattern: str) -> None:
    (folder / "wardgate.yaml").write_text(f"include: ['{pattern}']\n" + MAIN)
    assert "include[0]: " in refused(folder)


def test_a_link_does_not_lead_out_of_the_directory_of_the_document(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.yaml"
    outside.write_text("nas: a secret of somebody else")
    (folder / "nas" / "c.yaml").symlink_to(outside)
    told = refused(folder)
    assert "c.yaml" in told or "secret.yaml" in told
    assert "leads out of the directory" in told
    assert "somebody else" not in told


def test_files_do_not_include_each_other_in_a_circle(folder: Path) -> None:
    (folder / "nas" / "a.yaml").write_text("include: [b.yaml]\n")
    (folder / "nas" / "b.yaml").write_text("include: [a.yaml]\n")
    assert "part of the document already" in refused(folder)
    (folder / "wardgate.yaml").write_text("include: ['*.yaml']\n" + MAIN)
    assert "wardgate.yaml is part of the document already" in refused(folder)


def test_includes_have_a_depth(folder: Path) -> None:
    place = folder
    for _ in range(MAX_INCLUDE_DEPTH + 1):
        (place / "wardgate.yaml").write_text("include: [deeper/wardgate.yaml]\n")
        place = place / "deeper"
        place.mkdir()
    (place / "wardgate.yaml").write_text("nas: []\n")
    assert f"deeper than {MAX_INCLUDE_DEPTH} levels" in refused(folder)


def test_includes_have_a_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.config.includes.MAX_DOCUMENT_BYTES", 300)
    assert "together are larger" in refused(folder)
    monkeypatch.undo()
    monkeypatch.setattr("wardgate.config.includes.MAX_FILES", 1)
    assert "more than 1 files" in refused(folder)


def test_hidden_files_of_editors_are_no_part_of_the_document(folder: Path) -> None:
    (folder / "nas" / ".#a.yaml").symlink_to("nobody@nowhere")
    (folder / "nas" / ".a.yaml").write_text("nonsense")
    assert len(collect(folder)) == 3


def test_standard_input_includes_nothing() -> None:
    with pytest.raises(SettingsError, match=r"line 1, column 11: include\[0\]: standard input has no directory"):
        gather(Source("", "include: [a.yaml]"), None)


def test_a_text_whose_included_files_did_not_come_along_is_refused() -> None:
    with pytest.raises(SettingsError, match="include: names other files"):
        parse("include: [nas/*.yaml]\n" + MAIN)
    parse("include: []\n" + MAIN)


@pytest.mark.parametrize("value", ["nas/*.yaml", "{a: b}", "[5]", "[[a]]"])
def test_an_include_is_a_list_of_texts(folder: Path, value: str) -> None:
    (folder / "wardgate.yaml").write_text(f"include: {value}\n" + MAIN)
    assert "must be a list of files" in refused(folder)


def test_a_syntax_error_in_an_included_file_is_told_there(folder: Path) -> None:
    (folder / "nas" / "a.yaml").write_text("nas: [\n")
    assert [fault.file for fault in examine(collect(folder))[1]] == [str(folder / "nas" / "a.yaml")]


def test_the_text_of_a_source_is_not_shown_by_repr() -> None:
    assert "s3cret" not in repr(Source("a", "s3cret"))
    assert str(Fault("a", "b", "c", "f", 1, 2)) == "f:1:2: a: b c"
