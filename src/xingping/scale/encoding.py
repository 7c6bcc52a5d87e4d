"""Encoding on a Ray cluster: each worker writes whole shards of the store, and this process lists them."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from socket import gethostname

from xingping.config import EngineSettings
from xingping.encoders import FrozenEncoder
from xingping.errors import SettingsError, StoreError
from xingping.features import FeatureStore, ShardEntry
from xingping.features.claims import remove_leftovers
from xingping.scale.cluster import SharedFolders, Workers, connect, place_workers
from xingping.scale.pool import map_pieces
from xingping.texts import Texts

__all__ = ["encode_on_ray"]


def encode_on_ray(
    store: FeatureStore,
    encoder: FrozenEncoder,
    texts: Texts,
    *,
    engine: EngineSettings,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Encode the texts that a store lacks, as `store.encode` does, on the workers of a cluster.

    Unlike `store.encode` this does not ask first whether the disk can hold them: `store.forecast(...).check()` does.
    The store plans the same shards for one machine and for many, and a shard is named by its texts: one that is
    encoded a second time, because a worker died after writing it, replaces itself. What is in it does not depend
    on who encoded it, as long as all workers have the same kind of hardware.

    Parameters
    ----------
    store
        Where all nodes see it.
    encoder
        Tells the workers which to load; it does not encode itself.
    texts
        Repeats are encoded once.
    engine
        Which cluster.
    progress
        Called with the number of texts done since the last call.

    Returns
    -------
    int
        How many texts were encoded.

    Raises
    ------
    StoreError
        The encoder, or a worker's, is not the one of the store.
    SettingsError
        The cluster has GPUs and the encoder runs on none.
    XingpingError
        What the encoder or the store raise, or the workers keep dying.
    """
    if encoder.fingerprint != store.fingerprint:
        raise StoreError(f"{store.folder} holds features of {store.fingerprint}, not of {encoder.fingerprint}")
    connect(engine)
    workers = place_workers(engine)
    store.folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(store.folder)
    store.calibrate(encoder)
    make_job = partial(_EncodeShard, _EncoderName.of(encoder, workers), store)
    done = 0
    for _, answer in map_pieces(store.plan(texts), make_job, workers, SharedFolders.here(store.folder)):
        entry = ShardEntry(**json.loads(answer))
        store.add([entry])
        done += entry.texts
        if progress:
            progress(entry.texts)
    return done


@dataclass(frozen=True)
class _EncoderName:
    """What a worker loads: the encoder of the process that started the work, as it was chosen there."""

    name: str
    precision: str
    runtime: str
    layers: tuple[int, ...]
    max_length: int
    device: str | None

    @classmethod
    def of(cls, encoder: FrozenEncoder, workers: Workers) -> "_EncoderName":
        if workers.gpus and encoder.runtime == "onnx":
            raise SettingsError(
                f"the cluster computes on GPUs, but this machine chose {encoder.precision} in ONNX Runtime, which is "
                "for CPUs; add --runtime torch --precision bf16"
            )
        return cls(
            encoder.name,
            encoder.precision,
            encoder.runtime,
            encoder.layers,
            encoder.max_length,
            None if workers.gpus else "cpu",
        )

    def load(self) -> FrozenEncoder:
        return FrozenEncoder.load(
            self.name,
            precision=self.precision,
            runtime=self.runtime,
            layers=self.layers,
            max_length=self.max_length,
            device=self.device,
        )


class _EncodeShard:
    """The job of a worker: an encoder, loaded once, and the store to write to."""

    def __init__(self, name: _EncoderName, store: FeatureStore) -> None:
        self._encoder = name.load()
        self._store = store
        if self._encoder.fingerprint != store.fingerprint:
            raise StoreError(
                f"the node {gethostname()} has another encoder {name.name} than {store.folder} was made with; give "
                "all nodes the same versions and files"
            )

    def __call__(self, texts: list[str]) -> bytes:
        entry = self._store.write(texts, self._encoder.encode(texts))
        return json.dumps(asdict(entry)).encode()
