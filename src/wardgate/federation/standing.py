"""What the doors of this room run on, as it is now in one worker: who trusts us, and which of our keys sign."""

import asyncio
from collections.abc import Callable

from wardgate.clock import Clock
from wardgate.crypto import KeyRing
from wardgate.federation.relying_party import NOBODY, KeyKind, RelyingParties
from wardgate.federation.signing_keys import SigningKeys, load_keys, make_first_keys
from wardgate.storage.port import Storage


class Federation:
    """Kept up to date by the worker; doors take `parties` and `keys` anew for each request."""

    def __init__(self, storage: Storage, ring: Callable[[], KeyRing], clock: Clock) -> None:
        self._storage = storage
        self._ring = ring
        self._clock = clock
        self._loading = asyncio.Lock()
        self.parties: RelyingParties = NOBODY
        self.keys = SigningKeys()

    async def begin(self) -> None:
        """Load what there is; on the first start, make the first key. Raises WardgateError."""
        await self.refresh()
        await make_first_keys(self._storage, self._ring(), self._clock, self._kinds())
        await self.refresh()

    async def refresh(self) -> None:
        """Take up what storage holds now."""
        async with self._loading:
            self.keys = await load_keys(self._storage, self._ring())

    def _kinds(self) -> set[KeyKind]:
        """The kinds of keys that somebody needs. RSA always: our metadata is read before the first application is there."""
        return {KeyKind.RSA, *(party.key_kind for party in self.parties)}
