"""What reviews say of story, acting, picture, music and pace, by a lexicon and clause by clause."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xingping.aspect_lexicon import ASPECTS, DEGREES, FAINT_VERDICTS, NEGATIONS, PASSED_OVER, STRONG_DEGREES, VERDICTS
from xingping.estimates import Estimate, difference_estimate, mean_estimate, star_deviation
from xingping.script import to_simplified
from xingping.segmentation import Segmenter

__all__ = ["AspectReport", "AspectWord", "ExampleClause", "Mention", "clauses", "find_mentions", "report_aspects"]

CLAUSE_END = re.compile(
    r"(?:[，。！？；：…～\n\r!?;~,]|[.:](?!\d)|——|(?<![A-Za-z\d])[ \t\u3000]|[ \t\u3000](?![A-Za-z\d]))+"
)
"""Ends a clause; 、 joins the parts of one, the point of 8.5 and the spaces of English do not end it."""

JOINING = re.compile(r"[、和与跟及以的/&+]*")
"""What lies between things that are judged together: 剧情和画面都好."""

CLAUSES_READ = 60_000
"""Clauses in which verdicts are looked for; of a film with more, evenly drawn ones."""

VERDICTS_SHOWN = 12

EXAMPLE_LENGTHS = (4, 45)
"""Characters of a clause worth showing."""

EXAMPLES = 3
"""Clauses shown of praise, and of blame."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A clause that speaks of an aspect.

    Attributes
    ----------
    review
        Place of the review.
    start, end
        Half-open span of the clause in the text, without what ends it.
    spans
        Half-open spans of the words that name aspects, each with the key of its aspect, in order.
    """

    review: int
    start: int
    end: int
    spans: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class AspectWord:
    """A verdict beside an aspect, how many reviews have it there, and their mean stars."""

    word: str
    count: int
    mean: float


@dataclass(frozen=True, slots=True)
class ExampleClause:
    """A clause as it was written, the row of its review, the verdict in it, and the review's stars."""

    row: int
    text: str
    word: str
    rating: int


@dataclass(frozen=True)
class AspectReport:
    """What is said of one aspect.

    The stars are those of the whole review, whatever it says of the aspect; and words that name and judge at once
    (拖沓) count as a mention. So a low mean says that those who bring the aspect up rate the film low.

    Attributes
    ----------
    key, name
        Such as `story`, 剧情.
    n
        Reviews that mention it.
    share
        Of all reviews.
    mean
        Stars of the reviews that mention it; None where there are none.
    deviation
        Of these stars (`estimates.star_deviation`); None as well.
    difference
        Their mean less that of all reviews of the film.
    praise, blame
        Share with 4 or 5 stars, and with 1 or 2; None as well.
    words
        The verdicts that stand beside it most often, in simplified characters, with a negation before them; of a film
        with more than 60,000 clauses that mention an aspect, among evenly drawn ones.
    praised, blamed
        Clauses of reviews of 4 or 5 stars, and of 1 or 2, each with another of the verdicts.
    """

    key: str
    name: str
    n: int
    share: float
    mean: Estimate | None = None
    deviation: float | None = None
    difference: Estimate | None = None
    praise: float | None = None
    blame: float | None = None
    words: tuple[AspectWord, ...] = field(default=())
    praised: tuple[ExampleClause, ...] = field(default=())
    blamed: tuple[ExampleClause, ...] = field(default=())


def clauses(text: str) -> list[str]:
    """Cut a text into clauses, each with what ends it; they rejoin to the text, and an empty text has none."""
    ends = [match.end() for match in CLAUSE_END.finditer(text)]
    starts = [0, *ends]
    return [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True) if end > start]


def find_mentions(texts: Sequence[str]) -> list[Mention]:
    """Return the clauses that speak of an aspect, in order; in either script.

    Parameters
    ----------
    texts
        Of the reviews.
    """
    return [mention for review, text in enumerate(texts) for mention in _mentions(review, text)]


