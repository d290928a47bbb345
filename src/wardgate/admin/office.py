"""What a management operation works with."""

from dataclasses import dataclass, replace

from wardgate.audit.events import AuditEvent, record
from wardgate.clock import Clock, to_ms
from wardgate.crypto import KeyRing
from wardgate.passwords import PasswordHasher
from wardgate.storage.port import Operation, Storage


@dataclass(frozen=True, slots=True)
class Office:
    """Storage, keys, time and hashing, and `actor`: who does it, as the audit trail shall say.

    `tells`: people hear of what is done in their accounts; not of what a demo or a restore does. `portal_url`: how they reach the
    portal, for links; empty: messages bear none. `reference`: what person and trail know the act by. `ticket`: the number of the
    one that it is done for, which both are told; empty: none was named.
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
    ticket: str = ""

    def now_ms(self) -> int:
        """The present, as tables store it."""
        return to_ms(self.clock.now())

    def record(self, event: AuditEvent) -> Operation:
        """The operation that records what this operator did, with the ticket that he did it for."""
        return record(replace(event, details={**event.details, "ticket": self.ticket}) if self.ticket else event)
