"""Exported graphs: made once per encoder and kept in the cache folder, whole or not at all."""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from xingping.artifacts import file_sha256, fingerprint, read_json, write_json
from xingping.cache import CACHE_VARIABLE
from xingping.encoders.quantization import RECIPE_VERSION
from xingping.encoders.source import EncoderSource
from xingping.errors import EncoderError, OutputError, RunDirectoryError

if TYPE_CHECKING:
    import onnx

__all__ = ["EXPORT_VERSION", "Export", "exported"]

logger = logging.getLogger(__name__)

EXPORT_VERSION = 1
"""Version of the graphs; raised when the same weights would give another one."""

GRAPH, WEIGHTS, MARKER = "model.onnx", "weights.bin", "complete.json"
SMALLEST_OUTSIDE = 1024
"""Bytes from which a tensor lies outside the graph's file, which cannot be larger than 2 GB."""

SAME = 0.9999
"""Least cosine between the states of a graph in fp32 and the model's that it was written from."""

Batches = Sequence[NDArray[np.int64]]


@dataclass(frozen=True)
class Export:
    """A graph on disk.

    Attributes
    ----------
    graph : Path
        The ONNX file; its weights lie beside it.
    parameters : int
        Number of weights in use.
    """

    graph: Path
    parameters: int


def exported(source: EncoderSource, layers: tuple[int, ...], precision: str, batches: Batches, key: str) -> Export:
    """Return the graph of an encoder, made now if it is not in the cache whole.

    It is checked against the digests written when it was made; a damaged one is made again. Two processes that
    need it at once make it once.

    Parameters
    ----------
    source
        The encoder; its model is loaded only where the graph has to be made.
    layers
        Resolved layers, in their order.
    precision
        fp32 or int8.
    batches
        Ids of sample texts, each batch of equal length, which the scales of int8 are taken from.
    key
        Digest of what the batches were made from.

    Raises
    ------
    EncoderError
        The model is none that a graph can be written of; the message says why.
    OutputError
        The cache folder cannot be written.
    """
    digest = fingerprint(EXPORT_VERSION, layers, precision, [RECIPE_VERSION, key] if precision == "int8" else None)
    folder = source.cache / f"{precision}-{digest}"
    if (found := _whole(folder)) is not None:
        return found
    try:
        source.cache.mkdir(parents=True, exist_ok=True)
        with FileLock(source.cache / f"{folder.name}.lock"):
            if (found := _whole(folder)) is None:
                found = _make(source, layers, precision, batches, folder)
    except OSError as error:
        raise OutputError(
            f"cannot write the {precision} graph of encoder {source.name} to {source.cache}: "
            f"{error.strerror or error}; name another cache folder with the environment variable {CACHE_VARIABLE}"
        ) from error
    return found


def _whole(folder: Path) -> Export | None:
    try:
        marker = read_json(folder / MARKER)
        if all(file_sha256(folder / name) == digest for name, digest in marker["files"].items()):
            return Export(folder / GRAPH, int(marker["parameters"]))
    except (OSError, RunDirectoryError, AttributeError, KeyError, TypeError, ValueError):
        pass
    return None


def _make(source: EncoderSource, layers: tuple[int, ...], precision: str, batches: Batches, folder: Path) -> Export:
    from xingping.encoders.onnx_graph import write_graph
    from xingping.encoders.post_norm import PostNormEncoder, why_not_post_norm

    if (reason := why_not_post_norm(source.model)) is not None:
        raise EncoderError(f"encoder {source.name} cannot run in ONNX Runtime: {reason}")
    start = time.perf_counter()
    encoder = PostNormEncoder.of(source.model, max(layers))
    with _temporary(folder) as place:
        watched = place / "watched"
        _save(write_graph(encoder, layers, watched=True), watched)
        _check(source, layers, watched / GRAPH, batches[0])
        if precision == "int8":
            largest = _observe(watched / GRAPH, len(encoder.layers), batches)
            _save(write_graph(encoder, layers, largest=largest), place)
        else:
            _save(write_graph(encoder, layers), place)
        shutil.rmtree(watched)
        digests = {file.name: file_sha256(file) for file in sorted(place.iterdir())}
        write_json(place / MARKER, {"files": digests, "parameters": encoder.parameters})
        if folder.exists():
            shutil.rmtree(folder)
        place.rename(folder)
    seconds = time.perf_counter() - start
    logger.info("made the %s graph of encoder %s in %.1f s (once)", precision, source.name, seconds)
    return Export(folder / GRAPH, encoder.parameters)


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """Give a folder to fill, which the caller renames; what others left when they were killed goes first."""
    for leftover in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=f".{folder.name}.{os.getpid()}.", dir=folder.parent))
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _save(model: "onnx.ModelProto", folder: Path) -> None:
    import onnx

    folder.mkdir(exist_ok=True)
    onnx.save_model(
        model, str(folder / GRAPH), save_as_external_data=True, location=WEIGHTS, size_threshold=SMALLEST_OUTSIDE
    )


def _check(source: EncoderSource, layers: tuple[int, ...], graph: Path, ids: NDArray[np.int64]) -> None:
    """Compare a graph with the model that it was written from: a config may hold what this version ignores.

    Raises
    ------
    EncoderError
        They differ.
    """
    import torch

    from xingping.encoders.onnx_runtime import open_session
    from xingping.encoders.probe import mean_cosine

    states = open_session(graph).run(["states"], {"ids": ids})[0]
    with torch.inference_mode():
        hidden = source.model(input_ids=torch.from_numpy(ids), output_hidden_states=True).hidden_states
        expected = torch.cat([hidden[layer] for layer in layers], dim=-1).numpy()
    found = mean_cosine(states, expected)
    if not found >= SAME:
        raise EncoderError(
            f"encoder {source.name} cannot run in ONNX Runtime: its graph gives other states (cosine {found:.4f})"
        )


def _observe(graph: Path, num_layers: int, batches: Batches) -> dict[str, NDArray[np.float32]]:
    """Run sample texts through a watched graph and note how large each input of its matrix products gets."""
    from xingping.encoders.onnx_graph import input_names
    from xingping.encoders.onnx_runtime import open_session

    names = [name for number in range(num_layers) for name in input_names(number).values()]
    session = open_session(graph, threads=0)
    largest: dict[str, NDArray[np.float32]] = {}
    for ids in batches:
        for name, output in zip(names, session.run(names, {"ids": ids}) if names else (), strict=True):
            largest[name] = np.maximum(largest.get(name, output), output)
    return largest
