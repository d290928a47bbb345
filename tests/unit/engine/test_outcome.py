"""Outcomes are kept as bytes for an identical packet: what comes back must be what was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.engine.outcome import Challenge, Denied, Granted, dump_outcome, load_outcome
from wardgate.texts import LANGUAGES, Text, catalogue

words = st.text(max_size=40)
values = st.dictionaries(words, words | st.integers(-(2**53), 2**53), max_size=4)
texts = st.builds(Text, words, values)
names = st.tuples() | st.lists(words, max_size=5).map(tuple)
challenges = st.builds(
    Challenge,
    handle=st.binary(max_size=253),
    factor=words,
    texts=st.lists(texts, max_size=4).map(tuple),
    expires_in_s=st.integers(0, 2**31),
    language=words,
    reference=words,
)
grants = st.builds(
    Granted,
    subject_id=words,
    user_name=words,
    directory=words,
    realm=words,
    display_name=words,
    mail=st.none() | words,
    groups=names,
    attributes=st.dictionaries(words, names, max_size=4),
    factors=names,
    assurance=st.integers(1, 3),
    application=words,
    reference=words,
    group_aliases=st.dictionaries(words, names, max_size=4),
)
refusals = st.builds(Denied, reason=words, text=texts, language=words, reference=words)


@given(challenges | grants | refusals)
def test_what_was_kept_comes_back(outcome: Challenge | Granted | Denied) -> None:
    assert load_outcome(dump_outcome(outcome)) == outcome


def test_a_kept_refusal_leaves_at_once() -> None:
    """Its moment was on another process's clock, and has passed."""
    refusal = Denied("x", Text("signin.failed"), "en", "REF", not_before=5.0)
    kept = load_outcome(dump_outcome(refusal))
    assert kept == Denied("x", Text("signin.failed"), "en", "REF")


@pytest.mark.parametrize("stored", [b"", b"{}", b"[]", b'{"is":"granted"}', b'{"is":"challenge"}', b"\xff", b'{"is":"other"}'])
def test_nonsense_is_never_a_grant(stored: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        load_outcome(stored)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_person_hears_of_a_password_fits_a_firewalls_prompt(language: str) -> None:
    """Cut off, "then sign" is no advice. 120 characters is what a vendor without a limit of its own shows."""
    told = {name: text.format(ref="X" * 8) for name, text in catalogue(language).items() if name.startswith("password.")}
    assert told
    assert {name: len(text) for name, text in told.items() if len(text) > 120} == {}
