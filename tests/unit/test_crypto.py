"""Values that the server makes up."""

from wardgate.crypto import plain_secret


def test_a_made_up_secret_is_never_taken_for_an_option_or_a_sign_of_the_shell() -> None:
    for _ in range(2_000):
        made = plain_secret(24)
        assert len(made) == 24
        assert made.isascii()
        assert made.isalnum()
