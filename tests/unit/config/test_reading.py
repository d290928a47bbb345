"""YAML to plain values: what is text, what is a number, and what is refused before it grows."""

import pytest

from wardgate.config.reading import MAX_DEPTH, MAX_DOCUMENT_BYTES, MAX_TEXT_CHARS, read_yaml
from wardgate.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("1:20", "1:20"),
        ("2026-01-05", "2026-01-05"),
        ("0x10", "0x10"),
        ("010", "010"),
        ("1e3", "1e3"),
        (".inf", ".inf"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", None),
        ("42", 42),
        ("-7", -7),
        ("1.5", 1.5),
        ("'42'", "42"),
        ("!!str 42", "42"),
        ("9" * 30, "9" * 30),
    ],
)
def test_only_true_false_null_and_decimal_numbers_are_not_text(text: str, value: object) -> None:
    read = read_yaml(f"a: {text}")
    assert read == {"a": value}
    assert type(read["a"]) is type(value)


def test_an_anchor_may_be_used_again() -> None:
    assert read_yaml("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}


def test_a_key_that_stands_twice_is_refused_with_its_line() -> None:
    with pytest.raises(SettingsError, match="line 2, column 1: the key 'a' stands here a second time"):
        read_yaml("a: 1\na: 2")


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    with pytest.raises(SettingsError, match="holds too much"):
        read_yaml("\n".join(lines))


def test_an_alias_bomb_of_long_texts_is_refused() -> None:
    text = "a: &a " + "x" * 16_000 + "\nb: [" + ", ".join(["*a"] * 1_000) + "]"
    with pytest.raises(SettingsError, match="holds too much"):
        read_yaml(text)


def test_an_alias_that_holds_itself_is_refused() -> None:
    with pytest.raises(SettingsError, match="has no anchor before it"):
        read_yaml("a: &x [*x]")


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system [id]",
        "a: !!python/name:os.system",
        "!!map {a: 1}\n---\nb: 1",
        "a: 1\n---\nb: 2",
        "? [a]\n: b",
        "a: [1",
        "a: 'x",
        "a:\n\t- b",
        "a: \x00",
        "a: \ud800",
        "[" * 20_000,
        "*a",
    ],
)
def test_hostile_or_broken_text_is_a_settings_error(text: str) -> None:
    with pytest.raises(SettingsError):
        read_yaml(text)


def test_nesting_has_a_limit() -> None:
    assert read_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None
    with pytest.raises(SettingsError, match="nested deeper"):
        read_yaml("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2))


def test_sizes_have_limits() -> None:
    with pytest.raises(SettingsError, match="larger than 4 MiB"):
        read_yaml("#" * (MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(SettingsError, match="longer than"):
        read_yaml("a: " + "x" * (MAX_TEXT_CHARS + 1))


def test_a_merge_key_is_an_ordinary_key() -> None:
    assert read_yaml("<<: {a: 1}") == {"<<": {"a": 1}}


def test_a_syntax_error_does_not_show_the_text_around_it() -> None:
    with pytest.raises(SettingsError) as caught:
        read_yaml("nas:\n  - secret: {value: hunter2hunter2\n")
    assert "hunter2" not in str(caught.value)
