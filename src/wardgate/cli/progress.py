"""Progress on standard error, on a terminal only."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Advance = Callable[[int, str], None]
Hear = Callable[[Mapping[str, object]], None]


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


@contextmanager
def looking_through(what: str) -> Iterator[Hear]:
    """Show how far a walk over users is: give it each event with `looked_at` and `total`, which is None where nobody knows."""
    if not sys.stderr.isatty():
        yield lambda event: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def hear(event: Mapping[str, object]) -> None:
            total = event["total"]
            progress.update(task, completed=int(str(event["looked_at"])), total=None if total is None else int(str(total)))

        yield hear
