"""The page that a model shows of itself, README.md, made from what its run measured; and those measures, kept with it.

Mitchell et al. 2019, "Model Cards for Model Reporting", arXiv 1810.03993, says what belongs on such a page. It is for
others than those who have the reviews, so nothing of them is on it: no text, no film, no author.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xingping.artifacts import read_json
from xingping.errors import RunDirectoryError
from xingping.graph_scorer import GraphNote
from xingping.model_card import ModelCard

__all__ = ["METRICS", "PAGE", "model_page", "published_metrics"]

METRICS, PAGE = "metrics.json", "README.md"

BUNDLED_SAMPLE = "bundled sample"
"""What a run calls the project's own reviews."""

MEASURES = {
    "accuracy": "exact star",
    "accuracy_within_one": "within one star",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "nll": "negative log-likelihood",
    "ece": "expected calibration error",
}

ENOUGH = 20
"""Reviews that a slice must have to be called weak."""

SHARES = frozenset({"accuracy", "accuracy_within_one"})

NAMELESS = ("film ",)
"""Beginnings of the names of slices that say something of somebody's data."""

LIMITS = """\
- It reads one review alone: it knows neither the film nor the author, and two people who write the same words may mean
  different stars.
- Stars are what the authors of its training reviews gave, on their site and in their years; elsewhere people are
  stricter or kinder. Check it on rated reviews of your own before you use it.
- Irony, double negation and comparisons with other films mislead it. So do texts that are no reviews: it gives stars to
  everything.
- Prediction sets hold the true star as often as stated over reviews like those of the validation split, not for any
  single film or author.
- It is made for reviews of films in Chinese. It is not made to judge people."""

SPLITS = {
    "film": "whole films were held out",
    "user": "whole authors were held out",
    "time": "the newest reviews were held out",
    "random": "held out at random, so they are of the same films and years as those that it was trained on",
}


def published_metrics(bundle: Path | None, task: str) -> dict[str, Any] | None:
    """Return what may go along with a model of what its run measured: figures of the test split, and no texts.

    Parameters
    ----------
    bundle
        Where the model was loaded from: the bundle of a run, or one that has such figures beside it.
    task
        What the model predicts.

    Returns
    -------
    dict or None
        `test`: measures by task; `intervals`: by `reviews` and `films`, of the model and of baselines;
        `prediction_sets`, `ceiling`, `slices`, and `data`: reviews of each split and how it was made. None where
        nothing was measured.
    """
    if bundle is None:
        return None
    if (bundle / METRICS).is_file():
        kept: dict[str, Any] = read_json(bundle / METRICS)
        return kept
    run = bundle.parent.parent
    if not (run / METRICS).is_file() or not (run / "run.json").is_file():
        return None
    metrics = read_json(run / METRICS)
    try:
        return _published(metrics, task) | {"data": _data(run)}
    except (KeyError, TypeError, AttributeError) as error:
        raise RunDirectoryError(f"{run / METRICS} lacks {error}; evaluate the run again") from error


def _published(metrics: Mapping[str, Any], task: str) -> dict[str, Any]:
    models = [task, *metrics["baselines"]]
    measured = {name: value for name, value in metrics["test"][task].items() if isinstance(value, int | float)}
    return {
        "test": {task: measured},
        "intervals": {
            unit: {name: figures for name, figures in found.items() if name in models}
            for unit, found in metrics["intervals"].items()
        },
        "prediction_sets": {name: sets for name, sets in metrics["prediction_sets"].items() if name == task},
        "ceiling": metrics.get("ceiling"),
        "slices": {
            name: {"n": found["n"], task: found[task]}
            for name, found in metrics["slices"].items()
            if not name.startswith(NAMELESS)
        },
    }


