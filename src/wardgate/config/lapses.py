"""What a document lets through for a while only: `accept_weaker`, which is bounded, and told when its end is near or past."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from wardgate.config.document import Document
from wardgate.errors import SettingsError
from wardgate.policy.needs import SELF_SERVICE

# An exception that lasts longer than a year is the rule.
MOST_DAYS: Final = 366
NEAR_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Lapse:
    """One of them: where it stands, and its last day."""

    path: str
    until: date

    def told(self, today: date) -> str:
        """How near the end is, empty where it is far off."""
        left = (self.until - today).days
        if left < 0:
            return f"{self.path}: it ended on {self.until}: recovery is held to the login again"
        if left > NEAR_DAYS:
            return ""
        return f"{self.path}: it ends with {self.until}: people who lack the proofs then have to add them before"


def lapses(document: Document) -> Iterator[Lapse]:
    """All of a document."""
    for policy in document.policies:
        for name in SELF_SERVICE:
            goal = getattr(policy.self_service, name)
            if goal is not None and goal.accept_weaker is not None:
                path = f"policies.{policy.name}.self_service.{name}.accept_weaker"
                yield Lapse(path, date.fromisoformat(goal.accept_weaker.until))


def near_or_past(document: Document, today: date) -> list[str]:
    """What an operator hears of them."""
    return [told for each in lapses(document) if (told := each.told(today))]


def check_lapses(document: Document, today: date) -> None:
    """Raises SettingsError for one that ends later than it may, seen from the day on which it is put in force."""
    latest = today + timedelta(days=MOST_DAYS)
    late = [each for each in lapses(document) if each.until > latest]
    if late:
        raise SettingsError("\n".join(f"{each.path}.until: at most {MOST_DAYS} days ahead: {latest} or sooner" for each in late))
