"""`xingping explain`: the words that a rating rests on, in the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from xingping.cli.options import Run

if TYPE_CHECKING:
    from rich.text import Text

    from xingping.explanation import Explanation

__all__ = ["command"]

Texts = Annotated[list[str], typer.Argument(metavar="TEXT...", help="Reviews.")]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="classification or regression; the first trained one without it.")
]

TOP_WORDS = 10
BAR_WIDTH = 30


def command(
    run: Run,
    texts: Texts,
    task: TaskOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one line a review.")] = False,
) -> None:
    """Rate reviews and show which words the model looked at, and by how many stars each word moves the rating."""
    import json

    from xingping.cli.predict import parse_task
    from xingping.explanation import explain
    from xingping.predictor import RatingPredictor

    explanations = explain(RatingPredictor.load(run, task=parse_task(task)), texts)
    if as_json:
        for explanation in explanations:
            print(json.dumps(explanation.to_dict(), ensure_ascii=False))
        return
    _show(explanations)


def _show(explanations: "Sequence[Explanation]") -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for explanation in explanations:
        stars = "★" * explanation.rating + "☆" * (5 - explanation.rating)
        sure = "" if explanation.probability is None else f", probability {explanation.probability:.2f}"
        console.print(f"{stars}  {explanation.rating} (expected {explanation.expected:.2f}{sure})")
        console.print(_highlighted(explanation), soft_wrap=True)
        top = sorted(explanation.words, key=lambda word: (-word.weight, -abs(word.effect or 0)))[:TOP_WORDS]
        most = max((word.weight for word in top), default=0.0)
        console.print("  effect  attention" if most > 0 else "  effect  (this model has no attention on words to show)")
        for word in top:
            bar = "█" * max(1, round(BAR_WIDTH * word.weight / most)) if most > 0 else ""
            console.print(Text(f"  {word.effect or 0:+6.2f}  {word.weight:9.3f}  {bar}  {word.word}"))
        if explanation.outside >= 0.005:
            console.print(f"  {explanation.outside:.0%} of the attention fell on punctuation and is left out above")
        console.print()


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
