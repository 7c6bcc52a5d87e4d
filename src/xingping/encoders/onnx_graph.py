"""Encoders as ONNX graphs, written node by node, so that no node is there that a state does not need.

A graph takes the ids of texts of equal length and gives the states of the chosen layers side by side: no mask,
nothing padded. The operators of the domain com.microsoft are ONNX Runtime's own; they are used where they are
faster than the standard ones, and nowhere else: SkipLayerNormalization, for one, takes eight times as long as an
addition and a LayerNormalization.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from xingping.encoders.onnx_nodes import Nodes
from xingping.encoders.post_norm import Layer, Linear, Norm, PostNormEncoder
from xingping.encoders.quantization import SHARES, QuantizedWeights, large_units, migration

__all__ = ["IDS", "MICROSOFT", "STATES", "input_names", "write_graph"]

IDS, STATES = "ids", "states"
OPSET, IR_VERSION = 20, 9
MICROSOFT = "com.microsoft"

SIGNED_ZERO = 128
GELU_ZERO, GELU_FLOOR = 20, 2.0
"""Behind the activation nearly all values are positive: -0.17 at the least for a GELU, which 20 steps below zero hold
where 235 above it hold at least 2."""

Array = NDArray[np.float32]


def input_names(number: int) -> dict[str, str]:
    """Return what `write_graph` calls the inputs of the matrix products of a layer."""
    return {part: f"layer{number}.{part}" for part in ("attention", "output", "up", "down")}


def write_graph(
    encoder: PostNormEncoder,
    layers: Sequence[int],
    *,
    largest: Mapping[str, Array] | None = None,
    watched: bool = False,
) -> onnx.ModelProto:
    """Return a graph from `ids`, int64 (batch, length), to `states`, float16 (batch, length, layers * hidden).

    Parameters
    ----------
    encoder
        The weights.
    layers
        Whose states are put side by side; 0 are the embeddings.
    largest
        Largest magnitude of each input of the matrix products, by the names of `input_names`; with them the
        products are of 8-bit integers, without them of fp32.
    watched
        Whether the graph also gives the largest magnitude of each input of the matrix products, shape
        (inputs,), under the names of `input_names`.
    """
    graph = _FloatGraph(encoder=encoder) if largest is None else _IntegerGraph(encoder=encoder, largest=largest)
    states = {0: graph.embeddings()}
    for number, layer in enumerate(encoder.layers):
        states[number + 1] = graph.layer(input_names(number), layer, states[number])
    chosen = [states[layer] for layer in layers]
    joined = chosen[0] if len(chosen) == 1 else graph.add("Concat", chosen, axis=-1)
    graph.add("Cast", [joined], name=STATES, to=TensorProto.FLOAT16)
    outputs = [helper.make_tensor_value_info(STATES, TensorProto.FLOAT16, ["batch", "length", None])]
    if watched:
        names = [name for number in range(len(encoder.layers)) for name in input_names(number).values()]
        axes = graph.constant(np.array([0, 1]))
        for name in names:
            graph.add("ReduceMax", [graph.add("Abs", [_tensor(name)]), axes], name=name, keepdims=0)
        outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in names]
    ids = helper.make_tensor_value_info(IDS, TensorProto.INT64, ["batch", "length"])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "encoder", [ids], outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
        producer_name="xingping",
    )
    model.ir_version = IR_VERSION
    return model


@dataclass(eq=False)
class _FloatGraph(Nodes):
    """A graph with products of fp32."""

    encoder: PostNormEncoder = field(kw_only=True)

    def embeddings(self) -> str:
        encoder = self.encoder
        words = self.add("Gather", [self.constant(encoder.words), IDS])  # (batch, length, width)
        length = self.add("Shape", [IDS], start=1, end=2)
        start, axis = self.constant(np.array([0])), self.constant(np.array([0]))
        positions = self.add("Slice", [self.constant(encoder.positions), start, length, axis])  # (length, width)
        states = self.norm(encoder.norm, words, positions)
        if encoder.projection is None:
            return states
        return self.with_bias(self.product(states, encoder.projection.weights), encoder.projection)

    def layer(self, names: Mapping[str, str], layer: Layer, states: str) -> str:
        states = self.add("Identity", [states], name=_tensor(names["attention"]))
        attended = self.norm(layer.output_norm, self.attention(names, layer, states), states)
        attended = self.add("Identity", [attended], name=_tensor(names["up"]))
        return self.norm(layer.down_norm, self.feed_forward(names, layer, attended), attended)

    def attention(self, names: Mapping[str, str], layer: Layer, states: str) -> str:
        parts = [layer.query, layer.key, layer.value]
        products = [self.product(states, part.weights) for part in parts]
        context = self.heads(products, parts, name=_tensor(names["output"]))
        return self.with_bias(self.product(context, layer.output.weights), layer.output)

    def feed_forward(self, names: Mapping[str, str], layer: Layer, states: str) -> str:
        hidden = self.activation(self.product(states, layer.up.weights), layer.up.bias, name=_tensor(names["down"]))
        return self.with_bias(self.product(hidden, layer.down.weights), layer.down)

    def heads(self, products: Sequence[str], parts: Sequence[Linear], *, name: str = "") -> str:
        """Attend; the biases are added on the way to the heads."""
        bias = self.constant(np.concatenate([part.bias for part in parts]))
        heads = self.encoder.num_heads
        return self.add("MultiHeadAttention", [*products, bias], name=name, domain=MICROSOFT, num_heads=heads)

    def activation(self, states: str, bias: Array, *, name: str = "") -> str:
        inputs = [states, self.constant(bias)]
        match self.encoder.activation:
            case "gelu":
                return self.add("BiasGelu", inputs, name=name, domain=MICROSOFT)
            case "gelu_tanh":
                return self.add("FastGelu", inputs, name=name, domain=MICROSOFT)
            case "relu":
                return self.add("Relu", [self.add("Add", inputs)], name=name)

    def norm(self, norm: Norm, states: str, added: str) -> str:
        parts = [self.add("Add", [states, added]), self.constant(norm.scale), self.constant(norm.shift)]
        return self.add("LayerNormalization", parts, axis=-1, epsilon=norm.epsilon)

    def product(self, states: str, weights: Array) -> str:
        return self.add("MatMul", [states, self.constant(weights)])

    def with_bias(self, product: str, linear: Linear) -> str:
        return self.add("Add", [product, self.constant(linear.bias)])


@dataclass(frozen=True)
class _Integers:
    """States as integers: ``(values - zero) * largest / steps`` are the states, `largest` one for each token."""

    values: str
    zero: int
    largest: str

    @property
    def steps(self) -> int:
        """How many integers are above zero."""
        return 255 - self.zero


@dataclass(eq=False)
class _IntegerGraph(_FloatGraph):
    """A graph with products of 8-bit integers."""

    largest: Mapping[str, Array] = field(default_factory=dict)

    def activation(self, states: str, bias: Array, *, name: str = "") -> str:
        if self.encoder.activation == "relu":
            return super().activation(states, bias, name=name)
        # A GELU by tanh differs by less than 0.0005 from one by erf, a step of the integers is 0.0085 or more.
        return self.add("FastGelu", [states, self.constant(bias)], name=name, domain=MICROSOFT)

    def attention(self, names: Mapping[str, str], layer: Layer, states: str) -> str:
        # The context is a weighted mean of the values: dividing these costs nothing at run time.
        on_context = migration(self.largest[names["output"]], [layer.output.weights], SHARES["output"])
        value = Linear(layer.value.weights / on_context, layer.value.bias / on_context)
        parts = [layer.query, layer.key, value]
        on_states = migration(self.largest[names["attention"]], [part.weights for part in parts], SHARES["attention"])
        integers = self.integers(self.divided(states, on_states))
        products = [self.integer_product(integers, part.weights * on_states[:, None]) for part in parts]
        integers = self.integers(self.heads(products, parts))
        return self.with_bias(self.integer_product(integers, layer.output.weights * on_context[:, None]), layer.output)

    def feed_forward(self, names: Mapping[str, str], layer: Layer, states: str) -> str:
        up, down = layer.up, layer.down
        large = large_units(self.largest[names["down"]])
        small = np.setdiff1d(np.arange(len(down.weights)), large)
        on_states = migration(self.largest[names["up"]], [up.weights], SHARES["up"])
        integers, weights = self.integers(self.divided(states, on_states)), up.weights * on_states[:, None]
        most, few = (
            self.activation(self.integer_product(integers, weights[:, units]), up.bias[units])
            for units in (small, large)
        )
        product = self.integer_product(self.activated_integers(most), down.weights[small])
        product = self.add("Add", [product, self.product(few, down.weights[large])])
        return self.with_bias(product, down)

    def divided(self, states: str, divisor: Array) -> str:
        return self.add("Mul", [states, self.constant(1 / divisor)])

    def integers(self, states: str) -> _Integers:
        return self._integers(states, self.add("Abs", [states]), SIGNED_ZERO, 1e-9)

    def activated_integers(self, states: str) -> _Integers:
        if self.encoder.activation == "relu":
            return self._integers(states, states, 0, 1e-9)
        return self._integers(states, states, GELU_ZERO, GELU_FLOOR)

    def _integers(self, states: str, magnitudes: str, zero: int, floor: float) -> _Integers:
        largest = self.add("ReduceMax", [magnitudes, self.constant(np.array([-1]))])  # (batch, length, 1)
        largest = self.add("Max", [largest, self.constant(np.float32(floor))])
        steps = self.add("Div", [self.constant(np.float32(255 - zero)), largest])
        scaled = self.add("Mul", [states, steps])
        parts = [scaled, self.constant(np.float32(1)), self.constant(np.uint8(zero))]
        return _Integers(self.add("QuantizeLinear", parts), zero, largest)

    def integer_product(self, integers: _Integers, matrix: Array) -> str:
        weights = QuantizedWeights.of(matrix)
        scales = weights.scales / np.float32(integers.steps)
        inputs = [integers.values, self.constant(weights.values), self.constant(np.float32(1)), self.constant(scales)]
        inputs += [self.constant(np.uint8(integers.zero))]
        product = self.add("MatMulIntegerToFloat", inputs, domain=MICROSOFT)
        return self.add("Mul", [product, integers.largest])


def _tensor(name: str) -> str:
    """Return the tensor behind an input of a matrix product."""
    return f"{name}.input"