def _data(run: Path) -> dict[str, Any]:
    summary = read_json(run / "data_summary.json")
    return {
        "reviews": {split: found["reviews"] for split, found in summary["splits"].items()},
        "films": len(summary["films"]),
        "invented": summary["source"]["name"] == BUNDLED_SAMPLE,
        "split": read_json(run / "run.json")["settings"]["split"]["by"],
    }


def model_page(
    card: ModelCard, metrics: Mapping[str, Any] | None, note: GraphNote | None = None, name: str = "FOLDER"
) -> str:
    """Return the page as Markdown, with the front matter that the Hugging Face hub reads.

    Parameters
    ----------
    card
        Of the model.
    metrics
        From `published_metrics`.
    note
        Of the graph, where the model is one.
    name
        What it is loaded by.
    """
    sections = [_what(card, note), _use(card, note, name), _how_good(card, metrics), _limits(card, metrics, note)]
    return f"---\n{_front_matter(card)}\n---\n\n" + "\n\n".join(sections) + "\n"


def _front_matter(card: ModelCard) -> str:
    from huggingface_hub import ModelCardData

    return str(
        ModelCardData(
            language="zh",
            library_name="xingping",
            pipeline_tag="text-classification",
            tags=["film-reviews", "ordinal" if card.task == "ordinal" else f"rating-{card.task}", "xingping"],
        ).to_yaml()
    )


def _what(card: ModelCard, note: GraphNote | None) -> str:
    head = card.head
    tuned = f", fine-tuned ({card.finetuning.mode})" if card.finetuning.enabled else ", frozen"
    layers = ", ".join(map(str, card.encoder.layers or ()))
    on_tokens = f"a layer of {head.token_dim} on each token, " if head.token_dim else ""
    poolings = " + ".join(head.pooling)
    together = f" ({head.members} networks that answer together)" if head.members > 1 else ""
    lines = [
        "# Stars of Chinese film reviews",
        "",
        {
            "classification": "Gives a review in Chinese a probability for each of 1 to 5 stars.",
            "ordinal": "Gives a review in Chinese a probability for each of 1 to 5 stars, which it takes for an order.",
            "regression": "Gives a review in Chinese a real number of stars, from 1 to 5.",
        }[card.task],
        "",
        f"- encoder: `{card.encoder.name}`{tuned}, layers {layers}, texts cut at {card.encoder.max_length} tokens",
        f"- head: {on_tokens}{poolings} of {card.features.unit}s, {head.hidden_dim} hidden units{together}",
    ]
    if card.ngrams.enabled:
        lines.append(
            f"- beside it: n-grams of up to {card.ngrams.characters} characters and {card.ngrams.words} words, weighed "
            "on a validation split"
        )
    form = f"ONNX graph, {note.precision}" if note else "safetensors"
    lines += [f"- form: {form}", f"- made with: xingping {card.version}"]
    return "\n".join(lines)


def _use(card: ModelCard, note: GraphNote | None, name: str) -> str:
    answer = "ratings.expected       # real numbers"
    if card.task != "regression":
        answer += "\nratings.probabilities  # (2, 5)"
    if card.calibration is not None and card.calibration.sets is not None:
        answer += "\nratings.sets           # (2, 5) which stars are likely enough"
    needs = "It needs ONNX Runtime, and no torch." if note else "It needs torch."
    return f"""## Use

```python
from xingping import RatingPredictor

predictor = RatingPredictor.from_pretrained("{name}")
ratings = predictor.predict(["画面很美，但是故事太弱了", "哭了三次，值得二刷！"])
ratings.rating         # whole stars
{answer}
```

{needs} `xingping predict` and `xingping serve` take its folder in the place of a run."""


