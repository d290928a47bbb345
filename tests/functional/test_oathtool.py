"""The codes of another maker's tool are the codes that we take, in every variant of TOTP and HOTP."""

import itertools
import secrets
import subprocess

import pytest

from tests import neighbours
from tests.functional.harness import Person, Served, Wire, cli, totp_code
from tests.functional.plant import CHALLENGE, USERS
from wardgate.radius.packet import Code

pytestmark = pytest.mark.neighbour("oathtool")

VARIANTS = list(itertools.product((6, 7, 8), (30, 60), ("SHA1", "SHA256", "SHA512")))


def oathtool(*arguments: str) -> str:
    """One code."""
    command = [neighbours.executable("oathtool"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()


def person(plant: Served, *options: str) -> tuple[Person, str]:
    """A new user with one enrolled device, and its secret."""
    secret_hex = secrets.token_hex(32)
    ada = USERS.without_factor()
    kind, *rest = options
    cli("authenticator", "add", ada.name, kind, "--secret-stdin", *rest, data=plant.data, stdin=secret_hex)
    return ada, secret_hex


@pytest.mark.parametrize(("digits", "period_s", "algorithm"), [VARIANTS[0], VARIANTS[3], VARIANTS[4], VARIANTS[11], VARIANTS[17]])
def test_totp_codes_of_oathtool_are_taken(plant: Served, digits: int, period_s: int, algorithm: str) -> None:
    ada, secret_hex = person(plant, "totp", "--digits", str(digits), "--period", str(period_s), "--algorithm", algorithm)
    code = oathtool(f"--totp={algorithm.lower()}", f"--digits={digits}", f"--time-step-size={period_s}s", secret_hex)
    assert len(code) == digits
    with Wire(plant, source=CHALLENGE) as wire:
        accept = wire.answer(ada.name, code, wire.log_in(ada.name, ada.password))
    assert accept.code is Code.ACCESS_ACCEPT


def test_all_totp_variants_agree_with_oathtool() -> None:
    for digits, period_s, algorithm in VARIANTS:
        secret_hex = secrets.token_hex(20)
        options = {"digits": digits, "period_s": period_s, "algorithm": algorithm}
        ours = {totp_code(secret_hex, shift=shift, **options) for shift in (-1, 0, 1)}  # type: ignore[arg-type]
        theirs = oathtool(f"--totp={algorithm.lower()}", f"--digits={digits}", f"--time-step-size={period_s}s", secret_hex)
        assert theirs in ours


@pytest.mark.parametrize("digits", [6, 8])
def test_hotp_codes_of_oathtool_are_taken(plant: Served, digits: int) -> None:
    ada, secret_hex = person(plant, "hotp", "--digits", str(digits), "--counter", "7")
    with Wire(plant, source=CHALLENGE) as wire:
        for counter in (7, 8, 12):
            code = oathtool("--hotp", f"--counter={counter}", f"--digits={digits}", secret_hex)
            assert wire.answer(ada.name, code, wire.log_in(ada.name, ada.password)).code is Code.ACCESS_ACCEPT
        late = oathtool("--hotp", "--counter=9", f"--digits={digits}", secret_hex)
        assert wire.answer(ada.name, late, wire.log_in(ada.name, ada.password)).code is Code.ACCESS_CHALLENGE


def test_a_code_from_far_away_in_time_is_not_taken(plant: Served) -> None:
    ada, secret_hex = person(plant, "totp")
    with Wire(plant, source=CHALLENGE) as wire:
        challenge = wire.log_in(ada.name, ada.password)
        for shift in ("-2 minutes", "+2 minutes"):
            challenge = wire.answer(ada.name, oathtool("--totp", f"--now={shift}", secret_hex), challenge)
            assert challenge.code is Code.ACCESS_CHALLENGE
        assert wire.answer(ada.name, oathtool("--totp", secret_hex), challenge).code is Code.ACCESS_ACCEPT
