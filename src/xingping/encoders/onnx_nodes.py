"""Nodes and constants of an ONNX graph as they are added; a tensor is known by its name."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["Nodes"]


@dataclass(eq=False)
class Nodes:
    """A part of a graph.

    Attributes
    ----------
    prefix
        Of the names that are made up, so that those of another part are others.
    nodes, constants
        What was added, in that order.
    """

    prefix: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, inputs: Sequence[str], *, name: str = "", domain: str = "", **options: Any) -> str:  # noqa: ANN401 - numbers and their lists
        """Add a node with one output and return its name, which is made up where none is given."""
        output = name or f"{self.prefix}{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **options))
        return output

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """Add a constant and return its name."""
        name = f"{self.prefix}constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name
