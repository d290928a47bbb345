"""How long what was recorded is kept, per class of data, and to which class every audit event belongs.

The spans stand in the configuration document, not in `wardgate.toml`: who shortened one, when and why is then versioned, is an
audit event itself, and holds for every node at once. Each span has a least value, so that nobody empties the trail of yesterday
by a change of configuration.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Final

from wardgate.audit.events import Kind
from wardgate.durations import seconds_of, written_as
from wardgate.errors import SettingsError

DAY_S: Final = 86_400
_YEARS: Final = 3_650 * DAY_S


class EventClass(Enum):
    """What an audit event is about, as far as its payload's life goes. The value names the span; KEPT ones have none."""

    LOGINS = "audit_logins"
    ADMINISTRATION = "audit_administration"
    SECURITY = "audit_security"
    KEPT = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """How long what was recorded is kept, such as 30d. Of an audit event only the payload goes: the chain stays whole."""

    audit_logins: str | int = field(
        default="400d", metadata={"help": "payloads of audit events about logins and codes (30d to 3650d)"}
    )
    audit_administration: str | int = field(
        default="400d",
        metadata={"help": "payloads of audit events about what operators and users changed (180d to 3650d)"},
    )
    audit_security: str | int = field(
        default="400d", metadata={"help": "payloads of audit events about brakes, refusals, clocks and the server (90d to 3650d)"}
    )
    timeline: str | int = field(default="30d", metadata={"help": "what wardgate trace and the live log show (1d to 400d)"})
    incidents: str | int = field(default="30d", metadata={"help": "what never became a login (1d to 400d)"})
    accounting: str | int = field(default="30d", metadata={"help": "accounting records of NAS (1d to 400d)"})
    messages: str | int = field(default="7d", metadata={"help": "messages that were sent, or could not be (1d to 90d)"})
    habits: str | int = field(
        default="180d", metadata={"help": "from where, with what and when a person was let in, since last seen (7d to 400d)"}
    )
    costs: str | int = field(default="400d", metadata={"help": "how many messages went where on a day (32d to 3650d)"})


# The least and the greatest span of each, in seconds.
LIMITS: Final[Mapping[str, tuple[int, int]]] = {
    "audit_logins": (30 * DAY_S, _YEARS),
    "audit_administration": (180 * DAY_S, _YEARS),
    "audit_security": (90 * DAY_S, _YEARS),
    "timeline": (DAY_S, 400 * DAY_S),
    "incidents": (DAY_S, 400 * DAY_S),
    "accounting": (DAY_S, 400 * DAY_S),
    "messages": (DAY_S, 90 * DAY_S),
    "habits": (7 * DAY_S, 400 * DAY_S),
    "costs": (32 * DAY_S, _YEARS),
}

