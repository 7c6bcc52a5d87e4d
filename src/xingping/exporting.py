"""A trained model made ready for other machines: one graph that needs no torch, or a folder for the hub."""

import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from xingping.artifacts import atomic_folder, file_sha256, write_json
from xingping.config import ExportSettings, GraphPrecision
from xingping.encoders.export import exported
from xingping.encoders.hardware import has_int8
from xingping.encoders.probe import Probe, sample_texts
from xingping.encoders.source import EncoderSource
from xingping.errors import EncoderError, OutputError, SettingsError
from xingping.graph_scorer import (
    GRAPH,
    GRAPH_FORMAT,
    GRAPH_WEIGHTS,
    NOTE,
    TOKENIZER,
    Agreement,
    GraphNote,
    GraphScorer,
)
from xingping.model_card import ModelCard
from xingping.model_encoder import own_encoder
from xingping.model_page import PAGE
from xingping.neighbours import REVIEWS
from xingping.predictor import RatingPredictor
from xingping.progress import Progress, Silent
from xingping.rating_graph import write_rating_graph

__all__ = ["REQUIREMENTS", "RUNTIME_PACKAGES", "export_model"]

REQUIREMENTS = "requirements.txt"

RUNTIME_PACKAGES = (
    "charset-normalizer", "filelock", "huggingface_hub", "numpy", "onnxruntime", "platformdirs", "psutil", "pyarrow",
    "pydantic", "rich", "rjieba", "safetensors", "scikit-learn", "tokenizers", "typer", "xxhash",
)  # fmt: skip
"""What rating with a graph imports, and what `pip install --no-deps` of this package therefore needs beside it."""

SMALLEST_OUTSIDE = 1024
"""Bytes from which a tensor lies outside the graph's file, which cannot be larger than 2 GB."""

ODD_TEXTS = ("", "好", "🎬" * 40, "不好看！" * 1250, "ＧＯＯＤ\u3000片 <b>&amp;</b>")
"""Texts at the edges, which are rated along with the sample: empty, one character, emoji, 5,000 characters, markup."""


def export_model(
    predictor: RatingPredictor,
    folder: Path,
    settings: ExportSettings | None = None,
    *,
    progress: Progress | None = None,
) -> Agreement | None:
    """Write a model to a folder that `RatingPredictor.load`, `predict` and `serve` take in the place of a run.

    Beside the model lies `README.md`, which describes it, with the figures of its run where they are at hand. A graph
    first has to rate the project's own sample reviews as the model does.

    Parameters
    ----------
    predictor
        A model of a run.
    folder
        It takes the place of an earlier export, and of nothing else.
    settings
        Which form, and how exact.
    progress
        Who watches.

    Returns
    -------
    Agreement or None
        How far a graph agrees with the model; None where it is not a graph.

    Raises
    ------
    SettingsError
        The model is a graph already, is none that a graph can be written of, or rates otherwise as a graph.
    OutputError
        The folder holds something else, or cannot be written.
    """
    settings, progress = settings or ExportSettings(), progress or Silent()
    _check_target(folder)
    if not predictor.has_features:
        raise SettingsError(f"the model in {predictor.bundle} is a graph already; copy its folder")
    agreement = None
    with atomic_folder(folder) as temporary:
        if settings.format == "onnx":
            progress.say(f"export: writing the graph in {settings.precision}")
            card, note = _write_graph(predictor, temporary, settings.precision)
            progress.say("export: rating the sample reviews with both")
            graph = _on_graph(predictor, card, temporary, note)
            agreement = _agreement(predictor, graph, settings.tolerance)
            note = note.model_copy(update={"agreement": agreement})
            write_json(temporary / NOTE, note.model_dump(mode="json"))
            predictor = _on_graph(predictor, card, temporary, note)
            lines = [f"{package}=={version(package)}" for package in RUNTIME_PACKAGES]
            (temporary / REQUIREMENTS).write_text("\n".join(lines) + "\n", encoding="utf-8")
        predictor.save_pretrained(temporary, name=folder.name)
        if settings.with_reviews:
            _copy_reviews(predictor, temporary)
    return agreement


