"""Fine-tune the encoder on a table of reviews, and measure on its test split: how long it takes, and how good it is.

    python benchmarks/finetuning.py --data ../shared/data/dmsc_sample.csv --seeds 0 1 2 --json finetuning.json
    python benchmarks/finetuning.py --data ... --settings '{"finetuning": {"mode": "lora", "epochs": 3}}'

Each seed makes a run of its own below `--out`: its split, its training, and the models of a run (head, and n-grams
beside it, weighed on validation). A run that was stopped goes on. Given are, for the whole model and the head alone:

- exact: the likeliest star is the true one; within one: so by the best window of three stars;
- MAE and NLL: of the classes, by their median and as probabilities; RMSE: of the classes, by their mean;
- MAE and RMSE of the regression, as real numbers.

Minutes are those of the epochs with their validation, and of the whole stage: loading, n-grams, encoding all reviews
with the tuned encoder, calibration.
"""

import argparse
import json
import tempfile
from contextlib import nullcontext
from pathlib import Path
from statistics import mean

from joined import one_table
from machine import describe_machine
from xingping.artifacts import read_json
from xingping.cli.console import make_progress
from xingping.config import RunSettings
from xingping.evaluation import Answers, evaluate_answers
from xingping.features import StoredFeatures
from xingping.pipeline import Pipeline, sample_path
from xingping.predictor import RatingPredictor
from xingping.prepared import PreparedReviews

TASKS = ("classification", "regression")
TARGETS = {"exact": 0.595, "within one": 0.950, "MAE": 0.515, "NLL": 0.975, "RMSE": 0.815}


def train(data, out, settings, seed):
    """Fine-tune in a run directory and return its settings and minutes."""
    finetuning = {"mode": "full", **settings.get("finetuning", {})}
    parsed = RunSettings.parse({**settings, "tasks": TASKS, "finetuning": finetuning, "seed": seed})
    pipeline = Pipeline.create(out, data, parsed, make_progress(quiet=False))
    pipeline.stages_until("train")
    history = read_json(out / "models" / TASKS[0] / "history.json")
    minutes = {
        "epochs": sum(epoch["seconds"] for epoch in history["epochs"]) / 60,
        "stage": pipeline.run.record["stages"]["train"]["seconds"] / 60,
    }
    return parsed, minutes, history


def measure(out):
    """Return the measures of the whole model and of the head alone on the test split."""
    reviews = PreparedReviews.open(out / "reviews.parquet")
    indices = reviews.indices("test")
    texts, true = reviews.table(indices, ["text"])["text"].to_pylist(), reviews.ratings(indices)
    whole = {task: RatingPredictor.load(out, task=task) for task in TASKS}
    encoder = whole[TASKS[0]].encoder
    features = StoredFeatures.of(encoder.encode(texts))
    alone = {
        task: RatingPredictor.of_head(model.card.model_copy(update={"calibration": None}), model.head, encoder=encoder)
        for task, model in whole.items()
    }
    return {
        "n": len(true),
        "whole": brief({task: measured(model, features, texts, true) for task, model in whole.items()}),
        "head alone": brief({task: measured(model, features, texts, true) for task, model in alone.items()}),
        "encoder": {"runtime": encoder.runtime, "precision": encoder.precision},
    }


def measured(model, features, texts, true):
    """Return the block of measures of one model."""
    return evaluate_answers(true, Answers.of(model.predict_features(features, texts)))


def brief(measures):
    """Return the figures that count."""
    classes, real = measures["classification"], measures["regression"]
    decisions = classes["decisions"]
    return {
        "exact": classes["accuracy"],
        "within one": decisions["window"]["accuracy_within_one"],
        "MAE": decisions["median"]["mae"],
        "NLL": classes["nll"],
        "RMSE": decisions["mean"]["rmse"],
        "regression MAE": real["mae"],
        "regression RMSE": real["rmse"],
    }


def show(label, figures):
    print(f"{label:22}" + "".join(f"{figures.get(name, float('nan')):>16.4f}" for name in HEADINGS), flush=True)


HEADINGS = [*TARGETS, "regression MAE", "regression RMSE"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", default=[sample_path()], help="tables of reviews, joined")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--settings", type=json.loads, default={}, help="settings of the run as JSON, group by group")
    parser.add_argument("--out", type=Path, help="folder for the runs; by default one that is removed at the end")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    machine, results = describe_machine(), []
    with nullcontext(arguments.out) if arguments.out else tempfile.TemporaryDirectory() as folder:
        data = one_table(arguments.data, Path(folder))
        for seed in arguments.seeds:
            out = Path(folder) / f"seed-{seed}"
            settings, minutes, history = train(data, out, arguments.settings, seed)
            result = {"seed": seed, "minutes": minutes, **measure(out), "history": history}
            results.append({**result, "settings": settings.model_dump(mode="json")})
            print(f"\nseed {seed}: {minutes['epochs']:.1f} minutes of training, {minutes['stage']:.1f} of the stage")
            print(f"{'':22}" + "".join(f"{name:>16}" for name in HEADINGS))
            show("target", TARGETS)
            show("whole model", result["whole"])
            show("head alone", result["head alone"])
    if len(results) > 1:
        print()
        for name in ("whole", "head alone"):
            show(f"{name}, mean", {key: mean(result[name][key] for result in results) for key in HEADINGS})
    if arguments.json:
        content = {"machine": machine, "data": [path.name for path in arguments.data], "runs": results}
        arguments.json.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
