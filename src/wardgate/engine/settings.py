"""Settings of applications, brakes and codes, as they stand in the configuration document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRuleSettings:
    """One rule about what an accepted login is given. All matching rules add, in order.

    `when`: `{group: [...]}`, `{attribute: {name: value}}`, or nothing. `add`: attribute name, or `vendor:number`, to a value or a
    list of values. Places: {group} (one value per matching group), {user}, {mail}, {name} and {attribute.NAME}.
    """

    when: Mapping[str, object] = field(
        default_factory=dict, metadata={"help": "condition on group, attribute, user, realm or directory; empty: always"}
    )
    add: Mapping[str, object] = field(metadata={"help": "reply attribute to a value or a list of values"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSettings:
    """What a login is for. Policy and released attributes hang here."""

    name: str
    kind: Literal["radius", "portal"] = field(
        default="radius", metadata={"help": "what it is: NAS that ask by RADIUS, or Wardgate's own pages for people (one at most)"}
    )
    title: str | None = field(default=None, metadata={"help": "the name that people read in messages; default: the name"})
    policy: str | None = field(
        default=None, metadata={"help": "policy by name; default: password and any one enrolled second factor"}
    )
    release: tuple[ReleaseRuleSettings, ...] = field(
        default=(), metadata={"help": "what an accepted login is given; all matching rules add"}
    )
    sms_text: Mapping[str, str] = field(
        default_factory=dict, metadata={"help": "own SMS text per language, with {code}, {application} and {min}"}
    )
    email_text: Mapping[str, str] = field(
        default_factory=dict, metadata={"help": "own e-mail text per language, with {code}, {application}, {min} and {ref}"}
    )
    email_subject: Mapping[str, str] = field(
        default_factory=dict, metadata={"help": "own e-mail subject per language, with {application}"}
    )
    sms_domain: str | None = field(default=None, metadata={"help": "host of the domain-bound last line (@host #code) of an SMS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSettings:
    """One-time codes and the transactions that they belong to."""

    digits: int = field(default=6, metadata={"help": "length of a code sent by SMS or e-mail", "unit": "digits"})
    life_s: int = field(
        default=180, metadata={"help": "how long a sent code and its challenge live (60 to 600)", "unit": "seconds"}
    )
    tries: int = field(default=3, metadata={"help": "wrong codes before the login is closed"})
    resend_after_s: tuple[int, ...] = field(
        default=(30, 60, 120), metadata={"help": "waits before the first, second ... resend of one login", "unit": "seconds"}
    )
    resends_per_hour: int = field(default=5, metadata={"help": "resends to one address in an hour"})
    resends_per_day: int = field(default=10, metadata={"help": "resends to one address in a day"})
    messages_per_hour: int = field(default=30, metadata={"help": "messages of every kind to one address in an hour"})
    totp_skew_steps: int = field(
        default=1, metadata={"help": "time steps before and after the present that a TOTP code may come from"}
    )
    hotp_look_ahead: int = field(default=10, metadata={"help": "how many unused HOTP codes may be skipped"})
    replay_notice_s: int = field(
        default=120, metadata={"help": "how long a spent code that comes back as a password is recognised", "unit": "seconds"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeSettings:
    """Limits on wrong proofs. The defaults stay below the lockout thresholds that directories commonly have."""

    user_source_failures: int = field(
        default=5, metadata={"help": "wrong proofs of one user from one source within the window, then a wait"}
    )
    user_source_window_s: int = field(default=600, metadata={"help": "the window", "unit": "seconds"})
    user_source_wait_s: int = field(default=300, metadata={"help": "the first wait; each further one doubles", "unit": "seconds"})
    user_source_wait_max_s: int = field(default=3600, metadata={"help": "the longest wait", "unit": "seconds"})
    user_failures: int = field(
        default=50, metadata={"help": "wrong proofs of one user from anywhere since the last success, then only known sources"}
    )
    source_failures: int = field(
        default=30, metadata={"help": "wrong proofs from one client address within the window, then a wait"}
    )
    source_window_s: int = field(default=600, metadata={"help": "the window", "unit": "seconds"})
    source_wait_s: int = field(default=900, metadata={"help": "the wait", "unit": "seconds"})
