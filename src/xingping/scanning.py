"""Physical lines and quoted fields: which bytes of a delimited text are one record, and which are broken.

A record is a physical line unless a quoted field holds line ends. NumPy finds lines, delimiters and quotes
in chunks of the file; only lines with a quote are looked at one by one, by one regular expression. Whatever
is well formed then goes to Arrow's CSV reader, whose idea of a record is the same: a quote opens a field
only at its start, is doubled inside, and is an ordinary character elsewhere.

Why the records are found here and not by a CSV engine: engines that skip what is broken (DuckDB's reject
table, Arrow's handler of invalid rows) take an opened and never closed quote, with all good lines that it
swallows, for one record. Here only the broken line is lost.
"""

import re
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from xingping.records import BAD_BYTES, SHOWN, BadLine, Portion, Records, shown
from xingping.sources import is_utf8

__all__ = ["MAX_RECORD_LINES", "Chunk", "Grammar", "line_end", "unquoted"]

MAX_RECORD_LINES = 1000
"""Lines that one record may span; a quote that stays open for longer was never closed."""

_NEVER_CLOSED = "a quote is opened and never closed"
_LF, _CR, _QUOTE = 10, 13, 34

# What a physical line is. Inner lines belong to the good record above them, dropped ones to a bad one.
_GOOD, _INNER, _BLANK, _BAD, _DROPPED = range(5)


@dataclass
class Grammar:
    """What a record looks like with one delimiter and one number of columns."""

    delimiter: bytes
    names: list[str]
    quoted: re.Pattern[bytes] = field(init=False)
    bare: re.Pattern[bytes] = field(init=False)
    record: re.Pattern[bytes] = field(init=False)

    def __post_init__(self) -> None:
        mark = re.escape(self.delimiter)
        quoted, bare = rb'"(?:[^"]++|"")*+"', rb'(?:[^"%b\n][^%b\n]*+)?+' % (mark, mark)
        one = rb"(?:%b|%b)" % (quoted, bare)
        self.quoted = re.compile(quoted)
        self.bare = re.compile(bare)
        self.record = re.compile(rb"%b(?:%b%b){%d}+\r*(?:\n|\Z)" % (one, mark, one, len(self.names) - 1))

    def split(self, view: memoryview, start: int, limit: int | None = None) -> tuple[list[bytes], str, int]:
        """Cut the record at `start` into its fields as they are written, quotes included.

        Returns
        -------
        fields, problem, end
            `problem` is "" or what breaks the quoting, in the last of the fields. `end` is where the next line
            begins: after the record, or after its first line where there is a problem. A record that has left its
            first line and has more than `limit` fields is given up as a quote that was never closed.
        """
        fields: list[bytes] = []
        at, next_line = start, line_end(view, start) + 1
        while True:
            opened = view[at : at + 1].tobytes() == b'"'
            match = (self.quoted if opened else self.bare).match(view, at)
            if match is None or (limit is not None and match.end() > next_line and len(fields) > limit):
                return [*fields, view[at:next_line].tobytes()], _NEVER_CLOSED, next_line
            fields.append(match[0])
            if view[match.end() : match.end() + 1].tobytes() == self.delimiter:
                at = match.end() + 1
            elif record_end := _RECORD_END.match(view, match.end()):
                fields[-1] = match[0] if opened else match[0].rstrip(b"\r")
                return fields, "", record_end.end()
            else:
                problem = _NEVER_CLOSED if match.end() >= next_line else "text after a closing quote"
                return fields, problem, next_line

    def count_problem(self, fields: int) -> tuple[str, str]:
        """Return the column at fault and the reason for a record with a wrong number of fields."""
        column = self.names[fields] if fields < len(self.names) else ""
        return column, f"{fields} field{'s' * (fields != 1)}, the header has {len(self.names)}"


@dataclass(frozen=True)
class _Problem:
    column: str
    reason: str
    end: int  # where the record ends


