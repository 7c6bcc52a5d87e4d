"""Files that a killed training goes on from: tensors and a JSON record in one safetensors file, replaced whole."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from xingping.artifacts import atomic_path

__all__ = ["pack_checkpoint", "read_checkpoint", "remove_checkpoint", "unpack_checkpoint", "write_checkpoint"]

logger = logging.getLogger(__name__)

FORMAT = 1
"""Version of the file; raised when an older one can no longer be read."""

RECORD = "record.json"
"""Name of the tensor of bytes that holds the record."""

Content = tuple[dict[str, Tensor], dict[str, Any]]


def pack_checkpoint(key: str, tensors: dict[str, Tensor], record: dict[str, Any]) -> bytes:
    """Return the file's content.

    Parameters
    ----------
    key
        Digest of all that decides the training; only a training with the same goes on from here.
    tensors
        On any device.
    record
        Whatever JSON holds; numbers come back as they were, to the last bit.
    """
    text = json.dumps({"format": FORMAT, "key": key, **record}, allow_nan=False)
    packed = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    packed[RECORD] = torch.from_numpy(np.frombuffer(text.encode(), dtype=np.uint8).copy())
    return safetensors.torch.save(packed)


def unpack_checkpoint(content: bytes, key: str, origin: object = "the checkpoint") -> Content | None:
    """Return tensors and record, or None, with a line in the log, where they do not belong to this training."""
    try:
        tensors = safetensors.torch.load(content)
        record = json.loads(tensors.pop(RECORD).numpy().tobytes())
        found = (record.pop("format"), record.pop("key"))
    except (SafetensorError, KeyError, ValueError, AttributeError) as error:
        logger.warning("%s is damaged (%s); training starts anew", origin, str(error).splitlines()[0])
        return None
    if found != (FORMAT, key):
        logger.info("%s belongs to another training; training starts anew", origin)
        return None
    return tensors, record


def write_checkpoint(path: Path, content: bytes) -> None:
    """Write the file atomically.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_checkpoint(path: Path) -> bytes | None:
    """Return the content of the file; None where there is none."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def remove_checkpoint(path: Path) -> None:
    """Remove the file, and what killed processes left of writing it."""
    for leftover in (path, *path.parent.glob(f".{path.name}.*")):
        leftover.unlink(missing_ok=True)
