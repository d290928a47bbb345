"""Patterns: what is known matches as one expects, and nothing that could take long is known."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.errors import SettingsError
from wardgate.policy.patterns import MAX_PATTERN_CHARS, MAX_VALUE_CHARS, compile_pattern, matches


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("sales.*", "Sales EMEA", True),
        ("sales", "sales emea", False),
        ("emp-[0-9]{6}", "EMP-004711", True),
        ("emp-[0-9]{6}", "emp-47", False),
        ("a|b.*", "bcd", True),
        (r"\d+\.\d+", "12.5", True),
        (r"a\|b", "a|b", True),
        ("[^x]{2,}", "ab", True),
        (".?", "", True),
        (".*", "x" * (MAX_VALUE_CHARS + 1), False),
    ],
)
def test_what_matches(pattern: str, value: str, expected: bool) -> None:
    assert matches(compile_pattern(pattern), value) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        None,
        5,
        "x" * (MAX_PATTERN_CHARS + 1),
        "^a",
        "a$",
        "(a)",
        "(a+)+",
        "(?=a)",
        "(a|a)*",
        r"(a)\1",
        "a**",
        "a{2}{3}",
        "*a",
        "{2}",
        "a{3,2}",
        "a{257}",
        "a{1,999}",
        "a|",
        "|a",
        "a||b",
        "[a",
        "a]",
        r"\b",
        "\\",
        "a*b*c*",
        "a?b?c?",
        "[z-a]",
        r"\1",
        "a+?",
        "a*+",
    ],
)
def test_what_is_not_known_is_refused(pattern: object) -> None:
    with pytest.raises(SettingsError):
        compile_pattern(pattern)


@pytest.mark.parametrize("pattern", [".*.*", "a*a*b", "[ab]+[ab]+c", "a*a*x|a*a*y|a*a*z|a*a*w", "a{0,256}a{0,256}b"])
def test_a_value_made_to_take_long_does_not(pattern: str) -> None:
    """Somebody who writes his own display name must not hold up everybody's logins."""
    compiled = compile_pattern(pattern)
    assert matches(compiled, "a" * MAX_VALUE_CHARS) is not pattern.endswith(("b", "c", "w"))


@given(st.text(alphabet=r"ab0.*+?{}1,2[]-^|\\dw", max_size=12), st.text(alphabet="ab01", max_size=6))
def test_what_is_known_means_what_it_means_elsewhere(pattern: str, value: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except SettingsError:
        return
    assert matches(compiled, value) is (re.fullmatch(pattern, value, re.IGNORECASE) is not None)
