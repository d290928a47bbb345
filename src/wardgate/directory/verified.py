"""What every directory may use to remember, for a while, that a password was right."""

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from wardgate.clock import Clock
from wardgate.crypto import Secret
from wardgate.directory.names import canonical_name
from wardgate.directory.port import AccountState, DirectoryUser

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
        return _digest(self._keyed, immutable_id.encode(), str(version).encode(), password.reveal())


@dataclass(frozen=True, slots=True)
class _Graced:
    user: DirectoryUser
    mark: bytes
    until: float


class GracePasswords:
    """What may let a user in while the directory is down: one fingerprint a user, of the password that was last found right.

    A name means only whom the directory itself last answered for it (`found`). Whoever is seen changed, unusable or protected is
    forgotten at once, as is a password that the directory refuses. Nothing outlives the process, and each worker remembers its own.
    """

    def __init__(self, life_s: int, clock: Clock, limit: int = MAX_REMEMBERED) -> None:
        self._life_s = life_s
        self._clock = clock
        self._limit = limit
        self._keyed = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=32)
        self._names: OrderedDict[str, str] = OrderedDict()
        self._users: OrderedDict[str, _Graced] = OrderedDict()

    def __len__(self) -> int:
        return len(self._users)

    def found(self, name: str, user: DirectoryUser | None) -> None:
        """Note what the directory answered to a look-up of this name."""
        key = canonical_name(name)
        if self._life_s <= 0 or key is None:
            return
        if user is None:
            self._names.pop(key, None)
            return
        self.seen(user)
        self._names[key] = user.immutable_id
        self._names.move_to_end(key)
        while len(self._names) > self._limit:
            self._names.popitem(last=False)

    def seen(self, user: DirectoryUser) -> None:
        """Forget the password of a user who is no longer as he was when it was verified."""
        known = self._users.get(user.immutable_id)
        if known is not None and (known.user.version != user.version or not _may(user)):
            del self._users[user.immutable_id]

    def verified(self, user: DirectoryUser, password: Secret) -> None:
        """Note that the password is right for this user as he is now."""
        if self._life_s <= 0 or not _may(user):
            return
        now = self._clock.monotonic()
        self._users[user.immutable_id] = _Graced(user, self._mark(user.immutable_id, password), now + self._life_s)
        self._users.move_to_end(user.immutable_id)
        while len(self._users) > self._limit or next(iter(self._users.values())).until <= now:
            self._users.popitem(last=False)

    def refused(self, user: DirectoryUser, password: Secret) -> None:
        """The directory does not take this password (any more). Another one that it took stays."""
        known = self._users.get(user.immutable_id)
        if known is not None and known.mark == self._mark(user.immutable_id, password):
            del self._users[user.immutable_id]

    def remembered(self, name: str, password: Secret) -> DirectoryUser | None:
        """The user of this name as he was last seen, when this password was found right within the grace."""
        known = self._users.get(self._names.get(canonical_name(name) or "", ""))
        if known is None or not password or self._clock.monotonic() >= known.until:
            return None
        ends = known.user.password_expires_at
        expired = ends is not None and ends <= self._clock.now()
        right = secrets.compare_digest(known.mark, self._mark(known.user.immutable_id, password))
        return known.user if right and not expired else None

    def _mark(self, immutable_id: str, password: Secret) -> bytes:
        return _digest(self._keyed, immutable_id.encode(), password.reveal())


def _may(user: DirectoryUser) -> bool:
    return user.state is AccountState.ACTIVE and not user.must_change and not user.protected


def _digest(keyed: hashlib.blake2b, *parts: bytes) -> bytes:
    state = keyed.copy()
    for part in parts:
        state.update(len(part).to_bytes(8, "big") + part)
    return state.digest()
