"""The log for operators, on standard error: structlog, as text for people or JSON for collectors.

No event here may hold a secret; the last processor still looks: a value that is a `Secret`, or stands under a name that secrets
have, is replaced whatever the caller thought.
"""

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

from wardgate.crypto import Secret
from wardgate.settings import LogSettings

_NEVER = frozenset(("password", "secret", "code", "answer_text", "handle", "state", "bearer", "authorization", "cookie"))
HIDDEN = "(hidden)"


def set_up_logs(settings: LogSettings, worker: int | None = None) -> None:
    """Configure logging for this process, also when the settings have changed. `worker`: stands on each of its lines.

    Libraries below warning are left out: some of them log what they send.
    """

    def name_worker(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("worker", worker)
        return event

    text = settings.format == "text"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if worker is None else [name_worker]),
            hide_secrets,
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if text else structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _StandardError())),
        # A logger that is kept would keep the level of its first line.
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s", force=True)


class _StandardError:
    """Standard error, which may stand on a full disk or be gone: then a line is lost, and not the login that it tells of."""

    def write(self, text: str) -> None:
        """Write if it can be written."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        """Hand on what was written."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def hide_secrets(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace what must not be read."""
    for name, value in event.items():
        if isinstance(value, Secret | bytes) or (name.lower() in _NEVER and not (name == "code" and _is_error_code(value))):
            event[name] = HIDDEN
    return event


def _is_error_code(value: object) -> bool:
    """Our errors have a `code` such as `storage_full`: letters, never digits alone."""
    return isinstance(value, str) and value.replace("_", "").isalpha()
