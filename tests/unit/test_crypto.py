"""Values that the server makes up, seals and fingerprints."""

import pytest

from tests.flows.world import a_ring
from wardgate.crypto import (
    MAC_ROOT,
    MAX_REMEMBERED_MACS,
    KeyRing,
    Secret,
    new_id,
    new_reference,
    plain_secret,
)
from wardgate.errors import SealError

HOUR_MS = 3_600_000
NOW_MS = 1_800_000_000_000


def test_a_made_up_secret_is_never_taken_for_an_option_or_a_sign_of_the_shell() -> None:
    for _ in range(2_000):
        made = plain_secret(24)
        assert len(made) == 24
        assert made.isascii()
        assert made.isalnum()


def test_fingerprints_are_what_they_were_in_every_release() -> None:
    """They are looked up: another way of making them would lose brakes, recovery codes and timelines."""
    ring = KeyRing({MAC_ROOT: Secret(bytes(range(32))), 1: Secret(bytes(32))})
    assert ring.mac("brake-user", b"ada", b"").hex() == "8879a46fc34062f33f6be4a7367d8b5f9d8c25880d237de4070b3760bde38dac"
    assert ring.mac("handle", b"x" * 300).hex() == "7d270c9fc534282f1a2afa86f9511615989d814ec1220121aa4824b0a0fa35f0"


def test_fingerprints_of_other_parts_purposes_and_rings_differ() -> None:
    ring = a_ring()
    made = [
        ring.mac("a", b"xy"),
        ring.mac("a", b"x", b"y"),
        ring.mac("a", b"x", b"y", b""),
        ring.mac("b", b"xy"),
        a_ring().mac("a", b"xy"),
    ]
    assert len(set(made)) == len(made)


def test_a_remembered_fingerprint_is_the_same_and_few_are_remembered() -> None:
    ring = a_ring()
    for number in range(2 * MAX_REMEMBERED_MACS + 3):
        part = number.to_bytes(4, "big")
        assert ring.remembered_mac("a", part) == ring.remembered_mac("a", part) == ring.mac("a", part)
    assert len(ring._macs) <= MAX_REMEMBERED_MACS


def test_references_are_readable_and_differ() -> None:
    made = {new_reference() for _ in range(500)}
    assert len(made) == 500
    assert {len(each) for each in made} == {8}
    assert set("".join(made)) == set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def test_ids_are_of_one_form_and_rise_with_time() -> None:
    made = [new_id() for _ in range(100)]
    assert {len(each) for each in made} == {32}
    assert len(set(made)) == 100
    assert [each[:12] for each in made] == sorted(each[:12] for each in made)


# --- sealed for an hour ----------------------------------------------------------------------------------------------


def test_what_is_sealed_for_an_hour_opens_in_its_hour_and_those_beside_it() -> None:
    ring = a_ring()
    sealed = ring.seal_for_an_hour(b"value", "place", NOW_MS)
    for hours in (-1, 0, 1):
        assert ring.open_for_an_hour(sealed, "place", NOW_MS + hours * HOUR_MS) == b"value"
    for hours in (-2, 2, 1000):
        with pytest.raises(SealError):
            ring.open_for_an_hour(sealed, "place", NOW_MS + hours * HOUR_MS)


def test_it_opens_nowhere_else() -> None:
    ring = a_ring()
    sealed = ring.seal_for_an_hour(b"value", "place", NOW_MS)
    for other, place in ((ring, "another place"), (a_ring(), "place")):
        with pytest.raises(SealError):
            other.open_for_an_hour(sealed, place, NOW_MS)
    with pytest.raises(SealError):
        ring.open(sealed, "place")
    with pytest.raises(SealError):
        ring.open_for_an_hour(ring.seal(b"value", "place"), "place", NOW_MS)


def test_another_hours_key_does_not_open_it() -> None:
    """The hour stands in clear: who changes it gets another key."""
    ring = a_ring()
    sealed = bytearray(ring.seal_for_an_hour(b"value", "place", NOW_MS))
    sealed[16] ^= 1
    with pytest.raises(SealError):
        ring.open_for_an_hour(bytes(sealed), "place", NOW_MS)


@pytest.mark.parametrize("sealed", [b"", b"\0" * 12, b"\0" * 33, b"\2" * 100])
def test_garbage_opens_nothing(sealed: bytes) -> None:
    with pytest.raises(SealError):
        a_ring().open_for_an_hour(sealed, "place", NOW_MS)


def test_the_keys_of_few_hours_are_kept() -> None:
    ring = a_ring()
    for hour in range(100):
        ring.seal_for_an_hour(b"value", "place", NOW_MS + hour * HOUR_MS)
    assert len(ring._hour_ciphers) < 10


def test_a_sealed_handle_opens_after_the_data_key_was_rotated() -> None:
    root, old = Secret(bytes(32)), Secret(b"o" * 32)
    sealed = KeyRing({MAC_ROOT: root, 1: old}).seal_for_an_hour(b"value", "place", NOW_MS)
    rotated = KeyRing({MAC_ROOT: root, 2: Secret(b"n" * 32)})
    assert rotated.open_for_an_hour(sealed, "place", NOW_MS) == b"value"
