"""What a model does with sentences made to test it, in the manner of CheckList (Ribeiro et al. 2020, arXiv 2005.04118).

Three kinds of test: a minimum, where the right side of the scale is plain; a direction, where a change must not
move the rating the wrong way; and an invariance, where a change must not move it at all. A failure rate says how often
a model does otherwise. The sentences are ours; real reviews are only changed in ways that leave their meaning.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BehaviourTest", "behaviour_tests", "run_behaviour_tests"]

TOLERANCE = 0.1
"""Stars that a rating may move the wrong way before a direction counts as broken."""

SHIFT = 0.5
"""Stars that a rating may move before an invariance counts as broken."""

MIDDLE = 3.0
"""The middle of the scale, in stars."""

EXAMPLES = 3

THINGS = ("剧情", "演技", "画面", "配乐", "结局", "特效", "台词", "节奏", "男主角", "整部电影")
PRAISE = ("好看", "精彩", "出色", "用心", "有趣", "动人")
BLAME = ("难看", "无聊", "尴尬", "失望", "做作", "拖沓")
INTENSIFIERS = ("非常", "特别", "太", "真是", "极其")
SOFTENERS = ("有点", "略", "稍微有些")
FILMS = ("疯狂动物城", "长城", "泰囧", "左耳", "寻龙诀", "钢铁侠", "釜山行", "大鱼海棠", "小时代", "爱乐之城")
HAPPY, ANGRY = ("😍", "👍", "❤️", "😂", "🎉"), ("😡", "👎", "💩", "🤮", "😤")
STARTS = ("", "看完觉得", "和朋友一起看的，", "说实话，", "首映场，")
TYPOS = str.maketrans({"的": "得", "得": "的", "在": "再", "做": "作", "像": "象", "那": "哪", "已": "己"})


@dataclass(frozen=True)
class BehaviourTest:
    """One test: texts, changed texts, and what counts as a failure.

    Attributes
    ----------
    name
        Such as `negated praise is no praise`.
    kind
        `minimum`, `direction` or `invariance`.
    texts
        What is rated; for a minimum, all there is.
    changed
        The same texts after the change, or empty.
    failed
        From the expected ratings of the texts and of the changed ones, (n,) each, to whether each case failed.
    """

    name: str
    kind: str
    texts: Sequence[str]
    changed: Sequence[str]
    failed: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]


def behaviour_tests(reviews: Sequence[str] = ()) -> list[BehaviourTest]:
    """Return the tests.

    Parameters
    ----------
    reviews
        Real reviews for the invariances, as they were cleaned; those where a change finds nothing are left out.
    """
    praised = [f"{start}{thing}很{word}" for start, thing, word in itertools.product(STARTS, THINGS, PRAISE)]
    blamed = [f"{start}{thing}很{word}" for start, thing, word in itertools.product(STARTS, THINGS, BLAME)]
    plain = [f"{start}{thing}{word}" for start, thing, word in itertools.product(STARTS, THINGS, PRAISE)]
    negated = [f"{start}{thing}一点也不{word}" for start, thing, word in itertools.product(STARTS, THINGS, PRAISE)]
    blame = [f"{start}{thing}{word}" for start, thing, word in itertools.product(STARTS, THINGS, BLAME)]
    tests = [
        BehaviourTest("plain praise is above the middle", "minimum", praised, (), lambda before, _: before <= MIDDLE),
        BehaviourTest("plain blame is below the middle", "minimum", blamed, (), lambda before, _: before >= MIDDLE),
        BehaviourTest("negated praise is below the middle", "minimum", negated, (), lambda before, _: before >= MIDDLE),
        BehaviourTest("negating praise lowers", "direction", plain, negated, _not_lower),
        BehaviourTest(
            "negating blame raises", "direction", blame,
            [f"{start}{thing}一点也不{word}" for start, thing, word in itertools.product(STARTS, THINGS, BLAME)],
            _not_higher,
        ),
        BehaviourTest(
            "double negation is above negation", "direction", negated,
            [f"{start}不能说{thing}不{word}" for start, thing, word in itertools.product(STARTS, THINGS, PRAISE)],
            _not_higher,
        ),
        BehaviourTest(
            "intensified praise does not lower", "direction", *_pairs(INTENSIFIERS, PRAISE), _lower,
        ),
        BehaviourTest("intensified blame does not raise", "direction", *_pairs(INTENSIFIERS, BLAME), _higher),
        BehaviourTest("softened blame does not lower", "direction", *_pairs(SOFTENERS, BLAME), _lower),
        BehaviourTest(
            "what follows 但是 weighs more: praise last", "direction",
            [f"{a}很{good}，但是{b}很{bad}" for a, b, good, bad in _contrasts()],
            [f"{b}很{bad}，但是{a}很{good}" for a, b, good, bad in _contrasts()],
            _lower,
        ),
    ]  # fmt: skip
    if reviews:
        tests += _on_reviews(reviews)
    return tests


def run_behaviour_tests(
    rate: Callable[[Sequence[str]], NDArray[np.float64]], reviews: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Put a model to the tests.

    Parameters
    ----------
    rate
        From raw texts to expected ratings, (n,), in stars.
    reviews
        As `behaviour_tests` takes them.

    Returns
    -------
    list of dict
        `name, kind, n, failures, rate` (failures / n) and `examples`: up to three failed cases as
        `{"text", "expected", "changed", "expected_changed"}`.
    """
    tests = behaviour_tests(reviews)
    expected = rate([text for test in tests for text in (*test.texts, *test.changed)])
    results, at = [], 0
    for test in tests:
        before = expected[at : at + len(test.texts)]
        after = expected[at + len(test.texts) : at + len(test.texts) + len(test.changed)]
        at += len(test.texts) + len(test.changed)
        failed = np.flatnonzero(test.failed(before, after))
        examples = []
        for case in failed[:: max(1, len(failed) // EXAMPLES)][:EXAMPLES].tolist():
            example: dict[str, Any] = {"text": test.texts[case], "expected": float(before[case])}
            if test.changed:
                example |= {"changed": test.changed[case], "expected_changed": float(after[case])}
            examples.append(example)
        n = len(test.texts)
        rate_failed = len(failed) / n if n else None
        results.append(
            {"name": test.name, "kind": test.kind, "n": n, "failures": len(failed), "rate": rate_failed,
             "examples": examples}
        )  # fmt: skip
    return results


def _pairs(modifiers: Sequence[str], words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return sentences with a plain word, and the same with a modified one."""
    cases = list(itertools.product(THINGS, modifiers, words))
    return [f"{thing}{word}" for thing, _, word in cases], [f"{thing}{how}{word}" for thing, how, word in cases]


def _contrasts() -> list[tuple[str, str, str, str]]:
    pairs = list(itertools.permutations(THINGS[:6], 2))
    return [(*pair, PRAISE[i % len(PRAISE)], BLAME[i // 2 % len(BLAME)]) for i, pair in enumerate(pairs)]


def _on_reviews(reviews: Sequence[str]) -> list[BehaviourTest]:
    with_typos = [(text, text.translate(TYPOS)) for text in reviews]
    names = dict(zip(FILMS, (*FILMS[1:], FILMS[0]), strict=True))
    swapped = [(text, text.replace(film, other)) for text in reviews for film, other in names.items() if film in text]
    kinds: list[tuple[str, str, list[tuple[str, str]], Any]] = [
        ("film names swapped", "invariance", swapped, _moved),
        ("common misspellings", "invariance", [pair for pair in with_typos if pair[0] != pair[1]], _moved),
        ("a full stop added", "invariance", [(text, f"{text}。") for text in reviews], _moved),
        ("the date added", "invariance", [(text, f"{text} 2016年3月5日") for text in reviews], _moved),
        ("a happy emoji does not lower", "direction",
         [(text, text + HAPPY[i % len(HAPPY)]) for i, text in enumerate(reviews)], _lower),
        ("an angry emoji does not raise", "direction",
         [(text, text + ANGRY[i % len(ANGRY)]) for i, text in enumerate(reviews)], _higher),
        ("praise added does not lower", "direction", [(text, f"{text}，强烈推荐！") for text in reviews], _lower),
        ("blame added does not raise", "direction", [(text, f"{text}，千万别看！") for text in reviews], _higher),
    ]  # fmt: skip
    return [
        BehaviourTest(name, kind, [before for before, _ in pairs], [after for _, after in pairs], failed)
        for name, kind, pairs, failed in kinds
        if pairs
    ]


def _lower(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.bool_]:
    return after < before - TOLERANCE


def _higher(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.bool_]:
    return after > before + TOLERANCE


def _not_lower(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.bool_]:
    return after >= before - TOLERANCE


def _not_higher(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.bool_]:
    return after <= before + TOLERANCE


def _moved(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.abs(after - before) > SHIFT
