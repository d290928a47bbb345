"""Secrets of the document: where they come from, that they are sealed to their place, and that a missing one is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from wardgate.config.document import bound_to, dump, parse, to_plain
from wardgate.config.reference import ClearValue, EnvReference, FileReference, SealedValue
from wardgate.config.secrets import reseal_plain, resolve, resolve_all, resolver, seal_document
from wardgate.crypto import KeyRing, Secret, new_key
from wardgate.errors import SettingsError

from .documents import SMALL, WHOLE

PLACE = bound_to("nas", "fw", "secret")


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing({0: new_key(), 1: new_key()})


def test_a_reference_gives_the_value_that_the_server_sees(ring: KeyRing, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from a file\r\n")
    assert resolve(EnvReference(env="A"), ring, PLACE, environment={"A": "from outside"}) == Secret("from outside")
    assert resolve(FileReference(file=str(file)), ring, PLACE) == Secret("from a file")
    assert resolve(ClearValue(value="as it is"), ring, PLACE) == Secret("as it is")


def test_a_missing_reference_is_named(ring: KeyRing, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nas\.fw\.secret: the server has no environment variable FW_SECRET"):
        resolve(EnvReference(env="FW_SECRET"), ring, PLACE, environment={})
    with pytest.raises(SettingsError, match=r"nas\[0\]\.secret: the server cannot read .*/gone: No such file"):
        resolve(FileReference(file=str(tmp_path / "gone")), ring, PLACE, "nas[0].secret")


def test_an_empty_secret_is_refused(ring: KeyRing, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for setting in (FileReference(file=str(tmp_path / "empty")), ClearValue(value=""), EnvReference(env="A")):
        with pytest.raises(SettingsError, match="empty"):
            resolve(setting, ring, PLACE, environment={"A": ""})


def test_a_secret_has_a_greatest_length(ring: KeyRing, tmp_path: Path) -> None:
    (tmp_path / "endless").write_bytes(b"x" * 20_000)
    with pytest.raises(SettingsError, match="longer than 16384 bytes"):
        resolve(FileReference(file=str(tmp_path / "endless")), ring, PLACE)


def test_sealing_leaves_nothing_in_clear_and_opens_again(ring: KeyRing) -> None:
    sealed = seal_document(parse(WHOLE), ring)
    text = dump(sealed)
    assert "s3cret" not in text
    nas = sealed.nas[0]
    assert isinstance(nas.secret, SealedValue)
    assert resolver("nas", nas, ring)(nas.secret) == Secret("s3cret-s3cret-s3cret")
    assert sealed.nas[1].secret == EnvReference(env="BRANCH")


def test_a_sealed_secret_does_not_open_under_another_name(ring: KeyRing) -> None:
    sealed = seal_document(parse(SMALL), ring)
    renamed = replace(sealed, nas=(replace(sealed.nas[0], name="thief"),))
    with pytest.raises(SettingsError, match=r"nas\[0\]\.secret: the sealed value does not open here.*Write the secret again"):
        seal_document(renamed, ring)


def test_a_sealed_secret_of_another_installation_is_refused(ring: KeyRing) -> None:
    foreign = seal_document(parse(SMALL), KeyRing({0: new_key(), 1: new_key()}))
    with pytest.raises(SettingsError, match="another installation"):
        seal_document(foreign, ring)


def test_sealing_the_same_value_again_changes_nothing(ring: KeyRing) -> None:
    first = seal_document(parse(SMALL), ring)
    assert seal_document(parse(SMALL), ring, first) == first
    other = seal_document(parse(SMALL.replace("s3cret-s3cret-s3cret", "another-secret")), ring, first)
    assert other.nas[0].secret != first.nas[0].secret


def test_after_a_rotation_everything_stands_under_the_new_key() -> None:
    keys = {0: new_key(), 1: new_key()}
    sealed = seal_document(parse(SMALL), KeyRing(keys))
    keys[2] = new_key()
    moved = reseal_plain(to_plain(sealed), KeyRing(keys))
    assert moved is not None
    del keys[1]
    nas = parse(moved).nas[0]
    assert resolver("nas", nas, KeyRing(keys))(nas.secret) == Secret("s3cret-s3cret-s3cret")
    assert reseal_plain(moved, KeyRing(keys)) is None


def test_a_template_that_only_looks_sealed_is_left_alone() -> None:
    keys = {0: new_key(), 1: new_key(), 2: new_key()}
    text = (
        SMALL
        + 'gateways: [{name: s, kind: http, request: {url: "https://a.test/", json: {to: "{number}", n: {sealed: "{text}"}}}}]\n'
    )
    sealed = seal_document(parse(text), KeyRing(keys))
    assert reseal_plain(to_plain(sealed), KeyRing(keys)) is None


def test_everything_that_is_missing_is_told_at_once(ring: KeyRing) -> None:
    problems = resolve_all(seal_document(parse(WHOLE), ring), ring)
    assert len(problems) == 4
    assert any("BRANCH" in problem for problem in problems)
    assert any("/etc/wardgate/smtp" in problem for problem in problems)
