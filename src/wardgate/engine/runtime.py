"""What the engine is built from: the configuration in force, compiled, and the ports. `app.py` puts it together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wardgate.clock import Clock
from wardgate.crypto import KeyRing
from wardgate.delivery.port import Channel
from wardgate.directory.realm import Realms
from wardgate.engine.settings import ApplicationSettings, BrakeSettings, CodeSettings
from wardgate.policy.rules import Policy
from wardgate.storage.port import Storage


@dataclass(frozen=True, slots=True)
class Application:
    """An application with its compiled policy."""

    settings: ApplicationSettings
    policy: Policy

    @property
    def title(self) -> str:
        """The name that people read."""
        return self.settings.title or self.settings.name


@dataclass(frozen=True, slots=True)
class EngineConfiguration:
    """One version of the configuration. A login step takes it once and uses it to the end.

    `channels`: those that some gateway serves; a factor whose codes cannot go out is not asked for.
    """

    version: int
    realms: Realms
    applications: Mapping[str, Application]
    codes: CodeSettings = field(default_factory=CodeSettings)
    brakes: BrakeSettings = field(default_factory=BrakeSettings)
    channels: frozenset[Channel] = frozenset(Channel)


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
    # What opens when storage was restored; handles of before are worth nothing.
    epoch: str = ""
    # Told how many seconds each step of a login took, by its name in `engine.steps`.
    observe: Callable[[str, float], None] | None = None
    # Told how many seconds each directory took, by its name and what it was asked: `find` or `check`.
    observe_directory: Callable[[str, str, float], None] | None = None
    # How long the slowest check of a password takes: no refusal may leave before it could have ended.
    slowest_check_s: Callable[[], float] = lambda: 0.0
