"""Active Directory for real: what a Samba domain controller answers, and what the directory makes of it."""

import pytest

from tests import samba
from tests.samba_dc import cast

pytestmark = pytest.mark.neighbour("samba")

SUB_CODES = {
    "alice": "",
    "expired": "data 532",
    "mustchange": "data 773",
    "disabled": "data 533",
    "gone": "data 701",
    "nightless": "data 530",
    "elsewhere": "data 531",
    "locked": "data 775",
}


@pytest.mark.parametrize("sam", SUB_CODES)
def test_the_cast_is_as_it_is_told(sam: str) -> None:
    said = samba.shared().bind(cast.person(sam).dn, cast.PASSWORD)

    assert SUB_CODES[sam] in said
    assert bool(said) == bool(SUB_CODES[sam])
