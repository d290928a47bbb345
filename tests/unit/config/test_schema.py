"""The published JSON Schema: what the server accepts validates, and what it refuses for a key, a type or a number does not."""

from typing import Any

import jsonschema
import pytest

from wardgate.config.document import SECTIONS, map_secrets, parse, to_plain
from wardgate.config.reading import read_yaml
from wardgate.config.reference import ClearValue, SealedValue, SecretSetting
from wardgate.config.schema import schema_of_document
from wardgate.config.store import first_document

from .documents import SMALL, WHOLE

CHECKER = jsonschema.Draft202012Validator(schema_of_document())


def plain(text: str) -> Any:
    return read_yaml(text)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema_of_document())
    assert set(schema_of_document()["properties"]) == {"include", *SECTIONS}


@pytest.mark.parametrize("text", [SMALL, WHOLE, "include: [a.yaml]\nnas:\ncodes:\n"])
def test_a_document_that_the_server_accepts_validates(text: str) -> None:
    CHECKER.validate(plain(text))


@pytest.mark.parametrize("demo", [False, True])
def test_the_first_document_validates(demo: bool) -> None:
    CHECKER.validate(to_plain(first_document(demo)))


def test_what_is_exported_validates() -> None:
    def seal(place: str, setting: SecretSetting, path: str) -> SecretSetting:
        return SealedValue(sealed="AAAA") if isinstance(setting, ClearValue) else setting

    CHECKER.validate(to_plain(map_secrets(parse(WHOLE), seal)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("default: true", "defualt: true"),
        ("default: true", "default: 1"),
        ("kind: local", "kind: locl"),
        ("kind: local", "kind: smtp"),
        ("[10.0.0.1]", "10.0.0.1"),
        ("application: vpn", "application: vpn, mode: ask"),
        ("application: vpn", "application: vpn, code_digits: '6'"),
        ("application: vpn", "application: vpn, code_digits: 3"),
        ("{value: s3cret-s3cret-s3cret}", "s3cret-s3cret-s3cret"),
        ("{value: s3cret-s3cret-s3cret}", "{env: A, file: /b}"),
        ("nas:", "codes: {resend_after_s: [1]}\nnas:"),
        ("{name: vpn}", "{title: x}"),
        ("{name: vpn}", "{name: ''}"),
    ],
)
def test_what_is_wrong_by_itself_does_not_validate(old: str, new: str) -> None:
    assert old in SMALL
    with pytest.raises(Exception, match="fault"):
        parse(SMALL.replace(old, new, 1))
    with pytest.raises(jsonschema.ValidationError):
        CHECKER.validate(plain(SMALL.replace(old, new, 1)))


def test_every_setting_is_described() -> None:
    """What an editor shows: the help of every setting that has some."""
    nas = schema_of_document()["$defs"]["NasSettings"]
    assert nas["description"] == "One device, or an HA pair, that asks us by RADIUS."
    assert nas["properties"]["code_digits"] == {
        "description": "length of the code in one field when there is no separator (digits)",
        "type": "integer",
        "minimum": 4,
        "maximum": 10,
        "default": 6,
    }
    assert nas["required"] == ["name", "addresses", "secret", "application"]
