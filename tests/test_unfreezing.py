import numpy as np
import pytest
import torch
from transformers import AlbertConfig, AlbertModel, AutoModel, BertConfig, BertModel

from conftest import chinese_tokenizer, save_encoder
from xingping.config import EncoderSettings, FinetuneSettings
from xingping.encoders import FrozenEncoder
from xingping.errors import OutputError, SettingsError
from xingping.unfreezing import TrainableEncoder, layer_of


def trainable(folder, mode="full", layers=None, **settings):
    return TrainableEncoder(EncoderSettings(name=str(folder), layers=layers), FinetuneSettings(mode=mode, **settings))


@pytest.fixture(scope="module")
def deep_folder(tmp_path_factory):
    """Folder of a random BERT of four layers."""
    tokenizer = chinese_tokenizer()
    sizes = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertModel(BertConfig(vocab_size=tokenizer.get_vocab_size(), **sizes))
    return save_encoder(tmp_path_factory.mktemp("deep"), model, tokenizer)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("embeddings.word_embeddings.weight", 0),
        ("embeddings.LayerNorm.bias", 0),
        ("encoder.layer.0.attention.self.query.weight", 1),
        ("encoder.layer.11.output.dense.weight", 12),
        ("layers.3.mlp.Wi.weight", 4),
        ("transformer.layer.2.attention.q_lin.weight", 3),
        ("final_norm.weight", 12),
    ],
)
def test_a_weight_names_its_layer(name, layer):
    assert layer_of(name, 12) == layer


def test_rates_fall_from_layer_to_layer(deep_folder):
    rates = trainable(deep_folder, learning_rate=1e-3, layer_decay=0.5, weight_decay=0.1).unfreeze()
    assert rates["encoder.layer.3.output.dense.weight"] == (1e-3, 0.1)
    assert rates["encoder.layer.2.output.dense.bias"] == (5e-4, 0.0)
    assert rates["encoder.layer.0.attention.self.query.weight"] == (1.25e-4, 0.1)
    assert rates["embeddings.word_embeddings.weight"] == (6.25e-5, 0.1)
    assert rates["embeddings.LayerNorm.weight"] == (6.25e-5, 0.0)


@pytest.mark.parametrize(("mode", "peak"), [("full", 1e-4), ("top-2", 1e-4), ("lora", 5e-4)])
def test_each_way_has_its_own_rate(deep_folder, mode, peak):
    assert max(rate.peak for rate in trainable(deep_folder, mode).unfreeze().values()) == peak


@pytest.mark.parametrize(
    ("mode", "layers", "opened"),
    [
        ("full", None, {0, 1, 2, 3, 4}),
        ("full", (1, 3), {0, 1, 2, 3}),
        ("top-1", None, {4}),
        ("top-2", (3,), {2, 3}),
        ("top-4", None, {1, 2, 3, 4}),
        ("lora", (2,), {1, 2}),
    ],
)
def test_each_way_opens_its_layers(deep_folder, mode, layers, opened):
    encoder = trainable(deep_folder, mode, layers)
    rates = encoder.unfreeze()
    assert {layer_of(name, encoder.last) for name in rates} == opened
    assert all(("lora_" in name) == (mode == "lora") for name in rates)
    assert {name for name, weights in encoder.model.named_parameters() if weights.requires_grad} == set(rates)


def test_dropout_is_that_of_the_settings_and_none_is_on_attention_weights(deep_folder):
    encoder = trainable(deep_folder, dropout=0.3)
    names = [name for name, module in encoder.model.named_modules() if isinstance(module, torch.nn.Dropout)]
    encoder.unfreeze()
    rates = {name: dropout_rate(encoder.model.get_submodule(name)) for name in names}
    assert {rates.pop(name) for name in list(rates) if name.endswith("self.dropout")} == {0.0}
    assert set(rates.values()) == {0.3}
    encoder.merge()
    assert {type(encoder.model.get_submodule(name)) for name in names} == {torch.nn.Dropout}


