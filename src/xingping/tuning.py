"""Searching for a better head on features that are encoded already, within a budget of time (Optuna).

The search sees the training and the validation split only. Each trial trains a head, and one that lags behind the
median of the others after as many epochs is given up. The settings that the run has are the first trial, so the
winner is never worse than they are on validation. What was tried is kept in the run directory, and another search
goes on from there.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from xingping.artifacts import fingerprint
from xingping.config import HeadSettings, Task, TrainingSettings
from xingping.schedule import training_length
from xingping.training import Epoch, LabelledFeatures, train_head

__all__ = ["TuningResult", "tune_head"]

STARTS = 8
"""Trials at random before what was learned from them guides the search."""

POOLINGS = ("self_attention", "self_attention,mean", "self_attention,max", "self_attention,mean,max,cls", "mean,max")

WIDTHS = (64, 128, 256, 384, 512)

BATCH_SIZES = (32, 64, 128)

Choices = dict[str, list[Any]]
"""What a study chooses from lists, by the name of the parameter."""

LEAST = 1e-5
"""Of what is searched by its logarithm, which a 0 does not have."""


@dataclass(frozen=True)
class TuningResult:
    """What a search found.

    Attributes
    ----------
    head, training
        The settings of the best trial.
    valid_loss
        Its least validation loss.
    first_loss
        That of the settings that the search began with.
    trials
        Trials that ended, those of earlier searches in the same place included; `pruned` of them were given up early.
    pruned
        See above.
    """

    head: HeadSettings
    training: TrainingSettings
    valid_loss: float
    first_loss: float
    trials: int
    pruned: int


def tune_head(
    task: Task,
    train: LabelledFeatures,
    valid: LabelledFeatures,
    head: HeadSettings,
    training: TrainingSettings,
    *,
    seed: int,
    seconds: float,
    journal: Path,
    trials: int | None = None,
    on_trial: Callable[[str], None] | None = None,
) -> TuningResult:
    """Search for the head with the least validation loss.

    Parameters
    ----------
    task
        What the head predicts; losses of one task can be compared, so the loss itself is not searched.
    train, valid
        The two splits.
    head, training
        Where the search begins; what is not searched stays as it is here. Heads of several members are tried with one.
    seed
        Of the search and of every training.
    seconds
        No trial begins later, but the first always does; the one at hand is finished, so it may take somewhat longer.
    journal
        File where trials are noted.
    trials
        Most trials of this search.
    on_trial
        Called with a line on each trial.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    say = on_trial or (lambda _line: None)
    journal.parent.mkdir(parents=True, exist_ok=True)
    fixed = fingerprint(task, head.ordinal, training.model_dump(include=KEPT), train.digest(), valid.digest(), seed)
    begin = _Start(head, training, training_length(training, len(train.ratings)).epochs, train.n_layers)
    study, choices = _open_study(journal, fixed, _choices(head, training), seed)
    if not _finished(study):
        study.enqueue_trial(_parameters(begin))
    start = time.monotonic()

    def objective(trial: optuna.Trial) -> float:
        tried_head, tried_training = _settings(trial, choices, begin)
        tried_head = tried_head.model_copy(update={"members": 1})  # what is best for one is best for several
        best = float("inf")

        def on_epoch(epoch: Epoch) -> None:
            nonlocal best
            best = min(best, epoch.valid_loss)
            trial.report(best, epoch.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        train_head(task, train, valid, tried_head, tried_training, seed=seed, on_epoch=on_epoch)
        return best

    def note(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if trial.value is None or trial.state != optuna.trial.TrialState.COMPLETE:
            outcome = "given up"
        else:
            outcome = f"validation loss {trial.value:.4f}"
        best = study.best_value if _finished(study) else float("nan")
        say(f"tune: trial {trial.number}, {outcome}; best {best:.4f}, {time.monotonic() - start:.0f} s")

    if not _finished(study):
        study.optimize(objective, n_trials=1, callbacks=[note])  # whatever the budget: the winner has to be something
        trials = None if trials is None else trials - 1
    if trials is None or trials > 0:
        study.optimize(objective, n_trials=trials, timeout=seconds - (time.monotonic() - start), callbacks=[note])
    best = study.best_trial
    first = _finished(study)[0]
    best_head, best_training = _settings(optuna.trial.FixedTrial(best.params), choices, begin)
    pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
    tried = len(_finished(study)) + pruned
    return TuningResult(best_head, best_training, float(best.values[0]), float(first.values[0]), tried, pruned)


@dataclass(frozen=True)
class _Start:
    """Where a search begins: the settings at hand, how many epochs they make, and the layers that the head sees."""

    head: HeadSettings
    training: TrainingSettings
    epochs: int
    n_layers: int


KEPT = {
    "classification_loss", "label_softness", "focal_gamma", "regression_loss", "class_weights", "film_effects",
    "precision",
}  # fmt: skip
"""Settings of training that a search leaves alone."""


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))


