"""Tells how long each step of a login took, to whoever wants to know."""

from wardgate.engine.runtime import EngineParts

DIRECTORY_FIND = "directory find"
PASSWORD_CHECK = "password check"  # noqa: S105 - a step's name
STORAGE_READ = "storage read"
COMMIT = "commit"
POLICY = "policy"
STEPS = (DIRECTORY_FIND, PASSWORD_CHECK, STORAGE_READ, COMMIT, POLICY)


class Steps:
    """Measures only when somebody observes: otherwise two comparisons a step are all that it costs."""

    def __init__(self, parts: EngineParts) -> None:
        self._observe = parts.observe
        self._observe_directory = parts.observe_directory
        self._monotonic = parts.clock.monotonic

    def begin(self) -> float:
        """The moment at which a step begins, for `end`."""
        return 0.0 if self._observe is None else self._monotonic()

    def end(self, step: str, began: float) -> None:
        """The step has ended, whatever came of it."""
        if self._observe is not None:
            self._observe(step, self._monotonic() - began)

    def end_directory(self, step: str, directory: str, operation: str, began: float) -> None:
        """A directory has answered, or failed to."""
        if self._observe is not None:
            took = self._monotonic() - began
            self._observe(step, took)
            if self._observe_directory is not None:
                self._observe_directory(directory, operation, took)
