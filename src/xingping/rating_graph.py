"""A whole model but for its n-grams as one ONNX graph: the graph of its encoder, and its head behind it.

The encoder's nodes are those of `xingping.encoders.export`, with its 8-bit integers or in fp32; what a head sees of
them is rounded to 16 bits, as features are. Inputs have the names and meanings of Hugging Face's tokenizers, so that
any program that has ONNX Runtime and a tokenizer can use the graph, texts of different lengths padded side by side.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from xingping.config import Pooling
from xingping.encoders.onnx_graph import IDS, STATES
from xingping.encoders.onnx_nodes import Nodes
from xingping.graph_scorer import ATTENTION, ATTENTION_MASK, INPUT_IDS, SCORES, SPECIAL_TOKENS_MASK, VECTOR, WORD_TOKENS
from xingping.links import n_scores
from xingping.model_card import ModelCard
from xingping.ratings import NUM_CLASSES

__all__ = ["EXPECTED", "PROBABILITIES", "write_rating_graph"]

PROBABILITIES, EXPECTED = "probabilities", "expected"
"""Output, float: what the scores mean, before n-grams and calibration: (batch, 5) of the stars, or for regression the
rating, (batch,)."""

LOWEST = float(np.finfo(np.float32).min)

Weights = Mapping[str, NDArray[np.float32]]


def write_rating_graph(encoder: onnx.ModelProto, card: ModelCard, weights: Weights) -> onnx.ModelProto:
    """Put a head behind an encoder's graph.

    Parameters
    ----------
    encoder
        As `encoders.onnx_graph.write_graph` writes it, with its weights; it is changed.
    card
        Of the model.
    weights
        Of its head, by the names that `head.safetensors` has.
    """
    graph = encoder.graph
    mask = Nodes("mask.")
    is_token = mask.add("Cast", [ATTENTION_MASK], to=TensorProto.INT32)
    is_full = mask.add("Cast", [mask.add("ReduceMin", [is_token], keepdims=0)], to=TensorProto.BOOL)
    head = _Head(card, weights)
    outputs = head.add_all()
    nodes = [*mask.nodes, *(_masked(node, is_token, is_full) for node in graph.node), *head.nodes]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in (INPUT_IDS, ATTENTION_MASK, SPECIAL_TOKENS_MASK)
    ]
    if head.units == "words":
        inputs.append(helper.make_tensor_value_info(WORD_TOKENS, TensorProto.BOOL, ["batch", "words", "length"]))
    constants = [*graph.initializer, *mask.constants, *head.constants]
    model = helper.make_model(
        helper.make_graph(nodes, "rating", inputs, outputs, constants),
        opset_imports=encoder.opset_import,
        producer_name="xingping",
    )
    model.ir_version = encoder.ir_version
    return model


def _masked(node: onnx.NodeProto, is_token: str, is_full: str) -> onnx.NodeProto:
    """Have a node of an encoder know of padding.

    Where nothing is padded attention is computed as in the encoder alone, which ONNX Runtime does in another order with
    a mask: in 8 bits, other last digits become other integers, and a rating moves by some hundredths.
    """
    inputs = [INPUT_IDS if name == IDS else name for name in node.input]
    if node.op_type != "MultiHeadAttention":
        del node.input[:]
        node.input.extend(inputs)
        return node
    options = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    (output,) = node.output

    def branch(name: str, given: Sequence[str]) -> onnx.GraphProto:
        attend = helper.make_node(node.op_type, given, [f"{output}.{name}"], domain=node.domain, **options)
        value = helper.make_tensor_value_info(attend.output[0], TensorProto.FLOAT, None)
        return helper.make_graph([attend], name, [], [value])

    whole, padded = branch("whole", inputs), branch("padded", [*inputs, is_token])  # the mask is behind the bias
    return helper.make_node("If", [is_full], [output], then_branch=whole, else_branch=padded)


class _Head(Nodes):
    """The nodes of a head; where its modules are in torch, their names are the same."""

    def __init__(self, card: ModelCard, weights: Weights) -> None:
        super().__init__("head.")
        self.card, self.settings, self.weights = card, card.head, weights
        self.n_layers = len(card.encoder.layers or (-1,))
        self.units = "words" if card.features.unit == "word" else "length"

    def weight(self, name: str) -> str:
        return self.constant(self.weights[name])

    def product(self, states: str, name: str) -> str:
        """Multiply with a linear layer's weights, which torch keeps as (outputs, inputs)."""
        return self.add("MatMul", [states, self.constant(np.ascontiguousarray(self.weights[name].T))])

    def number(self, value: float) -> str:
        return self.constant(np.float32(value))

    def axes(self, *axes: int) -> str:
        return self.constant(np.array(axes))

    def cast(self, value: str, to: int, name: str = "") -> str:
        return self.add("Cast", [value], name=name, to=to)

    def add_all(self) -> list[onnx.ValueInfoProto]:
        """Add everything, and return the outputs."""
        values, mask, cls = self.features()
        members = [self.member(f"members.{number}", values, mask, cls) for number in range(self.settings.members)]
        scores = self.add("Mean", [scores for scores, _, _ in members], name=SCORES)
        self.add("Concat", [vector for _, vector, _ in members], name=VECTOR, axis=1)
        attention = [looked for _, _, looked in members if looked]
        meaning = self.meaning(scores)
        width = len(members) * self.settings.hidden_dim
        shapes: dict[str, list[int | str]] = {
            meaning: ["batch"] if meaning == EXPECTED else ["batch", NUM_CLASSES],
            SCORES: ["batch", n_scores(self.card.task)],
            VECTOR: ["batch", width],
        }
        if attention:
            self.add("Concat", attention, name=ATTENTION, axis=1)
            shapes[ATTENTION] = ["batch", len(members) * self.settings.n_hops, self.units]
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    def features(self) -> tuple[str, str, str]:
        """Return what a head gets: (batch, units, dim), a mask of the units, (batch, units), and (batch, dim)."""
        is_token = self.cast(ATTENTION_MASK, TensorProto.BOOL)
        is_special = self.add("And", [is_token, self.cast(SPECIAL_TOKENS_MASK, TensorProto.BOOL)])
        states = self.cast(STATES, TensorProto.FLOAT)  # (batch, length, dim)
        # [CLS] is the first special token, or where there is none the first; a text without any has a vector of zeros.
        first = self.add("ArgMax", [self.cast(is_special, TensorProto.INT32)], axis=1, keepdims=1)  # (batch, 1)
        cls = self.add("GatherND", [states, first], batch_dims=1)  # (batch, dim)
        has_token = self.add("ReduceMax", [self.cast(is_token, TensorProto.FLOAT), self.axes(1)], keepdims=1)
        cls = self.add("Mul", [cls, has_token])
        if self.units == "words":
            values, mask = self.words(states)
        else:
            values, mask = states, self.add("And", [is_token, self.add("Not", [is_special])])
        return self.standardised(values), mask, self.standardised(cls)

    def words(self, states: str) -> tuple[str, str]:
        """Return the mean of the states of each word, (batch, words, dim), in 16 bits, and which words there are."""
        members = self.cast(WORD_TOKENS, TensorProto.FLOAT)  # (batch, words, length)
        sizes = self.add("ReduceSum", [members, self.axes(2)], keepdims=1)  # (batch, words, 1)
        sums = self.add("MatMul", [members, states])
        means = self.add("Div", [sums, self.add("Max", [sizes, self.number(1)])])
        values = self.cast(self.cast(means, TensorProto.FLOAT16), TensorProto.FLOAT)
        return values, self.add("Greater", [self.add("Squeeze", [sizes, self.axes(2)]), self.number(0)])

    def standardised(self, values: str) -> str:
        mean, scale = self.weights["standardise.mean"], self.weights["standardise.scale"]
        return self.add("Add", [self.add("Mul", [values, self.constant(scale)]), self.constant(-mean * scale)])

    def member(self, at: str, values: str, mask: str, cls: str) -> tuple[str, str, str]:
        """Return the scores, the vector and the attention ("" where there is none) of one network."""
        if self.settings.layer_mix == "learned" and self.n_layers > 1:
            values, cls = self.mixed(at, values, 2), self.mixed(at, cls, 1)
        if self.settings.token_dim:
            layer = f"{at}.token_layer.weight"
            values, cls = (self.add("Relu", [self.product(vectors, layer)]) for vectors in (values, cls))
        pooled, attention = [], ""
        for pooling in self.settings.pooling:
            vector, looked = self.pool(pooling, f"{at}.pooling.parts.{pooling}", values, mask, cls)
            pooled.append(vector)
            attention = attention or looked
        joined = pooled[0] if len(pooled) == 1 else self.add("Concat", pooled, axis=1)
        hidden = self.add("Add", [self.product(joined, f"{at}.hidden.weight"), self.weight(f"{at}.hidden.bias")])
        vector = self.add("Relu", [hidden])  # (batch, hidden_dim)
        output = f"{at}.outputs.{self.card.task}"
        linear = f"{output}.rank" if f"{output}.rank.weight" in self.weights else output
        scores = self.add("Add", [self.product(vector, f"{linear}.weight"), self.weight(f"{output}.bias")])
        return scores, vector, attention

    def mixed(self, at: str, vectors: str, axis: int) -> str:
        """Return the weighted sum of the layers that lie side by side along an axis."""
        weights = self.weights[f"{at}.mix.weights"]
        shares = np.exp(weights - weights.max())
        shares = self.weights[f"{at}.mix.scale"] * shares / shares.sum()
        shape = [0] * axis + [self.n_layers, -1]
        layers = self.add("Reshape", [vectors, self.axes(*shape)])  # (..., layers, dim)
        weighted = self.add("Mul", [layers, self.constant(shares.astype(np.float32)[:, None])])
        return self.add("ReduceSum", [weighted, self.axes(axis)], keepdims=0)

    def pool(self, pooling: Pooling, at: str, values: str, mask: str, cls: str) -> tuple[str, str]:
        """Return the vector of each text, (batch, out_dim), and where it looked, (batch, hops, units), or ""."""
        if pooling == "cls":
            return cls, ""
        numbers = self.cast(mask, TensorProto.FLOAT)  # (batch, units)
        if pooling == "max":
            of_tokens = self.add("Where", [self.add("Unsqueeze", [mask, self.axes(2)]), values, self.number(LOWEST)])
            largest = self.add("ReduceMax", [of_tokens, self.axes(1)], keepdims=0)
            some = self.add("ReduceMax", [numbers, self.axes(1)], keepdims=1)  # (batch, 1), 0 where there is no token
            return self.add("Mul", [largest, some]), ""
        if pooling == "mean":
            count = self.add("Max", [self.add("ReduceSum", [numbers, self.axes(1)], keepdims=1), self.number(1)])
            weights = self.add("Unsqueeze", [self.add("Div", [numbers, count]), self.axes(1)])  # (batch, 1, units)
            return self.add("Squeeze", [self.add("MatMul", [weights, values]), self.axes(1)]), ""
        hidden = self.add("Tanh", [self.product(values, f"{at}.W_s1.weight")])  # (batch, units, d_a)
        scores = self.add("Transpose", [self.product(hidden, f"{at}.W_s2.weight")], perm=[0, 2, 1])
        masked = self.add("Where", [self.add("Unsqueeze", [mask, self.axes(1)]), scores, self.number(LOWEST)])
        shares = self.add("Softmax", [masked], axis=-1)
        A = self.add("Mul", [shares, self.add("Unsqueeze", [numbers, self.axes(1)])])  # (batch, hops, units)
        M = self.add("MatMul", [A, values])  # (batch, hops, dim)
        return self.add("Flatten", [M], axis=1), A

    def meaning(self, scores: str) -> str:
        """Add what the scores mean (`xingping.links`) and return its name."""
        if self.card.task == "regression":
            return self.add("Squeeze", [scores, self.axes(1)], name=EXPECTED)
        exact = self.cast(scores, TensorProto.DOUBLE)
        if self.card.task == "classification":
            found = self.add("Softmax", [exact], axis=-1)
        else:
            found = self.between(self.add("Sigmoid", [exact]))
        return self.cast(found, TensorProto.FLOAT, name=PROBABILITIES)

    def between(self, passed: str) -> str:
        """Turn what passes each threshold, (batch, 4), into probabilities of the stars, (batch, 5)."""
        operator = "Min" if self.settings.ordinal == "coral" else "Mul"
        above: list[str] = []
        for threshold in range(NUM_CLASSES - 1):
            column = self.add("Gather", [passed, self.axes(threshold)], axis=1)  # (batch, 1)
            above.append(self.add(operator, [above[-1], column]) if above else column)
        ends: Sequence[str] = [self.constant(np.ones((1, 1))), *above]
        stars = [self.add("Sub", list(pair)) for pair in pairwise(ends)]
        return self.add("Concat", [*stars, above[-1]], axis=1)
