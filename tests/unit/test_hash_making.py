"""Hashes for other programs: as they read them, and never cheaper than they are advised to be."""

import pytest

from wardgate import foreign_hashes, hash_making
from wardgate.errors import UsageError
from wardgate.foreign_hashes import scheme_of


@pytest.mark.parametrize("scheme", hash_making.WRITTEN)
def test_what_is_written_verifies_and_is_salted(scheme: str) -> None:
    one, other = hash_making.make(scheme, b"correct horse"), hash_making.make(scheme, b"correct horse")

    found = scheme_of(one)
    assert found is not None
    assert found[1].string == foreign_hashes.adopt(one)
    assert one != other
    assert foreign_hashes.check(one, b"correct horse")
    assert not foreign_hashes.check(one, b"Correct horse")


@pytest.mark.parametrize(
    ("like", "begins"),
    [
        ("$2y$04$" + "a" * 53, "$2y$12$"),
        ("$2b$13$" + "a" * 53, "$2b$13$"),
        ("{CRYPT}$6$saltsalt$" + "a" * 86, "{CRYPT}$6$rounds=100000$"),
        ("$5$rounds=200000$saltsalt$" + "a" * 43, "$5$rounds=200000$"),
        ("pbkdf2_sha256$1000$salt$" + "A" * 43 + "=", "pbkdf2_sha256$600000$"),
        ("scrypt$2$salt$1$1$" + "A" * 86 + "==", "scrypt$16384$"),
    ],
)
def test_the_dialect_is_kept_and_the_cost_where_it_was_higher(like: str, begins: str) -> None:
    found = scheme_of(foreign_hashes.adopt(like))
    assert found is not None

    assert hash_making.make(found[0].name, b"x", like).startswith(begins)


def test_a_cost_beyond_what_would_be_checked_is_not_taken_over() -> None:
    """Nobody could log in with it, and making it would take minutes."""
    assert hash_making.make("bcrypt", b"x", "$2b$31$" + "a" * 53).startswith("$2b$12$")


@pytest.mark.parametrize(("scheme", "password"), [("bcrypt", b"x" * 73), ("bcrypt", b"a\x00b"), ("sha512-crypt", b"a\x00b")])
def test_a_password_that_would_be_cut_is_refused(scheme: str, password: bytes) -> None:
    with pytest.raises(UsageError):
        hash_making.make(scheme, password)


def test_weak_forms_without_salt_are_never_written() -> None:
    assert not {"md5", "sha", "smd5", "sha256", "sha512"} & set(hash_making.WRITTEN)
