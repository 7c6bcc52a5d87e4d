"""The feature store: what is missing, what it will take, encoding it, and a view of what is there."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from xingping.cache import cache_folder
from xingping.config import FeatureSettings
from xingping.encoders import FrozenEncoder, TokenFeatures
from xingping.errors import StoreError
from xingping.features.calibration import measure_scaling
from xingping.features.claims import Claim, remove_leftovers
from xingping.features.forecast import Forecast, fits_surely, make_forecast
from xingping.features.inventory import Inventory
from xingping.features.keys import Keys, is_first, text_keys
from xingping.features.layout import StoreLayout
from xingping.features.manifest import Manifest, ShardEntry
from xingping.features.plan import Chunk, EncodingPlan
from xingping.features.shards import StoreScaling, make_batch, shard_name
from xingping.features.stored import StoredFeatures
from xingping.segmentation import Segmenter
from xingping.texts import TextBatches, Texts
from xingping.word_pooling import pool_words

__all__ = ["SHARD_TEXTS", "FeatureStore"]

SHARD_TEXTS = 4096
"""Texts a shard; what a killed run loses at most. About 120 MB for 768 dimensions in fp16."""


class FeatureStore:
    """Features of one encoder on disk, one entry per distinct text.

    Any number of processes may read and write a store at the same time; those that encode the same texts share the
    work shard by shard.

    Parameters
    ----------
    fingerprint
        The encoder's (`FrozenEncoder.fingerprint`); features of another never mix in.
    root
        Folder of all stores; by default `features` in the user's cache.
    settings
        By token or by word, in 16 or in 8 bits; each has a store of its own.
    segmenter
        Cuts the words where the unit is a word; by default one without a user dictionary.
    shard_texts
        Texts a shard.
    """

    def __init__(
        self,
        fingerprint: str,
        root: Path | None = None,
        *,
        settings: FeatureSettings | None = None,
        segmenter: Segmenter | None = None,
        shard_texts: int = SHARD_TEXTS,
    ) -> None:
        settings = settings or FeatureSettings()
        self.fingerprint = fingerprint
        self.settings = settings
        self.shard_texts = shard_texts
        self._segmenter = (segmenter or Segmenter()) if settings.unit == "word" else None
        words = self._segmenter.fingerprint if self._segmenter else ""
        self.layout = StoreLayout(fingerprint, settings.unit, settings.dtype, words)
        self.folder = (root or cache_folder() / "features") / self.layout.name
        self._manifest = Manifest(self.folder, self.layout)
        self._inventory = Inventory(self._manifest)
        self._scaling: StoreScaling | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to open the same store; nothing of what is mapped here."""
        return {
            "fingerprint": self.fingerprint,
            "root": self.folder.parent,
            "settings": self.settings,
            "segmenter": self._segmenter,
            "shard_texts": self.shard_texts,
            "scaling": self._scaling,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        scaling, fingerprint = state.pop("scaling"), state.pop("fingerprint")
        self.__init__(fingerprint, **state)  # type: ignore[misc]  # as `FeatureStore(...)` does
        self._scaling = scaling

    def missing(self, texts: Texts) -> list[str]:
        """Return the distinct texts that have no features yet, in order of appearance."""
        return list(self._plan(texts).texts())

    def count_missing(self, texts: Texts) -> int:
        """Return how many distinct texts have no features yet."""
        return len(self._plan(texts))

    def plan(self, texts: Texts) -> Iterator[list[str]]:
        """Yield the distinct texts that have no features yet, one list a shard to write."""
        for chunk in self._plan(texts).chunks():
            yield chunk.texts

    def forecast(self, encoder: FrozenEncoder, texts: Texts) -> Forecast:
        """Forecast size and time of encoding what is missing, from a sample of it.

        `Forecast.check` refuses where the disk cannot hold it; `encode` does that, too.
        """
        self._check_encoder(encoder)
        return self._forecast(self._plan(texts), encoder, timed=True)

    def encode(self, encoder: FrozenEncoder, texts: Texts, *, progress: Callable[[int], None] | None = None) -> int:
        """Encode the texts that are not stored yet, shard by shard.

        A finished shard is written while the next is encoded. What another process is encoding is left to it, and
        done here if that process ends without it.

        Parameters
        ----------
        encoder
            Its fingerprint must be this store's.
        texts
            Repeats are encoded once.
        progress
            Called with the number of texts done since the last call.

        Returns
        -------
        int
            How many texts were encoded here.

        Raises
        ------
        StoreError
            The encoder is another one.
        OutputError
            The disk cannot hold the features, or the store cannot be written.
        """
        self._check_encoder(encoder)
        report = progress if progress is not None else _ignore
        remove_leftovers(self.folder)
        plan = self._plan(texts)
        if not len(plan):
            return 0
        if not fits_surely(plan, encoder, self.layout, self.folder):
            self._forecast(plan, encoder, timed=False).check()
        self.calibrate(encoder)
        elsewhere: set[str] = set()
        done = self._encode_chunks(encoder, plan.chunks(), report, skipped=elsewhere)
        if elsewhere:
            rest = (chunk for chunk in plan.chunks() if chunk.name in elsewhere)
            done += self._encode_chunks(encoder, rest, report, skipped=None)
        return done

    def calibrate(self, encoder: FrozenEncoder) -> None:
        """Measure what int8 needs, unless the store has it; `write` needs that, `encode` does it itself."""
        if self.layout.dtype != "int8" or self._scaling is not None:
            return
        self._check_encoder(encoder)
        self._inventory.refresh()
        while self._inventory.files and not self._inventory.verify([0]):
            pass
        stored = self._inventory.files[0].scaling if self._inventory.files else None
        self._scaling = stored or measure_scaling(encoder, self._segmenter)

    def write(self, texts: Sequence[str], features: TokenFeatures) -> ShardEntry:
        """Write one shard, in any process; `add` its entry to have it seen.

        Parameters
        ----------
        texts
            One list of `plan`.
        features
            Of these texts, by token, as the encoder gives them.

        Raises
        ------
        OutputError
            It cannot be written.
        StoreError
            An int8 store has not been calibrated.
        """
        keys = text_keys(texts)
        chunk = Chunk(list(texts), keys, shard_name(keys))
        claim = Claim.take(self.folder / chunk.name, wait=True)
        if claim is None:
            raise StoreError(f"{self.folder / chunk.name} cannot be claimed")
        try:
            return self._write(chunk, features, claim)
        finally:
            claim.release()

    def add(self, entries: Iterable[ShardEntry]) -> None:
        """List written shards in the manifest; whoever opens the store sees them from now on.

        Raises
        ------
        OutputError
            The store cannot be written.
        """
        self._manifest.add(entries)

    def view(self, texts: Texts) -> StoredFeatures:
        """Return the stored features of texts, in their order, without copying them.

        Raises
        ------
        StoreError
            A text has not been encoded.
        """
        batches = TextBatches.of(texts)
        self._inventory.refresh()
        keys = _all_keys(batches)
        shards, rows = self._inventory.locate_sound(keys)
        n_missing = int((shards < 0).sum())
        if n_missing:
            raise StoreError(
                f"{n_missing:,} of {len(batches):,} texts have no features in {self.folder}; encode them first"
            )
        view = StoredFeatures(self._inventory.files, shards, rows)
        view.release(range(len(self._inventory.files)))  # their offsets have been read
        return view

    def _check_encoder(self, encoder: FrozenEncoder) -> None:
        if encoder.fingerprint != self.fingerprint:
            raise StoreError(f"{self.folder} holds features of {self.fingerprint}, not of {encoder.fingerprint}")

    def _plan(self, texts: Texts) -> EncodingPlan:
        """Find the distinct texts without features: first by their keys alone, the texts are read when they are due."""
        batches = TextBatches.of(texts)
        self._inventory.refresh()
        keys = _all_keys(batches)
        wanted = self._inventory.locate_sound(keys)[0] < 0
        places = np.flatnonzero(wanted)
        wanted[places] = is_first(keys[places])
        return EncodingPlan(
            batches, wanted, keys[wanted], size=self.shard_texts, damaged=self._inventory.damaged.values()
        )

    def _forecast(self, plan: EncodingPlan, encoder: FrozenEncoder, *, timed: bool) -> Forecast:
        return make_forecast(plan, encoder, self.layout, self._segmenter, self.folder, timed=timed)

    def _encode_chunks(
        self,
        encoder: FrozenEncoder,
        chunks: Iterator[Chunk],
        report: Callable[[int], None],
        *,
        skipped: set[str] | None,
    ) -> int:
        """Encode and write shards.

        Those that another process is on are noted in `skipped`. Where that is None each is waited for; then no shard
        is taken before the one before is encoded, or two processes could wait for each other.
        """
        taken: deque[tuple[Chunk, Claim]] = deque()

        def claimed() -> Iterator[list[str]]:
            for chunk in chunks:
                claim = Claim.take(self.folder / chunk.name, wait=skipped is None)
                if claim is None:
                    if skipped is not None:
                        skipped.add(chunk.name)
                elif chunk.name in self._inventory.listed() and chunk.name not in self._inventory.damaged:
                    claim.release()  # another process was faster
                    report(len(chunk.texts))
                else:
                    taken.append((chunk, claim))
                    yield chunk.texts

        done = 0
        with ExitStack() as stack:
            stack.callback(_release, taken)
            writer = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="shard-writer"))
            written: Future[None] | None = None
            encoded = stack.enter_context(closing(_encode_each(encoder, claimed(), report, ahead=skipped is not None)))
            for features in encoded:
                if written is not None:
                    written.result()  # at most one shard waits: memory stays that of a few shards
                chunk, claim = taken.popleft()
                written = writer.submit(self._finish, chunk, features, claim)
                done += len(chunk.texts)
            if written is not None:
                written.result()
        return done

    def _finish(self, chunk: Chunk, features: TokenFeatures, claim: Claim) -> None:
        try:
            self.add([self._write(chunk, features, claim)])
        finally:
            claim.release()

    def _write(self, chunk: Chunk, features: TokenFeatures, claim: Claim) -> ShardEntry:
        if self._manifest.signature() is None:
            self._manifest.add(())  # so that shards without a manifest mean that it was lost
        if self._segmenter is not None:
            features = pool_words(features, chunk.texts, self._segmenter)
        claim.write(make_batch(chunk.keys, features, self.layout, self._scaling))
        return ShardEntry.of(claim.path, self.layout)


def _encode_each(
    encoder: FrozenEncoder, chunks: Iterator[list[str]], report: Callable[[int], None], *, ahead: bool
) -> Generator[TokenFeatures, None, None]:
    """Yield the features of each list of texts; the encoder may tokenise `ahead`."""
    if ahead and hasattr(encoder, "encode_chunks"):
        yield from encoder.encode_chunks(chunks, progress=report)
    else:
        for texts in chunks:
            yield encoder.encode(texts, progress=report)


def _all_keys(batches: TextBatches) -> Keys:
    keys = np.empty((len(batches), 2), dtype=np.uint64)
    at = 0
    for batch in batches:
        keys[at : at + len(batch)] = text_keys(batch)
        at += len(batch)
    return keys


def _release(taken: Iterable[tuple[Chunk, Claim]]) -> None:
    for _, claim in taken:
        claim.release()


def _ignore(count: int) -> None:
    """Report progress to nobody."""
