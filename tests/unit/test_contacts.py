"""Numbers into E.164, and masks that fit into a Reply-Message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.contacts import is_costly, mask_mail, mask_phone, national_digits, normalise_mail, normalise_phone
from wardgate.errors import MessageError

# A firewall's login page is built from the Reply-Message; PAN-OS puts it into a JavaScript string.
DANGEROUS = set('<>"\\')
MAX_MASK_CHARS = 40


@pytest.mark.parametrize(
    ("written", "region"),
    [
        ("+90 532 123 45 67", None),
        ("0532 123 45 67", "TR"),
        ("532 123 45 67", "TR"),
        ("(0532) 123-4567", "TR"),
        ("00 90 532 123 45 67", "DE"),
        ("+905321234567", "US"),
    ],
)
def test_a_number_is_brought_into_e164(written: str, region: str | None) -> None:
    assert normalise_phone(written, region) == "+905321234567"


@pytest.mark.parametrize(
    "written",
    ["", "0532 123 45 67", "+90", "+90 532 123", "bob", "+1 212 555 0100 ext. 7", "+905321234567" + "0" * 40, "+999 123 456 789"],
)
def test_what_is_no_number_is_refused_without_repeating_it(written: str) -> None:
    with pytest.raises(MessageError) as caught:
        normalise_phone(written)
    assert caught.value.code == "phone_malformed"
    assert not written or written not in caught.value.message


def test_a_number_is_written_as_it_is_dialled_at_home() -> None:
    assert national_digits("+905321234567") == "05321234567"
    assert national_digits("+12125550100") == "2125550100"


@pytest.mark.parametrize(
    ("number", "mask"),
    [
        ("+905321234567", "+90 *** ** 67"),
        ("+12125550100", "+1 *** ** 00"),
        ("05321234567", "*** ** 67"),
        ("123", "*** ** **"),
        ("", "*** ** **"),
    ],
)
def test_a_number_is_masked(number: str, mask: str) -> None:
    assert mask_phone(number) == mask


@pytest.mark.parametrize(
    ("address", "mask"),
    [
        ("carol@example.test", "c***@example.test"),
        ("abc@example.test", "a***@example.test"),
        ("ab@example.test", "a***@example.test"),
        ("a@example.test", "***@example.test"),
        ("çağrı@example.test", "****@example.test"),
        ('"<b>\\"@example.test', "****@example.test"),
        ("carol@a-very-long-name-of-a-company.example.test", "c***@a-very-lon***ample.test"),
        ("no address", "***"),
    ],
)
def test_a_mail_address_is_masked(address: str, mask: str) -> None:
    assert mask_mail(address) == mask


@given(st.one_of(st.text(max_size=80), st.from_regex(r"\+[0-9]{0,20}", fullmatch=True)))
def test_a_hostile_number_does_not_reach_a_login_page_through_its_mask(number: str) -> None:
    mask = mask_phone(number)
    assert mask.isascii()
    assert mask.isprintable()
    assert len(mask) <= MAX_MASK_CHARS
    assert not DANGEROUS & set(mask)


@given(st.one_of(st.text(max_size=300), st.emails(), st.tuples(st.text(), st.text()).map("@".join)))
def test_a_hostile_address_does_not_reach_a_login_page_through_its_mask(address: str) -> None:
    mask = mask_mail(address)
    assert mask.isascii()
    assert mask.isprintable()
    assert len(mask) <= MAX_MASK_CHARS
    assert not DANGEROUS & set(mask)


@given(st.from_regex(r"[a-z]{4,20}", fullmatch=True))
def test_a_mask_tells_no_more_of_a_name_than_its_first_letter(local: str) -> None:
    assert mask_mail(f"{local}@example.test") == f"{local[0]}***@example.test"


def test_premium_rate_number_is_costly_and_a_mobile_one_is_not() -> None:
    assert is_costly("+449098790000")
    assert not is_costly("+905321234567")


@pytest.mark.parametrize(
    "address", ["", "ada", "a@b@c", "ada@acme.test\r\nBcc: x@y.test", "a" * 65 + "@acme.test", "ada@ac\x00me.test"]
)
def test_what_is_no_mail_address_is_refused(address: str) -> None:
    with pytest.raises(MessageError):
        normalise_mail(address)


def test_domain_of_a_mail_address_is_lowered_and_its_local_part_kept() -> None:
    assert normalise_mail(" Ada@ACME.Test ") == "Ada@acme.test"