def _open_study(journal: Path, name: str, wanted: Choices, seed: int) -> tuple[optuna.Study, Choices]:
    """Open a study, a new one where there is none, and return what it chooses from lists.

    Optuna's lists cannot grow, and a winner changes the settings that the next search begins with: what a study has
    is kept as long as the settings at hand are in it.
    """
    study = optuna.create_study(
        study_name=name,
        storage=JournalStorage(JournalFileBackend(str(journal))),
        load_if_exists=True,
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTS, multivariate=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTS // 2, n_warmup_steps=1),
    )
    known = study.user_attrs.get("choices")
    if known is None:
        study.set_user_attr("choices", wanted)
        return study, wanted
    if all(values[0] in known[of] for of, values in wanted.items()):
        return study, known
    return _open_study(journal, fingerprint(name, wanted), wanted, seed)


def _settings(
    trial: optuna.Trial | optuna.trial.FixedTrial, choices: Choices, begin: _Start
) -> tuple[HeadSettings, TrainingSettings]:
    """Return the settings that a trial tries."""
    head, training = begin.head, begin.training
    chosen = {name: trial.suggest_categorical(name, values) for name, values in choices.items()}
    tried: dict[str, Any] = {
        "pooling": tuple(str(chosen["pooling"]).split(",")),
        **{name: chosen[name] for name in ("token_dim", "hidden_dim", "attention_dim")},
        "token_dropout": trial.suggest_float("token_dropout", 0.0, 0.5),
        "dropout": trial.suggest_float("dropout", 0.0, 0.8),
        "n_hops": trial.suggest_int("n_hops", 1, max(32, head.n_hops), log=True),
        "penalty": trial.suggest_float("penalty", LEAST, 1.0, log=True),
    }
    if begin.n_layers > 1:
        kinds = get_args(HeadSettings.model_fields["layer_mix"].annotation)
        tried["layer_mix"] = trial.suggest_categorical("layer_mix", kinds)
    how: dict[str, Any] = {
        "learning_rate": trial.suggest_float("learning_rate", LEAST, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", LEAST, 1.0, log=True),
        "batch_size": chosen["batch_size"],
        "epochs": trial.suggest_int("epochs", min(3, begin.epochs), max(12, begin.epochs)),
    }
    return HeadSettings.parse(head.model_dump() | tried), TrainingSettings.parse(training.model_dump() | how)


def _parameters(begin: _Start) -> dict[str, Any]:
    """Return settings as the parameters of a trial; no penalty and no decay count as the least of each."""
    head, training = begin.head, begin.training
    of_head = ("token_dim", "token_dropout", "dropout", "hidden_dim", "n_hops", "attention_dim", "layer_mix")
    of_training = ("learning_rate", "batch_size")
    return {
        "pooling": ",".join(head.pooling),
        "penalty": max(head.penalty, LEAST),
        "weight_decay": max(training.weight_decay, LEAST),
        **{name: getattr(head, name) for name in of_head},
        **{name: getattr(training, name) for name in of_training},
        "epochs": begin.epochs,
    }


def _choices(head: HeadSettings, training: TrainingSettings) -> Choices:
    """Return what is chosen from lists, the settings at hand first."""
    lists: dict[str, tuple[Any, Sequence[Any]]] = {
        "pooling": (",".join(head.pooling), POOLINGS),
        "token_dim": (head.token_dim, (0, *WIDTHS)),
        "hidden_dim": (head.hidden_dim, WIDTHS),
        "attention_dim": (head.attention_dim, WIDTHS),
        "batch_size": (training.batch_size, BATCH_SIZES),
    }
    return {name: [now, *(value for value in values if value != now)] for name, (now, values) in lists.items()}
