"""Frozen encoders on tiny random models of many families; nothing here touches the network."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub.errors import RepositoryNotFoundError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from conftest import chinese_tokenizer, save_encoder
from xingping.encoders import FrozenEncoder
from xingping.encoders.batching import equal_batches, gather_ids, padded_batches
from xingping.encoders.folders import find_folder
from xingping.encoders.hardware import choose_device, core_count, has_int8, has_native_bf16
from xingping.errors import EncoderError, SettingsError

TEXTS = [
    "这部电影太好看了！",
    "",
    "   ",
    "好",
    "剧情拖沓，演员的演技也很一般。不过画面不错，配乐也好听，三星吧。",
    "😂😂👨‍👩‍👧",
    "Iron Man 3 不如 1",
    "好\r\n看\t！",
    "[SEP] 和 <s> 是字 [MASK]",
]
SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def characters():
    return [chr(code) for code in range(0x4E00, 0x9FA6)]


def xlmr_tokenizer():
    """A Unigram tokenizer in the shape of XLM-R's and e5's."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("电影", -5.0), ("好看", -5.0)]
    pieces += [(character, -10.0) for character in characters() + list("，。！abcdefghijklmnopqrstuvwxyz0123456789")]
    tokenizer = Tokenizer(models.Unigram(pieces, 3, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    return tokenizer


def bare_tokenizer():
    """A tokenizer that adds no special token, as GPT-2's."""
    tokenizer = chinese_tokenizer()
    tokenizer.post_processor = processors.Sequence([])
    return tokenizer


def configs():
    wide = {"hidden_size": 32, **SIZES}
    roberta = {**wide, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "max_position_embeddings": 130}
    return {
        "bert": (transformers.BertConfig(**wide), chinese_tokenizer),
        "ernie": (transformers.ErnieConfig(**wide, task_type_vocab_size=3, use_task_id=True), chinese_tokenizer),
        "electra": (transformers.ElectraConfig(**wide, embedding_size=16), chinese_tokenizer),
        "roberta": (transformers.RobertaConfig(**roberta), xlmr_tokenizer),
        "xlm-roberta": (transformers.XLMRobertaConfig(**roberta), xlmr_tokenizer),
        "distilbert": (transformers.DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=64), chinese_tokenizer),
        "albert": (transformers.AlbertConfig(**wide, embedding_size=16), chinese_tokenizer),
        "gpt2": (
            transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, bos_token_id=2, eos_token_id=3),
            bare_tokenizer,
        ),
    }


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """Return a function that makes a folder with a tiny random model of a family, once."""
    made = {}

    def make(family):
        if family not in made:
            config, build = configs()[family]
            tokenizer = build()
            config.vocab_size = tokenizer.get_vocab_size()
            with torch.random.fork_rng():
                torch.manual_seed(1)
                model = transformers.AutoModel.from_config(config)
            made[family] = save_encoder(tmp_path_factory.mktemp(family), model, tokenizer)
        return made[family]

    return make


@pytest.fixture(scope="module")
def tiny(tiny_encoder_folder):
    return FrozenEncoder.load(str(tiny_encoder_folder), precision="fp32")


@pytest.fixture
def copied(tiny_encoder_folder, tmp_path):
    """A copy of the tiny encoder to spoil."""
    return shutil.copytree(tiny_encoder_folder, tmp_path / "copied")


