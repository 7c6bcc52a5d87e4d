"""How well a run rates: whole runs with several seeds, each beside the best baseline, on the test split.

    python benchmarks/rating.py REVIEWS.csv [MORE.csv] --out FOLDER [--seeds 0,1,2] [--json OUT] [-- RUN OPTIONS]

Each seed gives another split and another training. A measure is taken by the rule that is best for it, for the model
and the baselines alike: exact by the mode, within one by the window, the mean absolute error by the median, the root
mean squared error by the mean. The best baseline is chosen for each measure and seed on the test split, in its favour;
the difference to it has a paired bootstrap interval of 95 % over reviews. Runs that are finished are not repeated.
Several tables are joined.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from joined import one_table
from machine import describe_machine

MEASURES = {"accuracy": 1, "accuracy_within_one": 1, "mae": -1, "rmse": -1, "nll": -1, "ece": -1}
"""1 where more is better, -1 where less is."""


def main() -> None:
    own, options = sys.argv[1:], []
    if "--" in own:
        at = own.index("--")
        own, options = own[:at], own[at + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reviews", type=Path, nargs="+", help="table of reviews")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--task", default="classification")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(own)
    machine, data = describe_machine(), one_table(args.reviews, args.out)
    figures = {}
    for seed in args.seeds.split(","):
        folder = args.out / f"seed-{seed}"
        command = [sys.executable, "-m", "xingping", "run", str(data), "--out", str(folder), "--seed", seed]
        subprocess.run([*command, *options], check=True)
        figures[seed] = read(folder, args.task)
    show(figures)
    if args.json:
        content = {"machine": machine, "options": options, "seeds": figures}
        args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read(folder: Path, task: str) -> dict[str, Any]:
    """Return each measure with its interval, the best baseline's, and the difference to it."""
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    intervals = metrics["intervals"]["reviews"]
    differences = metrics["differences"]["reviews"][task]
    found: dict[str, Any] = {"seconds": {name: stage["seconds"] for name, stage in record["stages"].items()}}
    for measure, sign in MEASURES.items():
        if measure not in intervals[task]:
            continue
        # Majority knows the shares of the stars, so its few bins are calibrated; nobody would pick it for that.
        rivals = [name for name in differences if measure in differences[name] and name != "majority"]
        best = max(rivals, key=lambda name: sign * intervals[name][measure]["value"])
        found[measure] = {
            "model": intervals[task][measure],
            "baseline": best,
            "of_baseline": intervals[best][measure],
            "difference": differences[best][measure],
        }
    found["coverage"] = metrics["prediction_sets"].get(task)
    return found


def show(figures: dict[str, Any]) -> None:
    print(f"{'measure':22}{'mean':>8}{'spread':>8}   by seed: value (best baseline, difference and its interval)")
    for measure in MEASURES:
        rows = [of_seed[measure] for of_seed in figures.values() if measure in of_seed]
        if not rows:
            continue
        values = np.array([row["model"]["value"] for row in rows])
        each = "   ".join(
            f"{row['model']['value']:.4f} ({row['baseline']} {row['of_baseline']['value']:.4f}, "
            f"{row['difference']['value']:+.4f} [{row['difference']['low']:+.4f}, {row['difference']['high']:+.4f}])"
            for row in rows
        )
        print(f"{measure:22}{values.mean():8.4f}{values.std(ddof=min(1, len(values) - 1)):8.4f}   {each}")
    sets = [of_seed["coverage"] for of_seed in figures.values() if of_seed["coverage"]]
    if sets:
        each = ", ".join(f"{one['coverage']:.4f} of size {one['mean_size']:.2f}" for one in sets)
        print(f"prediction sets, asked {sets[0]['asked']}: {each}")


if __name__ == "__main__":
    main()
