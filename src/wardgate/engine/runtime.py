"""What the engine is built from: the configuration in force, compiled, and the ports. `app.py` puts it together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from zoneinfo import ZoneInfo

from wardgate.clock import Clock
from wardgate.crypto import KeyRing
from wardgate.delivery.port import Channel
from wardgate.directory.port import Directory, DirectoryUser
from wardgate.directory.realm import Realm, Realms
from wardgate.engine.settings import AnyApplicationSettings, BrakeSettings, CodeSettings, NoticeSettings, SendingSettings
from wardgate.kba.asking import Questioner
from wardgate.kerberos.port import Service, TicketChecking
from wardgate.policy.groups import asked_groups, gives_any_group, group_form, looks_like_alias
from wardgate.policy.rules import Policy
from wardgate.risk.assessing import Assessor
from wardgate.storage.port import Storage

# What it is called where nobody has given it a name.
PRODUCT = "Wardgate"


@dataclass(frozen=True, slots=True)
class Application:
    """An application with its compiled policy.

    `vendors_release`: its NAS's vendor has release rules, which it has where it has none of its own. `named`: the groups that its
    release rules ask about. `gives_any`: they may give any of a user's groups away. `reads_groups`: it matters somewhere in which
    groups a user is; else a login need not read them. `mark`: what its grants bear, to be known again by whoever releases.
    """

    settings: AnyApplicationSettings
    policy: Policy
    vendors_release: bool = False
    mark: str = ""
    named: frozenset[str] = field(init=False)
    gives_any: bool = field(init=False)
    reads_groups: bool = field(init=False)

    def __post_init__(self) -> None:
        rules = self.settings.release
        object.__setattr__(self, "named", frozenset(group for rule in rules for group in asked_groups(rule.when)))
        # Without rules of its own it has those of its NAS's vendor, which give groups away whatever they are called.
        object.__setattr__(self, "gives_any", not rules or any(gives_any_group(rule.when, rule.add) for rule in rules))
        released = bool(self.named) or (self.gives_any if rules else self.vendors_release)
        # What pages and relying parties are told of a person's groups is their matter.
        object.__setattr__(self, "reads_groups", self.settings.kind != "radius" or self.policy.reads_groups or released)

    def released_groups(self, user: DirectoryUser, realm: str) -> tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]:
        """Of a user's groups and what else they are called, what a grant has to carry: the rest would only be stored.

        Somebody may be in hundreds of groups, each with a DN and a SID.
        """
        if self.settings.keeps_group_aliases:
            return user.groups, user.group_aliases
        if not user.groups or (self.gives_any and not self.named):
            return user.groups, {}
        places = (user.directory, realm)
        aliases: dict[str, tuple[str, ...]] = {}
        for group in user.groups if user.group_aliases else ():
            asked = tuple(each for each in user.group_aliases.get(group, ()) if self._asks(each, places))
            if asked:
                aliases[group] = asked
            elif looks_like_alias(group) and group in user.group_aliases and self._asks(group, places):
                # A name, and what is asked for is the DN or SID of another: without an alias of its own it would be taken for that.
                aliases[group] = tuple(user.group_aliases[group][:1])
        if self.gives_any:
            return user.groups, aliases
        return tuple(group for group in user.groups if group in aliases or self._asks(group, places)), aliases

    def _asks(self, group: str, places: Sequence[str]) -> bool:
        return any(group_form(f"{place}:{group}") in self.named for place in places)

    @property
    def title(self) -> str:
        """The name that people read."""
        return self.settings.title or self.settings.name


@dataclass(frozen=True, slots=True)
class TicketPlace:
    """A directory whose tickets are taken from browsers of these networks.

    `max_age_s`: how long ago the person may have proved himself to it. `any_channel`: the TLS that a ticket came by is not ours.
    """

    directory: Directory
    realm: Realm
    service: Service
    networks: tuple[IPv4Network | IPv6Network, ...]
    max_age_s: int
    any_channel: bool = False


@dataclass(frozen=True, slots=True)
class EngineConfiguration:
    """One version of the configuration. A login step takes it once and uses it to the end.

    `channels`: those that some gateway serves; a factor whose codes cannot go out is not asked for. `tickets`: directories whose
    Kerberos tickets are taken. `risk`: None where neither scores nor countries are configured. `questioner`: asks challenge
    questions; None where no policy names them. `brands`: what whoever runs a realm is called, by realm; under the empty name, the
    default realm's.
    """

    version: int
    realms: Realms
    applications: Mapping[str, Application]
    codes: CodeSettings = field(default_factory=CodeSettings)
    brakes: BrakeSettings = field(default_factory=BrakeSettings)
    channels: frozenset[Channel] = frozenset(Channel)
    tickets: tuple[TicketPlace, ...] = ()
    risk: Assessor | None = None
    sending: SendingSettings = field(default_factory=SendingSettings)
    questioner: Questioner | None = None
    notices: NoticeSettings = field(default_factory=NoticeSettings)
    brands: Mapping[str, str] = field(default_factory=dict)

    def brand_of(self, realm: str) -> str:
        """What whoever runs a realm is called."""
        return self.brands.get(realm) or self.brands.get("") or PRODUCT

    def zone_of(self, realm: str) -> ZoneInfo:
        """In which zone its people read times: on pages without script, and in messages. Of a realm unknown: the default's."""
        own = {each.name: each.settings.time_zone for each in self.realms}
        return ZoneInfo(own.get(realm, self.realms.default.settings.time_zone) or self.notices.time_zone)

    def named(self, application: str, realm: str) -> str:
        """What people call an application: our own pages bear the name of whoever runs them."""
        found = self.applications.get(application)
        if found is None:
            return application
        return self.brand_of(realm) if found.settings.kind == "portal" else found.title


@dataclass(frozen=True, slots=True)
class EngineParts:
    """The engine's surroundings. `configuration` and `ring` are asked at each step, since both can change while serving."""

    storage: Storage
    clock: Clock
    ring: Callable[[], KeyRing]
    configuration: Callable[[], EngineConfiguration]
    # Why the clock may decide nothing now; None while it may.
    clock_problem: Callable[[], str | None] = lambda: None
    # Whether too many checks of passwords wait for one more of this asker.
    refuses_check: Callable[[str], bool] = lambda _: False
    keep_messages: bool = False
    # Who in this process hands messages over, as the outbox knows it; empty where nobody does.
    sender: str = ""
    directory_timeout_s: float = 5.0
    # A new password is written for a person before a page: better late than refused, when many set theirs at once.
    write_timeout_s: float = 15.0
    # What opens when storage was restored; handles of before are worth nothing.
    epoch: str = ""
    # Told how many seconds each step of a login took, by its name in `engine.steps`.
    observe: Callable[[str, float], None] | None = None
    # Told how many seconds each directory took, by its name and what it was asked: `find` or `check`.
    observe_directory: Callable[[str, str, float], None] | None = None
    # Told of each lock that began: its kind, what it holds (a network, an address, a NAS), and for how many seconds; 0: for good.
    observe_lock: Callable[[str, str, int], None] | None = None
    # How long the slowest check of a password takes: no refusal may leave before it could have ended.
    slowest_check_s: Callable[[], float] = lambda: 0.0
    # Whether every gateway of a channel has failed lately, as far as this process has seen.
    channel_down: Callable[[Channel], bool] = lambda _: False
    # How people reach our pages (`https://login.acme.test`), for links in messages; empty: messages bear none.
    public_url: str = ""
    # Looks at Kerberos tickets; None where no door takes any.
    tickets: TicketChecking | None = None
