"""Filters that are put together without reading a text: the same as the parser makes of that text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.directory.ldap.filters import Filter, both, either, encode_filter, equal
from wardgate.errors import MessageError

VALUES = st.text(alphabet=st.one_of(st.sampled_from("*()\\\x00 =|&!"), st.characters(exclude_categories=["Cs"])), max_size=20)


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_what_is_put_together_is_what_the_parser_makes_of_the_text(values: list[str]) -> None:
    parts = [equal("uid", value) for value in values]
    for made in (parts[0], both(*parts), either(*parts), both(either(*parts), equal("objectClass", "person"))):
        assert type(str(made)) is str
        assert encode_filter(made) == made.encoded == encode_filter(str(made))


def test_a_value_cannot_end_the_comparison_that_it_stands_in() -> None:
    made = both(equal("objectClass", "person"), equal("uid", "a)(uid=*"))

    assert str(made) == r"(&(objectClass=person)(uid=a\29\28uid=\2a))"
    assert made.encoded.count(b"uid") == 2  # the attribute, and the value's own letters


def test_a_filter_from_the_settings_is_read_once() -> None:
    text = "(|(objectClass=inetOrgPerson)(!(objectClass=posixAccount)))"

    assert Filter(text).encoded == encode_filter(text)
    with pytest.raises(MessageError):
        Filter("(|(objectClass=person)")
