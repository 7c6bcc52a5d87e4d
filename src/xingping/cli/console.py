"""What the command line shows while it works."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from xingping.progress import Progress, Silent

__all__ = ["make_progress"]


class Console:
    """Lines on stderr, and bars with a rate and a remaining time on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console as RichConsole

        self._console = RichConsole(stderr=True, highlight=False)

    def say(self, line: str) -> None:
        """Show one line."""
        self._console.print(line, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Draw a bar while the block runs; on a pipe, nothing."""
        if not self._console.is_terminal:
            yield lambda _done: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        with RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit + ", {task.fields[rate]}/s,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
            transient=True,
        ) as bars:
            bar = bars.add_task(what, total=total, rate="?")

            def advance(done: int) -> None:
                speed = bars.tasks[0].speed
                bars.update(bar, advance=done, rate=f"{speed:,.0f}" if speed else "?")

            yield advance


def make_progress(*, quiet: bool) -> Progress:
    """Return a watcher that is silent with `--quiet`, and draws no bars on a pipe."""
    return Silent() if quiet or sys.stderr is None else Console()
