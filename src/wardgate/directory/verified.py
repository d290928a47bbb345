"""What every directory may use to remember, for a while, that a password was right."""

import hashlib
import secrets
from collections import OrderedDict

from wardgate.clock import Clock
from wardgate.crypto import Secret
from wardgate.directory.port import DirectoryUser

MAX_REMEMBERED = 50_000


class VerifiedPasswords:
    """Fingerprints of passwords that were found right a short while ago. No password, and nothing that outlives the process.

    The key is random and stays in memory. The account's version is part of the fingerprint, so that any change of the account
    makes its entries unreachable at once. The oldest entry goes when the table is full.
    """

    def __init__(self, life_s: int, clock: Clock, limit: int = MAX_REMEMBERED) -> None:
        self._life_s = life_s
        self._clock = clock
        self._limit = limit
        self._keyed = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=32)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def remember(self, immutable_id: str, version: int, password: Secret) -> None:
        """Note that the password is right for this version of the account."""
        if self._life_s <= 0:
            return
        mark = self._mark(immutable_id, version, password)
        now = self._clock.monotonic()
        self._until[mark] = now + self._life_s
        self._until.move_to_end(mark)
        # All live equally long, so the first is always the one that ends first.
        while len(self._until) > self._limit or next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)

    def holds(self, user: DirectoryUser, password: Secret) -> bool:
        """Whether the password was noted for this version of the account and its time has not run out."""
        if not self._until:
            return False
        until = self._until.get(self._mark(user.immutable_id, user.version, password))
        return until is not None and self._clock.monotonic() < until

    def _mark(self, immutable_id: str, version: int, password: Secret) -> bytes:
        state = self._keyed.copy()
        for part in (immutable_id.encode(), str(version).encode(), password.reveal()):
            state.update(len(part).to_bytes(8, "big") + part)
        return state.digest()
