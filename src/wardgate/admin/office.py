"""What a management operation works with."""

from dataclasses import dataclass

from wardgate.clock import Clock, to_ms
from wardgate.crypto import KeyRing
from wardgate.passwords import PasswordHasher
from wardgate.storage.port import Storage


@dataclass(frozen=True, slots=True)
class Office:
    """Storage, keys, time and hashing, and `actor`: who does it, as the audit trail shall say."""

    storage: Storage
    ring: KeyRing
    clock: Clock
    hasher: PasswordHasher
    actor: str
    configuration: object | None = None

    def now_ms(self) -> int:
        """The present, as tables store it."""
        return to_ms(self.clock.now())
