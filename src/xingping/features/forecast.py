"""What encoding will take: bytes by the format, seconds by a sample; and whether the disk can hold it."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xingping.encoders import FrozenEncoder
from xingping.errors import OutputError
from xingping.features.layout import StoreLayout
from xingping.features.plan import EncodingPlan
from xingping.features.shards import shard_bytes
from xingping.segmentation import Segmenter

__all__ = ["Forecast", "make_forecast"]

COUNTED_TEXTS = 4096
ENCODED_TEXTS = 256
"""Texts of the samples: those whose tokens are only counted, and those that are encoded."""

TIMED_SECONDS = 1.0
"""A timing shorter than this is repeated on more texts."""

TOKENS_A_CHARACTER = 4
"""At most: the bytes of a character that no piece of the vocabulary holds."""

LONGEST = 2**31
"""Characters of a text that count where the encoder cuts none."""

FEWEST_TIMED = 1024
"""Fewer texts are not timed beforehand: it would take as long as encoding them."""

RESERVE_SHARE, LARGEST_RESERVE = 0.02, 2**30
"""Of the disk, what is left free: encoding must not be what fills it."""


@dataclass(frozen=True)
class Forecast:
    """What encoding the texts that are missing will take.

    Attributes
    ----------
    texts, tokens
        To encode; of tokens (or words) an estimate.
    bytes
        On disk.
    seconds
        Of the encoder on this machine; None where it was not timed, or for few texts.
    free_bytes, reserve_bytes
        Of the disk, and what of it must stay free.
    folder
        The store.
    """

    texts: int
    tokens: int
    bytes: int
    seconds: float | None
    free_bytes: int
    reserve_bytes: int
    folder: Path

    def check(self) -> None:
        """See that the disk can hold it.

        Raises
        ------
        OutputError
            It cannot; the message says what is needed, what is free and the ways out.
        """
        if self.bytes + self.reserve_bytes > self.free_bytes:
            raise OutputError(
                f"features of {self.texts:,} texts need {_gigabytes(self.bytes)} in {self.folder}, but "
                f"{_gigabytes(self.free_bytes)} are free, of which {_gigabytes(self.reserve_bytes)} are kept; use "
                "--feature-dtype int8, --feature-unit word or one layer (--layers -1), or set XINGPING_CACHE to "
                "another disk"
            )

    def __str__(self) -> str:
        """Say it in one line."""
        disk = f"{_gigabytes(self.bytes)} on disk ({_gigabytes(self.free_bytes)} free)"
        time_needed = "" if self.seconds is None else f", about {_duration(self.seconds)}"
        return f"{self.texts:,} texts to encode, {disk}{time_needed}"


def make_forecast(
    plan: EncodingPlan,
    encoder: FrozenEncoder,
    layout: StoreLayout,
    segmenter: Segmenter | None,
    folder: Path,
    *,
    timed: bool,
) -> Forecast:
    """Forecast what a plan will take.

    Tokens are counted in a sample, as a share of its characters; the characters of all texts are known.

    Parameters
    ----------
    plan
        The texts to encode.
    encoder
        Encodes them.
    layout, segmenter, folder
        Of the store.
    timed
        Whether to time the encoder, which takes a few seconds.
    """
    longest = getattr(encoder, "max_length", None) or LONGEST
    sample, characters = plan.sample(COUNTED_TEXTS, longest)
    lengths = count_tokens(encoder, sample)
    counted = sample[: len(lengths)]
    share = characters / max(1, sum(min(len(text), longest) for text in counted))
    n_tokens = n_units = round(int(lengths.sum()) * share)
    if segmenter is not None:
        n_units = min(n_tokens, round(sum(_count_words(segmenter, text[:longest]) for text in counted) * share))
    seconds = None
    if timed and len(plan) >= FEWEST_TIMED:
        seconds = _seconds_a_token(encoder, sample) * n_tokens
    room = _Room.of(folder)
    return Forecast(
        texts=len(plan),
        tokens=n_units,
        bytes=_stored_bytes(plan, n_units, encoder.dim, layout),
        seconds=seconds,
        free_bytes=room.free,
        reserve_bytes=room.reserve,
        folder=folder,
    )


def fits_surely(plan: EncodingPlan, encoder: FrozenEncoder, layout: StoreLayout, folder: Path) -> bool:
    """Say whether the disk can hold a plan even where every character takes as many tokens as it can."""
    _, characters = plan.sample(0, getattr(encoder, "max_length", None) or LONGEST)
    room = _Room.of(folder)
    return _stored_bytes(plan, characters * TOKENS_A_CHARACTER, encoder.dim, layout) <= room.free - room.reserve


def _seconds_a_token(encoder: FrozenEncoder, sample: list[str]) -> float:
    """Time the encoder on a few texts; a short timing is repeated on more."""
    encoder.encode(sample[:4])  # the first call of a process sets up threads and memory
    seconds, tokens = 0.0, 0
    for size in (ENCODED_TEXTS // 8, ENCODED_TEXTS):
        chosen = sample[:: max(1, len(sample) // size)]
        start = time.perf_counter()
        tokens = len(encoder.encode(chosen).values)
        seconds = time.perf_counter() - start
        if seconds > TIMED_SECONDS or len(chosen) == len(sample):
            break
    return seconds / max(1, tokens)


def count_tokens(encoder: FrozenEncoder, texts: list[str]) -> NDArray[np.int64]:
    """Return the tokens of the first of some texts: of all where the encoder can count without encoding."""
    if hasattr(encoder, "count_tokens"):
        return np.asarray(encoder.count_tokens(texts))
    return encoder.encode(texts[:ENCODED_TEXTS]).lengths


def _count_words(segmenter: Segmenter, text: str) -> int:
    return sum(not text[start:end].isspace() for start, end in segmenter.pieces(text).tolist())


def _stored_bytes(plan: EncodingPlan, tokens: int, dim: int, layout: StoreLayout) -> int:
    if not len(plan):
        return 0
    sizes, repeats = np.unique(plan.sizes, return_counts=True)
    a_text = tokens / len(plan)
    return sum(
        repeat * shard_bytes(size, round(size * a_text), dim, layout)
        for size, repeat in zip(sizes.tolist(), repeats.tolist(), strict=True)
    )


class _Room(NamedTuple):
    """Bytes of a disk: what is free, and what of that is to stay free."""

    free: int
    reserve: int

    @classmethod
    def of(cls, folder: Path) -> "_Room":
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        disk = shutil.disk_usage(folder)
        return cls(disk.free, min(LARGEST_RESERVE, round(disk.total * RESERVE_SHARE)))


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 10_000_000 else f"{size / 1e6:,.2f} MB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
