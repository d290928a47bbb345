"""Telling of checkpoints that fail: one line when it begins and one when it is over, however often it is tried between."""

import structlog

from wardgate.errors import WardgateError

log = structlog.get_logger("wardgate.storage")


class CheckpointNews:
    """Told the outcome of each checkpoint. A failure costs no commit, but the log beside the database grows until one succeeds."""

    def __init__(self) -> None:
        self.failed = 0
        self._failing = False

    def note(self, error: WardgateError | None) -> None:
        """`error`: why it failed, or None."""
        if error is not None:
            self.failed += 1
            if not self._failing:
                cure = "commits are safe; make room beside the database, or look at its disk"
                log.error("checkpoint_failed", error=error.message, cure=cure)
        elif self._failing:
            log.info("checkpoint_works_again", failed=self.failed)
        self._failing = error is not None
