"""A small run directory with invented reviews, made without any model."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from xingping.artifacts import write_json, write_table
from xingping.config import RunSettings
from xingping.intervals import Bootstrap, review_values
from xingping.metrics import decide, rating_metrics

NASTY_FILM = "../../<script>alert('film')</script>"
UNTESTED_FILM = "纸上月亮"
BIG_FILM = "星海列车"
FILMS = (BIG_FILM, "海边的猫2", NASTY_FILM, UNTESTED_FILM)

WORDS = {
    1: ["剧情", "太", "烂", "浪费", "时间"],
    2: ["节奏", "拖沓", "有点", "失望"],
    3: ["画面", "还行", "故事", "一般"],
    4: ["演员", "不错", "音乐", "好听"],
    5: ["感动", "经典", "值得", "再看"],
}

BASELINES = ("majority", "char_ngram", "mean_features")

ZEROES = "0" * 64


def make_run(
    folder: Path, *, tasks: tuple[str, ...] = ("classification", "regression"), attention: bool = True
) -> Path:
    """Write every artefact that the report reads, and return the run directory."""
    rng = np.random.default_rng(0)
    n = 300
    ratings = rng.integers(1, 6, n)
    film = np.array(FILMS, dtype=object)[rng.choice(len(FILMS), n, p=[0.5, 0.3, 0.1, 0.1])]
    split = np.array(["train", "valid", "test"], dtype=object)[rng.choice(3, n, p=[0.5, 0.1, 0.4])]
    split[(film == UNTESTED_FILM) & (split == "test")] = "train"
    words = [[*rng.permutation(WORDS[star]), "电影"] for star in ratings.tolist()]
    write_table(
        folder / "reviews.parquet",
        pa.table(
            {
                "row": pa.array(range(n), pa.int64()),
                "text": ["，".join(document) + "。" for document in words],
                "film": film.tolist(),
                "user": [""] * n,
                "date": [
                    f"2016-{1 + number % 9:02d}-{1 + number % 28:02d}" if number % 7 else None for number in range(n)
                ],
                "rating": pa.array(ratings, pa.int8()),
                "likes": pa.array([number % 50 for number in range(n)], pa.int64()),
                "split": split.tolist(),
                "words": pa.array(words, pa.list_(pa.string())),
                "text_id": pa.array(range(n), pa.int32()),
            }
        ),
    )
    _write_summary(folder, ratings, film, split)
    _write_metrics(folder, ratings, film, split, tasks, rng)
    for task in tasks:
        _write_history(folder, task)
    points = rng.normal(size=(n, 4)) + ratings[:, None]
    coordinates = dict(zip(("x", "y", "frozen_x", "frozen_y"), points.T, strict=True))
    write_table(
        folder / "projection.parquet",
        pa.table(
            {
                "row": pa.array(range(n), pa.int64()),
                "split": split.tolist(),
                "film": film.tolist(),
                "rating": pa.array(ratings, pa.int8()),
                **{name: pa.array(values.astype(np.float32)) for name, values in coordinates.items()},
            }
        ),
    )
    examples = [_example(star, attention=attention) for star in (5, 4, 3, 2, 1)]
    nasty = _example(1, text="<b>烂</b>", words=[("<b>", 0.25), ("烂", 0.75)], film=NASTY_FILM, attention=attention)
    write_json(folder / "explanations.json", {"overall": [*examples, nasty], "films": {BIG_FILM: examples[:2]}})
    stages = ("prepare", "encode", "train", "evaluate")
    write_json(
        folder / "run.json",
        {
            "format": 1,
            "settings": RunSettings(tasks=tasks).model_dump(mode="json"),
            "versions": {"xingping": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
            "encoder": {
                "name": "bundled", "dim": 384, "layers": [-1], "precision": "bf16", "parameters": 33_900_000
            },
            "stages": {
                stage: {"key": "k", "seconds": 30.5, "peak_memory_bytes": 3 * 2**29} for stage in stages
            },
        },
    )  # fmt: skip
    return folder


def _stars(ratings) -> dict[str, int]:
    return {str(star): int((ratings == star).sum()) for star in range(1, 6)}


def _write_summary(folder, ratings, film, split) -> None:
    parts = {name: split == name for name in ("train", "valid", "test")}
    parts["all"] = np.ones(len(split), dtype=bool)
    splits = {}
    for name, where in parts.items():
        reviews = int(where.sum())
        splits[name] = {
            "reviews": reviews,
            "distinct_texts": reviews,
            "words": 5 * reviews,
            "characters": 12 * reviews,
            "stars": _stars(ratings[where]),
        }
    films = {
        name: {
            "reviews": int((film == name).sum()),
            "mean_rating": float(ratings[film == name].mean()),
            "stars": _stars(ratings[film == name]),
        }
        for name in FILMS
    }
    write_json(
        folder / "data_summary.json",
        {
            "source": {"name": "reviews & more.csv", "sha256": ZEROES, "encoding": "utf-8", "format": "csv"},
            "columns": {"text": "短评", "rating": "star", "movie": "film", "date": None, "likes": None},
            "rows_read": 320,
            "rows_kept": 300,
            "rows_rejected": 12,
            "rows_duplicate": 8,
            "rejected_by_reason": {"rating is <nothing>": 9, "empty text": 3},
            "splits": splits,
            "films": films,
        },
    )


def _write_metrics(folder, ratings, films_of, split, tasks, rng) -> None:
    true, film = ratings[split == "test"], films_of[split == "test"]
    proba = rng.dirichlet(np.ones(5), len(true))
    proba[np.arange(len(true)), true - 1] += 0.35
    proba /= proba.sum(axis=1, keepdims=True)
    weak = 0.5 * proba + 0.1
    expected = proba @ np.arange(1, 6)
    answers = {
        "classification": (decide(proba, "mode"), None, proba),
        "regression": (np.round(expected).astype(int), expected, None),
        "ordinal": (decide(proba, "mode"), None, proba),
        "majority": (np.full(len(true), 4), None, None),
        "char_ngram": ((true + rng.choice(2, len(true))).clip(1, 5), None, None),
        "mean_features": (decide(weak, "mode"), None, weak),
    }

    def measured(name, where):
        rating, real, probabilities = (part if part is None else part[where] for part in answers[name])
        return rating_metrics(true[where], rating, expected=real, probabilities=probabilities)

    def group(where):
        baselines = {name: measured(name, where) for name in BASELINES}
        return {"test": {task: measured(task, where) for task in tasks}, "baselines": baselines}

    everything = np.ones(len(true), dtype=bool)
    films = {name: {"n": int((film == name).sum()), **group(film == name)} for name in FILMS if (film == name).any()}
    write_json(
        folder / "metrics.json",
        {
            **group(everything),
            "valid": group(everything)["test"],
            "baselines_trained_on": {"reviews": 90, "of": 120},
            "films": films,
            "film_means": {task: _film_means(true, film) for task in tasks},
            **_doubt(true, film, {task: answers[task] for task in tasks}, answers["mean_features"]),
        },
    )
    where = np.flatnonzero(split == "test")
    ranks = np.zeros(len(true), dtype=np.int32)
    ranks[:3] = (2, 1, 3)
    predictions = {"row": where, "rating": true, "film": film.tolist()}
    predictions |= {"suspect_rank": pa.array(ranks, mask=ranks == 0)}
    predictions |= {f"{task}_expected": expected for task in tasks}
    write_table(folder / "predictions.parquet", pa.table(predictions))


def _film_means(true, film) -> dict:
    known = {
        name: {"n": int((film == name).sum()), "true": float(true[film == name].mean()), "predicted": 3.5, "low": 3.1,
               "high": 3.9}
        for name in FILMS if (film == name).any()
    }  # fmt: skip
    return {"films": known, "coverage": 0.5}


def _doubt(true, film, models, baseline) -> dict:
    def values(answer):
        rating, real, proba = answer
        return review_values(true, expected=rating.astype(float) if real is None else real, probabilities=proba)

    tasks, codes = tuple(models), np.unique(film.astype(str), return_inverse=True)[1]
    every = {**{task: values(answer) for task, answer in models.items()}, "mean_features": values(baseline)}
    draws = {"reviews": Bootstrap(every), "films": Bootstrap(every, groups=codes)}
    one = {"accuracy": 0.5, "accuracy_within_one": 0.9, "mae": 0.6}
    example = {"text": "剧情不<i>好看", "expected": 4.25}
    changed = {"changed": "剧情一点也不好看", "expected_changed": 4.5}
    probable = any(proba is not None for _, _, proba in models.values())
    sets = {"asked": 0.9, "coverage": 0.895, "mean_size": 2.5, "sizes": [0.2, 0.3, 0.3, 0.1, 0.1]}
    means = {"value": 0.3, "low": 0.2, "high": 0.4}
    scores = {"comprehensiveness": means, "sufficiency": means, "by_bin": {}}
    word = {"low": 0.2, "high": 0.6, "n": 25}
    return {
        "faithfulness": {
            "task": "classification", "of": len(true), "least_words": 5, "unit": "probability", "reviews": 40,
            "random_draws": 5, "bins": [0.5], "texts": 400, "random": scores,
            "methods": {
                "attention": {**scores, "verdict": "no better", "beyond_random": {}},
                "occlusion": {**scores, "verdict": "better", "beyond_random": {}},
            },
        },
        "moving_words": {
            "task": "classification", "method": "gradients", "reviews": 90, "of": len(true), "least_reviews": 5,
            "up": [{"word": "经典", "effect": 0.4, **word}],
            "down": [{"word": "拖沓", "effect": -0.5, **word}],
        },
        "intervals": {unit: {name: drawn.interval(name) for name in every} for unit, drawn in draws.items()},
        "differences": {
            unit: {task: {"mean_features": drawn.difference(task, "mean_features")} for task in tasks}
            for unit, drawn in draws.items()
        },
        "prediction_sets": {task: sets for task in tasks if task != "regression"},
        "slices": {name: {"n": 20, **dict.fromkeys(tasks, one)} for name in ("length 0-10", "negation")},
        "ceiling": {"texts": 7, "reviews": 30, "agreement": 0.4, "best": 0.6, "agreement_within_one": 0.8,
                    "best_within_one": 0.95},
        "suspect_labels": {"n": 3, "of": len(true)} if probable else None,
        "behaviour": [
            {"name": "plain praise is above the middle", "kind": "minimum", "n": 300, "failures": 3, "rate": 0.01,
             "examples": [example]},
            {"name": "negating praise lowers", "kind": "direction", "n": 300, "failures": 60, "rate": 0.2,
             "examples": [example | changed]},
            {"name": "film names swapped", "kind": "invariance", "n": 0, "failures": 0, "rate": None, "examples": []},
        ],
    }  # fmt: skip


def _write_history(folder, task) -> None:
    epochs = [
        {
            "epoch": epoch,
            "train_loss": 1.5 - 0.1 * epoch,
            "valid_loss": 1.4 + 0.05 * abs(epoch - 2),
            "valid_accuracy": 0.4 + 0.01 * epoch,
            "valid_accuracy_within_one": 0.8 + 0.01 * epoch,
            "valid_mae": 0.7,
            "seconds": 1.5,
        }
        for epoch in (1, 2, 3, 4)
    ]
    write_json(folder / "models" / task / "history.json", {"epochs": epochs, "best_epoch": 2})


def _example(star, *, attention, text=None, words=None, film=BIG_FILM) -> dict:
    weighted = words or [(word, 1 / len(WORDS[star])) for word in WORDS[star]]
    text = text or "，".join(word for word, _ in weighted) + "！"
    spans, position = [], 0
    for word, weight in weighted:
        start = text.index(word, position)
        position = start + len(word)
        moved = {"effect": weight * (star - 3), "gradient": weight * (star - 3) / 2}
        shown = {"word": word, "start": start, "end": position, "weight": weight if attention else 0.0}
        spans.append(shown | moved)
    return {
        "row": star,
        "text": text,
        "film": film,
        "rating": star,
        "predicted": min(star + 1, 5),
        "probability": 0.61,
        "words": spans,
    }