# Beside the catalogue, and complete: a test holds every kind against it.
CLASSES: Final[Mapping[Kind, EventClass]] = {
    Kind.LOGIN_GRANTED: EventClass.LOGINS,
    Kind.LOGIN_DENIED: EventClass.LOGINS,
    Kind.LOGIN_CHALLENGED: EventClass.LOGINS,
    Kind.LOGIN_ACTION_REQUIRED: EventClass.LOGINS,
    Kind.LOGIN_ANSWER_WRONG: EventClass.LOGINS,
    Kind.CODE_SENT: EventClass.LOGINS,
    Kind.REMINDER_SENT: EventClass.LOGINS,
    Kind.LINK_SENT: EventClass.LOGINS,
    Kind.LINK_PROVED: EventClass.LOGINS,
    Kind.LOGIN_DISOWNED: EventClass.SECURITY,
    Kind.SESSION_BEGUN: EventClass.LOGINS,
    Kind.SESSION_CONFIRMED: EventClass.LOGINS,
    Kind.SESSION_STEPPED_UP: EventClass.LOGINS,
    Kind.SESSION_ENDED: EventClass.LOGINS,
    Kind.SELF_SERVICE_BEGUN: EventClass.SECURITY,
    Kind.SELF_SERVICE_STEP: EventClass.SECURITY,
    Kind.SELF_SERVICE_DONE: EventClass.SECURITY,
    Kind.PASSWORD_UPGRADED: EventClass.LOGINS,
    Kind.SELF_SERVICE_BEGUN: EventClass.LOGINS,
    Kind.SELF_SERVICE_STEP: EventClass.LOGINS,
    Kind.SELF_SERVICE_DONE: EventClass.LOGINS,
    Kind.SESSION_BEGUN: EventClass.LOGINS,
    Kind.SESSION_CONFIRMED: EventClass.LOGINS,
    Kind.SESSION_ENDED: EventClass.LOGINS,
    Kind.SUBJECT_CREATED: EventClass.ADMINISTRATION,
    Kind.SUBJECT_RELINKED: EventClass.ADMINISTRATION,
    Kind.AUTHENTICATOR_ADDED: EventClass.ADMINISTRATION,
    Kind.AUTHENTICATOR_REVOKED: EventClass.ADMINISTRATION,
    Kind.AUTHENTICATOR_RELEASED: EventClass.ADMINISTRATION,
    Kind.AUTHENTICATOR_RENAMED: EventClass.ADMINISTRATION,
    Kind.AUTHENTICATOR_RESYNCED: EventClass.ADMINISTRATION,
    Kind.TOKENS_IMPORTED: EventClass.ADMINISTRATION,
    Kind.TOKEN_REMOVED: EventClass.ADMINISTRATION,
    Kind.DEVICE_TRUSTED: EventClass.ADMINISTRATION,
    Kind.DEVICE_RENAMED: EventClass.ADMINISTRATION,
    Kind.DEVICE_FORGOTTEN: EventClass.ADMINISTRATION,
    Kind.QUESTIONS_SET: EventClass.ADMINISTRATION,
    Kind.QUESTIONS_CLEARED: EventClass.ADMINISTRATION,
    Kind.QUESTIONS_CHECKED: EventClass.ADMINISTRATION,
    Kind.QUESTIONS_REOPENED: EventClass.ADMINISTRATION,
    Kind.QUESTIONS_CLOSED: EventClass.SECURITY,
    Kind.PERSON_ERASED: EventClass.KEPT,
    Kind.USER_ADDED: EventClass.ADMINISTRATION,
    Kind.USER_CHANGED: EventClass.ADMINISTRATION,
    Kind.USER_REMOVED: EventClass.ADMINISTRATION,
    Kind.USERS_IMPORTED: EventClass.ADMINISTRATION,
    Kind.USERS_EXPORTED: EventClass.ADMINISTRATION,
    Kind.PASSWORD_REFUSED: EventClass.ADMINISTRATION,
    Kind.PASSWORD_SET: EventClass.ADMINISTRATION,
    Kind.ACTIVATION_ISSUED: EventClass.ADMINISTRATION,
    Kind.ACTIVATION_CANCELLED: EventClass.ADMINISTRATION,
    Kind.ACTIVATION_USED: EventClass.ADMINISTRATION,
    Kind.ACTIVATION_SPOILED: EventClass.SECURITY,
    Kind.CONTACT_ADDED: EventClass.ADMINISTRATION,
    Kind.CONTACT_REMOVED: EventClass.ADMINISTRATION,
    Kind.CONTACT_PREFERRED: EventClass.ADMINISTRATION,
    Kind.CONTACT_WRITTEN: EventClass.ADMINISTRATION,
    Kind.CONTACT_UNDONE: EventClass.ADMINISTRATION,
    Kind.CHANGE_DISPUTED: EventClass.SECURITY,
    Kind.ACCOUNT_FROZEN: EventClass.SECURITY,
    Kind.ACCOUNT_UNFROZEN: EventClass.SECURITY,
    Kind.USER_NAMES_SENT: EventClass.SECURITY,
    Kind.DIRECTORY_EXAMINED: EventClass.ADMINISTRATION,
    Kind.PASSWORD_TRIED: EventClass.ADMINISTRATION,
    Kind.CONFIGURATION_APPLIED: EventClass.ADMINISTRATION,
    Kind.FEDERATION_KEY_MADE: EventClass.ADMINISTRATION,
    Kind.PARTY_METADATA_TAKEN: EventClass.ADMINISTRATION,
    Kind.KEY_ROTATED: EventClass.ADMINISTRATION,
    Kind.KEY_RESEALED: EventClass.ADMINISTRATION,
    Kind.MASTER_KEY_REPLACED: EventClass.ADMINISTRATION,
    Kind.BACKUP_KEY_SET: EventClass.ADMINISTRATION,
    Kind.BACKUP_MADE: EventClass.ADMINISTRATION,
    Kind.ADMIN_LINK_MADE: EventClass.ADMINISTRATION,
    Kind.ADMIN_LINK_USED: EventClass.ADMINISTRATION,
    Kind.BRAKE_LOCKED: EventClass.SECURITY,
    Kind.BRAKE_RELEASED: EventClass.SECURITY,
    Kind.DOOR_REFUSALS: EventClass.SECURITY,
    Kind.CLOCK_JUMPED: EventClass.SECURITY,
    Kind.CLOCK_DIFFERS: EventClass.SECURITY,
    Kind.SERVER_STARTED: EventClass.SECURITY,
    Kind.SERVER_STOPPED: EventClass.SECURITY,
    # They name nobody, and verifying needs them for as long as the chain stands.
    Kind.PAYLOADS_ERASED: EventClass.KEPT,
    Kind.EPOCH_OPENED: EventClass.KEPT,
}
_BY_STORED: Final = {kind.stored: event_class for kind, event_class in CLASSES.items()}
# What a later release wrote, or an earlier one: it goes when what operators did goes.
_OTHERS: Final = EventClass.ADMINISTRATION


def class_of(stored_kind: object) -> EventClass:
    """The class of an event by its stored kind."""
    return _BY_STORED.get(str(stored_kind), _OTHERS)


def span_ms(settings: RetentionSettings, name: str) -> int:
    """One span of checked settings, in milliseconds."""
    least_s, most_s = LIMITS[name]
    return 1000 * seconds_of(getattr(settings, name), least_s, most_s)


def span_written(settings: RetentionSettings, name: str) -> str:
    """One span in its shortest writing."""
    return written_as(span_ms(settings, name) // 1000)


def check_settings(settings: RetentionSettings) -> list[tuple[str, str]]:
    """What is wrong with spans: the setting's name and the problem."""
    found = []
    for each in fields(settings):
        try:
            seconds_of(getattr(settings, each.name), *LIMITS[each.name])
        except SettingsError as error:
            found.append((each.name, error.message))
    return found


def shortened(before: RetentionSettings, after: RetentionSettings) -> list[tuple[str, str, str]]:
    """The spans that become shorter: name, old and new writing."""
    names = [each.name for each in fields(after) if span_ms(after, each.name) < span_ms(before, each.name)]
    return [(name, span_written(before, name), span_written(after, name)) for name in names]