def report_aspects(
    texts: Sequence[str],
    values: NDArray[np.float64],
    ratings: NDArray[np.int64],
    *,
    rows: NDArray[np.int64] | None = None,
    segmenter: Segmenter | None = None,
) -> list[AspectReport]:
    """Say of each aspect who mentions it, what stars they give, and which verdicts stand beside it.

    Parameters
    ----------
    texts
        Of one film's reviews.
    values
        (n,) stars, 1..5; real numbers where a model gave them. Means are of these.
    ratings
        (n,) whole stars, 1..5. Praise and blame are told by these.
    rows
        (n,) numbers of the reviews, which examples are given with; by default 0, 1 …
    segmenter
        Cuts clauses into words; by default one without a user's words.

    Returns
    -------
    list of AspectReport
        In the order of `aspect_lexicon.ASPECTS`.
    """
    mentions = find_mentions(texts)
    step = max(1, -(-len(mentions) // CLAUSES_READ))
    judged = _judge(texts, mentions[::step], segmenter or Segmenter())
    numbers = np.arange(len(texts)) if rows is None else rows
    reports = []
    for key, aspect in ASPECTS.items():
        where = np.unique([mention.review for mention in mentions if any(name == key for _, _, name in mention.spans)])
        where = where.astype(np.int64)
        n, share = len(where), len(where) / len(texts) if len(texts) else 0.0
        if not n:
            reports.append(AspectReport(key, aspect.name, 0, share))
            continue
        found, stars = judged[key], ratings[where]
        deviation, mean = star_deviation(values[where]), float(values[where].mean())
        words = _top_words(found, values)
        reports.append(AspectReport(
            key, aspect.name, n, share, mean_estimate(mean, deviation, n), deviation, _difference(values, where),
            float((stars >= 4).mean()), float((stars <= 2).mean()), words,
            *(_examples(texts, side, ratings, numbers, found) for side in (ratings >= 4, ratings <= 2)),
        ))  # fmt: skip
    return reports


def _difference(values: NDArray[np.float64], where: NDArray[np.int64]) -> Estimate:
    """Compare the mean of some reviews with that of all, among which they are."""
    inside = np.zeros(len(values), dtype=np.bool_)
    inside[where] = True
    rest, k, n = values[~inside], len(where), len(values)
    value = float(values[where].mean() - values.mean())
    if not len(rest):
        return Estimate(value, value, value)
    # The difference to all is that to the rest, times the share of the rest.
    share = (n - k) / n
    return difference_estimate(
        value, (share * star_deviation(values[where])) ** 2 / k, (share * star_deviation(rest)) ** 2 / (n - k)
    )


def _pattern() -> re.Pattern[str]:
    """Match what names an aspect, in the group of its key, and before it what only looks so, in none."""
    groups = []
    others = [word for aspect in ASPECTS.values() for word in aspect.others]
    for key, aspect in ASPECTS.items():
        words = sorted({*aspect.nouns, *aspect.verdicts}, key=len, reverse=True)
        groups.append(f"(?P<{key}>{'|'.join(map(re.escape, words))})")
    return re.compile("|".join([*map(re.escape, others), *groups]))


NAMED = _pattern()

VERDICTS_THAT_NAME = frozenset(word for aspect in ASPECTS.values() for word in aspect.verdicts)


def _mentions(review: int, text: str) -> Iterator[Mention]:
    plain = to_simplified(text)
    named = [(*match.span(), match.lastgroup) for match in NAMED.finditer(plain) if match.lastgroup]
    if not named:
        return
    start, at = 0, 0
    for end, after in [*(match.span() for match in CLAUSE_END.finditer(text)), (len(text), len(text))]:
        spans = []
        while at < len(named) and named[at][0] < end:
            spans.append(named[at])
            at += 1
        if spans:
            yield Mention(review, start, end, tuple(spans))
        start = after


Judged = dict[str, dict[str, list[Mention]]]
"""By aspect and verdict, the clauses."""


def _judge(texts: Sequence[str], mentions: Sequence[Mention], segmenter: Segmenter) -> Judged:
    judged: Judged = {key: defaultdict(list) for key in ASPECTS}
    for mention in mentions:
        clause = to_simplified(texts[mention.review][mention.start : mention.end])
        groups = _groups(mention, clause)
        for place, word in _verdicts(clause, mention, segmenter):
            # A verdict is of what was named last before it, else of what comes first: 好听的音乐.
            group = next((group for group in reversed(groups) if group[0] <= place), groups[0])
            for key in group[1]:
                judged[key][word].append(mention)
    return judged


def _groups(mention: Mention, clause: str) -> list[tuple[int, set[str]]]:
    """Return what is judged together: where it starts in the clause, and the keys."""
    groups: list[tuple[int, set[str]]] = []
    last = 0
    for start, end, key in ((a - mention.start, b - mention.start, key) for a, b, key in mention.spans):
        if groups and JOINING.fullmatch(clause, last, start):
            groups[-1][1].add(key)
        else:
            groups.append((start, {key}))
        last = end
    return groups


def _verdicts(clause: str, mention: Mention, segmenter: Segmenter) -> Iterator[tuple[int, str]]:
    """Yield where each verdict stands in a simplified clause, and the verdict, with a negation before it."""
    words = _cut(clause, mention, segmenter)
    negation, degree = "", ""
    for at, (place, word, is_name) in enumerate(words):
        core, within = (word, "") if is_name else _without_degree(word)
        behind = words[at + 1][1] if at + 1 < len(words) else ""
        if core in NEGATIONS:
            negation, degree = NEGATIONS[core], ""
        elif word in DEGREES and (word not in VERDICTS or behind in VERDICTS):
            degree = word
        elif core in VERDICTS_THAT_NAME if is_name else _is_verdict(core, degree or within):
            yield place, negation + core
            negation, degree = "", ""
        elif word not in PASSED_OVER:
            negation, degree = "", ""


def _cut(clause: str, mention: Mention, segmenter: Segmenter) -> list[tuple[int, str, bool]]:
    """Return where each word stands, the word, and whether it names an aspect; those are never cut nor joined."""
    words: list[tuple[int, str, bool]] = []
    last = 0
    for start, end in [*((a - mention.start, b - mention.start) for a, b, _ in mention.spans), (len(clause),) * 2]:
        words += [(last + word.start, word.text, False) for word in segmenter.spans(clause[last:start])]
        if end > start:
            words.append((start, clause[start:end], True))
        last = end
    return words


def _without_degree(word: str) -> tuple[str, str]:
    """Split 很棒, which is one word to jieba, into the verdict and the word of degree."""
    core = word[1:]
    if word not in VERDICTS and word[0] in DEGREES and (core in VERDICTS or core in FAINT_VERDICTS):
        return core, word[0]
    return word, ""


def _is_verdict(word: str, degree: str) -> bool:
    if word in VERDICTS or (degree and word in FAINT_VERDICTS):
        return True
    return degree in STRONG_DEGREES and len(word) > 1 and word not in PASSED_OVER


def _top_words(found: dict[str, list[Mention]], values: NDArray[np.float64]) -> tuple[AspectWord, ...]:
    reviews = {word: sorted({mention.review for mention in of}) for word, of in found.items()}
    most = sorted(reviews, key=lambda word: (-len(reviews[word]), word))[:VERDICTS_SHOWN]
    return tuple(AspectWord(word, len(reviews[word]), float(values[reviews[word]].mean())) for word in most)


def _examples(
    texts: Sequence[str],
    side: NDArray[np.bool_],
    ratings: NDArray[np.int64],
    rows: NDArray[np.int64],
    found: dict[str, list[Mention]],
) -> tuple[ExampleClause, ...]:
    """Choose clauses of one side for the verdicts that are most telling of it, each with another one."""
    shown: dict[str, ExampleClause] = {}
    usual = float(side.mean())
    # How many more reviews of the side use a verdict than if it had nothing to do with the side.
    excess = {word: sum(float(side[mention.review]) - usual for mention in of) for word, of in found.items()}
    for word in sorted(excess, key=lambda word: (-round(excess[word], 6), word)):
        for mention in found[word] if len(shown) < EXAMPLES else ():
            at, text = mention.review, texts[mention.review][mention.start : mention.end].strip()
            if side[at] and text not in shown and EXAMPLE_LENGTHS[0] <= len(text) <= EXAMPLE_LENGTHS[1]:
                shown[text] = ExampleClause(int(rows[at]), text, word, int(ratings[at]))
                break
    return tuple(shown.values())
