"""Files as they come: unpacked, recognised by their content, and turned into UTF-8.

Nothing here trusts a file's name or size. A packed file is streamed to a temporary file under a limit, and
names inside an archive are never used as paths.
"""

import codecs
import gzip
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal, Protocol

import numpy as np
import pyarrow as pa

from xingping.errors import InputError

__all__ = ["Source", "is_utf8", "open_source"]

Kind = Literal["text", "json", "parquet"]

BLOCK = 1 << 22
"""Bytes that are read at a time."""

UNPACKED_FREE = 64 << 20
"""Bytes that a packed file may always unpack to."""

UNPACKED_RATIO = 200
"""Beyond that, how many times its packed size; a table of text packs 3 to 20 times."""

INVALID_SHARE = 0.5
"""Most invalid lines, of the lines beyond ASCII, in a file of an encoding.

A line that is in another encoding is hardly ever valid UTF-8 by chance, so a few valid lines are proof
enough.
"""

_ENDINGS = {"jsonl": "json", "ndjson": "json", "json": "json", "parquet": "parquet", "pq": "parquet"}
_MAGIC = {
    b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"GIF8": "a GIF image", b"%PDF": "a PDF",
    b"\xd0\xcf\x11\xe0": "an Excel workbook", b"7z\xbc\xaf": "a 7z archive", b"Rar!": "a RAR archive",
    b"\xfd7zXZ": "an xz archive", b"BZh": "a bzip2 archive", b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"SQLite format 3": "an SQLite database", b"\x7fELF": "a program",
}  # fmt: skip
_CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13, 27})


@dataclass(frozen=True)
class Source:
    """A file that is ready to be parsed.

    Attributes
    ----------
    path
        The file itself or a temporary one; text is UTF-8 in it, without BOM, apart from lines with invalid
        bytes.
    kind
        ``text`` (a delimited table), ``json`` or ``parquet``.
    format
        How the user would name it, such as ``csv`` or ``csv.gz``.
    encoding
        The encoding of the original, such as ``utf-8-sig`` or ``gb18030``; ``binary`` for Parquet.
    """

    path: Path
    kind: Kind
    format: str
    encoding: str


def open_source(path: Path, folder: Path) -> Source:
    """Unpack and recognise a file, and turn its text into UTF-8.

    Parameters
    ----------
    path
        The file: a delimited table, JSON, JSON lines or Parquet, as it is or in a .gz or .zip.
    folder
        Where temporary files may be written.

    Raises
    ------
    InputError
        The file is missing, empty, unreadable, damaged or of an unknown kind.
    """
    try:
        if not path.exists():
            raise InputError(f"{path} does not exist; check the path")
        if path.is_dir():
            raise InputError(f"{path} is a folder; name one file in it")
        if not path.is_file():
            raise InputError(f"{path} is not a regular file; save the table to a file first")
        return _recognise(path, path.name, path, folder, depth=0)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot read {path}: {reason}; check the file and the disk") from error


