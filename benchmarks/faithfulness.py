"""How faithful attention, occlusion and integrated gradients are, on the test split of a run.

    python benchmarks/faithfulness.py runs/mine --reviews 500 --json faithfulness.json
    python benchmarks/faithfulness.py REVIEWS.csv --out runs/new [-- RUN OPTIONS]

Given a table of reviews, a run is made of it first. For each task: comprehensiveness (higher is better) and sufficiency
(lower is better) with intervals of 95 % over reviews, their paired differences to random words, the verdict, how long
it took, how far integrated gradients miss their sum, and the words that move ratings most.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe_machine
from xingping.artifacts import read_json
from xingping.explanation import explain
from xingping.faithfulness import MEASURES, measure_faithfulness
from xingping.moving_words import find_moving_words
from xingping.predictor import RatingPredictor
from xingping.prepared import PreparedReviews
from xingping.segmentation import Segmenter

GAPS = 500
"""Test reviews whose integrated gradients are added up."""


def main() -> None:
    own, options = sys.argv[1:], []
    if "--" in own:
        at = own.index("--")
        own, options = own[:at], own[at + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a run directory, or a table of reviews")
    parser.add_argument("--out", type=Path, help="folder for the run on a table")
    parser.add_argument("--reviews", type=int, default=500, help="test reviews that are asked")
    parser.add_argument("--moving-reviews", type=int, default=1500, help="test reviews whose words are listed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(own)
    machine, run = describe_machine(), args.source
    if not (run / "run.json").is_file():
        if args.out is None:
            parser.error("--out is needed for the run on a table")
        command = [sys.executable, "-m", "xingping", "run", str(args.source), "--out", str(args.out)]
        subprocess.run([*command, *options], check=True)
        run = args.out
    figures = {
        task: measure(run, task, args.reviews, args.moving_reviews, args.seed)
        for task in read_json(run / "run.json")["settings"]["tasks"]
    }
    for task, found in figures.items():
        show(task, found)
    if args.json:
        content = {"machine": machine, "source": args.source.name, "options": options, "tasks": figures}
        args.json.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def measure(run: Path, task: Any, reviews: int, moving: int, seed: int) -> dict[str, Any]:
    """Ask the model of one task."""
    prepared = PreparedReviews.open(run / "reviews.parquet")
    indices = prepared.indices("test")
    texts = prepared.table(indices, ["text"])["text"].to_pylist()
    predictor = RatingPredictor.load(run, task=task)
    films = sorted(set(prepared.film_names(indices)))
    segmenter = Segmenter(predictor.card.segmentation, extra_words=films)
    predictor.predict(texts[:1])  # the encoder is loaded before the clock runs
    start = time.perf_counter()
    faithfulness = measure_faithfulness(predictor, texts, segmenter, reviews=reviews, seed=seed)
    asked = time.perf_counter()
    drawn = np.random.default_rng(seed).permutation(len(texts))[:moving]
    some = [texts[index] for index in drawn]
    features = predictor.encode(some)
    encoded = time.perf_counter()
    words = find_moving_words(predictor, features, some, segmenter, reviews=moving, seed=seed)
    moved = time.perf_counter()
    explained = explain(predictor, some[:GAPS], segmenter, effects=False)
    gaps = np.array(
        [
            one.expected - one.baseline - one.outside_gradient - sum(word.gradient for word in one.words)
            for one in explained
        ]
    )
    return {
        "faithfulness": faithfulness,
        "moving_words": words,
        "seconds": {"faithfulness": asked - start, "moving_words": moved - encoded},
        "gap": {"n": len(gaps), "mean": float(np.abs(gaps).mean()), "largest": float(np.abs(gaps).max())},
    }


def show(task: str, found: dict[str, Any]) -> None:
    asked, seconds, gap = found["faithfulness"], found["seconds"], found["gap"]
    print(
        f"\n{task}: {asked['reviews']} of {asked['of']} reviews, in units of {asked['unit']}, {asked['texts']} texts "
        f"rated in {seconds['faithfulness']:.1f} s"
    )
    print(f"{'':12}" + "".join(f"{name:>28}{'beyond random':>28}" for name in MEASURES) + "  verdict")
    for name, figures in {**asked["methods"], "random": asked["random"]}.items():
        cells = "".join(
            f"{interval(figures[each]):>28}{interval(figures.get('beyond_random', {}).get(each)):>28}"
            for each in MEASURES
        )
        print(f"{name:12}{cells}  {figures.get('verdict', '')}")
    print(
        f"integrated gradients: {found['moving_words']['reviews']} reviews in {seconds['moving_words']:.1f} s; sums "
        f"are off by {gap['mean']:.4f} stars on average and {gap['largest']:.4f} at the most ({gap['n']} reviews)"
    )
    for way in ("up", "down"):
        words = found["moving_words"][way][:15]
        print(f"{way}: " + "  ".join(f"{row['word']} {row['effect']:+.2f} ({row['n']})" for row in words))


def interval(value: dict[str, float] | None) -> str:
    return f"{value['value']:+.4f} [{value['low']:+.4f}, {value['high']:+.4f}]" if value else ""


if __name__ == "__main__":
    main()
