"""Encoders in ONNX Runtime, on the CPU: no torch is needed once the graph is made."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from xingping.encoders.export import Export
from xingping.encoders.hardware import core_count
from xingping.encoders.runtime import PrecisionName, RuntimeName
from xingping.errors import EncoderError

__all__ = ["BUDGET", "OnnxRuntime", "open_session"]

BUDGET = 384
"""Tokens of a batch: its activations stay in a core's own caches, and the products are at full speed from 150."""

ERRORS_ONLY = 3


class OnnxRuntime:
    """A graph ready to run (see `Runtime`).

    Each worker computes a batch of its own on one core: workers wait for each other at no product.

    Parameters
    ----------
    export
        The graph.
    precision
        fp32 or int8, of the graph.
    dim
        Width of a token's vector.
    name
        What the user calls the encoder; for messages.
    """

    runtime: RuntimeName = "onnx"
    device = "cpu"
    pads = False
    budget = BUDGET

    def __init__(self, export: Export, precision: PrecisionName, dim: int, name: str) -> None:
        self.precision: PrecisionName = precision
        self.dim = dim
        self.parameters = export.parameters
        self.workers = core_count()
        self.versions = {"onnxruntime": onnxruntime.__version__}
        self._name = name
        self._session = open_session(export.graph)

    def states(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float16]:  # noqa: ARG002 - one signature for all
        """Return the states of the chosen layers, shape (batch, length, dim); see `Runtime.states`."""
        states: NDArray[np.float16] = self._session.run(["states"], {"ids": ids})[0]
        if not np.isfinite(states).all():
            raise EncoderError(f"encoder {self._name} gives values that are no numbers in {self.precision}; try fp32")
        return states


def open_session(graph: Path, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """Open a graph.

    Parameters
    ----------
    graph
        The ONNX file.
    threads
        Threads that share each product; 0 is one for each core.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or core_count()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the cores may be another's too
    options.log_severity_level = ERRORS_ONLY
    options.enable_mem_pattern = False  # it keeps a plan for each shape, and there are hundreds
    # Above the basic level, it would put SkipLayerNormalization back in.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