def dropout_rate(module):
    return module.p if isinstance(module, torch.nn.Dropout) else module.rate


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.99])
def test_dropout_leaves_out_its_share_and_follows_from_its_seed(deep_folder, rate, dtype):
    encoder = trainable(deep_folder, dropout=rate)
    encoder.unfreeze()
    module = encoder.model.get_submodule("embeddings.dropout").train()
    values = torch.ones(301, 333, dtype=dtype, requires_grad=True)
    dropped = []
    for seed in (0, 0, 1):
        encoder.seed_dropout(np.random.SFC64([seed]))
        dropped.append(module(values))
    assert torch.equal(dropped[0], dropped[1])
    assert not torch.equal(dropped[0], dropped[2])
    assert not torch.equal(dropped[2], module(values)), "the draws of one step differ"
    kept = dropped[0] != 0
    assert kept.float().mean() == pytest.approx(1 - rate, abs=0.005)
    assert dropped[0][kept].unique().tolist() == pytest.approx([1 / (1 - rate)], rel=0.01)
    dropped[0].sum().backward()
    assert torch.equal(values.grad, dropped[0])
    assert module.eval()(values) is values


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_what_is_saved_is_an_encoder_like_any_other(deep_folder, mode, tmp_path):
    encoder = trainable(deep_folder, mode, (1, 3))
    encoder.unfreeze()
    with torch.no_grad():
        for name, weights in encoder.model.named_parameters():
            if weights.requires_grad and weights.ndim > 1 and "embeddings" not in name:
                weights.add_(0.05 * torch.randn_like(weights))
    texts = ["画面很美", "", "烂"]
    expected = encoder.encode(texts)
    encoder.merge()
    torch.testing.assert_close(
        torch.from_numpy(encoder.encode(texts).values), torch.from_numpy(expected.values), atol=4e-3, rtol=0
    )
    encoder.save(tmp_path / "tuned")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tuned"]
    loaded = FrozenEncoder.load(str(tmp_path / "tuned"), layers=(1, 3), precision="fp32")
    frozen = FrozenEncoder.load(str(deep_folder), layers=(1, 3), precision="fp32")
    torch.testing.assert_close(
        torch.from_numpy(loaded.encode(texts).values), torch.from_numpy(encoder.encode(texts).values)
    )
    assert loaded.fingerprint != frozen.fingerprint
    assert len(AutoModel.from_pretrained(tmp_path / "tuned").encoder.layer) == 3  # the fourth is not used


def test_an_old_folder_is_replaced_and_an_impossible_one_told(deep_folder, tmp_path):
    encoder = trainable(deep_folder)
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "old").touch()
    encoder.save(tmp_path / "tuned")
    assert not (tmp_path / "tuned" / "old").exists()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        encoder.save(tmp_path / "file" / "tuned")


def test_more_layers_than_there_are(deep_folder):
    with pytest.raises(SettingsError, match=r"--finetune top-5: .* 4 layers are used; give top-1 to top-4, or full"):
        trainable(deep_folder, "top-5")
    with pytest.raises(SettingsError, match="give top-1 to top-2"):
        trainable(deep_folder, "top-3", layers=(2,))


def test_shared_layers_have_no_last_ones(tmp_path):
    tokenizer = chinese_tokenizer()
    sizes = {"embedding_size": 8, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    model = AlbertModel(AlbertConfig(vocab_size=tokenizer.get_vocab_size(), num_hidden_layers=3, **sizes))
    folder = save_encoder(tmp_path / "albert", model, tokenizer)
    assert trainable(folder, "full").unfreeze()
    with pytest.raises(SettingsError, match="share their weights or hide them; choose full or lora"):
        trainable(folder, "top-1").unfreeze()


def test_without_peft_lora_says_what_to_install(deep_folder, monkeypatch):
    monkeypatch.setattr("xingping.unfreezing.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"needs peft; run: pip install 'xingping\[finetune\]'"):
        trainable(deep_folder, "lora")
    assert trainable(deep_folder, "full").unfreeze()
