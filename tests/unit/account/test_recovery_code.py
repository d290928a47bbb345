"""Recovery codes: how they look, what people may type, what is stored."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.account.recovery_code import CODES_PER_SET, KIND, code_mac, create_recovery_codes, new_code, normalise
from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing, new_key
from wardgate.storage.port import Insert

RING = KeyRing({0: new_key(), 1: new_key()})


def test_a_code_is_three_groups_of_letters_that_nobody_confuses() -> None:
    for _ in range(200):
        assert re.fullmatch(r"[0-9A-F][0-9A-HJKMNP-TV-Z]{3}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{5}", new_code())


def test_every_bit_of_a_code_is_random() -> None:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    seen_ones = seen_zeros = 0
    for _ in range(400):
        value = 0
        for char in new_code().replace("-", ""):
            value = value << 5 | alphabet.index(char)
        seen_ones |= value
        seen_zeros |= ~value & (1 << 64) - 1
        assert value < 1 << 64

    assert seen_ones == seen_zeros == (1 << 64) - 1


@pytest.mark.parametrize(
    "typed",
    [
        "07QF-2M91-4TRB0",
        "07qf-2m91-4trb0",
        " 07QF 2M91 4TRB0 ",
        "07QF2M914TRB0",
        "O7QF-2M9I-4TRBO",
        "o7qf-2m9l-4trbo",
        "07QF–2M91—4TRB0",
        "07qf-2m9ı-4trb0",
        "0-7-Q-F-2-M-9-1-4-T-R-B-0",
    ],
)
def test_what_people_type_is_read_as_meant(typed: str) -> None:
    assert normalise(typed) == "07QF2M914TRB0"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "123456",
        "07QF-2M91-4TRB",
        "07QF-2M91-4TRB00",
        "07QF-2M91-4TRBU",
        "G7QF-2M91-4TRB0",  # beyond 64 bits
        "07QF-2M91-4TRB\n0",
        "07QF_2M91_4TRB0",
        "０7QF-2M91-4TRB0",
        "-" * 60 + "07QF2M914TRB0",
        "07QF-2M91-4TRB0" * 1000,
    ],
)
def test_what_cannot_be_a_code_is_told_from_a_wrong_one(typed: str) -> None:
    assert normalise(typed) is None


@given(st.text(max_size=80))
def test_normalising_anything_gives_a_code_or_nothing(typed: str) -> None:
    code = normalise(typed)

    assert code is None or normalise(code) == code


def test_a_new_set_is_ten_codes_of_which_only_fingerprints_are_stored() -> None:
    authenticator_id, codes, operations = create_recovery_codes(RING, SubjectId("s"), "sheet", 1)
    rows = [operation for operation in operations if isinstance(operation, Insert) and operation.table == "recovery_code"]

    assert len(set(codes)) == CODES_PER_SET == len(rows)
    assert operations[0] == Insert("authenticator", {**operations[0].row, "kind": KIND, "sealed": None})  # type: ignore[union-attr]
    expected = {code_mac(RING, authenticator_id, normalise(code) or "") for code in codes}
    assert {row.row["code_mac"] for row in rows} == expected
    assert not any(code.replace("-", "") in repr(operations) for code in codes)


def test_a_fingerprint_belongs_to_its_set_and_key() -> None:
    other_ring = KeyRing({0: new_key(), 1: new_key()})
    code = "07QF2M914TRB0"

    assert len({code_mac(RING, "a", code), code_mac(RING, "b", code), code_mac(other_ring, "a", code)}) == 3
