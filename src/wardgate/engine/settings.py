"""Settings of applications, brakes and codes, as they stand in the configuration document."""

import hashlib
from collections.abc import Mapping, Sequence
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
class AnyApplicationSettings:
    """What every application has, whatever its kind: a name, a policy, and the words of the messages that its logins send."""

    name: str
    kind: str
    title: str | None = field(default=None, metadata={"help": "the name that people read in messages; default: the name"})
    policy: str | None = field(
        default=None, metadata={"help": "policy by name; default: password and any one enrolled second factor"}
    )
    sms_text: Mapping[str, str] = field(
        default_factory=dict, metadata={"help": "own SMS text per language, with {code}, {application}, {brand}, {act} and {min}"}
    )
    email_text: Mapping[str, str] = field(
        default_factory=dict,
        metadata={"help": "own e-mail text per language, with {code}, {application}, {brand}, {act}, {min} and {ref}"},
    )
    email_subject: Mapping[str, str] = field(
        default_factory=dict, metadata={"help": "own e-mail subject per language, with {application}, {brand} and {act}"}
    )
    sms_domain: str | None = field(default=None, metadata={"help": "host of the domain-bound last line (@host #code) of an SMS"})

    @property
    def release(self) -> tuple[ReleaseRuleSettings, ...]:
        """What an accepted login is given by RADIUS."""
        return ()

    @property
    def keeps_group_aliases(self) -> bool:
        """Whether what else a user's groups are called is needed for what the application is told."""
        return False

    @property
    def tells_phone(self) -> bool:
        """Whether the application is told a person's phone number."""
        return False

    @property
    def hand_over_s(self) -> int:
        """For how long a full login spares a gateway's request a code of its own."""
        return 0

    @property
    def page_link(self) -> Literal["off", "shown", "sent"]:
        """Whether what only a page can ask for is asked for by a short link."""
        return "off"

    @property
    def enrol_by_link(self) -> bool:
        """Whether a link leads to a page to set a second factor up."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSettings(AnyApplicationSettings):
    """What a login is for. Policy and released attributes hang here."""

    kind: Literal["radius", "portal"] = field(
        default="radius", metadata={"help": "what it is: NAS that ask by RADIUS, or Wardgate's own pages for people (one at most)"}
    )
    release: tuple[ReleaseRuleSettings, ...] = field(
        default=(), metadata={"help": "what an accepted login is given; all matching rules add"}
    )
    hand_over_s: int = field(
        default=0,
        metadata={
            "help": "for how long a full login spares the gateway's request from the same address a code of its own; 0: not at all",
            "unit": "seconds",
        },
    )
    page_link: Literal["off", "shown", "sent"] = field(
        default="off",
        metadata={
            "help": "whether what only a page can ask for (a passkey) is asked for in a VPN's window by a short link: shown there, "
            "or sent to the user"
        },
    )
    enrol_by_link: bool = field(
        default=False,
        metadata={
            "help": "whether who has no second factor is led from a VPN's window to a page to set one up, by a link to a phone or "
            "mail address that is known, or with a start code that an operator issued"
        },
    )


def mark_of(*said: object) -> str:
    """A short mark of settings: where any of them differs, so does it. The same in every process and on every node."""
    return hashlib.blake2b(repr(said).encode(errors="backslashreplace"), digest_size=8).hexdigest()


def with_portal(applications: Sequence[AnyApplicationSettings], title: str) -> Sequence[AnyApplicationSettings]:
    """The applications with the one for our own pages, which exists without being written down; `title`: what it is called then."""
    if any(settings.kind == "portal" for settings in applications):
        return applications
    names = {settings.name for settings in applications}
    name = next(each for each in ("portal", *(f"portal-{number}" for number in range(2, len(names) + 3))) if each not in names)
    return [*applications, ApplicationSettings(name=name, kind="portal", title=title)]


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
    messages_per_day: int = field(default=100, metadata={"help": "messages of every kind to one address in a day"})
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
    network_failures: int = field(
        default=200,
        metadata={"help": "wrong proofs from one source network within the wide window, then strangers wait; 0: no limit"},
    )
    network_bits_ipv4: int = field(
        default=24, metadata={"help": "how long the prefix of a source network is, IPv4", "unit": "bits"}
    )
    network_bits_ipv6: int = field(
        default=48, metadata={"help": "how long the prefix of a source network is, IPv6", "unit": "bits"}
    )
    nas_failures: int = field(
        default=1_000, metadata={"help": "wrong proofs through one NAS within the wide window, then strangers wait; 0: no limit"}
    )
    global_failures: int = field(
        default=5_000, metadata={"help": "wrong proofs of all within the wide window, then strangers wait; 0: no limit"}
    )
    network_messages: int = field(
        default=1_000, metadata={"help": "codes sent for one source network within the wide window; 0: no limit"}
    )
    nas_messages: int = field(default=5_000, metadata={"help": "codes sent for one NAS within the wide window; 0: no limit"})
    global_messages: int = field(default=20_000, metadata={"help": "codes sent for all within the wide window; 0: no limit"})
    wide_window_s: int = field(
        default=600, metadata={"help": "the time in which the limit of a network, a NAS or all comes back", "unit": "seconds"}
    )
    wide_wait_s: int = field(
        default=300, metadata={"help": "the first wait of strangers there; each further one doubles", "unit": "seconds"}
    )
    wide_wait_max_s: int = field(default=3_600, metadata={"help": "the longest wait of strangers", "unit": "seconds"})
    notify_user: bool = field(
        default=True, metadata={"help": "mail a user whose account reached user_failures, at most once a day"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingSettings:
    """Where codes may be sent, how many, and what they cost. Who pays for messages must be able to stop them."""

    sms_prefixes: tuple[str, ...] = field(
        default=(), metadata={"help": "beginnings of the numbers that SMS may go to, such as +90; empty: all"}
    )
    sms_per_prefix_per_day: int = field(
        default=0, metadata={"help": "SMS to one prefix (a listed one, else the country code) in a day, UTC; 0: no cap"}
    )
    sms_per_day: int = field(default=0, metadata={"help": "SMS in a day, UTC; 0: no cap"})
    email_per_day: int = field(default=0, metadata={"help": "e-mails with codes in a day, UTC; 0: no cap"})
    sms_per_source_per_hour: int = field(
        default=300, metadata={"help": "SMS for logins from one client address in an hour; 0: no cap"}
    )
    prices: Mapping[str, float] = field(
        default_factory=dict, metadata={"help": "price of a message by prefix, or by channel (sms, email), for the cost report"}
    )
    currency: str = field(default="", metadata={"help": "the currency of the prices, such as EUR"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSettings:
    """Word to people of what is done to their accounts. It cannot be turned off; these are its circumstances."""

    time_zone: str = field(default="UTC", metadata={"help": "the zone in which messages tell a time, such as Europe/Istanbul"})
    ascii_only: tuple[str, ...] = field(
        default=("tr",),
        metadata={
            "help": "languages whose text messages are written without accents, so that they fit one part; of the others, accents "
            "stay where a message fits one part with them"
        },
    )
    new_browser: bool = field(
        default=True,
        metadata={
            "help": "mail a person who signs in to the portal in a browser that was not used before, once a day, or from a country "
            "that is new, where `risk.country_file` tells countries"
        },
    )
    password_days: tuple[int, ...] = field(
        default=(14, 7, 3, 1),
        metadata={"help": "how long before a password runs out its person is told, each once; empty: never", "unit": "days"},
    )
    contact_days: int = field(
        default=180,
        metadata={
            "help": "how long after somebody last verified a contact of his own he is asked to look at them; 0: never",
            "unit": "days",
        },
    )
    security_mail: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "mail addresses that are told when an administrator resets his password or unlocks his account, and when an "
            "account is frozen"
        },
    )
