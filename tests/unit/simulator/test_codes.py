"""Codes for a simulated person: none twice, and none that no server would take."""

import time

import pytest

from wardgate.crypto import Secret
from wardgate.errors import UsageError
from wardgate.factors.totp import hotp
from wardgate.simulator.codes import HotpCodes, TotpCodes

SECRET_HEX = "3132333435363738393031323334353637383930"


async def test_two_logins_in_a_row_need_not_wait_and_get_two_codes() -> None:
    codes = TotpCodes(SECRET_HEX, period_s=3600)
    began = time.monotonic()
    step = int(time.time()) // 3600
    assert [await codes.fresh(), await codes.fresh()] == [hotp(Secret(bytes.fromhex(SECRET_HEX)), step + n, 6) for n in (0, 1)]
    assert time.monotonic() - began < 1


async def test_the_third_code_waits_until_a_server_takes_it() -> None:
    codes = TotpCodes(SECRET_HEX, period_s=1)
    first_step = int(time.time())
    given = [await codes.fresh() for _ in range(3)]
    assert len(set(given)) == 3
    # The third is two steps on from the first, and a server takes one step ahead at most.
    assert int(time.time()) >= first_step + 1


def test_a_device_counts() -> None:
    codes = HotpCodes(SECRET_HEX, counter=0)
    # RFC 4226 appendix D.
    assert [codes.next(), codes.next(), codes.next()] == ["755224", "287082", "359152"]


@pytest.mark.parametrize("secret_hex", ["", "xyz", "0", "00" * 200])
def test_a_secret_that_is_none_is_refused(secret_hex: str) -> None:
    with pytest.raises(UsageError, match="hexadecimal"):
        HotpCodes(secret_hex)
