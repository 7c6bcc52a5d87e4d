"""Which runtime, in which precision: as asked for, or the fastest that is as good as fp32."""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from xingping.artifacts import describe_versions, fingerprint, read_json, write_json
from xingping.cache import CACHE_VARIABLE
from xingping.encoders.export import EXPORT_VERSION, exported
from xingping.encoders.hardware import describe_hardware, has_int8, has_native_bf16
from xingping.encoders.probe import LEAST_COSINE, Probe, mean_cosine
from xingping.encoders.quantization import RECIPE_VERSION
from xingping.encoders.runtime import PRECISIONS, RUNTIMES, PrecisionName, Runtime, RuntimeName
from xingping.encoders.source import EncoderSource
from xingping.errors import EncoderError, OutputError, RunDirectoryError, SettingsError

__all__ = ["Choice", "Opener", "check_names", "choose", "fastest", "possible"]

logger = logging.getLogger(__name__)

CHOICE_VERSION = 1
"""Version of the way to the choice; raised when it should be made anew."""

SMALL = 1_000_000
"""Weights of all layers below which fp32 is chosen untried: such a model's time goes elsewhere."""

WORTH_IT = 0.9
"""A less precise runtime must take less than this share of the time of a more precise one."""


@dataclass(frozen=True, order=True)
class Choice:
    """A runtime and a precision."""

    runtime: RuntimeName
    precision: PrecisionName


@dataclass(frozen=True)
class Opener:
    """Makes runtimes of one encoder, for the same layers.

    Attributes
    ----------
    source : EncoderSource
    layers : tuple of int
    device : str
    probe : Probe
    """

    source: EncoderSource
    layers: tuple[int, ...]
    device: str
    probe: Probe

    def open(self, choice: Choice, *, keep: bool = False) -> Runtime:
        """Make a runtime.

        Parameters
        ----------
        choice
            Which.
        keep
            Whether the source's model must stay as it is; it costs a copy.

        Raises
        ------
        EncoderError
            ONNX Runtime cannot take the model.
        OutputError
            The graph cannot be written to the cache folder.
        """
        source = self.source
        if choice.runtime == "onnx":
            from xingping.encoders.onnx_runtime import OnnxRuntime

            export = exported(source, self.layers, choice.precision, self.probe.for_scales, self.probe.key)
            return OnnxRuntime(export, choice.precision, source.anatomy.hidden_size * len(self.layers), source.name)
        from xingping.encoders.torch_runtime import TorchRuntime

        model = copy.deepcopy(source.model) if keep else source.model
        runtime = TorchRuntime(model, self.layers, choice.precision, self.device, source.name)
        if not keep:
            source.release()  # the runtime has changed it
        return runtime


def check_names(precision: str, runtime: str) -> None:
    """Check that a precision and a runtime are known.

    Raises
    ------
    SettingsError
        One is not.
    """
    for what, given, known in (("precision", precision, PRECISIONS), ("runtime", runtime, RUNTIMES)):
        if given not in ("auto", *known):
            raise SettingsError(
                f"{what} {given!r} is unknown; choose {', '.join(('auto', *known[:-1]))} or {known[-1]}"
            )


def possible(precision: str, runtime: str, device: str) -> list[Choice]:
    """Return what can be meant by a precision and a runtime on a device, the usually fastest first.

    fp32 in torch ends the list wherever it is among them: it is what the others are measured by.

    Raises
    ------
    SettingsError
        They do not go together, or not on this machine.
    """
    check_names(precision, runtime)
    on_cpu = device == "cpu"
    choices = [
        Choice("onnx", "int8"),
        Choice("torch", "bf16"),
        Choice("torch", "fp16"),
        Choice("onnx", "fp32"),
        Choice("torch", "fp32"),
    ]
    found = [choice for choice in choices if runtime in ("auto", choice.runtime)]
    found = [choice for choice in found if precision in ("auto", choice.precision)]
    if not found:
        raise SettingsError(f"precision {precision} is not possible with runtime {runtime}; leave one to auto")
    if not on_cpu:
        found = [choice for choice in found if choice.runtime == "torch"]
        if not found:
            raise SettingsError(
                f"{_asked(precision, runtime)} is not possible on {device}: ONNX Runtime computes on the CPU here; "
                "choose bf16 or fp16, or the device cpu"
            )
    else:
        found = [choice for choice in found if choice.precision != "fp16"]
        if not found:
            raise SettingsError("precision fp16 needs a GPU; choose bf16, int8 or auto")
    if precision == "int8" and not has_int8():
        raise SettingsError("precision int8 needs a processor with VNNI, and this one has none; choose auto or fp32")
    if precision == "auto":
        bf16 = has_native_bf16(device)
        found = [choice for choice in found if choice.precision != ("fp16" if bf16 else "bf16")]
        found = [choice for choice in found if choice.precision != "int8" or has_int8()]
    elif precision == "fp32" and runtime == "auto":
        found = [Choice("torch", "fp32")]
    return found


