"""The whole flow on one run directory: prepare, encode, train, evaluate, report.

Each stage has a key made of all that decides its result. It is skipped when `run.json` says that it ended with
the same key and its files are there; then nothing heavy is even imported.
"""

from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xingping.artifacts import RunDirectory, describe_versions, file_sha256, fingerprint, read_json
from xingping.config import EngineSettings, RunSettings, Task
from xingping.errors import InputError, RunDirectoryError, SettingsError
from xingping.names import BUNDLED_SAMPLE
from xingping.progress import Progress, Silent

if TYPE_CHECKING:
    from xingping.stages import StageWork

__all__ = ["STAGES", "Pipeline", "sample_path"]

STAGES = ("prepare", "encode", "train", "evaluate", "report")


def sample_path() -> Path:
    """Return the bundled sample of reviews."""
    return Path(str(files("xingping").joinpath("data/sample_reviews.csv")))


class Pipeline:
    """The stages of one run.

    Parameters
    ----------
    run
        The run directory; its `run.json` names the data and the settings.
    progress
        Who watches.
    engine
        What computes; this machine by default.
    """

    def __init__(
        self, run: RunDirectory, progress: Progress | None = None, engine: EngineSettings | None = None
    ) -> None:
        self.run = run
        self.progress = progress or Silent()
        self.engine = engine or EngineSettings()
        record = run.record
        if "settings" not in record:
            raise RunDirectoryError(f"{run.path} has no settings yet; run: xingping prepare DATA --out {run.path}")
        self.settings = RunSettings.parse(record["settings"])
        self.data = record["data"]
        if self.settings.finetuning.enabled:
            _check_finetuning(self.settings, self.engine)

    @classmethod
    def create(
        cls,
        out: Path,
        data: Path | None,
        settings: RunSettings,
        progress: Progress | None = None,
        engine: EngineSettings | None = None,
    ) -> "Pipeline":
        """Start a run, or go on with one, on some data.

        Parameters
        ----------
        out
            The run directory.
        data
            A table of reviews; if None, that of the directory, or the bundled sample where it has none yet.
        settings
            Take the place of those that the directory had.
        progress, engine
            As of the class.

        Raises
        ------
        InputError
            The data cannot be read.
        OutputError
            The run directory cannot be written.
        """
        path, name = _known_data(out) if data is None else (data, data.name)
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise InputError(f"{path} {what}; give a CSV, TSV, Parquet or JSON Lines file of reviews")
        run = RunDirectory.create(out)
        source = {
            "path": str(path.resolve()),
            "name": name,
            "bytes": path.stat().st_size,
            "sha256": _sha256(path),
        }
        run.update(data=source, settings=settings.model_dump(mode="json"), versions=describe_versions())
        return cls(run, progress, engine)

    def key(self, stage: str) -> str:
        """Return the digest of all that decides the result of a stage."""
        settings = self.settings.model_dump(mode="json")
        settings["split"]["by"] = self.settings.split.unit  # what comes after the stages does not change them
        parts = {
            "prepare": ["columns", "cleaning", "segmentation", "split", "seed"],
            "encode": ["encoder", "features"],
            "train": ["head", "training", "finetuning", "ngrams", "answers", "tasks", "seed"],
            "evaluate": ["seed"],
            "report": ["movies", "all_movies", "versus", "language"],
        }[stage]
        before = self.data["sha256"] if stage == "prepare" else self.key(STAGES[STAGES.index(stage) - 1])
        version = self.run.record["versions"]["xingping"]
        contents = self._file_states(stage)
        return fingerprint(stage, version, before, contents, [settings[part] for part in parts])

    def _file_states(self, stage: str) -> list[Any]:
        """Return the state of the files that a stage's settings name, so that changing one counts."""
        if stage == "prepare":
            named = self.settings.segmentation
            return [_sha256(path) for path in (named.user_dictionary, named.stopwords) if path is not None]
        folder = Path(self.settings.encoder.name)
        if stage == "encode" and folder.is_dir():
            states = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file())
            return [(name, state.st_size, state.st_mtime_ns) for name, state in states]
        return []

    def stages_until(self, last: str) -> None:
        """Do every stage up to and with `last` that is not done.

        Raises
        ------
        UsageError
            Something about the data or the settings must be mended first.
        """
        for stage in STAGES[: STAGES.index(last) + 1]:
            self.stage(stage)

    def stage(self, name: str) -> bool:
        """Do one stage unless it is done.

        Parameters
        ----------
        name
            One of `STAGES`; those before it must be done.

        Returns
        -------
        bool
            Whether it was done now.
        """
        key, outputs = self.key(name), self._outputs(name)
        if self.run.is_done(name, key, outputs):
            self.progress.say(f"{name}: already done")
            return False
        if self.settings.finetuning.enabled and name in ("encode", "train"):
            self._work.trainable  # noqa: B018 - what it refuses is refused before anything is forgotten
        return self.run.run_stage(name, key, outputs, getattr(self._work, name))

    def crossvalidate(self, *, folds: int | None = None, task: Task | None = None) -> dict[str, Any]:
        """Rate each film by a model that has seen only the others (`crossvalidation.crossvalidate`), unless it is done.

        Parameters
        ----------
        folds
            Folds of films.
        task
            What is predicted; by default the first of the run.

        Returns
        -------
        dict
            The content of `cross_validation.json`.

        Raises
        ------
        UsageError
            There are too few films, the run does not have the task, or it fine-tunes its encoder.
        """
        name = "crossvalidate"
        self._require_frozen(name)
        chosen = self._task(task)
        key = self._experiment_key(name)
        outputs = ("cross_validation.json",)
        whole = fingerprint(key, chosen, folds)
        if not self.run.run_stage(name, whole, outputs, lambda: self._work.crossvalidate(chosen, folds, key)):
            self.progress.say(f"{name}: already done")
        found: dict[str, Any] = read_json(self.run.file(outputs[0]))
        return found

    def learning_curve(
        self, sizes: tuple[int | None, ...] = (), *, seeds: int = 3, task: Task | None = None
    ) -> dict[str, Any]:
        """Train on few labels and on more (`learning_curve.trace_learning_curve`), unless it is done.

        Parameters
        ----------
        sizes
            Numbers of labels; None stands for all. Without any: 50, 100, 200, 500 and so on, and all.
        seeds
            Trainings of each.
        task
            What is predicted; by default the first of the run.

        Returns
        -------
        dict
            The content of `learning_curve.json`.

        Raises
        ------
        UsageError
            There are not that many labels, the run does not have the task, or it fine-tunes its encoder.
        """
        name = "learning-curve"
        self._require_frozen(name)
        chosen = self._task(task)
        key = self._experiment_key(name)
        outputs = ("learning_curve.json", "learning_curve.png", "learning_curve.svg")
        whole = fingerprint(key, chosen, sizes, seeds, self.settings.language)  # the figure's; trainings stay
        if not self.run.run_stage(name, whole, outputs, lambda: self._work.learning_curve(chosen, sizes, seeds, key)):
            self.progress.say(f"{name}: already done")
        found: dict[str, Any] = read_json(self.run.file(outputs[0]))
        return found

    def _require_frozen(self, command: str) -> None:
        """See that the features of the run are of an encoder that has not seen a single one of its stars."""
        if self.settings.finetuning.enabled:
            raise SettingsError(
                f"{command} trains new heads on the run's features, and those of {self.run.path} are of an encoder "
                "that was fine-tuned on its stars; use a run without --finetune"
            )

    def _task(self, task: Task | None) -> Task:
        if task is not None and task not in self.settings.tasks:
            raise SettingsError(f"--task {task}: the run predicts {', '.join(self.settings.tasks)}")
        return task or self.settings.tasks[0]

    def _experiment_key(self, name: str) -> str:
        """Return the digest of all that decides trainings on the features of the run."""
        settings = self.settings.model_dump(mode="json")
        return fingerprint(
            name, self.key("encode"), [settings[part] for part in ("head", "training", "ngrams", "answers", "seed")]
        )

    def tune(self, seconds: float, *, task: Task | None = None, trials: int | None = None) -> "Pipeline":
        """Search for a better head (`tuning.tune_head`), and return the pipeline whose settings are the winner's.

        Parameters
        ----------
        seconds
            Budget of the search.
        task
            Whose validation loss counts; by default the first of the run.
        trials
            Most trials.

        Raises
        ------
        SettingsError
            The run does not have the task, or fine-tunes its encoder.
        """
        self._require_frozen("tune")
        settings = self._work.tune(self._task(task), seconds, trials)
        self.run.update(settings=settings.model_dump(mode="json"))
        return Pipeline(self.run, self.progress, self.engine)

    def _outputs(self, stage: str) -> tuple[str, ...]:
        """Return the files that a stage leaves in the run directory; features are elsewhere."""
        tuned = ("encoder/config.json",) if self.settings.finetuning.enabled else ()
        return {
            "prepare": ("reviews.parquet", "rejects.csv", "data_summary.json"),
            "encode": (),
            "train": (*(f"models/{task}/model.json" for task in self.settings.tasks), *tuned),
            "evaluate": (
                "metrics.json",
                "predictions.parquet",
                "projection.parquet",
                "review_map.safetensors",
                "explanations.json",
            ),
            "report": ("report/index.html",),
        }[stage]

    def require_before(self, name: str) -> None:
        """See that the stages before one are done with the settings at hand.

        Raises
        ------
        RunDirectoryError
            One is not; the message names it.
        """
        for stage in STAGES[: STAGES.index(name)]:
            if not self.run.is_done(stage, self.key(stage), ()):
                argument = f"DATA --out {self.run.path}" if stage == "prepare" else str(self.run.path)
                raise RunDirectoryError(
                    f"{self.run.path}: the stage {stage} is not done with these settings; run: "
                    f"xingping {stage} {argument}"
                )

    @cached_property
    def _work(self) -> "StageWork":
        from xingping.stages import StageWork  # torch and its like come with it

        return StageWork(self.run, self.settings, self.data, self.engine, self.progress)

    def results(self) -> dict[str, Any]:
        """Return `metrics.json`."""
        metrics: dict[str, Any] = read_json(self.run.file("metrics.json"))
        return metrics


def _known_data(out: Path) -> tuple[Path, str]:
    """Return the table of a run directory and what it is called; the bundled sample where there is none yet."""
    if (out / "run.json").exists():
        known = RunDirectory.open(out).record.get("data")
        if known is not None and known["name"] != BUNDLED_SAMPLE:
            return Path(known["path"]), known["name"]
    return sample_path(), BUNDLED_SAMPLE


def _check_finetuning(settings: RunSettings, engine: EngineSettings) -> None:
    if engine.engine == "ray":
        raise SettingsError("--finetune trains on one machine; leave out --engine ray, or give --finetune none")
    if settings.features.unit == "word":
        raise SettingsError("--finetune trains on tokens; leave out --feature-unit word, or give --finetune none")
    if settings.split.by == "leave-one-film-out":
        raise SettingsError(
            "--split leave-one-film-out trains a head for each film on features that have seen no star; give "
            "--split film with --finetune, or --finetune none"
        )


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from error
