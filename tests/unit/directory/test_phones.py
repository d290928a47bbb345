"""Phone numbers out of a directory: usable ones in E.164, the others told and not used."""

from wardgate.directory.phones import MAX_PHONES, read_phones


def test_national_and_international_numbers_become_e164_in_their_order() -> None:
    usable, unusable = read_phones("mobile", ["0532 123 45 67", "+44 20 7946 0958", "+90 532 123 45 67"], "TR")
    assert usable == ("+905321234567", "+442079460958")
    assert unusable == ()


def test_without_a_region_a_national_number_is_told_and_not_guessed_at() -> None:
    usable, unusable = read_phones("mobile", ["0532 123 45 67"], None)
    assert usable == ()
    [told] = unusable
    assert told.startswith("mobile: ")
    assert "default region" in told


def test_a_malformed_number_is_told_without_its_value_and_the_next_one_is_used() -> None:
    usable, unusable = read_phones("mobile", ["call me at 555-ADA", "  ", "+905321234567"], "TR")
    assert usable == ("+905321234567",)
    [told] = unusable
    assert "ADA" not in told
    assert "555" not in told


def test_more_numbers_than_anybody_has_are_left_out() -> None:
    usable, _ = read_phones("mobile", [f"+9053212345{number:02d}" for number in range(50)], None)
    assert len(usable) == MAX_PHONES