def _how_good(card: ModelCard, metrics: Mapping[str, Any] | None) -> str:
    if metrics is None:
        return "## How good it is\n\nNothing was measured, or the figures were not with the model."
    data, task = metrics.get("data") or {}, card.task
    by_reviews, by_films = (metrics["intervals"].get(unit, {}) for unit in ("reviews", "films"))
    own = by_reviews.get(task, {})
    n = metrics["test"][task]["n"]
    lines = ["## How good it is", "", _of_which_data(data, n), ""]
    baselines = [name for name in by_reviews if name != task]
    lines.append("| measure | this model | 95 % over reviews | over films | best baseline |")
    lines.append("| --- | --- | --- | --- | --- |")
    for measure, label in MEASURES.items():
        if measure not in own:
            continue
        best = _best(measure, {name: by_reviews[name] for name in baselines})
        lines.append(
            f"| {label} | {_shown(measure, own[measure]['value'])} | {_interval(measure, own.get(measure))} "
            f"| {_interval(measure, by_films.get(task, {}).get(measure))} | {best} |"
        )
    lines += ["", "Each measure is of the decision rule that is best for it, for the model and the baselines alike."]
    if sets := metrics.get("prediction_sets", {}).get(task):
        lines.append(
            f"Prediction sets that were asked to hold the true star in {_shown('accuracy', sets['asked'])} of reviews "
            f"held it in {_shown('accuracy', sets['coverage'])}, with {sets['mean_size']:.2f} stars on average."
        )
    ceiling = metrics.get("ceiling") or {}
    if ceiling.get("best") is not None:
        lines.append(
            f"Equal texts have different stars: of {ceiling['reviews']} test reviews that share their text with "
            f"another, no model can get more than {_shown('accuracy', ceiling['best'])} right."
        )
    return "\n".join(lines)


def _of_which_data(data: Mapping[str, Any], n: int) -> str:
    if not data:
        return f"On {n:,} test reviews."
    reviews = data["reviews"]
    kind = SPLITS["film" if data["split"] == "leave-one-film-out" else data["split"]]
    invented = " They are invented: the figures say nothing of real reviews." if data.get("invented") else ""
    return (
        f"On {n:,} test reviews ({kind}); trained on {reviews['train']:,} and validated on {reviews['valid']:,} "
        f"reviews. The reviews are of {data['films']:,} films. No text is on two sides.{invented}"
    )


def _limits(card: ModelCard, metrics: Mapping[str, Any] | None, note: GraphNote | None) -> str:
    lines = ["## Limits", "", LIMITS]
    weak = [
        (found[card.task]["accuracy"], name, found["n"])
        for name, found in (metrics or {}).get("slices", {}).items()
        if found["n"] >= ENOUGH and "accuracy" in found.get(card.task, {})
    ]
    if weak:
        told = "; ".join(f"{name} ({_shown('accuracy', value)} exact, n = {n})" for value, name, n in sorted(weak)[:3])
        lines.append(f"- Where it was weakest: {told}.")
    if note is not None and note.agreement is not None:
        agreement = note.agreement
        lines.append(
            f"- The graph gives {_shown('accuracy', agreement.same_rating)} of {agreement.texts} sample reviews the "
            "same rating as the model that it was made from; expected ratings differ by "
            f"{agreement.largest_difference:.4f} stars at the most."
        )
    return "\n".join(lines)


def _best(measure: str, baselines: Mapping[str, Mapping[str, Any]]) -> str:
    # Majority knows the shares of the stars, so its few bins are calibrated; nobody would pick it for that.
    rivals = [
        (found[measure]["value"], name)
        for name, found in baselines.items()
        if measure in found and not (measure == "ece" and name == "majority")
    ]
    if not rivals:
        return ""
    value, name = max(rivals) if measure in SHARES else min(rivals)
    return f"{_shown(measure, value)} ({name.replace('_', ' ')})"


def _interval(measure: str, figures: Mapping[str, float] | None) -> str:
    return f"{_shown(measure, figures['low'])} to {_shown(measure, figures['high'])}" if figures else ""


def _shown(measure: str, value: float) -> str:
    return f"{value:.1%}".replace("%", " %") if measure in SHARES else f"{value:.3f}"
