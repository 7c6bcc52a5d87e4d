"""Intake: the first pass over a file, in which its portions are read and checked side by side."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from xingping.columns import find_columns
from xingping.config import ColumnSettings, RunSettings
from xingping.errors import InputError
from xingping.portions import CheckedPortion, Checks, SpilledPortion, check_portion, column_names, spill_portion
from xingping.progress import Progress
from xingping.ratings import looks_like_ten_points
from xingping.records import renumber
from xingping.spilling import read_spilled
from xingping.tables import Stretch, TableFile
from xingping.workers import Workers

__all__ = ["Intake", "Reading"]

HEAD = 1 << 16
"""Bytes of JSON lines whose records show the columns of all, as a rule."""


@dataclass(frozen=True)
class Intake:
    """All portions of a file.

    Attributes
    ----------
    columns
        Which column holds what.
    portions
        In the order of the file.
    lines_before
        Physical lines before the first.
    """

    columns: ColumnSettings
    portions: list[CheckedPortion]
    lines_before: int

    @property
    def rows(self) -> int:
        """All records."""
        return sum(portion.rows for portion in self.portions)

    @property
    def rejected(self) -> int:
        """Those that cannot be used."""
        return sum(portion.rejected for portion in self.portions)

    @property
    def reasons(self) -> Counter[str]:
        """Why how many are rejected."""
        total: Counter[str] = Counter()
        for portion in self.portions:
            total.update(portion.reasons)
        return total

    @property
    def films(self) -> list[str]:
        """All names of films, in the order of their first review."""
        return list(dict.fromkeys(film for portion in self.portions for film in portion.films))

    @property
    def places(self) -> list[int]:
        """Where the kept rows of each portion begin among those of all."""
        return [0, *accumulate(portion.kept for portion in self.portions)]

    def numbered(self) -> Iterator[tuple[CheckedPortion, int, int]]:
        """Give each portion with the rows and the lines before it."""
        row, line = 0, self.lines_before
        for portion in self.portions:
            yield portion, row, line
            row, line = row + portion.rows, line + portion.lines

    def rejects(self) -> Iterator[pa.Table]:
        """Give the rejected records portion by portion."""
        for portion, row, line in self.numbered():
            if portion.rejected:
                yield renumber(read_spilled(portion.rejects), row, line)


_Source = Stretch | SpilledPortion


@dataclass(frozen=True)
class Reading:
    """The first pass over a file.

    Attributes
    ----------
    file
        The file.
    settings
        Of the run.
    scratch
        A folder for what the pass leaves; it has to stay while the intake is used.
    crew
        Who shares the work.
    progress
        Who watches.
    """

    file: TableFile
    settings: RunSettings
    scratch: Path
    crew: Workers
    progress: Progress

    def intake(self, portion_bytes: int) -> Intake:
        """Read and check all portions.

        Parameters
        ----------
        portion_bytes
            Size of the portions of a text file; the result does not depend on it.

        Raises
        ------
        InputError
            The file is damaged, or lacks a column.
        """
        stretches = self.file.stretches(portion_bytes)
        names = self.file.names
        if stretches is not None and names is None:
            return self._json_lines(stretches)
        sources: Iterable[_Source]
        if stretches is not None:
            sources = stretches
        elif names is not None:
            sources = self._spilled([])
        else:
            names = []
            sources = list(self._spilled(names))
        return self._check(sources, self._columns(names or []))

    def _spilled(self, names: list[str]) -> Iterator[SpilledPortion]:
        """Read portion by portion what can only be read in order, and note the names of columns."""
        for number, portion in enumerate(self.file.portions()):
            names += (name for name in portion.records.table.column_names if name not in names)
            yield spill_portion(portion, self.scratch / f"raw-{number}")

    def _json_lines(self, stretches: list[Stretch]) -> Intake:
        """Take the columns of the first records for those of all, and start afresh should that prove wrong."""
        guess = self._guess(stretches[0])
        if guess is None:
            found = list(self.crew.map(column_names, ((stretch,) for stretch in stretches)))
        else:
            intake = self._check(stretches, guess)
            found = [portion.columns for portion in intake.portions]
        columns = self._columns(list(dict.fromkeys(chain.from_iterable(found))))
        return intake if columns == guess else self._check(stretches, columns)

    def _guess(self, first: Stretch) -> ColumnSettings | None:
        names = replace(first, limit=min(first.limit, HEAD)).read().records.table.column_names
        try:
            return self._columns(names)
        except InputError:
            return None

    def _columns(self, names: list[str]) -> ColumnSettings:
        return find_columns(names, self.settings.columns, self.file.path, require_rating=True)

    def _check(self, sources: Iterable[_Source], columns: ColumnSettings) -> Intake:
        """Check all portions, side by side."""
        by_author = self.settings.split.unit == "user"
        checks = Checks(self.scratch, columns, self.settings.cleaning, self.settings.seed, authors=by_author)
        taken: list[_Source] = []
        portions: list[CheckedPortion] = []
        with self.progress.bar("prepare: read", self.file.size >> 20, "MB") as advance:
            for portion in self.crew.map(check_portion, self._tasks(sources, checks, taken)):
                portions.append(self._joined(portions, portion, taken[len(portions)], checks))
                advance((portions[-1].stop >> 20) - (portions[-1].start >> 20))
        if looks_like_ten_points(frozenset().union(*(portion.hints for portion in portions))):
            checks = replace(checks, ten_points=True)
            again = [number for number, portion in enumerate(portions) if 10 in portion.hints]
            tasks = ((_from(taken[number], portions[number].start), number, checks) for number in again)
            for number, portion in zip(again, self.crew.map(check_portion, tasks), strict=True):
                portions[number] = portion
        return Intake(columns, portions, self.file.lines_before)

    @staticmethod
    def _tasks(sources: Iterable[_Source], checks: Checks, taken: list[_Source]) -> Iterator[tuple[Any, ...]]:
        for number, source in enumerate(sources):
            taken.append(source)
            yield source, number, checks

    def _joined(
        self, before: list[CheckedPortion], portion: CheckedPortion, source: _Source, checks: Checks
    ) -> CheckedPortion:
        """Return a portion as it is, or checked again where a record of the one before reaches into it."""
        if not before or not isinstance(source, Stretch) or portion.start == before[-1].stop:
            return portion
        return self.crew.call(check_portion, source.begin(before[-1].stop), len(before), checks)


def _from(source: _Source, start: int) -> _Source:
    return source.begin(start) if isinstance(source, Stretch) else source
