"""Settings of risk, as they stand in the configuration document under `risk`."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskPointsSettings:
    """What each contribution adds to the score. None may take away: 0 leaves it in the timeline without weight."""

    first_login: int = field(default=20, metadata={"help": "the person was never let in before: nothing to compare with"})
    new_address: int = field(default=25, metadata={"help": "a network (/24, or /64 of IPv6) that the person never came from"})
    new_device: int = field(default=20, metadata={"help": "a machine (host name and system) that the person never came with"})
    new_country: int = field(default=35, metadata={"help": "a country that the person never came from; needs `country_file`"})
    unusual_hour: int = field(default=10, metadata={"help": "an hour of the week at which the person never came"})
    recent_failures: int = field(default=15, metadata={"help": "wrong proofs since the last login that succeeded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskBandsSettings:
    """From which score on a login is in a band; below the first it is `safe`."""

    low: int = field(default=30, metadata={"help": "from this score on: low"})
    moderate: int = field(default=50, metadata={"help": "from this score on: moderate"})
    high: int = field(default=100, metadata={"help": "from this score on: high"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReputationSettings:
    """Addresses that the operator has reason to distrust. A login from several lists gets the points of the gravest."""

    name: str
    cidr: tuple[str, ...] = field(default=(), metadata={"help": "addresses and networks, such as 198.51.100.0/24"})
    file: str | None = field(
        default=None,
        metadata={"help": "a text file, one address or network a line, # for remarks; read again when it changes"},
    )
    points: int = field(default=50, metadata={"help": "what a login from there adds to the score"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskSettings:
    """How logins are scored. Off by default; `country_file` also serves conditions on `country` without it."""

    enabled: bool = field(default=False, metadata={"help": "score every login and remember habits"})
    country_file: str | None = field(
        default=None,
        metadata={"help": "a file in MaxMind's format that tells the country of an address; read again when it changes"},
    )
    reputation: tuple[ReputationSettings, ...] = field(default=(), metadata={"help": "the operator's own lists of addresses"})
    points: RiskPointsSettings = field(default_factory=RiskPointsSettings)
    bands: RiskBandsSettings = field(default_factory=RiskBandsSettings)
    failures: int = field(default=3, metadata={"help": "how many wrong proofs in a row count as recent failures"})
    time_zone: str = field(default="UTC", metadata={"help": "whose clocks tell the hour of the week, such as Europe/Istanbul"})
    hours_after_logins: int = field(
        default=20,
        metadata={"help": "from how many logins on an hour may be unusual; logins within one hour count once", "unit": "logins"},
    )
    remembered: int = field(
        default=50, metadata={"help": "how many networks, machines and countries of a person are remembered; the oldest go"}
    )
