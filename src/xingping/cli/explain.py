"""`xingping explain`: the words that a rating rests on, in the terminal."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from xingping.cli.options import Run

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from xingping.explanation import Explanation, WordWeight

__all__ = ["command"]

Texts = Annotated[list[str], typer.Argument(metavar="TEXT...", help="Reviews.")]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="classification or regression; the first trained one without it.")
]
MethodOption = Annotated[
    str,
    typer.Option(
        "--method",
        help="attention (where the head looked), occlusion (each word left out), gradients (integrated along the way "
        "from an average text), or all.",
    ),
]
HopsOption = Annotated[bool, typer.Option("--hops", help="Show where each attention hop looked.")]

ALL = "all"
TOP_WORDS = 10
HOP_WORDS = 5
BAR_WIDTH = 30


def command(
    run: Run,
    texts: Texts,
    task: TaskOption = None,
    method: MethodOption = ALL,
    hops: HopsOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one line a review.")] = False,
) -> None:
    """Rate reviews and show which words the model looked at, and by how many stars each word moves the rating."""
    import json

    from xingping.cli.predict import parse_task
    from xingping.explanation import METHODS, Method, explain
    from xingping.predictor import RatingPredictor

    if method not in (*get_args(Method), ALL):
        raise typer.BadParameter(f"--method {method}: choose from {', '.join(METHODS)}, {ALL}")
    shown = METHODS if method == ALL else (method,)
    predictor = RatingPredictor.load(run, task=parse_task(task))
    if method == ALL and not predictor.has_features:
        shown = tuple(one for one in METHODS if one != "gradients")
        print("xingping: an exported model has no gradients; the run that it was exported from does", file=sys.stderr)
    explanations = explain(predictor, texts, effects="occlusion" in shown, gradients="gradients" in shown)
    if as_json:
        for explanation in explanations:
            print(json.dumps(explanation.to_dict(), ensure_ascii=False))
        return
    _show(explanations, shown, hops=hops)


def _show(explanations: "Sequence[Explanation]", methods: Sequence[str], *, hops: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for explanation in explanations:
        stars = "★" * explanation.rating + "☆" * (5 - explanation.rating)
        sure = "" if explanation.probability is None else f", probability {explanation.probability:.2f}"
        console.print(f"{stars}  {explanation.rating} (expected {explanation.expected:.2f}{sure})")
        console.print(_highlighted(explanation), soft_wrap=True)
        _show_words(console, explanation, methods)
        if hops:
            _show_hops(console, explanation)
        console.print()


def _show_words(console: "Console", explanation: "Explanation", methods: Sequence[str]) -> None:
    """Print the strongest words by the methods, with a bar of the first of them, and what fell on no word."""
    from rich.text import Text

    attends = bool(explanation.outside_hops)
    columns = [method for method in methods if method != "attention" or attends]
    if "attention" in methods and not attends:
        console.print("  (this model has no attention on words to show)")
    if not columns:
        return
    console.print(Text("".join(f"{method:>11}" for method in columns)))
    top = sorted(explanation.words, key=lambda word: [-abs(_value(word, method)) for method in columns])[:TOP_WORDS]
    most = max((abs(_value(word, columns[0])) for word in top), default=0.0)
    for word in top:
        cells = "".join(f"{_shown(_value(word, method), method):>11}" for method in columns)
        filled = max(1, round(BAR_WIDTH * abs(_value(word, columns[0])) / most)) if most > 0 else 0
        console.print(Text(f"{cells}  {'█' * filled:{BAR_WIDTH}}  {word.word}"), soft_wrap=True)
    outside = {
        "attention": explanation.outside,
        "occlusion": explanation.outside_effect or 0.0,
        "gradients": explanation.outside_gradient or 0.0,
    }
    cells = "".join(f"{_shown(outside[method], method):>11}" for method in columns)
    console.print(Text(f"{cells}  on punctuation, space and [CLS]: no word's"), soft_wrap=True)
    if explanation.baseline is not None:
        console.print(
            f"  gradients start from {explanation.baseline:.2f} stars, those of an average text", soft_wrap=True
        )


def _value(word: "WordWeight", method: str) -> float:
    return {"attention": word.weight, "occlusion": word.effect or 0.0, "gradients": word.gradient or 0.0}[method]


def _shown(value: float, method: str) -> str:
    """Return a share as it is, and stars with a sign."""
    return f"{value:.3f}" if method == "attention" else f"{value:+.2f}"


def _show_hops(console: "Console", explanation: "Explanation") -> None:
    from rich.text import Text

    for hop, outside in enumerate(explanation.outside_hops):
        words = _strongest(explanation.words, hop)
        looked = "  ".join(f"{word.word} {word.hops[hop]:.0%}" for word in words)
        console.print(Text(f"  hop {hop + 1}: {looked}  (no word {outside:.0%})"), soft_wrap=True)


def _strongest(words: "Sequence[WordWeight]", hop: int) -> "list[WordWeight]":
    """Return the words that a hop looks at most."""
    return sorted(words, key=lambda word: -word.hops[hop])[:HOP_WORDS]


def _highlighted(explanation: "Explanation") -> "Text":
    from rich.text import Text

    text = Text(explanation.text)
    even = 1 / max(1, len(explanation.words))
    for word in explanation.words:
        if word.weight >= 2 * even:
            text.stylize("bold black on yellow", word.start, word.end)
        elif word.weight >= even:
            text.stylize("underline", word.start, word.end)
    return text
