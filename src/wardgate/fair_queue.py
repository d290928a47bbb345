"""A bounded queue in which sources take turns: whoever asks most often waits longest, and keeps nobody else out."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items by source. `take` goes round the sources, so that a source with one item waits for one item of each other source."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def put(self, source: str, item: T) -> None:
        """Wait at the end of the source's own line."""
        line = self._lines.get(source)
        if line is None:
            line = self._lines[source] = deque()
        line.append(item)

    def take(self) -> T | None:
        """The next item, None when nothing waits."""
        if not self._lines:
            return None
        source, line = self._lines.popitem(last=False)
        item = line.popleft()
        if line:
            self._lines[source] = line
        return item

    def gives_way(self, source: str) -> bool:
        """Whether a line is longer than that of `source` would be with one more."""
        return max(map(len, self._lines.values()), default=0) > len(self._lines.get(source, ())) + 1

    def make_room(self, source: str) -> T | None:
        """Take out the newest item of the longest line, for one of `source`; None when no line gives way.

        The newest has waited least, and whoever sent it has most of its patience left.
        """
        if not self.gives_way(source):
            return None
        return max(self._lines.values(), key=len).pop()
