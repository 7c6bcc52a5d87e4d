"""Delimited text: CSV and its relatives, with every broken record found, placed and stepped over.

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
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from xingping.errors import InputError
from xingping.records import BAD_BYTES, SHOWN, BadLine, Records, shown, unique_names

__all__ = ["read_delimited"]

CHUNK = 1 << 23
"""Bytes that are looked at together."""

MAX_RECORD_LINES = 1000
"""Lines that one record may span; a quote that stays open for longer was never closed."""

DELIMITERS = (b",", b"\t", b";", b"|")

_NEVER_CLOSED = "a quote is opened and never closed"
_LF, _CR, _QUOTE = 10, 13, 34

# What a physical line is. Inner lines belong to the good record above them, dropped ones to a bad one.
_GOOD, _INNER, _BLANK, _BAD, _DROPPED = range(5)


def read_delimited(file: Path, path: Path) -> Records:
    """Read a delimited UTF-8 file whose first line names the columns.

    Parameters
    ----------
    file
        The file, without byte order mark, lines ending with LF or CR LF.
    path
        What the user calls it, for messages.

    Raises
    ------
    InputError
        There is no header, or it cannot be read.

    Notes
    -----
    A record is bad, and the reading goes on after it, where it has too few or too many fields, bytes that
    are not UTF-8, text after a closing quote, or a quote that is never closed; in the last two cases the
    physical line is given up and the next one is read afresh. Blank lines are no records. A carriage return
    inside a line is text.
    """
    data: NDArray[np.uint8] = np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))
    grammar, start, line = _read_header(data, path)
    tables = [pa.schema([(name, pa.string()) for name in grammar.names]).empty_table()]
    rows, lines = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    bad_lines: list[BadLine] = []
    row = 1
    while start < data.size:
        chunk = _Chunk(data, start, grammar)
        firsts = np.flatnonzero((chunk.state == _GOOD) | (chunk.state == _BAD))
        good = chunk.state[firsts] == _GOOD
        numbers = np.arange(row, row + firsts.size)
        try:
            table = chunk.parse()
        except pa.ArrowInvalid as error:
            raise InputError(f"{path} after line {line}: {error}; save the file again") from error
        if table.num_rows != good.sum():  # pragma: no cover - the scanner and Arrow agree on what a record is
            raise InputError(f"{path} after line {line}: found {good.sum()} records, parsed {table.num_rows}")
        tables.append(table)
        rows.append(numbers[good])
        lines.append(line + firsts[good])
        for number, i in zip(numbers[~good], firsts[~good], strict=True):
            problem = chunk.problems[i]
            text = shown(data[chunk.starts[i] : problem.end][: 4 * SHOWN].tobytes())
            bad_lines.append(BadLine(int(number), int(line + i), problem.column, problem.reason, text))
        row += firsts.size
        line += chunk.line_count
        start = chunk.stop
    return Records(pa.concat_tables(tables), np.concatenate(rows), np.concatenate(lines), bad_lines)


@dataclass
class _Grammar:
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
        at, next_line = start, _line_end(view, start) + 1
        while True:
            opened = view[at : at + 1].tobytes() == b'"'
            match = (self.quoted if opened else self.bare).match(view, at)
            if match is None or (limit is not None and match.end() > next_line and len(fields) > limit):
                return [*fields, view[at:next_line].tobytes()], _NEVER_CLOSED, next_line
            fields.append(match[0])
            if view[match.end() : match.end() + 1].tobytes() == self.delimiter:
                at = match.end() + 1
            elif line_end := _RECORD_END.match(view, match.end()):
                fields[-1] = match[0] if opened else match[0].rstrip(b"\r")
                return fields, "", line_end.end()
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


class _Chunk:
    """The physical lines from `start` on, about 8 MB of them, and what each of them is.

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

    def __init__(self, data: NDArray[np.uint8], start: int, grammar: _Grammar) -> None:
        self.data, self.view, self.grammar = data, memoryview(data.data), grammar
        self.problems: dict[int, _Problem] = {}
        limit = min(start + CHUNK, data.size)
        if limit < data.size:
            limit = min(_line_end(self.view, limit) + 1, data.size)
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

    def parse(self) -> pa.Table:
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
        if _invalid_at(self.view[self.start : self.stop]) is None:
            return
        for i in np.flatnonzero(self.state == _GOOD):
            end = self._record_end(int(i))[1]
            if _invalid_at(self.view[self.starts[i] : end]) is None:
                continue
            fields = self.grammar.split(self.view, int(self.starts[i]))[0]
            invalid = next(k for k, cell in enumerate(fields) if _invalid_at(memoryview(cell)) is not None)
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
                cells = [_unquoted(cell).replace(b'"', b'""') for cell in fields]
                result[i] = self.grammar.delimiter.join(b'"%b"' % cell for cell in cells) + b"\n"
        return result


def _read_header(data: NDArray[np.uint8], path: Path) -> tuple[_Grammar, int, int]:
    """Return the grammar, and the offset and the number of the line after the header."""
    view = memoryview(data.data)
    start, line = 0, 1
    while not view[start : (end := _line_end(view, start))].tobytes().strip(b"\r"):
        if end >= data.size:
            raise InputError(f"{path} is empty: it has blank lines and nothing else")
        start, line = end + 1, line + 1
    found: list[tuple[list[bytes], bytes, int]] = []
    for delimiter in DELIMITERS:
        fields, problem, stop = _Grammar(delimiter, [""]).split(view, start)
        if not problem:
            found.append((fields, delimiter, stop))
    if not found:
        raise InputError(f"{path} line {line}: the quotes of the header are broken; it must name the columns")
    fields, delimiter, stop = max(found, key=lambda candidate: len(candidate[0]))
    try:
        names = unique_names([_unquoted(cell).decode() for cell in fields])
    except UnicodeDecodeError as error:
        raise InputError(f"{path} line {line}: the header is not UTF-8; save the file as UTF-8") from error
    return _Grammar(delimiter, names), stop, line + int(np.count_nonzero(data[start:stop] == _LF))


def _unquoted(cell: bytes) -> bytes:
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


def _line_end(view: memoryview, start: int) -> int:
    """Return where the line that begins at `start` ends: at its LF, or at the end of the file."""
    match = _NEXT_LF.search(view, start)
    return match.start() if match else len(view)


def _invalid_at(text: memoryview) -> int | None:
    """Return where the first byte is that is not UTF-8."""
    try:
        str(text, "utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return None
