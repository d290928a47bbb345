"""What a management operation works with."""

from dataclasses import dataclass

from wardgate.clock import Clock, to_ms
from wardgate.crypto import KeyRing
from wardgate.passwords import PasswordHasher
from wardgate.storage.port import Storage


@dataclass(frozen=True, slots=True)
class Office:
    """Storage, keys, time and hashing, and `actor`: who does it, as the audit trail shall say.

    `tells`: people hear of what is done in their accounts; not of what a demo or a restore does. `portal_url`: how they reach the
    portal, for links; empty: messages bear none. `reference`: what person and trail know the act by.
    """

    storage: Storage
    ring: KeyRing
    clock: Clock
    hasher: PasswordHasher
    actor: str
    configuration: object | None = None
    tells: bool = False
    portal_url: str = ""
    reference: str | None = None

    def now_ms(self) -> int:
        """The present, as tables store it."""
        return to_ms(self.clock.now())
