"""Runtimes beside torch in fp32: graphs of ONNX Runtime, int8, and which one `auto` takes."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from conftest import chinese_tokenizer, save_encoder
from test_encoders import TEXTS, assert_same, configs, cosine
from xingping.encoders import FrozenEncoder
from xingping.encoders.choice import Choice, fastest, possible
from xingping.encoders.loading import load_model
from xingping.encoders.post_norm import PostNormEncoder, why_not_post_norm
from xingping.encoders.probe import Probe, mean_cosine
from xingping.encoders.quantization import QuantizedWeights, large_units, migration
from xingping.errors import EncoderError, OutputError, SettingsError

FAMILY = ["bert", "ernie", "electra", "roberta", "xlm-roberta"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for the module, so that each graph is made once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XINGPING_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """Return a function that makes a folder with a small random model of a family, once."""
    made = {}

    def make(family, **changed):
        key = (family, *changed.items())
        if key not in made:
            config, build = configs()[family]
            tokenizer = build()
            config.update({"vocab_size": tokenizer.get_vocab_size(), "initializer_range": 0.2, **changed})
            with torch.random.fork_rng():
                torch.manual_seed(1)
                model = transformers.AutoModel.from_config(config)
            made[key] = save_encoder(tmp_path_factory.mktemp(family), model, tokenizer)
        return made[key]

    return make


@pytest.fixture
def vnni(monkeypatch):
    """A processor that multiplies 8-bit integers exactly, as far as the choice is concerned."""
    monkeypatch.setattr("xingping.encoders.choice.has_int8", lambda: True)


def graphs(cache):
    return sorted(path for path in cache.glob("runtimes/*/*-*") if path.is_dir())


# --- graphs --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("layers", [(2,), (2, 1), (0,), (0, 1)])
@pytest.mark.parametrize("family", FAMILY)
def test_a_graph_in_fp32_gives_the_states_of_torch(folder_of, family, layers):
    name = str(folder_of(family))
    graph = FrozenEncoder.load(name, precision="fp32", runtime="onnx", layers=layers)
    model = FrozenEncoder.load(name, precision="fp32", runtime="torch", layers=layers)
    assert (graph.runtime, graph.precision, graph.dim) == ("onnx", "fp32", model.dim)
    assert_same(graph.encode(TEXTS), model.encode(TEXTS))
    assert graph.fingerprint != model.fingerprint


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
def test_other_activations(folder_of, vnni, activation):
    name = str(folder_of("bert", hidden_act=activation))
    exact = FrozenEncoder.load(name, precision="fp32", runtime="torch").encode(TEXTS)
    assert_same(FrozenEncoder.load(name, precision="fp32", runtime="onnx").encode(TEXTS), exact, tolerance=5e-3)
    assert cosine(FrozenEncoder.load(name, precision="int8").encode(TEXTS).values, exact.values).min() > 0.99


@pytest.mark.usefixtures("cache", "vnni")
@pytest.mark.parametrize("family", FAMILY)
def test_int8_is_close_to_fp32(folder_of, family):
    name = str(folder_of(family))
    exact = FrozenEncoder.load(name, precision="fp32", layers=(1, 2)).encode(TEXTS)
    rounded = FrozenEncoder.load(name, precision="int8", layers=(1, 2)).encode(TEXTS)
    assert not np.array_equal(exact.values, rounded.values)
    assert cosine(rounded.values, exact.values).mean() > 0.999
    np.testing.assert_array_equal(rounded.offsets, exact.offsets)


@pytest.mark.usefixtures("cache", "vnni")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_text_gets_the_same_bytes_alone_and_among_others(folder_of, precision):
    encoder = FrozenEncoder.load(str(folder_of("bert")), precision=precision, runtime="onnx")
    rng = np.random.default_rng(0)
    texts = [
        "".join(chr(0x4E00 + code) for code in rng.integers(0, 3000, length)) for length in rng.integers(1, 60, 80)
    ]
    together = encoder.encode(texts)
    for i, text in enumerate(texts):
        alone = encoder.encode([text])
        np.testing.assert_array_equal(alone.values, together[i])
        np.testing.assert_array_equal(alone.cls[0], together.cls[i])
    for part, chunk in zip(encoder.encode_chunks([texts[:33], texts[33:]]), (slice(0, 33), slice(33, 80)), strict=True):
        np.testing.assert_array_equal(part.cls, together.cls[chunk])


@pytest.mark.usefixtures("cache", "vnni")
def test_any_number_of_workers_gives_the_same(folder_of, monkeypatch):
    encoder = FrozenEncoder.load(str(folder_of("bert")), precision="int8")
    seen = []
    monkeypatch.setattr(encoder._runtime, "workers", 1)
    one = encoder.encode(TEXTS * 20)
    monkeypatch.setattr(encoder._runtime, "workers", 4)
    many = encoder.encode(TEXTS * 20, progress=seen.append)
    np.testing.assert_array_equal(one.values, many.values)
    np.testing.assert_array_equal(one.cls, many.cls)
    assert sum(seen) == len(TEXTS) * 20


@pytest.mark.usefixtures("cache")
def test_an_error_in_a_worker_ends_the_encoding(folder_of, monkeypatch):
    encoder = FrozenEncoder.load(str(folder_of("bert")), precision="fp32", runtime="onnx")

    class Broken:
        def run(self, names, inputs):
            return [np.full((*inputs["ids"].shape, 32), np.nan, np.float16)]

    monkeypatch.setattr(encoder._runtime, "workers", 2)
    monkeypatch.setattr(encoder._runtime, "_session", Broken())
    with pytest.raises(EncoderError, match="no numbers"):
        encoder.encode(TEXTS * 20)


def test_it_is_said_why_a_model_has_no_graph(folder_of):
    def reason(family, **changed):
        return why_not_post_norm(load_model(folder_of(family, **changed), family))

    assert reason("bert") is None
    assert reason("distilbert") == "distilbert is not of BERT's shape"
    assert reason("bert", hidden_act="silu") == "its activation is silu"


@pytest.mark.usefixtures("cache", "vnni")
def test_a_model_without_a_graph_runs_in_torch_unless_onnx_is_asked_for(folder_of):
    name = str(folder_of("albert"))
    assert FrozenEncoder.load(name).runtime == "torch"
    for asked in ({"precision": "int8"}, {"runtime": "onnx", "precision": "fp32"}, {"runtime": "onnx"}):
        with pytest.raises(SettingsError, match="albert is not of BERT's shape; choose the runtime torch") as caught:
            FrozenEncoder.load(name, **asked)
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("isolated_cache")
def test_a_graph_that_gives_other_states_is_refused(folder_of, monkeypatch):
    take = PostNormEncoder.of

    def in_another_order(model, num_layers):
        encoder = take(model, num_layers)
        return replace(encoder, layers=encoder.layers[::-1])

    monkeypatch.setattr(PostNormEncoder, "of", in_another_order)
    name = str(folder_of("bert"))
    with pytest.raises(SettingsError, match="its graph gives other states"):
        FrozenEncoder.load(name, precision="fp32", runtime="onnx")
    assert FrozenEncoder.load(name).runtime == "torch"


# --- integers ------------------------------------------------------------------------------------------------------


def test_weights_come_back_within_half_a_step():
    weights = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    weights[:, 3] = 0
    rounded = QuantizedWeights.of(weights)
    assert rounded.values.dtype == np.int8
    assert (np.abs(rounded.values * rounded.scales - weights) <= rounded.scales / 2 + 1e-6).all()


def test_migration_evens_out_a_large_input():
    largest = np.array([1, 1, 100], dtype=np.float32)
    weights = [np.ones((3, 4), np.float32)]
    divisor = migration(largest, weights, 0.8)
    after = largest / divisor
    assert after[2] / after[0] == pytest.approx(100**0.2, rel=1e-4)
    assert np.prod(divisor) == pytest.approx(1, rel=1e-4)
    assert np.isfinite(migration(np.zeros(3, np.float32), [np.zeros((3, 4), np.float32)], 0.5)).all()


def test_the_largest_units_are_found():
    largest = np.ones(192, np.float32)
    largest[[7, 100]] = 30
    assert large_units(largest).tolist() == [7, 100]
    assert large_units(np.ones(8, np.float32)).tolist() == [0]


# --- kept graphs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def made(monkeypatch):
    """Count the graphs made."""
    from xingping.encoders import export

    calls, make = [], export._make

    def counted(*arguments):
        calls.append(arguments)
        return make(*arguments)

    monkeypatch.setattr(export, "_make", counted)
    return calls


@pytest.mark.usefixtures("vnni")
def test_a_graph_is_made_once_and_used_without_torch_after(folder_of, isolated_cache, made):
    name = str(folder_of("bert"))
    first = FrozenEncoder.load(name, precision="int8").encode(TEXTS)
    assert len(made) == len(graphs(isolated_cache)) == 1
    again = FrozenEncoder.load(name, precision="int8").encode(TEXTS)
    assert len(made) == 1
    np.testing.assert_array_equal(first.values, again.values)
    code = (
        "import sys; from xingping import FrozenEncoder; import xingping.encoders.choice as choice; "
        "choice.has_int8 = lambda: True; "
        f"features = FrozenEncoder.load({name!r}, precision='int8', device='cpu').encode(['好看']); "
        "sys.exit(' '.join(m for m in ('torch', 'transformers', 'onnx') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    for changed in ({"layers": (1,)}, {"precision": "fp32", "runtime": "onnx"}):
        FrozenEncoder.load(name, **{"precision": "int8", **changed})
    assert len(made) == len(graphs(isolated_cache)) == 3


@pytest.mark.parametrize("file", ["model.onnx", "weights.bin", "complete.json"])
def test_a_damaged_graph_is_made_again(folder_of, isolated_cache, made, file):
    def load():
        return FrozenEncoder.load(str(folder_of("bert")), precision="fp32", runtime="onnx").encode(TEXTS).values

    whole = load()
    [place] = graphs(isolated_cache)
    content = bytearray((place / file).read_bytes())
    content[len(content) // 2] ^= 1
    (place / file).write_bytes(content)
    np.testing.assert_array_equal(load(), whole)
    (place / file).unlink()
    np.testing.assert_array_equal(load(), whole)
    assert len(made) == 3
    assert not list(place.parent.glob(".*"))


def test_a_half_made_graph_of_a_killed_process_is_taken_away(folder_of, isolated_cache):
    def load():
        return FrozenEncoder.load(str(folder_of("bert")), precision="fp32", runtime="onnx")

    load()
    [place] = graphs(isolated_cache)
    leftover = place.with_name(f".{place.name}.1.abc")
    shutil.move(place, leftover)
    load()
    assert place.is_dir()
    assert not leftover.exists()


def test_two_processes_that_need_a_graph_at_once_make_it_once(folder_of, isolated_cache):
    code = (
        "import logging, sys; logging.basicConfig(level=logging.INFO); from xingping import FrozenEncoder; "
        f"encoder = FrozenEncoder.load({str(folder_of('bert'))!r}, precision='fp32', runtime='onnx', device='cpu'); "
        "print(encoder.encode(['真好看']).values.tobytes().hex())"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ended = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert ended[0][0] == ended[1][0] != ""
    assert sum(errors.count("made the fp32 graph") for _, errors in ended) == 1
    assert len(graphs(isolated_cache)) == 1


def test_a_cache_that_cannot_be_written_names_the_variable(folder_of, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XINGPING_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="XINGPING_CACHE"):
        FrozenEncoder.load(str(folder_of("bert")), precision="fp32", runtime="onnx")
    assert FrozenEncoder.load(str(folder_of("bert")), precision="auto").runtime == "torch"


def test_a_failed_export_leaves_nothing_behind(folder_of, isolated_cache, monkeypatch):
    def fail(model, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xingping.encoders.export._save", fail)
    with pytest.raises(OutputError, match=r"No space left on device.*XINGPING_CACHE"):
        FrozenEncoder.load(str(folder_of("bert")), precision="fp32", runtime="onnx")
    assert graphs(isolated_cache) == []
    assert not list(isolated_cache.glob("runtimes/*/.*"))


# --- what auto takes -----------------------------------------------------------------------------------------------

INT8, BF16 = Choice("onnx", "int8"), Choice("torch", "bf16")
ONNX, TORCH = Choice("onnx", "fp32"), Choice("torch", "fp32")


def pick(measured, choices=(INT8, BF16, ONNX, TORCH)):
    """Return the choice from (cosine, seconds) of each; one that is not there cannot be opened."""
    tried = []

    def measure(choice):
        tried.append(choice)
        if choice not in measured:
            raise EncoderError("not this one")
        return measured[choice]

    return fastest(list(choices), measure)[0], tried


def test_the_fastest_good_one_is_taken():
    exact = {ONNX: (1.0, 8.0), TORCH: (1.0, 10.0)}
    assert pick({INT8: (0.9995, 1.0), BF16: (0.9999, 2.0), **exact})[0] == INT8
    assert pick({INT8: (0.9989, 1.0), BF16: (0.9999, 2.0), **exact})[0] == BF16
    assert pick({INT8: (0.9995, 3.0), BF16: (0.9999, 2.0), **exact})[0] == BF16
    assert pick({INT8: (0.5, 1.0), BF16: (0.5, 2.0), **exact})[0] == ONNX
    assert pick({INT8: (0.9995, 12.0), BF16: (0.9999, 14.0), **exact})[0] == TORCH
    assert pick({TORCH: (1.0, 10.0)})[0] == TORCH
    assert pick({INT8: (float("nan"), 1.0), TORCH: (1.0, 10.0)})[0] == TORCH


def test_a_little_time_is_not_worth_a_loss():
    assert pick({INT8: (0.9995, 1.95), BF16: (0.9999, 2.0), TORCH: (1.0, 10.0)})[0] == BF16
    assert pick({BF16: (0.9995, 9.5), TORCH: (1.0, 10.0)})[0] == TORCH


def test_fp32_in_onnx_is_tried_only_where_nothing_else_is_good():
    good = {INT8: (0.9995, 1.0), BF16: (0.9999, 2.0), ONNX: (1.0, 8.0), TORCH: (1.0, 10.0)}
    assert ONNX not in pick(good)[1]
    assert ONNX in pick({**good, INT8: (0.1, 1.0), BF16: (0.1, 1.0)})[1]


@pytest.mark.parametrize(("bf16", "int8"), [(True, True), (True, False), (False, True), (False, False)])
def test_auto_tries_what_the_processor_is_good_at(monkeypatch, bf16, int8):
    monkeypatch.setattr("xingping.encoders.choice.has_native_bf16", lambda device: bf16)
    monkeypatch.setattr("xingping.encoders.choice.has_int8", lambda: int8)
    found = possible("auto", "auto", "cpu")
    assert (INT8 in found, BF16 in found) == (int8, bf16)
    assert found[-2:] == [ONNX, TORCH]
    assert possible("auto", "auto", "cuda") == [BF16 if bf16 else Choice("torch", "fp16"), TORCH]
    assert possible("fp16", "auto", "cuda:1") == [Choice("torch", "fp16")]


@pytest.mark.usefixtures("vnni")
def test_what_is_named_is_taken():
    assert possible("int8", "auto", "cpu") == possible("int8", "onnx", "cpu") == [INT8]
    assert possible("bf16", "auto", "cpu") == [BF16]
    assert possible("fp32", "auto", "cpu") == possible("fp32", "torch", "cpu") == [TORCH]
    assert possible("fp32", "onnx", "cpu") == [ONNX]


@pytest.mark.parametrize(
    ("precision", "runtime", "device", "message"),
    [
        ("int8", "torch", "cpu", "precision int8 is not possible with runtime torch"),
        ("bf16", "onnx", "cpu", "precision bf16 is not possible with runtime onnx"),
        ("fp16", "auto", "cpu", "precision fp16 needs a GPU"),
        ("int8", "auto", "cuda", "precision int8 is not possible on cuda"),
        ("auto", "onnx", "cuda", "runtime onnx is not possible on cuda"),
    ],
)
@pytest.mark.usefixtures("vnni")
def test_what_does_not_go_together_is_refused(precision, runtime, device, message):
    with pytest.raises(SettingsError, match=message):
        possible(precision, runtime, device)


def test_int8_without_vnni_is_refused(monkeypatch):
    monkeypatch.setattr("xingping.encoders.choice.has_int8", lambda: False)
    with pytest.raises(SettingsError, match="needs a processor with VNNI"):
        possible("int8", "auto", "cpu")


def test_a_small_model_is_not_tried_out(folder_of, isolated_cache, monkeypatch):
    monkeypatch.setattr(Probe, "run", lambda probe, runtime: pytest.fail("it was tried out"))
    encoder = FrozenEncoder.load(str(folder_of("bert")), device="cpu")
    assert (encoder.runtime, encoder.precision) == ("onnx", "fp32")
    assert not list(isolated_cache.glob("runtimes/*/choice-*"))


@pytest.mark.usefixtures("vnni")
def test_a_decision_is_made_once_and_kept(folder_of, isolated_cache, monkeypatch):
    monkeypatch.setattr("xingping.encoders.choice.SMALL", 0)
    runs = []

    def run(probe, runtime):
        runs.append((runtime.runtime, runtime.precision))
        seconds = {"int8": 1.0, "bf16": 5.0, "fp32": 9.0}[runtime.precision]
        return np.ones((4, 32), np.float16), seconds

    monkeypatch.setattr(Probe, "run", run)
    name = str(folder_of("bert"))
    assert FrozenEncoder.load(name, device="cpu").precision == "int8"
    assert ("torch", "fp32") in runs
    count = len(runs)
    assert FrozenEncoder.load(name, device="cpu").precision == "int8"
    assert len(runs) == count
    [note] = isolated_cache.glob("runtimes/*/choice-*.json")
    assert json.loads(note.read_text())["measured"]["onnx int8"] == {"cosine": 1.0, "seconds": 1.0}
    note.write_text("{")
    FrozenEncoder.load(name, device="cpu")
    assert len(runs) == 2 * count
    FrozenEncoder.load(name, device="cpu", layers=(1,))
    assert len(runs) == 3 * count


@pytest.mark.usefixtures("vnni", "isolated_cache")
def test_trying_out_leaves_the_model_as_it_was(folder_of, monkeypatch):
    monkeypatch.setattr("xingping.encoders.choice.SMALL", 0)
    monkeypatch.setattr("xingping.encoders.choice.LEAST_COSINE", 1.1)
    monkeypatch.setattr("xingping.encoders.choice.has_native_bf16", lambda device: True)
    name = str(folder_of("bert"))
    encoder = FrozenEncoder.load(name, device="cpu")
    assert (encoder.runtime, encoder.precision) == ("torch", "fp32")  # nothing else can be good enough
    exact = FrozenEncoder.load(name, precision="fp32", runtime="torch", device="cpu")
    np.testing.assert_array_equal(encoder.encode(TEXTS).values, exact.encode(TEXTS).values)


def test_the_sample_is_divided_into_texts_for_scales_and_texts_to_try():
    probe = Probe(chinese_tokenizer())
    tried = probe.tried
    assert 500 < len(tried.ids) < 1100
    sizes = [ids.shape[1] for ids in probe.for_scales]
    assert sizes == sorted(sizes, reverse=True)
    assert 7500 < sum(ids.size for ids in probe.for_scales) < 8300
    rows = {tuple(row) for ids in probe.for_scales for row in ids.tolist()}
    both = [i for i in range(len(tried.lengths)) if tuple(tried.ids[tried.offsets[i] : tried.offsets[i + 1]]) in rows]
    assert both == []


def test_the_cosine_is_over_the_last_axis():
    a = np.array([[[1.0, 0.0], [0.0, 2.0]]])
    b = np.array([[[3.0, 0.0], [2.0, 0.0]]])
    assert mean_cosine(a, b) == pytest.approx(0.5)
    assert mean_cosine(np.zeros((2, 3)), np.zeros((2, 3))) == 1


@pytest.mark.bundled
@pytest.mark.parametrize("layers", [(9, 11), (-1,)])
def test_int8_of_the_bundled_encoder_passes_the_check(layers, vnni):
    exact = FrozenEncoder.load(precision="fp32", layers=layers, device="cpu")
    rounded = FrozenEncoder.load(precision="int8", layers=layers, device="cpu")
    values, reference = rounded.encode(TEXTS[:5]).values, exact.encode(TEXTS[:5]).values
    assert cosine(values, reference).mean() > 0.999
