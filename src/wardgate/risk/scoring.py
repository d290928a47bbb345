"""The score of a login: circumstances and what is known of the person in, named contributions out. Pure.

Nothing takes points away. A machine's name, which the machine tells itself, can so make a login stand out and never make it stand
out less than its address does.
"""

from wardgate.risk.settings import RiskSettings
from wardgate.values import quick_value

SAFE, LOW, MODERATE, HIGH = BANDS = ("safe", "low", "moderate", "high")
FIRST_LOGIN = "first_login"
NEW_ADDRESS = "new_address"
NEW_DEVICE = "new_device"
NEW_COUNTRY = "new_country"
UNUSUAL_HOUR = "unusual_hour"
RECENT_FAILURES = "recent_failures"
REPUTATION = "reputation"
# In this order they stand in an assessment, and by their places in what a login carries along.
CONTRIBUTIONS = (FIRST_LOGIN, NEW_ADDRESS, NEW_DEVICE, NEW_COUNTRY, UNUSUAL_HOUR, RECENT_FAILURES, REPUTATION)


@quick_value
class Circumstances:
    """A login as it looks. `place`: the client's network, or the NAS where none is told. `device`: what the machine tells.

    `trusted_device`: the machine proved itself with what we gave it. `listed`: the list that the address stands on, and its points.
    """

    place: str
    device: str = ""
    trusted_device: bool = False
    country: str = ""
    failures: int = 0
    listed: tuple[str, int] | None = None


@quick_value
class Known:
    """What the person's habits say of these circumstances. `logins` 0: nothing is known of anything.

    `countries`: whether any country is known of him, without which none is new.
    """

    logins: int = 0
    place: bool = False
    device: bool = False
    country: bool = False
    countries: bool = False
    hour: bool = False


@quick_value
class Contribution:
    """What one fact adds, and why, in words for an operator."""

    name: str
    points: int
    why: str


@quick_value
class Assessment:
    """A score with all that it consists of."""

    score: int
    band: str
    contributions: tuple[Contribution, ...]

    def told(self) -> dict[str, object]:
        """For timeline and audit: score, band, and each contribution's points by its name."""
        return {"score": self.score, "band": self.band, **{each.name: each.points for each in self.contributions}}


def assess(settings: RiskSettings, now: Circumstances, known: Known) -> Assessment:
    """Compare a login with the habits of its person."""
    points, found = settings.points, list[Contribution]()
    if not known.logins:
        found.append(Contribution(FIRST_LOGIN, points.first_login, "never let in before: there is nothing to compare with"))
    else:
        if not known.place:
            found.append(Contribution(NEW_ADDRESS, points.new_address, f"never let in from {now.place} before"))
        if not known.device and not now.trusted_device:
            what = f"with {now.device}" if now.device else "without any machine being told"
            found.append(Contribution(NEW_DEVICE, points.new_device, f"never let in {what} before"))
        if now.country and known.countries and not known.country:
            found.append(Contribution(NEW_COUNTRY, points.new_country, f"never let in from {now.country.upper()} before"))
        if known.logins >= settings.hours_after_logins and not known.hour:
            why = f"never let in around this hour of the week, in {known.logins} logins"
            found.append(Contribution(UNUSUAL_HOUR, points.unusual_hour, why))
    if now.failures >= settings.failures:
        found.append(Contribution(RECENT_FAILURES, points.recent_failures, f"{now.failures} wrong proofs since the last login"))
    if now.listed is not None:
        name, weight = now.listed
        found.append(Contribution(REPUTATION, weight, f"the address stands on the list {name}"))
    score = sum(each.points for each in found)
    return Assessment(score, band_of(settings, score), tuple(found))


def band_of(settings: RiskSettings, score: int) -> str:
    """The band of a score."""
    bands = settings.bands
    if score >= bands.high:
        return HIGH
    if score >= bands.moderate:
        return MODERATE
    return LOW if score >= bands.low else SAFE
