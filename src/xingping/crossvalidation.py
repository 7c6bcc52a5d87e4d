"""Cross-validation over films: every film is rated by a model that has seen only the others.

The features are there already; what is repeated is the head and the n-grams beside it. All reviews whose film is known
take part, whatever split of the run they are in. No text is on two sides of a fold: a review is left out of training
where a held-out one has its text. What is not held out is dealt to training and validation as a random split is, so
that all other films are learned from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xingping.artifacts import fingerprint, write_table
from xingping.baselines import MOST_REVIEWS, MajorityBaseline, NgramBaseline, sample_reviews
from xingping.config import SplitSettings, Task
from xingping.errors import InputError
from xingping.evaluation import Answers, evaluate_answers, evaluate_films, measure_doubt
from xingping.fitting import EncodedReviews
from xingping.metrics import decide
from xingping.progress import Progress
from xingping.ratings import NUM_CLASSES
from xingping.schedule import training_length
from xingping.splits import SIDES, SPLITS, STARS, TEXT_KEY, UNUSED, divide_texts, film_ranks, hash_texts

__all__ = ["MOST_FOLDS", "crossvalidate", "film_folds", "fold_sides"]

MOST_FOLDS = 30
"""Films up to which each is a fold of its own where nobody says how many folds there are."""

USUAL_FOLDS = 10
"""Folds of more films than that."""

BASELINES = ("majority", "char_ngram")

TRAIN, VALID, TEST = range(len(SPLITS))


def crossvalidate(
    data: EncodedReviews, task: Task, folds: int | None, folder: Path, *, key: str, progress: Progress
) -> dict[str, Any]:
    """Train a model for each fold of films and measure it, and the n-gram baseline, on the films held out.

    Parameters
    ----------
    data
        The reviews.
    task
        What is predicted.
    folds
        How many; None: each film is one where there are at most `MOST_FOLDS` films, else ten.
    folder
        Where the answers of each fold are kept; a fold that is there already is not done again.
    key
        Of all that decides the answers, but for the folds and the task.
    progress
        Who watches.

    Returns
    -------
    dict
        The content of `cross_validation.json`: `task`; `folds`, each with its films and the reviews of each side;
        `films` as `xingping.evaluation.evaluate_films` gives them; `pooled`, `{"n", "test": {task: M}, "baselines":
        {name: M}}` of all reviews at once; `intervals` and `differences` as `measure_doubt` gives them.

    Raises
    ------
    InputError
        There are fewer than two films, fewer films than folds, or too little is left to train on.
    """
    settings, training = data.settings, data.settings.training
    by_film = settings.split.model_copy(update={"by": "leave-one-film-out"})  # whatever the run is split by
    if training.film_effects == "auto":  # here validation has no new films to say how long to train without effects
        training = training.model_copy(update={"film_effects": "off"})
    data = replace(data, settings=settings.model_copy(update={"split": by_film, "training": training}))
    counts = np.bincount(data.reviews.film, minlength=len(data.reviews.films))
    of_film = film_folds(data.reviews.films, counts, folds)
    every = _Folds(data, task, of_film, folder, key, progress)
    count = int(of_film.max()) + 1
    done = [every.fold(number, count) for number in range(count)]
    for path in folder.glob("fold-*"):
        if path not in {fold.path for fold in done}:
            path.unlink()
    return _measure(data, task, done)


def film_folds(films: Sequence[str], reviews: NDArray[np.int64], folds: int | None) -> NDArray[np.int64]:
    """Deal films to folds of about as many reviews: the largest first, each to the fold with the fewest.

    Parameters
    ----------
    films
        Distinct names; "" where the film is not known.
    reviews
        (films,) how many reviews each has.
    folds
        As `crossvalidate` takes it.

    Returns
    -------
    ndarray
        (films,) the number of the fold of each, from 0; -1 for "".

    Raises
    ------
    InputError
        There are fewer than two films, or fewer films than folds.
    """
    order = sorted((place for place, film in enumerate(films) if film), key=lambda at: (-int(reviews[at]), films[at]))
    if len(order) < 2:
        raise InputError(f"cross-validation needs two films, the run has {len(order)}; --movie-column names them")
    count = folds or (len(order) if len(order) <= MOST_FOLDS else USUAL_FOLDS)
    if not 2 <= count <= len(order):
        raise InputError(f"--folds is from 2 to {len(order)}, the number of films; got {count}")
    of_film = np.full(len(films), -1, dtype=np.int64)
    sizes = np.zeros(count, dtype=np.int64)
    for film in order:
        of_film[film] = sizes.argmin()
        sizes[of_film[film]] += reviews[film]
    return of_film


def fold_sides(
    keys: NDArray[np.void], fold: NDArray[np.int64], number: int, settings: SplitSettings, *, seed: int
) -> NDArray[np.int8]:
    """Return the side of each review in one fold.

    Parameters
    ----------
    keys : (n,) `TEXT_KEY`
        Of all reviews, in their order.
    fold : (n,) int64
        In which each is held out; -1 where the film is not known.
    number
        The fold.
    settings
        The share of validation.
    seed
        Of the division into training and validation.

    Returns
    -------
    ndarray
        (n,) int8, index of `xingping.splits.SIDES`: the fold's films are test; what has a text of theirs, or no film,
        is unused; the rest is training and validation.

    Raises
    ------
    InputError
        The rest has too few distinct texts.
    """
    side = np.full(len(keys), UNUSED, dtype=np.int8)
    held = fold == number
    side[held] = TEST
    rest = np.flatnonzero((fold >= 0) & ~np.isin(keys["hash"], np.unique(keys["hash"][held])))
    dealt = np.zeros(len(keys), dtype=np.int8)
    divide_texts(lambda _part: keys[rest], 1, dealt, settings, seed=seed)
    side[rest] = np.where(dealt[rest] == VALID, VALID, TRAIN)
    return side


@dataclass(frozen=True)
class _Fold:
    """A fold that is done.

    Attributes
    ----------
    path
        The answers.
    films
        That were held out.
    sizes
        Reviews of each side.
    """

    path: Path
    films: list[str]
    sizes: dict[str, int]


class _Folds:
    """The folds of one cross-validation, and what they share."""

    def __init__(
        self, data: EncodedReviews, task: Task, of_film: NDArray[np.int64], folder: Path, key: str, progress: Progress
    ) -> None:
        self.data, self.task, self.of_film = data, task, of_film
        self.folder, self.key, self.progress = folder, key, progress
        reviews, seed = data.reviews, data.settings.seed
        self.keys = np.empty(len(reviews), TEXT_KEY)
        parts = [hash_texts(pa.array(texts, pa.string()), seed) for texts in reviews.texts]
        self.keys["hash"] = np.concatenate(parts)
        self.keys["stratum"] = film_ranks(pa.array(reviews.films, pa.string()))[reviews.film] * STARS + reviews.rating
        self.keys["place"] = np.arange(len(reviews))

    def fold(self, number: int, count: int) -> _Fold:
        """Do one fold unless it is done."""
        films = [self.data.reviews.films[film] for film in np.flatnonzero(self.of_film == number).tolist()]
        what = f"crossvalidate: fold {number + 1} of {count} ({_listed(films)})"
        try:
            side = fold_sides(
                self.keys,
                self.of_film[self.data.reviews.film],
                number,
                self.data.settings.split,
                seed=self.data.settings.seed,
            )
        except InputError as error:
            raise InputError(f"{what}: without these films and their texts, {error}") from error
        path = self.folder / f"fold-{number + 1:02d}.parquet"
        key = fingerprint(self.key, self.task, sorted(films))
        if _key_of(path) != key:
            table = self._answers(side, what, path.with_suffix(".checkpoint"))
            write_table(path, table.replace_schema_metadata({"key": key}))
        sizes = dict(zip(SIDES, np.bincount(side, minlength=len(SIDES)).tolist(), strict=True))
        fold = _Fold(path, films, sizes)
        self._say(fold, what)
        return fold

    def _answers(self, side: NDArray[np.int8], what: str, checkpoint: Path) -> pa.Table:
        """Train, and return the answers to the reviews held out."""
        data = self.data
        train, valid, test = (np.flatnonzero(side == index) for index in (TRAIN, VALID, TEST))
        total = training_length(data.settings.training, len(train)).epochs * len(train)
        with self.progress.bar(what, total, "reviews") as advance:
            predictor = data.fit(self.task, train, valid, checkpoint=checkpoint, progress=advance)
        answers = data.rate(predictor, test)
        seen = train[sample_reviews(len(train), most=MOST_REVIEWS, seed=data.settings.seed)]
        ratings = data.reviews.ratings(seen)
        ngrams = NgramBaseline("char").fit(data.texts(seen), ratings).predict_proba(data.texts(test))
        columns = {
            "review": pa.array(test),
            "rating": pa.array(answers.rating),
            "majority": _as_lists(MajorityBaseline().fit(ratings).predict_proba(len(test))),
            "char_ngram": _as_lists(ngrams),
        }
        if answers.expected is not None:
            columns["expected"] = pa.array(answers.expected)
        if answers.probabilities is not None:
            columns["probabilities"] = _as_lists(answers.probabilities)
        return pa.table(columns)

    def _say(self, fold: _Fold, what: str) -> None:
        """Show how a fold went."""
        indices, answers = _read(fold.path, self.task)
        true = self.data.reviews.ratings(indices)
        shares = {name: float((of_name.rating == true).mean()) for name, of_name in answers.items()}
        self.progress.say(f"{what}: exact {shares[self.task]:.3f}, n-grams {shares['char_ngram']:.3f}")


def _measure(data: EncodedReviews, task: Task, folds: Sequence[_Fold]) -> dict[str, Any]:
    """Put the answers of all folds together, and measure them."""
    read = [_read(fold.path, task) for fold in folds]
    indices = np.concatenate([found for found, _ in read])
    answers = {name: Answers.join([of_fold[name] for _, of_fold in read]) for name in (task, *BASELINES)}
    models: dict[str, Answers] = {task: answers.pop(task)}
    true = data.reviews.ratings(indices)
    return {
        "task": task,
        "folds": [{"films": fold.films, "reviews": fold.sizes} for fold in folds],
        "pooled": {
            "n": len(true),
            "test": {task: evaluate_answers(true, models[task])},
            "baselines": {name: evaluate_answers(true, of_name) for name, of_name in answers.items()},
        },
        "films": evaluate_films(data.reviews.film_names(indices), true, models, answers),
        **measure_doubt(true, data.reviews.film[indices], models, answers, seed=data.settings.seed),
    }


def _key_of(path: Path) -> str | None:
    """Return the key that a fold was written with; None where it is not there or is damaged."""
    try:
        key: bytes = (pq.read_schema(path).metadata or {}).get(b"key", b"")
        return key.decode()
    except (OSError, pa.ArrowInvalid):
        return None


def _read(path: Path, task: Task) -> tuple[NDArray[np.int64], dict[str, Answers]]:
    """Return the reviews of a fold and the answers to them."""
    table = pq.read_table(path)
    found = {name: _as_array(table[name]) for name in table.column_names}
    answers: dict[str, Answers] = {
        task: Answers(found["rating"], found.get("expected"), found.get("probabilities")),
        **{name: Answers(decide(found[name], "mode"), probabilities=found[name]) for name in BASELINES},
    }
    return found["review"], answers


def _as_lists(probabilities: NDArray[np.float64]) -> pa.Array:
    """Return probabilities, (n, 5), as a column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel()), NUM_CLASSES)


def _as_array(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column of numbers, (n,), or of probabilities, (n, 5)."""
    if not pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.to_numpy())
    return np.asarray(column.combine_chunks().flatten().to_numpy()).reshape(-1, NUM_CLASSES)


def _listed(films: Sequence[str]) -> str:
    return ", ".join(films[:2]) + (f" and {len(films) - 2} more" if len(films) > 2 else "")
