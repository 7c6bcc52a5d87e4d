"""How long work tells its caller how far it is, without knowing whether anybody watches."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Someone who watches; the command line draws bars, the library is silent."""

    def say(self, line: str) -> None:
        """Show one line."""

    def bar(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """Give a function to call with the number of units done since the last call."""


class Silent:
    """Nobody watches."""

    def say(self, line: str) -> None:
        """Drop a line."""

    @contextmanager
    def bar(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:  # noqa: ARG002 - a protocol
        """Give a function that does nothing."""
        yield lambda _done: None