def _recognise(file: Path, name: str, path: Path, folder: Path, depth: int) -> Source:
    """Recognise `file`, called `name`, which is `path` itself or was packed in it."""
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    with file.open("rb") as stream:
        start = stream.read(1 << 16)
    if not start:
        raise InputError(f"{path} is empty" + ("" if file == path else f" inside ({_clip(name)})"))
    if start.startswith((b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06")):
        if depth == 2:
            raise InputError(f"{path} is packed more than twice; unpack it first")
        packing, unpack = ("zip", _unzip) if start.startswith(b"PK") else ("gz", _gunzip)
        inner, inner_name = unpack(file, name, path, folder / f"unpacked{depth}")
        source = _recognise(inner, inner_name, path, folder, depth + 1)
        return replace(source, format=f"{source.format}.{packing}")
    if ending in ("gz", "zip"):
        raise InputError(f"{path} is no .{ending} file, or is damaged; unpack it or download it again")
    if start.startswith(b"PAR1"):
        return Source(file, "parquet", "parquet", "binary")
    if _ENDINGS.get(ending) == "parquet":
        raise InputError(f"{path} is no Parquet file, or is damaged; write it again")
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise InputError(f"{path} is {what}, not a table; save the reviews as CSV (UTF-8)")
    file, encoding = _to_utf8(file, start, path, folder / "utf8")
    if ending in _ENDINGS or (ending not in ("csv", "tsv") and start.lstrip().startswith(b'{"')):
        return Source(file, "json", ending if ending in _ENDINGS else "jsonl", encoding)
    return Source(file, "text", "tsv" if ending == "tsv" else "csv", encoding)


def _clip(name: str) -> str:
    return " ".join(name.split())[:60]


def _gunzip(file: Path, name: str, path: Path, target: Path) -> tuple[Path, str]:
    try:
        with gzip.open(file) as stream:
            _unpack(stream, file.stat().st_size, path, target)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged or cut short ({error}); download it again") from error
    return target, name[:-3] if name.lower().endswith(".gz") else name


def _unzip(file: Path, name: str, path: Path, target: Path) -> tuple[Path, str]:  # noqa: ARG001 - as _gunzip
    try:
        with zipfile.ZipFile(file) as archive:
            if any(member.startswith("xl/") for member in archive.namelist()):
                raise InputError(f"{path} is an Excel workbook; save the sheet as CSV (UTF-8)")
            members = [
                member for member in archive.infolist()
                if not member.is_dir()
                and "__MACOSX" not in member.filename
                and not member.filename.rpartition("/")[2].startswith(".")
            ]  # fmt: skip
            if len(members) != 1:
                names = ", ".join(_clip(member.filename) for member in members[:4]) or "nothing"
                count = f"{len(members)} files ({names})"
                raise InputError(f"{path} must hold one table, it holds {count}; unpack one")
            with archive.open(members[0]) as stream:
                _unpack(stream, file.stat().st_size, path, target)
            return target, members[0].filename
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:
        raise InputError(f"{path} is a damaged or unsupported zip ({error}); pack it again") from error
    except RuntimeError as error:  # what zipfile raises for a password
        raise InputError(f"{path} needs a password; unpack it first") from error


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _unpack(stream: _Readable, packed: int, path: Path, target: Path) -> None:
    limit = max(UNPACKED_FREE, UNPACKED_RATIO * packed)
    size = 0
    with target.open("wb") as out:
        while block := stream.read(BLOCK):
            size += len(block)
            if size > limit:
                raise InputError(f"{path} unpacks to over {limit >> 20} MB, {UNPACKED_RATIO} times its size; unpack it")
            out.write(block)


def _to_utf8(file: Path, start: bytes, path: Path, target: Path) -> tuple[Path, str]:
    """Find the encoding, and write a UTF-8 copy unless the file can be read as it is."""
    encoding = _encoding_by_start(start) or _encoding_by_lines(file, start, path)
    if not encoding.startswith("utf-16") and len(start.translate(None, _CONTROLS)) < 0.7 * len(start):
        raise InputError(f"{path} is a binary file, not a table; save the reviews as CSV (UTF-8)")
    old_mac = _ends_lines_with_cr(start, encoding)
    if encoding == "utf-8" and not old_mac:
        return file, encoding
    try:
        with file.open("rb") as stream, target.open("wb") as out:
            for text in _decoded(stream, encoding):
                # surrogatepass writes bytes that the encoding does not know as bytes that UTF-8 does not
                # know either, so their lines, and only these, are rejected.
                out.write((text.replace("\r", "\n") if old_mac else text).encode("utf-8", "surrogatepass"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not valid {encoding} ({error.reason}); save it as UTF-8") from error
    if target.stat().st_size == 0:
        raise InputError(f"{path} is empty: it holds a byte order mark and nothing else")
    return target, encoding


def _encoding_by_start(start: bytes) -> str | None:
    """Recognise a byte order mark, or UTF-16 without one."""
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = start.count(0) / len(start)
    if zeros == 0 or (zeros < 0.3 and _is_valid(start[: start.rfind(b"\n") + 1], "utf-8")):
        return None  # zero bytes or not, this is no UTF-16: that of Chinese is hardly ever valid UTF-8
    for encoding, dtype in (("utf-16-le", "<u2"), ("utf-16-be", ">u2")):
        units = np.frombuffer(start[: len(start) // 2 * 2], dtype=dtype)
        ascii_text = ((units >= 0x20) & (units < 0x7F)) | np.isin(units, (9, 10, 13))
        chinese = ((units >= 0x3000) & (units < 0xA000)) | (units >= 0xFF00)
        # Commas and line ends are single units with a zero byte only in the right byte order.
        if ascii_text.mean() > 0.01 and (ascii_text | chinese).mean() > 0.8:
            return encoding
    return None


def _encoding_by_lines(file: Path, start: bytes, path: Path) -> str:
    """Find the encoding in which most lines are valid; UTF-8 goes first."""
    for encoding in ("utf-8", "gb18030"):
        lines, beyond, invalid = _count_lines(file, encoding)
        if invalid <= INVALID_SHARE * beyond:
            return encoding
    if beyond < lines / 2:
        return "utf-8"  # plain ASCII but for a few stray bytes, whose lines are rejected
    from charset_normalizer import from_bytes  # slow to import, and hardly ever needed

    best = from_bytes(start).best()
    if best is None or _count_lines(file, best.encoding)[2] > INVALID_SHARE * beyond:
        raise InputError(f"{path} is in an unknown encoding, or is a binary file; save it as UTF-8")
    return str(best.encoding)


def _count_lines(file: Path, encoding: str) -> tuple[int, int, int]:
    """Count all lines, those beyond ASCII, and those of them that are invalid in an encoding.

    Where a block is valid as a whole its lines are not looked at one by one, and all count as beyond ASCII.
    """
    lines = beyond = invalid = 0
    with file.open("rb") as stream:
        while block := stream.read(BLOCK) + stream.readline():
            count = block.count(b"\n") + 1
            lines += count
            if block.isascii():
                continue
            if _is_valid(block, encoding):
                beyond += count
                continue
            suspects = [line for line in block.split(b"\n") if not line.isascii()]
            beyond += len(suspects)
            invalid += sum(not _is_valid(line, encoding) for line in suspects)
    return lines, beyond, invalid


def is_utf8(data: bytes | memoryview) -> bool:
    """Say whether bytes are valid UTF-8; Arrow knows six times faster than decoding them shows."""
    offsets = pa.py_buffer(np.array([0, len(data)], dtype=np.int64))
    try:
        pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(data)]).cast(
            pa.large_string()
        )
    except pa.ArrowInvalid:
        return False
    return True


def _is_valid(text: bytes, encoding: str) -> bool:
    if encoding == "utf-8":
        return is_utf8(text)
    try:
        text.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _decoded(stream: IO[bytes], encoding: str) -> Iterator[str]:
    """Decode block by block, with what the encoding does not know as lone surrogates."""
    errors = "surrogatepass" if encoding.startswith("utf-16") else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    while block := stream.read(BLOCK):
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


def _ends_lines_with_cr(start: bytes, encoding: str) -> bool:
    """Say whether the first line ends with a carriage return alone, as on the first Macs."""
    text = start.decode(encoding, "replace")
    first = re.search(r"\r\n?|\n", text.lstrip("\r\n"))
    return first is not None and first[0] == "\r" and first.end() < len(text)
