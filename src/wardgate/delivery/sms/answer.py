"""What an SMS service answered: was the message taken? Pure."""

import json
import re
from dataclasses import dataclass, field

from wardgate.delivery.kind import setting_error

MAX_PATTERN_CHARS = 500
# Bounds what a backtracking expression can cost: it runs on the event loop.
MATCHED_CHARS = 2_000
MAX_PATH_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedSettings:
    """How to tell from the answer that the message was taken. Every test that is given must hold."""

    status: tuple[int, ...] = field(default=(200, 201, 202, 204), metadata={"help": "answers that mean: taken"})
    json_path: str | None = field(default=None, metadata={"help": "dotted path into a JSON answer, such as result.0.status"})
    json_equals: object = field(
        default=None, metadata={"help": "value that must stand at json_path; when absent, any value but null"}
    )
    matches: str | None = field(default=None, metadata={"help": "regular expression that the answer's text must match"})
    refused_status: tuple[int, ...] = field(default=(400, 422), metadata={"help": "answers that mean: never this message"})


def refusal(accepted: AcceptedSettings, status: int, body: bytes) -> str | None:
    """Why this answer does not count as taken, or None when every test holds. The reason quotes nothing from the body."""
    if status not in accepted.status:
        return f"status {status} is not one that means taken"
    if accepted.json_path is not None:
        problem = _json_problem(accepted, body)
        if problem:
            return problem
    if accepted.matches is not None:
        text = body.decode("utf-8", "replace")[:MATCHED_CHARS]
        if not re.search(accepted.matches, text):
            return "the text does not match accepted.matches"
    return None


def _json_problem(accepted: AcceptedSettings, body: bytes) -> str | None:
    try:
        found: object = json.loads(body)
    except (ValueError, RecursionError):
        return "the body is not JSON"
    for step in (accepted.json_path or "").split("."):
        found = _step(found, step)
    if found is None:
        return f"nothing stands at {accepted.json_path}"
    if accepted.json_equals is not None and not _same(found, accepted.json_equals):
        return f"another value than expected stands at {accepted.json_path}"
    return None


def _step(value: object, step: str) -> object:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and step.isascii() and step.isdigit() and len(step) < 6 and int(step) < len(value):
        return value[int(step)]
    return None


def _same(found: object, expected: object) -> bool:
    """Equal as JSON: `true` is not 1, and "0" is not 0."""
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    return found == expected


def check_accepted(gateway: str, accepted: AcceptedSettings) -> None:
    """Raise SettingsError for tests that cannot be made."""
    if not accepted.status:
        raise setting_error(gateway, "accepted.status", "is empty: name the statuses that mean taken")
    for setting, statuses in (("accepted.status", accepted.status), ("accepted.refused_status", accepted.refused_status)):
        if any(not 200 <= status <= 599 for status in statuses):
            raise setting_error(gateway, setting, "holds a number that is no HTTP status from 200 to 599")
    both = set(accepted.status) & set(accepted.refused_status)
    if both:
        raise setting_error(gateway, "accepted.refused_status", f"names {min(both)}, which also means taken")
    if accepted.json_equals is not None and accepted.json_path is None:
        raise setting_error(gateway, "accepted.json_equals", "needs accepted.json_path, which says where to look")
    if accepted.json_path is not None:
        steps = accepted.json_path.split(".")
        if not all(steps) or len(steps) > MAX_PATH_STEPS:
            raise setting_error(gateway, "accepted.json_path", "must be names or numbers joined by dots, such as result.0.status")
    if accepted.matches is not None:
        _check_pattern(gateway, accepted.matches)


def _check_pattern(gateway: str, pattern: str) -> None:
    if len(pattern) > MAX_PATTERN_CHARS:
        raise setting_error(gateway, "accepted.matches", f"is longer than {MAX_PATTERN_CHARS} characters")
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise setting_error(gateway, "accepted.matches", f"is not a regular expression: {error}") from error
