"""What a runtime is: the thing that turns batches of tokens into states."""

from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["PRECISIONS", "RUNTIMES", "PrecisionName", "Runtime", "RuntimeName"]

PrecisionName = Literal["fp32", "bf16", "fp16", "int8"]
RuntimeName = Literal["torch", "onnx"]
PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)
RUNTIMES: tuple[RuntimeName, ...] = get_args(RuntimeName)


class Runtime(Protocol):
    """A model ready to run.

    Attributes
    ----------
    runtime, precision : str
        Which library computes, and in which precision.
    device : str
        Where.
    dim : int
        Width of a token's vector, all layers side by side.
    parameters : int
        Number of weights in use.
    workers : int
        Threads that call `states` at a time for the best speed; it may be called from any number.
    budget : int
        Tokens of a batch at the best speed, padding included.
    pads : bool
        Whether a batch may hold texts of different lengths.
    versions : dict
        Versions of the libraries that compute.
    """

    runtime: RuntimeName
    precision: PrecisionName
    device: str
    dim: int
    parameters: int
    workers: int
    budget: int
    pads: bool
    versions: dict[str, str]

    def states(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float16]:
        """Return the states of the chosen layers, shape (batch, length, dim).

        Parameters
        ----------
        ids
            Shape (batch, length). Behind its length, a text's row holds anything that is an id.
        lengths
            Shape (batch,), tokens of each text; all equal where the runtime does not pad.

        Raises
        ------
        EncoderError
            A state is no number.
        """
        ...
