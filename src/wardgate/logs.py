"""The log for operators, on standard error: structlog, as text for people or JSON for collectors.

No event here may hold a secret; the last processor still looks: a value that is a `Secret`, or stands under a name that secrets
have, is replaced whatever the caller thought.
"""

import contextlib
import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import structlog

from wardgate.crypto import Secret
from wardgate.settings import LogSettings

_NEVER = frozenset(("password", "secret", "code", "answer_text", "handle", "state", "bearer", "authorization", "cookie"))
HIDDEN = "(hidden)"
MAX_DEPTH = 4


def set_up_logs(settings: LogSettings, worker: int | None = None, node: str = "") -> None:
    """Configure logging for this process, also when the settings have changed. `worker` and `node`: stand on each of its lines.

    Libraries below warning are left out: some of them log what they send.
    """
    whose: dict[str, object] = {**({"node": node} if node else {}), **({} if worker is None else {"worker": worker})}

    def say_whose(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name, value in whose.items():
            event.setdefault(name, value)
        return event

    text = settings.format == "text"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            say_whose,
            hide_secrets,
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if text else structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        # A line and its end in one write: the supervisor, the writer and every worker share one standard error.
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _StandardError())),
        # A logger that is kept would keep the level of its first line.
        cache_logger_on_first_use=False,
    )
    libraries = logging.StreamHandler(cast(TextIO, _StandardError()))
    libraries.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s") if text else _JsonLines(whose))
    logging.basicConfig(handlers=[libraries], level=logging.WARNING, force=True)
    # uvicorn warns of whatever it cannot parse, once a request: strangers would fill the disk, and there is nothing to do about it.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


class _JsonLines(logging.Formatter):
    """What a library logs, in the form of our own lines: a collector that expects JSON gets nothing else."""

    def __init__(self, whose: Mapping[str, object]) -> None:
        super().__init__()
        self._whose = whose

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        told = {
            "event": record.getMessage(),
            "logger": record.name,
            "level": record.levelname.lower(),
            "timestamp": at,
            **self._whose,
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


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
    """Replace what must not be read, also inside lists and mappings."""
    for name, value in event.items():
        # A trace tells lines of the program, never values.
        if name != "exc_info":
            event[name] = _shown(name, value)
    return event


def _shown(name: str, value: object, depth: int = 0) -> object:
    if isinstance(value, Secret | bytes | bytearray) or (name.lower() in _NEVER and not (name == "code" and _is_error_code(value))):
        return HIDDEN
    if isinstance(value, Mapping):
        return HIDDEN if depth >= MAX_DEPTH else {key: _shown(str(key), inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return HIDDEN if depth >= MAX_DEPTH else [_shown(name, inner, depth + 1) for inner in value]
    return value


def _is_error_code(value: object) -> bool:
    """Our errors have a `code` such as `storage_full`: letters, never digits alone."""
    return isinstance(value, str) and value.replace("_", "").isalpha()