def _check_target(folder: Path) -> None:
    """Refuse to put an export in the place of anything but an export."""
    try:
        names = {file.name for file in folder.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}; choose another --out") from error
    if names and not {PAGE, "model.json"} <= names:
        raise OutputError(f"{folder} holds something else than an exported model; choose another --out")


def _on_graph(predictor: RatingPredictor, card: ModelCard, folder: Path, note: GraphNote) -> RatingPredictor:
    """Return the predictor that has a graph in the place of the head."""
    return RatingPredictor(card, GraphScorer(card, folder, note), ngrams=predictor.ngrams, bundle=predictor.bundle)


def _write_graph(predictor: RatingPredictor, folder: Path, precision: GraphPrecision) -> tuple[ModelCard, GraphNote]:
    """Write the graph of a model, its weights and its tokenizer; return the card of the model on it, and its note."""
    if precision == "int8" and not has_int8():
        raise SettingsError(
            "a graph of 8-bit integers cannot be tried on this processor, which has no VNNI; choose --precision fp32"
        )
    card, encoder = predictor.card, predictor.encoder
    own = own_encoder(card, predictor.bundle)
    source = EncoderSource(card.encoder.name if own is None else str(own))
    probe = Probe(encoder.tokenizer)
    try:
        of_encoder = exported(source, encoder.layers, precision, probe.for_scales, probe.key)
    except EncoderError as error:
        raise SettingsError(f"{error}; choose --format hub") from error
    weights = {name: tensor.float().cpu().numpy() for name, tensor in predictor.head.state_dict().items()}
    onnx.save_model(
        write_rating_graph(onnx.load_model(str(of_encoder.graph)), card, weights),
        str(folder / GRAPH),
        save_as_external_data=True,
        location=GRAPH_WEIGHTS,
        size_threshold=SMALLEST_OUTSIDE,
    )
    (folder / GRAPH_WEIGHTS).chmod((folder / GRAPH).stat().st_mode)  # which the library keeps for its user alone
    (folder / TOKENIZER).write_text(encoder.tokenizer.to_str(pretty=True), encoding="utf-8")
    used = {"precision": precision, "runtime": "onnx"}
    card = card.model_copy(update={"encoder": card.encoder.model_copy(update=used)})
    note = GraphNote(
        format=GRAPH_FORMAT,
        precision=precision,
        max_length=encoder.max_length,
        agreement=None,
        files={name: file_sha256(folder / name) for name in (GRAPH, GRAPH_WEIGHTS, TOKENIZER)},
    )
    return card, note


def _agreement(predictor: RatingPredictor, graph: RatingPredictor, tolerance: float) -> Agreement:
    """Rate the sample reviews with both.

    Raises
    ------
    SettingsError
        They rate more of them differently than is tolerated.
    """
    texts: Sequence[str] = [*sample_texts(), *ODD_TEXTS]
    of_model, of_graph = predictor.predict(texts), graph.predict(texts)
    same: NDArray[np.bool_] = of_model.rating == of_graph.rating
    agreement = Agreement(
        texts=len(texts),
        same_rating=float(same.mean()),
        largest_difference=float(np.abs(of_model.expected - of_graph.expected).max()),
    )
    if 1 - agreement.same_rating > tolerance:
        better = "choose --precision fp32, or " if graph.card.encoder.precision == "int8" else ""
        raise SettingsError(
            f"the graph rates {int((~same).sum())} of {len(texts)} sample reviews otherwise than the run, more than "
            f"{tolerance:.1%}; {better}allow more with --tolerance"
        )
    return agreement


def _copy_reviews(predictor: RatingPredictor, folder: Path) -> None:
    reviews = None if predictor.bundle is None else predictor.bundle / REVIEWS
    if reviews is None or not reviews.is_file():
        raise SettingsError("the model has no reviews to take along; leave out --with-reviews")
    shutil.copyfile(reviews, folder / REVIEWS)