class Chunk:
    """The physical lines of a stretch of a file, and what each of them is.

    Parameters
    ----------
    data : (bytes,) uint8
        The whole file.
    start, limit
        Where the first line of the stretch begins, and where the line after its last one does.
    grammar
        Of the file.

    Attributes
    ----------
    starts, ends : (n,) int64
        Line i is ``data[starts[i]:ends[i]]``, without its LF.
    state : (n,) int8
        What each line is.
    problems
        Why a line is bad.
    stop
        Where the next chunk begins: a last record may reach beyond the lines of this one.
    """

    def __init__(self, data: NDArray[np.uint8], start: int, limit: int, grammar: Grammar) -> None:
        self.data, self.view, self.grammar = data, memoryview(data.data), grammar
        self.problems: dict[int, _Problem] = {}
        chunk = data[start:limit]
        ends = np.flatnonzero(chunk == _LF) + start
        self.ends = ends if chunk[-1] == _LF else np.append(ends, limit)
        self.starts = np.concatenate([[start], self.ends[:-1] + 1])
        self.start, self.stop, self.limit = start, limit, limit
        lengths = self.ends - self.starts
        self.state = np.full(self.starts.size, _GOOD, np.int8)
        self.state[(lengths == 0) | ((lengths == 1) & (data[self.starts] == _CR))] = _BLANK
        quoted = self._count(chunk == _QUOTE) > 0
        for i in np.flatnonzero(quoted):
            if self.state[i] == _GOOD:
                self._check_quoted(int(i))
        fields = self._count(chunk == ord(grammar.delimiter)) + 1
        for i in np.flatnonzero(~quoted & (self.state == _GOOD) & (fields != len(grammar.names))):
            self._reject(int(i), *grammar.count_problem(int(fields[i])))
        self._check_encoding()

    @property
    def line_count(self) -> int:
        """How many physical lines there are up to `stop`."""
        beyond = self.data[self.limit : self.stop]
        return int(self.starts.size + np.count_nonzero(beyond == _LF) + (beyond.size > 0 and beyond[-1] != _LF))

    def portion(self) -> Portion:
        """Return the records, good and bad.

        Raises
        ------
        pyarrow.ArrowInvalid
            Arrow finds other records.
        """
        table = self._parse()
        firsts = np.flatnonzero((self.state == _GOOD) | (self.state == _BAD))
        good = self.state[firsts] == _GOOD
        if table.num_rows != good.sum():  # pragma: no cover - the two agree on what a record is
            raise pa.ArrowInvalid(f"found {good.sum()} records, parsed {table.num_rows}")
        bad_lines = [
            BadLine(int(number), int(i + 1), self.problems[i].column, self.problems[i].reason, self._shown(int(i)))
            for number, i in zip(np.flatnonzero(~good) + 1, firsts[~good], strict=True)
        ]
        records = Records(table, np.flatnonzero(good) + 1, firsts[good] + 1, bad_lines)
        return Portion(records, int(firsts.size), self.line_count, self.start, self.stop)

    def _shown(self, i: int) -> str:
        return shown(self.data[self.starts[i] : self.problems[i].end][: 4 * SHOWN].tobytes())

    def _parse(self) -> pa.Table:
        """Parse the good records, every column as strings."""
        pieces = self._pieces()
        names = self.grammar.names
        if not pieces:
            return pa.schema([(name, pa.string()) for name in names]).empty_table()
        longest = int(np.diff(self.starts[self.state != _INNER], append=self.stop).max())
        return arrow_csv.read_csv(
            pa.BufferReader(_arrow_buffer(pieces)),
            read_options=arrow_csv.ReadOptions(column_names=names, block_size=max(1 << 22, 2 * longest)),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self.grammar.delimiter.decode(), newlines_in_values=True, ignore_empty_lines=False
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=False
            ),
        )

    def _count(self, hits: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count the bytes of each line that are hit."""
        places = np.flatnonzero(hits) + self.start
        return np.searchsorted(places, self.ends) - np.searchsorted(places, self.starts)

    def _reject(self, i: int, column: str, reason: str, end: int | None = None) -> None:
        self.state[i] = _BAD
        self.problems[i] = _Problem(column, reason, int(self.ends[i]) if end is None else end)

    def _record_end(self, i: int) -> tuple[int, int]:
        """Return the line after a good record and where it begins."""
        following = i + 1
        while following < self.state.size and self.state[following] == _INNER:
            following += 1
        return following, int(self.starts[following]) if following < self.state.size else self.stop

    def _check_quoted(self, i: int) -> None:
        """Find the record that begins on line `i`, which has a quote."""
        start = int(self.starts[i])
        if match := self.grammar.record.match(self.view, start):
            if match.end() > self.ends[i] + 1 and not self._claim(i, match.end(), _INNER):
                self._reject(i, "", _NEVER_CLOSED)
            return
        fields, problem, end = self.grammar.split(self.view, start, limit=len(self.grammar.names))
        if problem:
            names = self.grammar.names
            self._reject(i, names[min(len(fields), len(names)) - 1], problem)
        elif end <= self.ends[i] + 1:
            self._reject(i, *self.grammar.count_problem(len(fields)))
        elif self._holds_records(i, end) or not self._claim(i, end, _DROPPED):
            self._reject(i, "", _NEVER_CLOSED)
        else:
            self._reject(i, *self.grammar.count_problem(len(fields)), end)

    def _claim(self, i: int, end: int, state: int) -> bool:
        """Give the lines after `i` and before `end` to the record of line `i`, unless they are too many."""
        after = int(np.searchsorted(self.starts, end))
        beyond = np.count_nonzero(self.data[self.limit : end] == _LF)
        if after - i + beyond > MAX_RECORD_LINES:
            return False
        self.state[i + 1 : after] = state
        self.stop = max(self.stop, min(end, self.data.size))
        return True

    def _holds_records(self, i: int, end: int) -> bool:
        """Say whether a record with a wrong number of fields has swallowed a line that is a record."""
        after = min(int(np.searchsorted(self.starts, end)), i + MAX_RECORD_LINES)
        for j in range(i + 1, after):
            match = self.grammar.record.match(self.view, int(self.starts[j]))
            if match and match.end() <= self.ends[j] + 1:
                return True
        return False

    def _check_encoding(self) -> None:
        """Reject the records with bytes that are not UTF-8."""
        if is_utf8(self.view[self.start : self.stop]):
            return
        for i in np.flatnonzero(self.state == _GOOD):
            end = self._record_end(int(i))[1]
            if is_utf8(self.view[self.starts[i] : end]):
                continue
            fields = self.grammar.split(self.view, int(self.starts[i]))[0]
            invalid = next(k for k, cell in enumerate(fields) if not is_utf8(cell))
            after = self._record_end(int(i))[0]
            self.state[i + 1 : after] = _DROPPED
            self._reject(int(i), self.grammar.names[invalid], BAD_BYTES, end)

    def _pieces(self) -> list[memoryview | bytes]:
        """Cut the bytes of all good records out of the file."""
        keep = self.state <= _INNER
        rewritten = self._rewritten()
        for i in rewritten:
            keep[i : self._record_end(i)[0]] = False
        turns = np.flatnonzero(np.diff(keep, prepend=False, append=False)).tolist()
        offsets = [*self.starts.tolist(), self.stop]
        pieces: dict[int, memoryview | bytes] = {
            a: self.view[offsets[a] : offsets[b]] for a, b in zip(turns[::2], turns[1::2], strict=True)
        }
        pieces |= rewritten
        return [pieces[i] for i in sorted(pieces)]

    def _rewritten(self) -> dict[int, bytes]:
        """Quote the fields of good records with a carriage return inside, where Arrow would end a record."""
        returns = np.flatnonzero(self.data[self.start : self.stop] == _CR) + self.start
        returns = returns[returns + 1 < self.data.size]
        returns = returns[self.data[returns + 1] != _LF]
        on_lines = np.minimum(np.searchsorted(self.ends, returns), self.state.size - 1)
        firsts = np.flatnonzero(self.state != _INNER)
        result: dict[int, bytes] = {}
        for i in np.unique(firsts[np.searchsorted(firsts, on_lines, side="right") - 1]).tolist():
            if self.state[i] == _GOOD:
                fields = self.grammar.split(self.view, int(self.starts[i]))[0]
                cells = [unquoted(cell).replace(b'"', b'""') for cell in fields]
                result[i] = self.grammar.delimiter.join(b'"%b"' % cell for cell in cells) + b"\n"
        return result


def unquoted(cell: bytes) -> bytes:
    """Return the text of a field as it is written."""
    return cell[1:-1].replace(b'""', b'"') if cell.startswith(b'"') else cell


def _arrow_buffer(pieces: list[memoryview | bytes]) -> pa.Buffer:
    """Join pieces in memory that Arrow owns.

    Arrow's threads may let go of a buffer after the reading has returned; were it Python's, that could
    happen while the interpreter shuts down, and would abort the process.
    """
    buffer = pa.allocate_buffer(sum(len(piece) for piece in pieces))
    target = np.frombuffer(buffer, dtype=np.uint8)
    at = 0
    for piece in pieces:
        target[at : at + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
        at += len(piece)
    return buffer


_NEXT_LF = re.compile(rb"\n")
_RECORD_END = re.compile(rb"\r*(?:\n|\Z)")


def line_end(view: memoryview, start: int) -> int:
    """Return where the line that begins at `start` ends: at its LF, or at the end of the file."""
    match = _NEXT_LF.search(view, start)
    return match.start() if match else len(view)
