"""Encoders in torch: every architecture of transformers, on the CPU or a GPU."""

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from xingping.encoders.architecture import Anatomy
from xingping.encoders.runtime import PrecisionName, RuntimeName
from xingping.errors import EncoderError

__all__ = ["TorchRuntime", "check_states", "cut_after"]

POST_NORM = frozenset({"bert", "camembert", "electra", "ernie", "roberta", "xlm-roberta"})
"""Architectures with `encoder.layer` and nothing behind the last layer: cut, they give the same states."""

CPU_BUDGET, GPU_BUDGET = 2048, 32768
"""Tokens of a batch: larger ones leave a CPU's caches, smaller ones leave a GPU idle."""

GPU_WORKERS = 2
"""While one batch is copied from the GPU and into place, the next one is computed."""

LARGEST_HALF = 65504.0
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchRuntime:
    """A model of transformers on one device (see `Runtime`).

    Parameters
    ----------
    model
        In float32; it is cut, moved and converted in place.
    layers
        Whose states are put side by side, 0 the embeddings.
    precision
        fp32, bf16 or fp16.
    device
        A name of torch.
    name
        What the user calls the encoder; for messages.
    """

    runtime: RuntimeName = "torch"
    pads = True

    def __init__(
        self, model: PreTrainedModel, layers: tuple[int, ...], precision: PrecisionName, device: str, name: str
    ) -> None:
        cut_after(model, max(layers))
        module: nn.Module = model
        module.to(device=torch.device(device), dtype=DTYPES[precision])
        self.precision: PrecisionName = precision
        self.device = device
        self.dim = int(model.config.hidden_size) * len(layers)
        self.parameters = sum(weights.numel() for weights in model.parameters())
        on_cpu = torch.device(device).type == "cpu"
        self.workers = 1 if on_cpu else GPU_WORKERS
        self.budget = CPU_BUDGET if on_cpu else GPU_BUDGET
        self.versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        self._model = model
        self._layers = layers
        self._name = name
        self._pinned = torch.device(device).type == "cuda"
        self._local = threading.local()

    @torch.inference_mode()
    def states(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float16]:
        """Return the states of the chosen layers, shape (batch, length, dim); see `Runtime.states`."""
        mask: Tensor | None = None
        with self._stream():
            if lengths.min() < ids.shape[1]:
                mask = self._to_device((np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64))
            output = self._model(input_ids=self._to_device(ids), attention_mask=mask, output_hidden_states=True)
            hidden = output.hidden_states  # one (batch, length, hidden) per layer, the embeddings first
            states = torch.cat([hidden[layer] for layer in self._layers], dim=-1)
            finite = torch.isfinite(states).all()
            half = self._to_host(states.float().clamp_(-LARGEST_HALF, LARGEST_HALF).half())
            if not finite:
                raise EncoderError(
                    f"encoder {self._name} gives values that are no numbers in {self.precision}; try fp32"
                )
        array: NDArray[np.float16] = half.numpy()
        return array

    def _stream(self) -> AbstractContextManager[Any]:
        """Return a stream of this thread's own, so that one worker's copies run beside the other's work."""
        if not self._pinned:
            return nullcontext()
        if not hasattr(self._local, "stream"):
            self._local.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call] # torch leaves it without
        return torch.cuda.stream(self._local.stream)

    def _to_device(self, values: NDArray[np.int64]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        if not self._pinned:
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _to_host(self, states: Tensor) -> Tensor:
        if not self._pinned:
            return states.cpu()
        host = torch.empty(states.shape, dtype=states.dtype, pin_memory=True)
        host.copy_(states, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        return host


def cut_after(model: PreTrainedModel, layer: int) -> None:
    """Drop the layers behind the highest one used, where the states before them stay as they are."""
    encoder = getattr(model, "encoder", None)
    stack = getattr(encoder, "layer", None)
    if model.config.model_type not in POST_NORM:
        return
    if isinstance(encoder, nn.Module) and isinstance(stack, nn.ModuleList):
        encoder.layer = stack[: max(1, layer)]  # transformers takes the embeddings on their way into a layer


@torch.inference_mode()
def check_states(model: PreTrainedModel, anatomy: Anatomy, name: str) -> None:
    """Encode two tokens, so that a model of another kind is refused here and not in the middle of a run.

    Raises
    ------
    EncoderError
        It gives no states, states of another shape, or values that are no numbers.
    """
    try:
        output = model(input_ids=torch.zeros(1, 2, dtype=torch.long), output_hidden_states=True)
        states = torch.stack(list(output.hidden_states))  # (layers + 1, 1, 2, hidden)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).split("\n")[0][:200]
        raise EncoderError(
            f"encoder {name} does not turn text into states ({reason}); give a BERT or its like"
        ) from error
    expected = (anatomy.num_layers + 1, 1, 2, anatomy.hidden_size)
    if tuple(states.shape) != expected:
        raise EncoderError(
            f"encoder {name} gives states of shape {tuple(states.shape)}, expected {expected}; give a BERT or its like"
        )
    if not torch.isfinite(states).all():
        raise EncoderError(f"encoder {name} gives values that are no numbers; check its weights")
