"""A sign that does not flicker: it begins at one value and ends at a lower one."""


class Threshold:
    """Whether something is too much. A probe that sees it change with every packet would send the traffic to and fro."""

    __slots__ = ("_begins", "_beyond", "_ends")

    def __init__(self, begins: float, ends: float) -> None:
        self._begins = begins
        self._ends = ends
        self._beyond = False

    def beyond(self, value: float) -> bool:
        """Whether it is too much: from `begins` on, until it has come down to `ends`."""
        self._beyond = value > self._ends if self._beyond else value >= self._begins
        return self._beyond