def choose(opener: Opener, choices: list[Choice]) -> Runtime:
    """Open the one choice there is, or try all out once per encoder and machine and open the fastest good one.

    Raises
    ------
    SettingsError
        ONNX Runtime was asked for and cannot take this encoder.
    EncoderError
        The encoder cannot be loaded.
    OutputError
        A graph that was asked for cannot be written to the cache folder.
    """
    try:
        if len(choices) > 1 and opener.source.anatomy.layer_parameters >= SMALL:
            return opener.open(_decision(opener, choices))
        return _first(opener, [choice for choice in choices if choice.precision == "fp32"] or choices)
    except EncoderError as error:
        if choices[-1].runtime == "torch":
            raise
        raise SettingsError(f"{error}; choose the runtime torch") from error


def fastest(
    choices: list[Choice],
    measure: Callable[[Choice], tuple[float, float]],
) -> tuple[Choice, dict[str, dict[str, float]]]:
    """Return the fastest choice whose states are as good as those of fp32, and what was measured.

    Parameters
    ----------
    choices
        At least one, the usually fastest first. The last is taken where no other is good; fp32 in ONNX Runtime
        is tried only then, because its graph holds all weights once more.
    measure
        Opens a choice and returns its cosine to fp32 and its seconds. One that cannot be opened is passed over.
    """
    measured: dict[str, dict[str, float]] = {}
    best: Choice | None = None
    least = float("inf")
    for choice in choices:
        if best is not None and choice == Choice("onnx", "fp32"):
            continue
        try:
            cosine, seconds = measure(choice)
        except (EncoderError, OutputError) as error:
            logger.info("%s", error)
            continue
        measured[f"{choice.runtime} {choice.precision}"] = {"cosine": round(cosine, 6), "seconds": round(seconds, 4)}
        good = choice == choices[-1] or cosine >= LEAST_COSINE
        # The choices come in the order of falling loss: a later, more precise one wins where it is nearly as fast.
        if good and (best is None or seconds <= least / WORTH_IT):
            best, least = choice, seconds
    return best or choices[-1], measured


def _asked(precision: str, runtime: str) -> str:
    return f"precision {precision}" if runtime == "auto" else f"runtime {runtime}"


def _first(opener: Opener, choices: list[Choice]) -> Runtime:
    """Open the first that can be opened; what is wrong with the last one is an error."""
    for choice in choices[:-1]:
        try:
            return opener.open(choice)
        except (EncoderError, OutputError) as error:
            logger.info("%s", error)
    return opener.open(choices[-1])


def _decision(opener: Opener, choices: list[Choice]) -> Choice:
    """Return the choice made for this encoder on this machine, made now where it was not yet."""
    source = opener.source
    decided_by: list[Any] = [CHOICE_VERSION, EXPORT_VERSION, RECIPE_VERSION, LEAST_COSINE, opener.layers]
    decided_by += [opener.probe.key, [vars(choice) for choice in choices], describe_hardware(opener.device)]
    versions = describe_versions()
    decided_by += [versions["torch"], versions["onnxruntime"]]
    note = source.cache / f"choice-{fingerprint(*decided_by)}.json"
    if (noted := _read(note, choices)) is not None:
        return noted
    try:
        source.cache.mkdir(parents=True, exist_ok=True)
        with FileLock(note.with_suffix(".lock")):
            if (noted := _read(note, choices)) is None:
                noted, measured = _measure(opener, choices)
                write_json(note, {"choice": vars(noted), "measured": measured, **describe_hardware(opener.device)})
    except OSError as error:
        raise OutputError(f"cannot write {note}: {error.strerror or error}; set {CACHE_VARIABLE}") from error
    return noted


def _read(note: Path, choices: list[Choice]) -> Choice | None:
    try:
        noted = Choice(**read_json(note)["choice"])
    except (RunDirectoryError, KeyError, TypeError):
        return None
    return noted if noted in choices else None


def _measure(opener: Opener, choices: list[Choice]) -> tuple[Choice, dict[str, dict[str, float]]]:
    logger.info("trying out runtimes for encoder %s (once)", opener.source.name)
    exact = Choice("torch", "fp32")
    reference, seconds_of_reference = opener.probe.run(opener.open(exact, keep=True))

    def measure(choice: Choice) -> tuple[float, float]:
        if choice == exact:
            return 1.0, seconds_of_reference
        values, seconds = opener.probe.run(opener.open(choice, keep=True))
        return mean_cosine(values, reference), seconds

    decided, measured = fastest(choices, measure)
    logger.info("encoder %s runs in %s, %s", opener.source.name, decided.runtime, decided.precision)
    return decided, measured
