"""Who wants to hear of commits: topics and their callbacks, on one event loop."""

import asyncio
from collections.abc import Callable, Iterable

from wardgate.storage.port import Announce

Callback = Callable[[str], None]


class Announcer:
    """Keeps subscriptions and calls them."""

    def __init__(self) -> None:
        self._topics: dict[str, dict[object, Callback]] = {}

    def subscribe(self, topic: str, callback: Callback) -> Callable[[], None]:
        """Call `callback(key)` for each announcement of `topic` until the returned function is called."""
        token = object()
        self._topics.setdefault(topic, {})[token] = callback

        def stop() -> None:
            self._topics.get(topic, {}).pop(token, None)

        return stop

    def tell(self, loop: asyncio.AbstractEventLoop, announcements: Iterable[Announce]) -> None:
        """Schedule the callbacks. Each runs by itself, so that one that fails keeps no other from hearing."""
        for announcement in announcements:
            for token in self._topics.get(announcement.topic, ()):
                loop.call_soon(self._call, announcement, token)

    def tell_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Schedule every callback with an empty key: something may have been missed."""
        self.tell(loop, [Announce(topic, "") for topic in self._topics])

    def _call(self, announcement: Announce, token: object) -> None:
        callback = self._topics.get(announcement.topic, {}).get(token)
        if callback is not None:
            callback(announcement.key)