def cosine(a, b):
    a, b = a.astype(np.float32), b.astype(np.float32)
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def assert_same(one, other, tolerance=2e-3):
    np.testing.assert_array_equal(one.offsets, other.offsets)
    np.testing.assert_array_equal(one.spans, other.spans)
    np.testing.assert_allclose(one.values.astype(float), other.values.astype(float), atol=tolerance, rtol=tolerance)
    np.testing.assert_allclose(one.cls.astype(float), other.cls.astype(float), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("family", configs())
def test_every_family_gives_the_states_of_transformers(folder_of, family):
    folder = folder_of(family)
    encoder = FrozenEncoder.load(str(folder), precision="fp32", layers=(1, 2), device="cpu")
    features = encoder.encode(TEXTS)

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    model = transformers.AutoModel.from_pretrained(folder).eval()
    assert encoder.dim == features.dim == 64
    for i, text in enumerate(TEXTS):
        encoding = tokenizer.encode(text)
        content = ~np.array(encoding.special_tokens_mask, dtype=bool)
        assert len(features[i]) == content.sum() == len(tokenizer.encode(text, add_special_tokens=False).ids)
        if not encoding.ids:
            assert not features.cls[i].any()
            continue
        with torch.inference_mode():
            hidden = model(torch.tensor([encoding.ids]), output_hidden_states=True).hidden_states
        expected = torch.cat([hidden[1], hidden[2]], dim=-1)[0].numpy()
        np.testing.assert_allclose(features[i].astype(np.float32), expected[content], atol=2e-3, rtol=2e-3)
        np.testing.assert_allclose(features.cls[i].astype(np.float32), expected[0], atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("family", configs())
def test_a_text_gets_the_same_vectors_alone_and_among_others(folder_of, family):
    encoder = FrozenEncoder.load(str(folder_of(family)), precision="fp32", device="cpu")
    together = encoder.encode(TEXTS)
    for i, text in enumerate(TEXTS):
        alone = encoder.encode([text])
        np.testing.assert_allclose(alone[0].astype(float), together[i].astype(float), atol=2e-3, rtol=2e-3)
        np.testing.assert_allclose(alone.cls[0].astype(float), together.cls[i].astype(float), atol=2e-3, rtol=2e-3)
        np.testing.assert_array_equal(alone.spans, together.spans_of(i))


def test_features_are_ragged_float16_with_consistent_offsets(tiny):
    features = tiny.encode(TEXTS)
    assert len(features) == len(TEXTS)
    assert (features.values.dtype, features.cls.dtype) == (np.float16, np.float16)
    assert (features.offsets.dtype, features.spans.dtype) == (np.int64, np.int32)
    assert features.values.shape == (features.offsets[-1], 32)
    assert features.cls.shape == (len(TEXTS), 32)
    assert features.lengths.tolist()[:4] == [9, 0, 0, 1]
    assert np.shares_memory(features[0], features.values)
    np.testing.assert_array_equal(features[-1], features[len(TEXTS) - 1])
    with pytest.raises(IndexError, match="text 9 of 9"):
        features[9]


def test_no_texts_give_no_features(tiny):
    features = tiny.encode([])
    assert len(features) == 0
    assert features.values.shape == (0, 32)
    assert features.cls.shape == (0, 32)


def test_encoding_is_deterministic_and_reports_progress(tiny):
    seen = []
    first = tiny.encode(TEXTS * 40, progress=seen.append)
    again = tiny.encode(TEXTS * 40)
    assert sum(seen) == len(TEXTS) * 40
    assert len(seen) > 1
    np.testing.assert_array_equal(first.values, again.values)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), max_size=60))
def test_spans_rejoin_a_chinese_text(tiny, text):
    spans = tiny.encode([text]).spans
    assert "".join(text[start:end] for start, end in spans.tolist()) == text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=30), max_size=4))
def test_any_text_can_be_encoded(tiny, texts):
    features = tiny.encode(texts)
    assert np.isfinite(features.values).all()
    for i, text in enumerate(texts):
        spans = features.spans_of(i)
        assert (spans[:, 0] <= spans[:, 1]).all()
        assert (spans >= 0).all()
        assert (spans <= len(text)).all()


def test_half_a_surrogate_pair_is_one_unknown_character(tiny):
    assert tiny.encode(["好\ud83d看"]).spans_of(0)[-1].tolist() == [2, 3]


def test_spans_leave_out_white_space_and_the_mark_before_a_text(folder_of):
    encoder = FrozenEncoder.load(str(folder_of("xlm-roberta")), precision="fp32")
    features = encoder.encode(["电影 好看", "电影"])
    assert features.spans_of(1).tolist() == [[0, 0], [0, 2]]
    assert [span for span in features.spans_of(0).tolist() if span[0] < span[1]][-1] == [3, 5]


