"""Progress on standard error, on a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int, str], None]


@contextmanager
def counting(what: str, total_bytes: int | None = None) -> Iterator[Advance]:
    """Show how far something is: call the yielded function with the count so far and a word about it.

    With `total_bytes` the counts are of bytes.
    """
    if not sys.stderr.isatty():
        yield lambda done, word: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    # Without a total there is no end to foretell.
    counted = (TextColumn("{task.completed:,}"), TimeElapsedColumn())
    columns = counted if total_bytes is None else (DownloadColumn(), TimeRemainingColumn())
    with Progress(
        TextColumn("{task.description}"), BarColumn(), *columns, console=Console(stderr=True), transient=True
    ) as progress:
        task = progress.add_task(what, total=total_bytes)
        yield lambda done, word: progress.update(task, completed=done, description=f"{what} {word}".strip())
