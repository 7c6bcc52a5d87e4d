"""An exported model beside the run that it comes from: how often both give the same rating, and how fast each is.

    python benchmarks/export.py REVIEWS.csv RUN [--task TASK] [--precision int8,fp32] [--repeats 3] [--texts 2000]
        [--json OUT]

REVIEWS is the table that the run was made from: it is prepared again with the run's settings, in a temporary folder,
and what falls to the test split is rated. Beside the exports stands the run's own head on the same encoder in torch, in
fp32 and, where the processor has it, bf16. Agreement is over the whole split; speed is of at most `--texts` of its
distinct texts, rated together, and of single texts, one after the other. Run and exports take turns, after a round that
does not count; the best of the repeats is given, since other work on the machine can only slow a round down.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe_machine
from xingping import RatingPredictor
from xingping.answers import Ratings
from xingping.artifacts import RunDirectory
from xingping.config import EncoderSettings, ExportSettings, RunSettings
from xingping.encoders.hardware import has_native_bf16
from xingping.exporting import export_model
from xingping.metrics import rating_metrics
from xingping.model_encoder import load_encoder, own_encoder
from xingping.preparation import prepare
from xingping.prepared import PreparedReviews
from xingping.progress import Silent

SINGLE = 200
"""Texts that are rated one after the other."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reviews", type=Path, help="table of reviews that the run was made from")
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--task", help="of the run's models; by default the first")
    parser.add_argument("--precision", default="int8,fp32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    machine = describe_machine()
    predictor = RatingPredictor.load(args.run, task=args.task)
    texts, true = test_split(args.reviews, args.run)
    print(f"{len(texts):,} reviews of the test split, {len(set(texts)):,} distinct texts", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        models = {"run": predictor, **in_torch(predictor)}
        for precision in args.precision.split(","):
            folder = Path(temporary) / precision
            settings = ExportSettings.parse({"precision": precision, "tolerance": 1})
            export_model(predictor, folder, settings)
            models[precision] = RatingPredictor.load(folder)
        answers = {name: model.predict(texts) for name, model in models.items()}
        agreement = {name: compare(answers["run"], found) for name, found in answers.items() if name != "run"}
        measures = {name: measure(true, found) for name, found in answers.items()}
        speed = time_models(models, list(dict.fromkeys(texts))[: args.texts], args.repeats)
    encoder = predictor.card.encoder
    show(f"{encoder.runtime} {encoder.precision}", agreement, measures, speed)
    if args.json:
        content = {
            "machine": machine,
            "task": predictor.task,
            "encoder": encoder.model_dump(mode="json") | {"name": Path(encoder.name).name},
            "reviews": len(texts),
            "agreement": agreement,
            "measures": measures,
            "speed": speed,
        }
        args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def in_torch(predictor: RatingPredictor) -> dict[str, RatingPredictor]:
    """Return the model with its encoder in torch."""
    card, found = predictor.card, {}
    for precision in ("fp32", *(["bf16"] if has_native_bf16("cpu") else [])):
        settings = EncoderSettings.parse(card.encoder.model_dump() | {"runtime": "torch", "precision": precision})
        encoder = load_encoder(settings, own_encoder(card, predictor.bundle))
        found[f"torch {precision}"] = RatingPredictor.of_head(
            card, predictor.head, ngrams=predictor.ngrams, encoder=encoder
        )
    return found


def test_split(reviews: Path, run: Path) -> tuple[list[str], np.ndarray]:
    """Return the cleaned texts and the stars of the test split, prepared as the run was."""
    settings = RunSettings.parse(RunDirectory.open(run, needs="train").record["settings"])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(reviews, settings, folder, {"name": reviews.name, "sha256": ""}, progress=Silent())
        prepared = PreparedReviews.open(folder / "reviews.parquet")
        indices = prepared.indices("test")
        return prepared.table(indices, ["text"])["text"].to_pylist(), prepared.ratings(indices)


def compare(run: Ratings, found: Ratings) -> dict[str, float]:
    """Return the share of equal ratings and the largest differences."""
    differences = np.abs(run.expected - found.expected)
    figures = {
        "same_rating": float((run.rating == found.rating).mean()),
        "largest_difference_in_stars": float(differences.max()),
        "mean_difference_in_stars": float(differences.mean()),
    }
    if run.probabilities is not None and found.probabilities is not None:
        figures["largest_difference_in_probability"] = float(np.abs(run.probabilities - found.probabilities).max())
    return figures


def measure(true: np.ndarray, found: Ratings) -> dict[str, float]:
    """Return how good the ratings are."""
    measures = rating_metrics(true, found.rating, expected=found.expected if found.probabilities is None else None)
    return {name: float(measures[name]) for name in ("accuracy", "accuracy_within_one", "mae")}


def time_models(models: dict[str, RatingPredictor], texts: list[str], repeats: int) -> dict[str, dict[str, float]]:
    """Return texts a second and milliseconds of a single text, by model; the models take turns."""
    together: dict[str, list[float]] = {name: [] for name in models}
    single: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(repeats + 1):
        for name, model in models.items():
            seconds = timed(model.predict, [texts])
            each = [timed(model.predict, [[text]]) for text in texts[:SINGLE]]
            if turn:
                together[name].append(seconds)
                single[name].append(float(np.median(each)))
    return {
        name: {
            "texts_per_second": len(texts) / min(together[name]),
            "single_text_milliseconds": 1000 * min(single[name]),
        }
        for name in models
    }


def timed(work: Callable[..., Any], arguments: Sequence[Any]) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def show(
    runtime: str,
    agreement: dict[str, dict[str, float]],
    measures: dict[str, dict[str, float]],
    speed: dict[str, dict[str, float]],
) -> None:
    print(f"{'':12}{'same':>9}{'largest':>9}{'mean':>9}{'exact':>9}{'within 1':>9}{'texts/s':>9}{'ms, one':>9}")
    for name, figures in speed.items():
        same = agreement.get(name)
        shown = ["", "", ""]
        if same is not None:
            shown = [f"{same['same_rating']:.4f}", f"{same['largest_difference_in_stars']:.4f}",
                     f"{same['mean_difference_in_stars']:.4f}"]  # fmt: skip
        shown += [f"{measures[name][key]:.4f}" for key in ("accuracy", "accuracy_within_one")]
        shown += [f"{figures['texts_per_second']:.0f}", f"{figures['single_text_milliseconds']:.1f}"]
        print(f"{name:12}" + "".join(f"{cell:>9}" for cell in shown))
    print(f"the run's own encoder is in {runtime}; differences are of the expected rating, in stars")


if __name__ == "__main__":
    main()
