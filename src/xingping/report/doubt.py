"""How sure the figures are, and where the model is weak: tables and sentences of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

from xingping.report import content
from xingping.report.content import Measures, share
from xingping.report.tabular import MISSING, Column, Group, Row, Table

__all__ = [
    "behaviour_finding",
    "behaviour_table",
    "ceiling_finding",
    "interval_table",
    "lead_finding",
    "set_finding",
    "slice_table",
]

MEASURES = {
    "accuracy": "Exact star, by the mode",
    "accuracy_within_one": "Within one star, by the window",
    "mae": "Mean error in stars, by the median",
    "rmse": "Root mean squared error in stars, by the mean",
    "nll": "Negative log-likelihood, in nats",
    "ece": "Calibration error (ECE)",
}
"""Each measure and the rule that it is taken by, where there are probabilities (`intervals.BEST_RULES`)."""

HIGHER_IS_BETTER = ("accuracy", "accuracy_within_one")

CALIBRATED_BY_SHARES = "majority"
"""The baseline that knows nothing but the shares of the stars: calibrated, and of no use."""


def interval_table(doubt: Mapping[str, Any], tasks: Sequence[str]) -> Table:
    """Return the measures of each task with intervals over reviews and over films, and the lead over the baselines.

    Parameters
    ----------
    doubt
        `intervals` and `differences` of `metrics.json`.
    tasks
        Which.
    """
    groups = []
    for task in tasks:
        rows = []
        for measure, meaning in MEASURES.items():
            own = doubt["intervals"]["reviews"][task].get(measure)
            if own is None:
                continue
            by_film = doubt["intervals"].get("films", {}).get(task, {}).get(measure)
            best = _best_baseline(doubt, task, measure)
            cells = [
                _figure(measure, own["value"]),
                _ends(measure, own),
                _ends(measure, by_film) if by_film else MISSING,
            ]
            marked = frozenset[int]()
            if best is None:
                cells += [MISSING, MISSING]
            else:
                difference = doubt["differences"]["reviews"][task][best][measure]
                cells += [_sentence(content.baseline_name(best)), _change(measure, difference)]
                marked = frozenset({4} if _verdict(measure, difference) > 0 else ())
            rows.append(Row(_plain(meaning, doubt, task), cells, marked))
        groups.append(Group(_sentence(content.task_name(task)), rows))
    columns = [
        Column("Value"),
        Column("95% over reviews", "Bootstrap over the test reviews: what chance in this test split does"),
        Column("95% over films", "Bootstrap over whole films: what other films would do"),
        Column("Best baseline"),
        Column(
            "Difference", "On the same reviews, with its 95% interval; marked where the model is better beyond chance"
        ),
    ]
    return Table(
        "Each measure by the rule that is best for it, for models and baselines alike", "Measure", columns, groups
    )


def lead_finding(doubt: Mapping[str, Any], task: str) -> str:
    """Say for which measures a task's lead over the best baseline is beyond chance."""
    verdicts: dict[int, list[str]] = {1: [], 0: [], -1: []}
    for measure, meaning in MEASURES.items():
        best = _best_baseline(doubt, task, measure)
        if best is None:
            continue
        difference = doubt["differences"]["reviews"][task][best][measure]
        verdicts[_verdict(measure, difference)].append(meaning.partition(",")[0].partition(" (")[0].lower())
    called = {1: "ahead of every baseline beyond chance", 0: "level with the best", -1: "behind the best beyond chance"}
    parts = [f"{called[verdict]}: {', '.join(names)}" for verdict, names in verdicts.items() if names]
    return f"The {content.task_name(task)} is {'; '.join(parts)}." if parts else ""


def set_finding(measured: Mapping[str, Any] | None) -> str:
    """Say how often prediction sets hold the true star, and how large they are."""
    if not measured:
        return ""
    single = measured["sizes"][0]
    return (
        f"A prediction set holds the stars that a review may well have. Made to hold the true one in "
        f"{share(measured['asked'], 0)} of the cases, the sets do so in {share(measured['coverage'])} of the test "
        f"reviews, with {measured['mean_size']:.2f} stars on average; {share(single, 0)} of them name one star only."
    )


def ceiling_finding(ceiling: Mapping[str, Any]) -> str:
    """Say what no reader of texts alone can do: equal texts bear different stars."""
    if not ceiling["texts"]:
        return "No text occurs in two reviews, so how far authors of equal texts agree cannot be said."
    return (
        f"{content.count(ceiling['reviews'], 'review')} share their text with another, in "
        f"{content.count(ceiling['texts'], 'text')}. Two authors of one text gave the same star in "
        f"{share(ceiling['agreement'])} of the pairs, and stars at most one apart in "
        f"{share(ceiling['agreement_within_one'])}. On these reviews, mostly short, no model that sees the text alone "
        f"can name more than {share(ceiling['best'])} of the exact stars, or {share(ceiling['best_within_one'])} "
        "within one."
    )


