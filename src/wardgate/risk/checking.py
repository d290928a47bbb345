"""What is wrong with the settings of risk."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Final
from zoneinfo import ZoneInfo

from wardgate.risk.settings import ReputationSettings, RiskBandsSettings, RiskPointsSettings, RiskSettings

MAX_LISTS: Final = 50
MAX_POINTS: Final = 1_000
MAX_ZONE_CHARS: Final = 64
# The least and the greatest value of each number.
RANGES: Final[Mapping[tuple[type, str], tuple[float, float]]] = {
    **{(RiskPointsSettings, each.name): (0, MAX_POINTS) for each in fields(RiskPointsSettings)},
    **{(RiskBandsSettings, each.name): (1, 10 * MAX_POINTS) for each in fields(RiskBandsSettings)},
    (ReputationSettings, "points"): (0, MAX_POINTS),
    (RiskSettings, "failures"): (1, 1_000),
    (RiskSettings, "hours_after_logins"): (1, 10_000),
    (RiskSettings, "remembered"): (1, 200),
}


def check_risk(settings: RiskSettings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every fault with its place below `risk`; networks and ranges are checked as everywhere."""
    if not is_zone(settings.time_zone):
        yield ("time_zone",), "is no time zone that is known here; write UTC or a name such as Europe/Istanbul"
    bands = settings.bands
    if not bands.low < bands.moderate < bands.high:
        yield ("bands",), f"must rise from low to high; here {bands.low}, {bands.moderate}, {bands.high}"
    if settings.country_file is not None and not settings.country_file.startswith("/"):
        yield ("country_file",), "must be an absolute path: the server reads it, wherever it was started"
    for number, each in enumerate(settings.reputation):
        here = ("reputation", number)
        if not each.cidr and each.file is None:
            yield here, "must name addresses, as `cidr` or in a `file`"
        if each.file is not None and not each.file.startswith("/"):
            yield (*here, "file"), "must be an absolute path: the server reads it, wherever it was started"


def is_zone(name: str) -> bool:
    """Whether a time zone of this name is known here."""
    if len(name) > MAX_ZONE_CHARS:
        return False
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True
