"""What a login carries from its first request to its grant: its score, and what the grant has to remember.

One short text, for it stands in the State of a RADIUS challenge: `2A0D25.pQUJDREVGdW...hl`. Before the dot the band's place and the
contributions with their points; after it the fingerprints that are due, in capitals the new ones. What is learned is so what was
judged, whatever the answer's packet says of where it came from.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from wardgate.risk.habits import COUNTRY, DEVICE, HOUR, LOGIN, PLACE
from wardgate.risk.scoring import BANDS, CONTRIBUTIONS, Assessment
from wardgate.values import quick_value

_LETTERS = {PLACE: "p", DEVICE: "d", COUNTRY: "c", HOUR: "h", LOGIN: "l"}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}
_POINTS = re.compile(r"([A-Z])(\d{1,6})")
# Of the hour and of the login itself the grant knows the fingerprints.
_LESSON = re.compile(r"([pdcPDC])([\w-]{8})|([hl])")


@quick_value
class Lesson:
    """A value that is due. `key`: empty for the hour and the login, which are those of the grant."""

    kind: str
    key: bytes = b""
    is_new: bool = False


def carry(assessment: Assessment, lessons: list[Lesson]) -> str:
    """Both as text."""
    points = "".join(f"{chr(65 + CONTRIBUTIONS.index(each.name))}{each.points}" for each in assessment.contributions)
    return f"{BANDS.index(assessment.band)}{points}.{''.join(map(_written, lessons))}"


def told(carried: str) -> dict[str, object]:
    """The score with its contributions, as `Assessment.told` has it."""
    head = carried.partition(".")[0]
    points = {CONTRIBUTIONS[ord(letter) - 65]: int(number) for letter, number in _POINTS.findall(head)}
    return {"score": sum(points.values()), "band": BANDS[int(head[0])], **points}


def lessons(carried: str) -> list[Lesson]:
    """What the grant has to remember."""
    return [_read(*each) for each in _LESSON.findall(carried.partition(".")[2])]


def _written(lesson: Lesson) -> str:
    letter = _LETTERS[lesson.kind]
    return (letter.upper() if lesson.is_new and lesson.key else letter) + urlsafe_b64encode(lesson.key).decode()


def _read(letter: str, key: str, alone: str) -> Lesson:
    if alone:
        return Lesson(_KINDS[alone])
    return Lesson(_KINDS[letter.lower()], urlsafe_b64decode(key), letter.isupper())