def test_a_special_token_spelled_in_a_text_is_text(tiny):
    plain, spelled = tiny.encode(["好看"]), tiny.encode(["好[SEP]看"])
    assert len(spelled[0]) == len(plain[0]) + 5  # [ s ##e ##p ]
    assert spelled.spans_of(0).tolist()[1] == [1, 2]


def test_long_texts_are_cut_and_counted(tiny_encoder_folder):
    encoder = FrozenEncoder.load(str(tiny_encoder_folder), max_length=16)
    features = encoder.encode(["好" * 14, "好" * 15, "好" * 500])
    assert features.lengths.tolist() == [14, 14, 14]
    assert features.n_truncated == 2


def test_length_is_limited_to_the_positions_of_the_model(folder_of, caplog):
    encoder = FrozenEncoder.load(str(folder_of("roberta")), max_length=512)
    assert encoder.max_length == 128  # 130 positions, of which RoBERTa skips two
    assert "128 positions" in caplog.text
    assert encoder.encode(["好" * 300]).n_truncated == 1


def test_a_bare_string_is_refused(tiny):
    with pytest.raises(TypeError, match=r"encode\(\[text\]\)"):
        tiny.encode("好看")


def test_weights_are_frozen(tiny):
    assert not any(weights.requires_grad for weights in tiny._runtime._model.parameters())
    assert not tiny._runtime._model.training


def test_bf16_is_close_to_fp32(tiny_encoder_folder, tiny):
    half = FrozenEncoder.load(str(tiny_encoder_folder), precision="bf16")
    assert (half.precision, tiny.precision) == ("bf16", "fp32")
    assert half.fingerprint != tiny.fingerprint
    assert cosine(half.encode(TEXTS).values, tiny.encode(TEXTS).values).min() > 0.99


@pytest.mark.parametrize(
    ("flags", "bf16", "int8"),
    [
        ("fma avx2", False, False),
        ("avx2 avx512_bf16", True, False),
        ("avx512_vnni", False, True),
        ("avx_vnni", False, True),
        (None, False, False),
    ],
)
def test_the_processor_s_flags_are_read(monkeypatch, tmp_path, flags, bf16, int8):
    file = tmp_path / "cpuinfo"
    if flags is not None:
        file.write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr("xingping.encoders.hardware.CPU_INFO", file)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert (has_native_bf16("cpu"), has_int8()) == (bf16, int8)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert has_int8()