def slice_table(slices: Mapping[str, Mapping[str, Any]], tasks: Sequence[str]) -> Table:
    """Return both shares and the mean error of each task on kinds of reviews."""
    rows = [
        Row(
            _sentence(name),
            [f"{measured['n']:,}"] + [
                f"{share(measured[task]['accuracy'])} / {share(measured[task]['accuracy_within_one'])} / "
                f"{measured[task]['mae']:.2f}"
                for task in tasks
            ],
        )
        for name, measured in slices.items()
    ]  # fmt: skip
    columns = [Column("Test reviews"), *(Column(_sentence(task), "Exact / within one / mean error") for task in tasks)]
    return Table("Exact / within one / mean error in stars, on kinds of reviews", "Reviews", columns, [Group("", rows)])


def behaviour_table(behaviour: Sequence[Mapping[str, Any]]) -> Table:
    """Return how often the model fails tests that any reader would pass, with a case of each."""
    kinds = {"minimum": "Plain cases", "direction": "A change must not move the rating the wrong way",
             "invariance": "A change must not move the rating by more than half a star"}  # fmt: skip
    groups = []
    for kind, heading in kinds.items():
        rows = [
            Row(_sentence(test["name"]), [f"{test['n']:,}", share(test["rate"]), _example(test)])
            for test in behaviour
            if test["kind"] == kind and test["n"]
        ]
        if rows:
            groups.append(Group(heading, rows))
    columns = [
        Column("Cases"),
        Column("Failed"),
        Column("A failure", "The text, and the rating it was given", text=True),
    ]
    return Table("Behavioural tests, by the expected rating", "Test", columns, groups)


def behaviour_finding(behaviour: Sequence[Mapping[str, Any]]) -> str:
    """Say which test fails most often."""
    tests = [test for test in behaviour if test["n"]]
    if not tests:
        return ""
    worst = max(tests, key=lambda test: test["rate"])
    if not worst["failures"]:
        return "No test fails."
    return f"Fails most often: {worst['name']} ({share(worst['rate'], 0)} of {content.count(worst['n'], 'case')})."


def _best_baseline(doubt: Mapping[str, Any], task: str, measure: str) -> str | None:
    """Return the baseline with the best value; that which is calibrated for knowing nothing does not count for it."""
    rivals: dict[str, float] = {
        name: doubt["intervals"]["reviews"][name][measure]["value"]
        for name, measures in doubt["differences"]["reviews"][task].items()
        if measure in measures and not (measure == "ece" and name == CALIBRATED_BY_SHARES)
    }
    if not rivals:
        return None
    sign = 1 if measure in HIGHER_IS_BETTER else -1
    return max(rivals, key=lambda name: sign * rivals[name])


def _verdict(measure: str, difference: Measures) -> int:
    """Return 1 where the model is better beyond chance, -1 where it is worse, else 0."""
    sign = 1 if measure in HIGHER_IS_BETTER else -1
    low, high = sorted((sign * difference["low"], sign * difference["high"]))
    return int(low > 0) - int(high < 0)


def _plain(meaning: str, doubt: Mapping[str, Any], task: str) -> str:
    """Leave out the rule where a task has no probabilities to apply it to."""
    return meaning if "nll" in doubt["intervals"]["reviews"][task] else meaning.partition(", by")[0]


def _figure(measure: str, value: float) -> str:
    return share(value) if measure in HIGHER_IS_BETTER else f"{value:.3f}"


def _ends(measure: str, interval: Measures) -> str:
    return f"{_figure(measure, interval['low'])} to {_figure(measure, interval['high'])}"


def _change(measure: str, difference: Measures) -> str:
    scale, digits, unit = (100, 1, " points") if measure in HIGHER_IS_BETTER else (1, 3, "")
    value, low, high = (scale * difference[name] for name in ("value", "low", "high"))
    return f"{value:+.{digits}f}{unit} ({low:+.{digits}f} to {high:+.{digits}f})".replace("-", "−")


def _example(test: Mapping[str, Any]) -> str:
    if not test["examples"]:
        return MISSING
    first = test["examples"][0]
    shown = f"{first['text']} {first['expected']:.1f}"
    return f"{shown} → {first['changed']} {first['expected_changed']:.1f}" if "changed" in first else shown


def _sentence(name: str) -> str:
    return name[:1].upper() + name[1:]
