"""What faster features cost in accuracy: the same heads on features of several precisions, on the test split.

    python benchmarks/precision.py REVIEWS.csv [--seeds 3] [--ways fp32:fp16,int8:int8] [--tasks TASKS] [--json OUT]

A way is the precision of the encoder and the type of the store. The reviews are read and split once; for each way they
are encoded, and for each seed a head is trained for each task, in fp32. The table has the mean over the seeds and each
difference to the first way with its standard error, of the seeds as they come: trainings on other features differ by
chance as trainings with other seeds do.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np

from machine import describe_machine
from xingping import FeatureStore, rating_metrics
from xingping.config import EncoderSettings, FeatureSettings, HeadSettings, RunSettings, Task, TrainingSettings
from xingping.metrics import decide, round_rating
from xingping.predictor import load_encoder
from xingping.preparation import prepare
from xingping.prepared import PreparedReviews
from xingping.progress import Silent
from xingping.scoring import head_scores
from xingping.training import LabelledFeatures, train_head

MEASURES = ("accuracy", "accuracy_within_one", "mae", "nll")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reviews", type=Path, help="table of reviews")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", default="fp32:fp16,int8:int8")
    parser.add_argument("--tasks", default=",".join(get_args(Task)))
    parser.add_argument("--encoder", default="bundled")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(args.reviews, RunSettings(), folder, {"name": args.reviews.name, "sha256": ""}, progress=Silent())
        reviews = PreparedReviews.open(folder / "reviews.parquet")
        figures: dict[str, Any] = {}
        for way in args.ways.split(","):
            figures[way] = measure(way, args.encoder, reviews, args.seeds, args.tasks.split(","))
    show(figures)
    if args.json:
        content = {"machine": machine, "ways": figures}
        args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def measure(
    way: str, name: str, reviews: PreparedReviews, seeds: int, tasks: list[Task]
) -> dict[str, list[dict[str, float]]]:
    """Return the measures of each task and seed on the test split."""
    precision, _, dtype = way.partition(":")
    encoder = load_encoder(EncoderSettings.parse({"name": name, "precision": precision}))
    print(f"{way}: encoding with {encoder.runtime} in {encoder.precision}", flush=True)
    store = FeatureStore(encoder.fingerprint, settings=FeatureSettings.parse({"dtype": dtype}))
    store.encode(encoder, reviews.texts)
    features = store.view(reviews.texts)
    train, valid, test = (
        LabelledFeatures(features.take(indices), reviews.ratings(indices))
        for indices in map(reviews.indices, ("train", "valid", "test"))
    )
    figures: dict[str, list[dict[str, float]]] = {}
    training = TrainingSettings(precision="fp32")
    for task in tasks:
        figures[task] = []
        for seed in range(seeds):
            head = train_head(task, train, valid, HeadSettings(), training, seed=seed).head
            measures = rate(task, head_scores(head, test.features), test.ratings)
            figures[task].append({key: measures[key] for key in MEASURES if key in measures})
            print(f"{way} {task} seed {seed}: {figures[task][-1]}", flush=True)
    return figures


def rate(task: Task, scores: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    """Return the measures of a head's scores."""
    if task == "regression":
        expected = scores[:, 0].astype(np.float64).clip(1, 5)
        return rating_metrics(true, round_rating(expected), expected=expected)
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True)).astype(np.float64)
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    return rating_metrics(true, decide(probabilities, "mode"), probabilities=probabilities)


def show(figures: dict[str, Any]) -> None:
    first, *others = figures
    for task, of_first in figures[first].items():
        for measure_name in of_first[0]:
            base = np.array([seed[measure_name] for seed in of_first])
            line = f"{task:15} {measure_name:20} {first} {base.mean():.4f}"
            for way in others:
                values = np.array([seed[measure_name] for seed in figures[way][task]])
                error = np.hypot(base.std(ddof=1), values.std(ddof=1)) / np.sqrt(len(base)) if len(base) > 1 else np.nan
                line += f"   {way} {values.mean():.4f} ({values.mean() - base.mean():+.4f} ± {error:.4f})"
            print(line)


if __name__ == "__main__":
    main()