def test_the_gpu_is_taken_where_torch_has_one(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("xingping.encoders.hardware.DEVICES", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device(None) == "cpu"  # no sign of one, so torch is not even asked
    (tmp_path / "nvidia0").touch()
    assert choose_device(None) == "cuda"
    assert choose_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device(None) == "cpu"


def test_the_usual_variable_limits_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert core_count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert core_count() >= 1


def test_layers_are_put_side_by_side_in_their_order(tiny_encoder_folder):
    def load(*layers):
        return FrozenEncoder.load(str(tiny_encoder_folder), precision="fp32", layers=layers)

    first, last, both, swapped = (load(*layers).encode(TEXTS) for layers in [(1,), (-1,), (1, -1), (2, 1)])
    assert both.dim == 64
    np.testing.assert_allclose(both.values[:, :32], first.values, atol=2e-3)
    np.testing.assert_allclose(both.values[:, 32:], last.values, atol=2e-3)
    np.testing.assert_allclose(swapped.values[:, :32], last.values, atol=2e-3)
    assert load(-1).fingerprint == load(2).fingerprint
    assert load(0).encode(TEXTS).values.shape == first.values.shape
    assert load(0).describe()["parameters"] <= load(1).describe()["parameters"] < load(2).describe()["parameters"]


@pytest.mark.parametrize(("layers", "message"), [((3,), "layers 1 to 2"), ((-4,), "layers 1 to 2"), ((), "no layer"),
                                                 ((2, -1), "twice")])  # fmt: skip
def test_layers_that_do_not_exist_are_refused(tiny_encoder_folder, layers, message):
    with pytest.raises(SettingsError, match=message):
        FrozenEncoder.load(str(tiny_encoder_folder), layers=layers)


def test_impossible_settings_are_refused(tiny_encoder_folder):
    name = str(tiny_encoder_folder)
    with pytest.raises(SettingsError, match="precision 'int4' is unknown; choose auto, fp32, bf16, fp16 or int8"):
        FrozenEncoder.load(name, precision="int4")
    with pytest.raises(SettingsError, match="runtime 'jax' is unknown; choose auto, torch or onnx"):
        FrozenEncoder.load(name, runtime="jax")
    with pytest.raises(SettingsError, match="max_length 2 leaves no room"):
        FrozenEncoder.load(name, max_length=2)
    with pytest.raises(SettingsError, match="device 'toaster' cannot be used"):
        FrozenEncoder.load(name, device="toaster")


def test_fingerprint_is_of_the_content_and_the_settings(tiny_encoder_folder, copied, tiny):
    def load(folder=copied, **changed):
        return FrozenEncoder.load(str(folder), **({"precision": "fp32"} | changed)).fingerprint

    assert load() == tiny.fingerprint
    others = [load(layers=(1,)), load(layers=(1, 2)), load(layers=(2, 1)), load(max_length=100), load(precision="bf16")]

    weights = load_file(copied / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"][0, 0] += 0.25
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    others.append(load())

    shutil.copy(tiny_encoder_folder / "model.safetensors", copied)
    tokenizer = json.loads((copied / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    (copied / "tokenizer.json").write_text(json.dumps(tokenizer))
    others.append(load())

    shutil.copy(tiny_encoder_folder / "tokenizer.json", copied)
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    others.append(load())
    assert len({tiny.fingerprint, *others}) == len(others) + 1

    (copied / "config.json").write_text(json.dumps(config | {"transformers_version": "9.9"}))
    assert load() == tiny.fingerprint


def test_fingerprint_follows_the_way_from_text_to_vectors(tiny_encoder_folder, tiny, monkeypatch):
    monkeypatch.setattr("xingping.encoders.frozen.FEATURES_VERSION", 0)
    assert FrozenEncoder.load(str(tiny_encoder_folder), precision="fp32").fingerprint != tiny.fingerprint


def test_description_can_be_saved(tiny):
    described = json.loads(json.dumps(tiny.describe()))
    assert described["dim"] == 32
    assert described["layers"] == [2]
    assert (described["runtime"], described["precision"]) == ("torch", "fp32")
    assert described["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("group", [padded_batches, equal_batches])
@pytest.mark.parametrize("budget", [1, 7, 64, 2048])
def test_batches_hold_every_text_once_and_keep_the_budget(group, budget):
    lengths = np.random.default_rng(0).integers(1, 40, 200)
    batches = list(group(lengths, budget))
    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    for batch in batches:
        assert lengths[batch[0]] == lengths[batch].max()
        assert len(batch) == 1 or lengths[batch].max() * len(batch) <= budget
    assert list(group(lengths[:0], budget)) == []


def test_equal_batches_hold_texts_of_one_length_and_are_as_full_as_can_be():
    lengths = np.array([3, 5, 3, 3, 5, 3, 3])
    batches = list(equal_batches(lengths, 9))
    assert [set(lengths[batch].tolist()) for batch in batches] == [{5}, {5}, {3}, {3}]
    assert [len(batch) for batch in batches] == [1, 1, 3, 2]


def test_ids_are_put_side_by_side():
    ids, is_token, places = gather_ids(np.arange(10, 20, dtype=np.int32), np.array([0, 2, 3, 7, 10]), np.array([2, 1]))
    assert ids.tolist() == [[13, 14, 15, 16], [12, 0, 0, 0]]
    assert is_token.tolist() == [[True] * 4, [True, False, False, False]]
    assert places.tolist() == [3, 4, 5, 6, 2]


def test_batches_differ_only_by_rounding(tiny, monkeypatch):
    small = tiny.encode(TEXTS)
    monkeypatch.setattr(tiny._runtime, "budget", 1)
    assert_same(tiny.encode(TEXTS), small)


def test_chunks_give_what_one_list_gives(tiny):
    chunks = [TEXTS[:4], [], TEXTS[4:]]
    seen = []
    parts = list(tiny.encode_chunks(iter(chunks), progress=seen.append))
    assert [len(part) for part in parts] == [4, 0, 5]
    assert sum(seen) == len(TEXTS)
    for part, chunk in zip(parts, chunks, strict=True):
        alone = tiny.encode(chunk)
        np.testing.assert_array_equal(part.values, alone.values)
        np.testing.assert_array_equal(part.spans, alone.spans)
    assert list(tiny.encode_chunks([])) == []


def test_only_one_chunk_is_asked_for_ahead(tiny):
    asked = []

    def chunks():
        for text in TEXTS:
            asked.append(text)
            yield [text]

    features = tiny.encode_chunks(chunks())
    next(features)
    assert len(asked) == 2
    features.close()
    assert len(asked) == 2


def test_tokens_are_counted_as_they_are_encoded(tiny):
    texts = [*TEXTS, "好" * 500, "好\ud83d看"]
    counts = tiny.count_tokens(texts)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, tiny.encode(texts).lengths)
    assert tiny.count_tokens([]).shape == (0,)


# --- folders that cannot be used -------------------------------------------------------------------------------


def assert_refused(folder, match):
    """See that a folder is refused in one line that says why and names it, and return the line."""
    with pytest.raises(EncoderError, match=match) as caught:
        FrozenEncoder.load(str(folder))
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    assert len(message) < 500
    return message


def test_vocab_txt_serves_where_there_is_no_tokenizer_json(copied, tiny):
    vocabulary = json.loads((copied / "tokenizer.json").read_text())["model"]["vocab"]
    (copied / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)) + "\n")
    (copied / "tokenizer.json").unlink()
    texts = ["这部电影太好看了！", "Iron Man 3"]
    assert_same(FrozenEncoder.load(str(copied), precision="fp32").encode(texts), tiny.encode(texts))


def test_weights_in_parts_are_read(copied, tiny):
    model = transformers.AutoModel.from_pretrained(copied)
    (copied / "model.safetensors").unlink()
    model.save_pretrained(copied, max_shard_size="100KB")
    parts = sorted(copied.glob("model-*.safetensors"))
    assert len(parts) > 1
    encoder = FrozenEncoder.load(str(copied), precision="fp32")
    assert_same(encoder.encode(TEXTS), tiny.encode(TEXTS))
    parts[0].unlink()
    assert_refused(copied, "lacks model-00001")


def test_weights_of_a_masked_language_model_and_old_names_are_read(copied, tiny):
    """google-bert/bert-base-chinese is stored this way: with a prefix, a head, and gamma and beta."""
    weights = load_file(copied / "model.safetensors")
    old = {
        "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): part
        for name, part in weights.items()
    }
    old["cls.predictions.bias"] = torch.zeros(10)
    save_file(old, copied / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((copied / "config.json").read_text()) | {"architectures": ["BertForMaskedLM"]}
    (copied / "config.json").write_text(json.dumps(config))
    assert_same(FrozenEncoder.load(str(copied), precision="fp32").encode(TEXTS), tiny.encode(TEXTS))


def test_half_precision_checkpoints_are_read_in_full_precision(copied):
    weights = load_file(copied / "model.safetensors")
    save_file({name: part.half() for name, part in weights.items()}, copied / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    encoder = FrozenEncoder.load(str(copied), precision="fp32")
    assert {weights.dtype for weights in encoder._runtime._model.parameters()} == {torch.float32}


def test_a_pickle_is_never_loaded(copied, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (copied / "model.safetensors").unlink()
    (copied / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    assert "save_pretrained" in assert_refused(copied, "a pickle, which is never loaded")
    assert not (tmp_path / "sprung").exists()


def test_folders_that_lack_a_part_are_refused(copied, tmp_path):
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path / "empty", "has no config.json")
    assert_refused(copied / "config.json", "is a file")
    assert_refused(tmp_path / "nowhere", "no such folder")
    (copied / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    assert_refused(copied, "has no tokenizer")
    (tmp_path / "tokenizer.json").rename(copied / "tokenizer.json")
    (copied / "model.safetensors").unlink()
    assert_refused(copied, "has no model.safetensors")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{"),
        ("config.json", "[]"),
        ("config.json", '{"model_type": "no-such-model"}'),
        ("config.json", "{}"),
        ("tokenizer.json", "{}"),
        ("tokenizer.json", "not json"),
        ("model.safetensors", ""),
        ("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
    ],
)
def test_damaged_files_are_refused_in_one_line(copied, name, content):
    refused_for = "^the tokenizer of encoder " if name == "tokenizer.json" else "^encoder "
    FrozenEncoder.load(str(copied))
    (copied / name).write_text(content)
    assert_refused(copied, rf"{refused_for}\S+ cannot be loaded from ")


def test_truncated_weights_are_refused(copied):
    data = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(data[: len(data) // 2])
    assert_refused(copied, "cannot be loaded")


def test_weights_of_another_model_are_refused(copied):
    weights = load_file(copied / "model.safetensors")
    few = {name: part for name, part in weights.items() if "layer.1." not in name}
    save_file(few, copied / "model.safetensors", metadata={"format": "pt"})
    assert_refused(copied, "lack 16 parameters")


def test_a_tokenizer_of_another_model_is_refused(copied):
    config = json.loads((copied / "config.json").read_text()) | {"vocab_size": 100}
    weights = load_file(copied / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][:100].clone()
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    (copied / "config.json").write_text(json.dumps(config))
    assert_refused(copied, "do not belong together")


def test_an_encoder_with_a_decoder_is_refused(tmp_path):
    config = transformers.T5Config(vocab_size=100, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    save_encoder(tmp_path, transformers.T5Model(config), chinese_tokenizer())
    assert_refused(tmp_path, "an encoder with a decoder")


def test_a_model_of_images_is_refused(tmp_path):
    config = transformers.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    save_encoder(tmp_path, transformers.ViTModel(config), chinese_tokenizer())
    assert_refused(tmp_path, "does not turn text into states")


def test_code_of_a_folder_is_never_run(copied, tmp_path):
    config = json.loads((copied / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "trap.Mine", "AutoModel": "trap.Mine"}}
    (copied / "config.json").write_text(json.dumps(config))
    (copied / "trap.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\n")
    assert_refused(copied, "cannot be loaded")
    assert not (tmp_path / "sprung").exists()


def test_values_that_are_no_numbers_are_refused(copied):
    weights = load_file(copied / "model.safetensors")
    weights["encoder.layer.1.output.dense.bias"].fill_(float("nan"))
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    assert_refused(copied, "no numbers")


# --- the hub ----------------------------------------------------------------------------------------------------


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    """A hub that cannot be reached and an empty cache of it."""

    def unreachable(self, *args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.usefixtures("no_hub")
def test_a_hub_out_of_reach_is_one_line_with_the_way_out():
    assert "--encoder /path/to/folder" in assert_refused("google-bert/bert-base-chinese", "cannot be reached")


def test_a_model_the_hub_does_not_have_is_refused(monkeypatch):
    def missing(self, *args, **kwargs):
        raise RepositoryNotFoundError.__new__(RepositoryNotFoundError)  # made whole, it wants a response

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", missing)
    assert_refused("nobody/nothing", "the hub has no such model")


def test_a_model_of_the_hub_is_used_from_where_it_was_put(monkeypatch, tiny_encoder_folder, tiny):
    asked = {}

    def download(name, **options):
        asked.update(options, name=name)
        return str(tiny_encoder_folder)

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda self, *args, **kwargs: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    encoder = FrozenEncoder.load("somebody/tiny", precision="fp32")
    assert encoder.name == asked["name"] == "somebody/tiny"
    assert encoder.fingerprint == tiny.fingerprint
    assert not any(pattern.endswith(("bin", "pt", "h5", "py")) for pattern in asked["allow_patterns"])


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "a/b/c", "two words", "C:\\models\\bert"])
def test_a_path_that_is_none_is_not_looked_up_on_the_hub(name):
    with pytest.raises(EncoderError, match="no such folder"):
        find_folder(name)
