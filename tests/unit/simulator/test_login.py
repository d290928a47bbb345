"""Small things that the play hangs on."""

import pytest

from wardgate.errors import UsageError
from wardgate.simulator.login import plain_reason, reference_of
from wardgate.simulator.nas import SimulatedNas, client_address


@pytest.mark.parametrize(
    ("message", "reference"),
    [
        ("The user name or password is not right. Reference 8D3R1EAW", "8D3R1EAW"),
        ("This took too long and was closed. Start again. Reference 12345678", "12345678"),
        ("No second factor", ""),
        ("Reference 8D3R1EAU", ""),
        ("", ""),
    ],
)
def test_the_reference_stands_at_the_end_of_a_refusal(message: str, reference: str) -> None:
    assert reference_of(message) == reference


def test_a_reason_is_told_in_words_and_an_unknown_one_as_it_is() -> None:
    told = plain_reason("no_factor", "frank")
    assert told.startswith("the user has no second factor; enrol one: wardgate authenticator add frank totp")
    assert plain_reason("struck_by_lightning", "frank") == "struck_by_lightning"


def test_a_palo_alto_firewall_tells_the_users_machine() -> None:
    told = SimulatedNas(vendor="paloalto").attributes("127.0.0.1", "ACME\\Ada")
    assert any(b"203.0.113.7" in value for kind, value in told if kind == 26)
    assert any(b"laptop-ada" in value for kind, value in told if kind == 26)
    silent = SimulatedNas(vendor="paloalto", client_ip=None).attributes("::1", "ada")
    assert not any(b"203.0.113.7" in value for _, value in silent)
    assert silent[0] == (95, bytes(15) + b"\x01")


def test_a_client_address_that_is_none_is_refused() -> None:
    assert client_address("") is None
    assert client_address("2001:DB8::1") == "2001:db8::1"
    with pytest.raises(UsageError):
        client_address("firewall.acme.test")
