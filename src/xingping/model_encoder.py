"""Which encoder a model needs, and where it lies."""

from pathlib import Path

from xingping.config import EncoderSettings
from xingping.encoders import FrozenEncoder
from xingping.errors import EncoderError
from xingping.model_card import ModelCard

__all__ = ["TUNED", "load_encoder", "own_encoder"]

BUNDLED_LAYERS = (9, 11)
"""Layers of the bundled encoder that rated best on validation; its last one was trained for whole sentences."""

TUNED = "encoder"
"""Folder of a fine-tuned encoder: in the run directory, where all models share it, or in a bundle of its own. In a
bundle that was made for other machines it is also that of a frozen one."""


def load_encoder(settings: EncoderSettings, folder: Path | None = None) -> FrozenEncoder:
    """Load the encoder that settings name, or that lies in a folder, with its best layers where they name none."""
    layers = settings.layers or (BUNDLED_LAYERS if settings.name == "bundled" else (-1,))
    return FrozenEncoder.load(
        settings.name if folder is None else str(folder),
        precision=settings.precision,
        runtime=settings.runtime,
        layers=layers,
        max_length=settings.max_length,
        device="cpu" if settings.runtime == "onnx" else None,  # a head of a CPU's features is served on one
    )


def own_encoder(card: ModelCard, bundle: Path | None) -> Path | None:
    """Return the folder of the encoder that lies with a model; None where it is found by its name.

    A fine-tuned one lies in the bundle or in the run directory; a frozen one lies in a bundle that was made for another
    machine.

    Raises
    ------
    EncoderError
        The encoder is fine-tuned and not there.
    """
    if bundle is None:
        return None
    tuned = card.finetuning.enabled
    for folder in (bundle / TUNED, *([bundle.parent.parent / TUNED] if tuned else [])):
        if (folder / "config.json").is_file():
            return folder
    if not tuned:
        return None
    raise EncoderError(
        f"the model in {bundle} has a fine-tuned encoder, which is not with it; copy the folder {TUNED} of its "
        f"run directory to {bundle / TUNED}"
    )
