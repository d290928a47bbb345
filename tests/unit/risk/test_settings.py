"""The section `risk` of the configuration document."""

from typing import Any

import pytest

from wardgate.config.document import dump, parse
from wardgate.errors import SettingsError
from wardgate.risk.settings import RiskSettings

DOCUMENT: dict[str, Any] = {
    "realms": [{"name": "acme", "default": True, "directories": ["staff"]}],
    "directories": [{"name": "staff", "kind": "local"}],
}


def document(**risk: Any) -> dict[str, Any]:
    return {**DOCUMENT, "risk": risk}


def test_risk_is_off_unless_it_is_switched_on() -> None:
    assert parse(DOCUMENT).risk == RiskSettings()
    assert not parse(DOCUMENT).risk.enabled
    assert "risk" not in dump(parse(DOCUMENT))


def test_what_is_set_comes_back_as_it_was_written() -> None:
    risk = {
        "enabled": True,
        "country_file": "/var/lib/country.mmdb",
        "reputation": [{"name": "tor", "cidr": ["198.51.100.0/24"], "file": "/etc/tor.txt", "points": 70}],
        "points": {"new_address": 30},
        "bands": {"high": 90},
        "time_zone": "Europe/Istanbul",
    }
    parsed = parse(document(**risk))
    assert parsed.risk.points.new_address == 30
    assert parsed.risk.points.new_device == RiskSettings().points.new_device
    assert parse(dump(parsed)) == parsed


@pytest.mark.parametrize(
    ("risk", "told"),
    [
        ({"points": {"new_address": -1}}, "risk.points.new_address: must be between 0 and 1000"),
        ({"points": {"new_adress": 1}}, "new_address"),
        ({"bands": {"low": 60}}, "risk.bands: must rise from low to high; here 60, 50, 100"),
        ({"bands": {"low": 0}}, "risk.bands.low: must be between 1 and"),
        ({"time_zone": "Mars/Olympus"}, "risk.time_zone: is no time zone"),
        ({"time_zone": "../../etc/passwd"}, "risk.time_zone: is no time zone"),
        ({"country_file": "country.mmdb"}, "risk.country_file: must be an absolute path"),
        ({"reputation": [{"name": "x"}]}, "risk.reputation[0]: must name addresses"),
        ({"reputation": [{"name": "x", "file": "tor.txt"}]}, "risk.reputation[0].file: must be an absolute path"),
        ({"reputation": [{"name": "x", "cidr": ["everywhere"]}]}, "risk.reputation[0].cidr[0]: not an address or network"),
        ({"reputation": [{"name": "x", "cidr": ["10.0.0.1/8"]}]}, "risk.reputation[0].cidr[0]: 10.0.0.1/8 has bits"),
        ({"reputation": [{"name": "x", "cidr": ["10.0.0.1"]}] * 2}, "is already taken"),
        ({"reputation": [{"name": f"x{n}", "cidr": ["10.0.0.1"]} for n in range(51)]}, "more than 50"),
        ({"remembered": 0}, "risk.remembered: must be between 1 and 200"),
        ({"enabled": "yes"}, "risk.enabled: must be true or false"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(risk: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse(document(**risk))
    assert told in error.value.message
