"""Exported models rate as the runs that they come from."""

import json
import pickle
import shutil

import numpy as np
import onnxruntime
import pytest
import torch

from toy import BAD, GOOD, planted_reviews
from xingping import FrozenEncoder, RatingPredictor, explain
from xingping.artifacts import file_sha256
from xingping.batch import predict_file
from xingping.calibration import Blend, FilmMeans, LinearBlend, PredictionSets
from xingping.cli import run_command
from xingping.config import (
    AnswerSettings,
    CleaningSettings,
    EncoderSettings,
    ExportSettings,
    FeatureSettings,
    FinetuneSettings,
    HeadSettings,
    NgramSettings,
    SegmentationSettings,
)
from xingping.encoders.hardware import has_int8
from xingping.encoders.tokenization import tokenize
from xingping.errors import EncoderError, OutputError, RunDirectoryError, SettingsError
from xingping.exporting import ODD_TEXTS, export_model
from xingping.heads import RatingHead
from xingping.links import n_scores
from xingping.model_card import MODEL_FORMAT, Calibration, ModelCard
from xingping.ngrams import NgramModel
from xingping.rating_graph import write_rating_graph
from xingping.segmentation import Segmenter

TEXTS = [
    f"片子里的人{GOOD}看过了",
    f"都{BAD}看过",
    "！！！",
    f"片子里{GOOD}",
    "人和事都看过了" * 60,
    "片子 " * 9,
    *ODD_TEXTS,
]

FP32 = ExportSettings(precision="fp32", tolerance=0)

MODELS = {
    "classification": {},
    "regression": {"task": "regression"},
    "coral": {"task": "ordinal", "ordinal": "coral"},
    "corn": {"task": "ordinal", "ordinal": "corn"},
    "no layer on tokens": {"token_dim": 0},
    "mean": {"pooling": "mean"},
    "max": {"pooling": "max"},
    "cls": {"pooling": "cls"},
    "everything": {
        "pooling": ("self_attention", "mean", "max", "cls"), "members": 2, "layers": (1, 2), "layer_mix": "learned",
    },
    "everything but a layer on tokens": {
        "pooling": ("self_attention", "mean", "max", "cls"), "members": 2, "layers": (1, 2), "layer_mix": "learned",
        "token_dim": 0,
    },
    "layers": {"layers": (2, 1), "members": 3, "task": "regression"},
    "words": {"unit": "word", "pooling": ("self_attention", "mean", "max", "cls")},
    "words of regression": {"unit": "word", "layers": (1, 2), "task": "regression"},
    "head alone": {"with_ngrams": False},
    "uncalibrated": {"calibrated": False},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """One cache for the module, so that each graph of an encoder is made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XINGPING_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def few_samples(monkeypatch):
    monkeypatch.setattr("xingping.exporting.sample_texts", lambda: TEXTS[:4])


@pytest.fixture(scope="module")
def ngrams():
    texts, ratings = planted_reviews(200, 0)
    return NgramModel.fit(texts, ratings, NgramSettings(), Segmenter())


@pytest.fixture(scope="module")
def make(tiny_encoder_folder, ngrams):
    """Return a function that makes a random model on the tiny encoder, whose answers are far apart."""

    def build(task="classification", *, layers=(2,), unit="token", with_ngrams=True, calibrated=True,
              encoder=tiny_encoder_folder, **head):  # fmt: skip
        frozen = FrozenEncoder.load(str(encoder), precision="fp32", runtime="onnx", layers=layers, max_length=64)
        settings = HeadSettings.parse(
            {"token_dim": 12, "n_hops": 3, "attention_dim": 8, "hidden_dim": 24, "members": 1} | head
        )
        with torch.random.fork_rng():
            torch.manual_seed(1)
            trained = RatingHead(frozen.dim, settings, (task,), len(layers))
            for name, weight in trained.named_parameters():
                if weight.ndim == 1 or "mix" in name:
                    torch.nn.init.normal_(weight, std=0.5)
                if "output" in name and weight.ndim == 2:
                    torch.nn.init.normal_(weight, std=0.4)
            trained.standardise.mean.normal_()
            trained.standardise.scale.uniform_(0.5, 2)
        if task == "regression":
            with torch.no_grad():
                for member in range(settings.members):
                    trained.output(task, member).bias.fill_(3)
        parts = 1 + with_ngrams
        blend, sets = (
            Blend(weights=(0.9, 0.8)[:parts], bias=(0.1, 0, -0.2, 0, 0.1)),
            PredictionSets(coverage=0.9, threshold=0.05),
        )
        if task == "regression":
            blend, sets = LinearBlend(weights=(0.6, 0.5)[:parts], bias=0.1), None
        films = FilmMeans(bias=0, within=1, between=0, films=1)
        used = EncoderSettings(name=str(encoder), layers=frozen.layers, precision="fp32", runtime="onnx", max_length=64)
        card = ModelCard(
            format=MODEL_FORMAT, task=task, encoder=used, encoder_fingerprint=frozen.fingerprint,
            features=FeatureSettings(unit=unit), dim=frozen.dim, head=settings, cleaning=CleaningSettings(),
            segmentation=SegmentationSettings(), answers=AnswerSettings(),
            ngrams=NgramSettings() if with_ngrams else NgramSettings(characters=0, words=0),
            calibration=Calibration(blend=blend, sets=sets, films=films) if calibrated else None,
        )  # fmt: skip
        return RatingPredictor.of_head(card, trained, ngrams=ngrams if with_ngrams else None, encoder=frozen)

    return build


def assert_same(found, expected, atol=2e-5):
    np.testing.assert_allclose(found.expected, expected.expected, atol=atol)
    np.testing.assert_array_equal(found.rating, expected.rating)
    assert (found.probabilities is None) == (expected.probabilities is None)
    if found.probabilities is not None:
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=atol)
    assert (found.sets is None) == (expected.sets is None)
    if found.sets is not None:
        np.testing.assert_array_equal(found.sets, expected.sets)
    assert (found.attention is None) == (expected.attention is None)
    for ours, theirs in zip(found.attention or (), expected.attention or (), strict=True):
        np.testing.assert_array_equal(ours.spans, theirs.spans)
        np.testing.assert_allclose(ours.weights, theirs.weights, atol=1e-4)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_graph_rates_as_the_model_it_was_made_from(make, few_samples, tmp_path, model):
    predictor = make(**model)
    agreement = export_model(predictor, tmp_path / "out", FP32)
    assert agreement.same_rating == 1
    again = RatingPredictor.load(tmp_path / "out")
    expected = predictor.predict(TEXTS, attention=True)
    assert len(set(expected.expected.round(3))) > 4  # the answers differ, so that it means something
    assert_same(again.predict(TEXTS, attention=True), expected)
    np.testing.assert_allclose(again.text_vectors(TEXTS), predictor.text_vectors(TEXTS), atol=1e-3)
    for text, rating in zip(TEXTS, expected.expected, strict=True):
        assert again.predict([text]).expected[0] == pytest.approx(rating, abs=2e-5)
    assert len(again.predict([])) == 0


def inputs_of(predictor, texts):
    """Return what the graph takes, padded side by side, as another program would make it."""
    tokenizer = predictor.encoder.tokenizer
    tokens = [tokenizer.encode(text) for text in texts]
    longest = max(len(one.ids) for one in tokens)

    def padded(values, fill):
        return np.array([[*of_text, *[fill] * (longest - len(of_text))] for of_text in values], dtype=np.int64)

    return {
        "input_ids": padded([one.ids for one in tokens], 0),
        "attention_mask": padded([one.attention_mask for one in tokens], 0),
        "special_tokens_mask": padded([one.special_tokens_mask for one in tokens], 1),
    }


@pytest.mark.parametrize("name", ["classification", "regression", "coral", "corn", "everything", "no layer on tokens"])
def test_the_graph_alone_says_what_the_head_says_with_texts_padded_side_by_side(make, few_samples, tmp_path, name):
    predictor = make(**MODELS[name])
    export_model(predictor, tmp_path / "out", FP32)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    texts = predictor.clean(TEXTS)
    outputs = [output.name for output in session.get_outputs()]
    found = dict(zip(outputs, session.run(None, inputs_of(predictor, texts)), strict=True))
    alone = predictor.card.model_copy(update={"calibration": None, "ngrams": NgramSettings(characters=0, words=0)})
    expected = RatingPredictor(alone, predictor.scorer).predict(TEXTS)
    if predictor.task == "regression":
        np.testing.assert_allclose(found["expected"].clip(1, 5), expected.expected, atol=1e-3)
    else:
        np.testing.assert_allclose(found["probabilities"], expected.probabilities, atol=3e-4)
    assert found["scores"].shape == (len(texts), n_scores(predictor.task))
    assert found["vector"].shape == (len(texts), predictor.head.vector_dim)
    hops = predictor.head.settings.members * 3
    assert found["attention"].shape == (len(texts), hops, 64)
    sums = found["attention"].sum(axis=2)
    np.testing.assert_allclose(sums[[bool(text) for text in texts]], 1, rtol=1e-4)
    assert not sums[texts.index("")].any()


@pytest.fixture(scope="module")
def exported_run(trained_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "model"
    assert run_command(["export", str(trained_run), "--out", str(folder), "--precision", "fp32", "--with-reviews"]) == 0
    return folder


def test_the_command_exports_a_run_with_all_that_a_service_shows(trained_run, exported_run, tmp_path, capsys):
    assert {path.name for path in exported_run.iterdir()} == {
        "README.md", "graph.json", "metrics.json", "model.json", "model.onnx", "model.onnx.data", "neighbours.parquet",
        "ngrams.safetensors", "requirements.txt", "tokenizer.json",
    }  # fmt: skip
    expected = RatingPredictor.load(trained_run).predict(TEXTS, attention=True)
    assert_same(RatingPredictor.load(exported_run).predict(TEXTS, attention=True), expected)
    assert run_command(["export", str(trained_run), "--task", "regression", "--precision", "fp32"]) == 0
    shown = capsys.readouterr().out
    folder = trained_run / "export" / "regression-onnx"
    assert f"Exported: {folder}" in shown
    assert "gives 100.00% of 8" in shown
    again, run = RatingPredictor.load(folder), RatingPredictor.load(trained_run, task="regression")
    assert_same(again.predict(TEXTS, attention=True), run.predict(TEXTS, attention=True))
    assert not (folder / "neighbours.parquet").exists()
    shutil.rmtree(trained_run / "export")
    note = json.loads((exported_run / "graph.json").read_text(encoding="utf-8"))
    assert note["agreement"]["same_rating"] == 1
    assert note["agreement"]["texts"] > 800


@pytest.mark.skipif(not has_int8(), reason="this processor does not multiply 8-bit integers exactly")
def test_eight_bits_are_the_default(make, tmp_path):
    predictor = make()
    agreement = export_model(predictor, tmp_path / "int8", ExportSettings(tolerance=1))
    again = RatingPredictor.load(tmp_path / "int8")
    assert again.card.encoder.precision == "int8"
    assert agreement.same_rating > 0.9
    assert 0 < agreement.largest_difference < 1
    np.testing.assert_allclose(again.predict(TEXTS).expected, predictor.predict(TEXTS).expected, atol=0.5)


def test_a_graph_that_rates_otherwise_is_not_kept(make, few_samples, tmp_path, monkeypatch):
    def upside_down(encoder, card, weights):
        name = "members.0.outputs.classification.bias"
        return write_rating_graph(encoder, card, weights | {name: weights[name] + np.float32([40, 0, 0, 0, -40])})

    monkeypatch.setattr("xingping.exporting.write_rating_graph", upside_down)
    predictor = make()
    with pytest.raises(
        SettingsError, match=r"rates \d of 9 sample reviews otherwise .*, more than 0\.0%; allow more with"
    ):
        export_model(predictor, tmp_path / "out", FP32)
    assert not (tmp_path / "out").exists()
    agreement = export_model(predictor, tmp_path / "out", ExportSettings(precision="fp32", tolerance=1))
    assert agreement.same_rating < 1
    for module in ("exporting", "graph_scorer"):
        monkeypatch.setattr(f"xingping.{module}.has_int8", lambda: True)
    with pytest.raises(
        SettingsError, match=r"otherwise than the run, more than 0\.0%; choose --precision fp32, or allow"
    ):
        export_model(predictor, tmp_path / "exact", ExportSettings(tolerance=0))
    assert not (tmp_path / "exact").exists()


def test_eight_bits_need_a_processor_that_multiplies_them(make, few_samples, tmp_path, monkeypatch):
    monkeypatch.setattr("xingping.exporting.has_int8", lambda: False)
    with pytest.raises(SettingsError, match="has no VNNI; choose --precision fp32"):
        export_model(make(), tmp_path / "out")
    export_model(make(), tmp_path / "out", FP32)
    note = tmp_path / "out" / "graph.json"
    note.write_text(note.read_text(encoding="utf-8").replace('"fp32"', '"int8"'), encoding="utf-8")
    monkeypatch.setattr("xingping.graph_scorer.has_int8", lambda: False)
    with pytest.raises(SettingsError, match="export the model with --precision fp32"):
        RatingPredictor.load(tmp_path / "out")


def test_an_explanation_without_gradients_is_that_of_the_run(trained_run, exported_run, capsys):
    run, again = RatingPredictor.load(trained_run), RatingPredictor.load(exported_run)
    for ours, theirs in zip(explain(again, TEXTS[:3]), explain(run, TEXTS[:3]), strict=True):
        assert ours.baseline is None
        for word, of_run in zip(ours.words, theirs.words, strict=True):
            assert word.gradient is None
            assert (word.word, word.start, word.end) == (of_run.word, of_run.start, of_run.end)
            assert word.effect == pytest.approx(of_run.effect, abs=1e-3)
            assert word.weight == pytest.approx(of_run.weight, abs=1e-3)
    with pytest.raises(SettingsError, match="an exported model has no gradients"):
        explain(again, TEXTS[:1], gradients=True)
    assert run_command(["explain", str(exported_run), GOOD]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert "an exported model has no gradients" in shown.err
    assert "occlusion" in shown.out
    assert run_command(["explain", str(exported_run), GOOD, "--method", "gradients"]) == 2
    assert "an exported model has no gradients" in capsys.readouterr().err


@pytest.mark.parametrize(("method", "value"), [(None, ""), ("occlusion", "effect"), ("attention", "weight")])
def test_a_table_has_the_ratings_and_words_of_the_run(trained_run, exported_run, tmp_path, method, value):
    rows = "".join(f"{number},{text}\n" for number, text in enumerate([*TEXTS[:4], TEXTS[0], ""]))
    (tmp_path / "in.csv").write_text(f"id,text\n{rows}", encoding="utf-8")
    for name, folder in (("run", trained_run), ("graph", exported_run)):
        predict_file(RatingPredictor.load(folder), tmp_path / "in.csv", tmp_path / f"{name}.jsonl", explain=method)
    of_run, of_graph = (
        [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("run", "graph")
    )
    assert len(of_graph) == 6
    for ours, theirs in zip(of_graph, of_run, strict=True):
        words, expected = ours.pop("predicted_words", None), theirs.pop("predicted_words", None)
        assert ours == pytest.approx(theirs, abs=1e-3)
        assert (words is None) == (expected is None)
        for word, of_word in zip(words or (), expected or (), strict=True):
            assert word["word"] == of_word["word"]
            assert word[value] == pytest.approx(of_word[value], abs=1e-3)
    assert [row["predicted_rating"] is None for row in of_graph] == [False] * 5 + [True]


@pytest.mark.parametrize("options", [["--explain"], ["--explain", "--method", "gradients"], ["--keep-features"]])
def test_features_and_gradients_of_a_table_are_refused_in_one_line(exported_run, tmp_path, capsys, options):
    (tmp_path / "in.csv").write_text(f"text\n{GOOD}\n", encoding="utf-8")
    table = ["--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / "out.csv")]
    assert run_command(["predict", str(exported_run), *table, *options]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "an exported model has no gradients and no features to keep" in told
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_what_a_graph_does_not_give_is_told(exported_run, tmp_path):
    again = RatingPredictor.load(exported_run)
    for ask in (lambda: again.head, lambda: again.encoder, lambda: again.encode(["好"])):
        with pytest.raises(SettingsError, match="neither features nor gradients"):
            ask()
    with pytest.raises(SettingsError, match="is a graph already; copy its folder"):
        export_model(again, tmp_path / "out")
    with pytest.raises(RunDirectoryError, match="holds a model for classification"):
        RatingPredictor.load(exported_run, task="regression")


def test_a_graph_is_saved_and_pickled(exported_run, tmp_path):
    again = RatingPredictor.load(exported_run)
    expected = again.predict(TEXTS)
    again.save(tmp_path / "copy")
    assert_same(RatingPredictor.load(tmp_path / "copy").predict(TEXTS), expected, atol=0)
    assert_same(pickle.loads(pickle.dumps(again)).predict(TEXTS), expected, atol=0)
    again.save(exported_run)
    assert_same(RatingPredictor.load(exported_run).predict(TEXTS), expected, atol=0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.onnx", None, r"cannot read .*model\.onnx: .*; export the model again"),
        ("model.onnx.data", None, r"cannot read .*model\.onnx\.data"),
        ("tokenizer.json", None, r"cannot read .*tokenizer\.json"),
        ("ngrams.safetensors", None, r"cannot load .*ngrams\.safetensors"),
        ("model.json", None, "holds no model"),
        ("model.onnx", b"", r"model\.onnx is damaged"),
        ("model.onnx.data", b"\0" * 99, r"model\.onnx\.data is damaged"),
        ("tokenizer.json", b"{}", r"tokenizer\.json is damaged"),
        ("ngrams.safetensors", b"short", r"cannot load .*ngrams\.safetensors"),
        ("model.json", b"{", r"model\.json is not valid JSON"),
        ("model.json", b"[]", "is of format None"),
        ("graph.json", b"{", r"graph\.json is not valid JSON"),
        ("graph.json", b'{"format": 99}', "is of format 99, this xingping reads format 1; export the model again"),
        ("graph.json", b'{"format": 1}', "setting precision: Field required"),
    ],
)
def test_what_is_missing_or_damaged_is_one_line(exported_run, tmp_path, name, content, message, capsys):
    folder = shutil.copytree(exported_run, tmp_path / "copy")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises((RunDirectoryError, SettingsError), match=message):
        RatingPredictor.load(folder)
    assert run_command(["predict", str(folder), "好"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_graph_that_is_none_is_told(exported_run, tmp_path):
    folder = shutil.copytree(exported_run, tmp_path / "copy")
    (folder / "model.onnx").write_bytes(b"no graph at all")
    note = json.loads((folder / "graph.json").read_text(encoding="utf-8"))
    again = RatingPredictor.load(exported_run)
    note["files"]["model.onnx"] = file_sha256(folder / "model.onnx")
    (folder / "graph.json").write_text(json.dumps(note), encoding="utf-8")
    with pytest.raises(RunDirectoryError, match=r"cannot open .*model\.onnx"):
        RatingPredictor.load(folder)
    assert again.predict(["好"]).rating[0] in range(1, 6)


def test_nothing_but_an_export_is_replaced(make, few_samples, trained_run, tmp_path):
    predictor = make()
    for folder in (trained_run, trained_run / "models" / "classification"):
        with pytest.raises(OutputError, match="holds something else than an exported model"):
            export_model(predictor, folder, FP32)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        export_model(predictor, tmp_path / "file", FP32)
    export_model(predictor, tmp_path / "out", FP32)
    first = RatingPredictor.load(tmp_path / "out").card.task
    export_model(make(task="regression"), tmp_path / "out", FP32)
    assert (first, RatingPredictor.load(tmp_path / "out").card.task) == ("classification", "regression")


def test_a_fine_tuned_encoder_is_in_the_graph(make, few_samples, tiny_encoder_folder, tmp_path):
    predictor = make()
    bundle = tmp_path / "run" / "models" / "classification"
    tuned = predictor.card.model_copy(
        update={"finetuning": FinetuneSettings(mode="full"), "encoder": predictor.card.encoder.model_copy(
            update={"name": "nobody/no-such-encoder"})}
    )  # fmt: skip
    shutil.copytree(tiny_encoder_folder, tmp_path / "run" / "encoder")
    RatingPredictor(tuned, predictor.scorer, ngrams=predictor.ngrams).save(bundle)
    of_run = RatingPredictor.load(tmp_path / "run")
    export_model(of_run, tmp_path / "out", FP32)
    shutil.rmtree(tmp_path / "run")
    assert not (tmp_path / "out" / "encoder").exists()
    assert_same(RatingPredictor.load(tmp_path / "out").predict(TEXTS), predictor.predict(TEXTS))
    with pytest.raises(EncoderError, match="has a fine-tuned encoder, which is not with it"):
        export_model(RatingPredictor(tuned, of_run.scorer, bundle=bundle), tmp_path / "again", FP32)


def test_an_encoder_of_another_shape_cannot_be_a_graph(make, tmp_path, monkeypatch):
    predictor = make()
    monkeypatch.setattr("xingping.encoders.post_norm.FAMILY", frozenset())
    monkeypatch.setenv("XINGPING_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SettingsError, match="bert is not of BERT's shape; choose --format hub"):
        export_model(predictor, tmp_path / "out", FP32)


def test_texts_are_cut_where_the_run_cuts_them(make, few_samples, tmp_path):
    predictor = make()
    export_model(predictor, tmp_path / "out", FP32)
    again = RatingPredictor.load(tmp_path / "out")
    long = "好看" * 2500
    attention = again.predict([long], attention=True).attention[0]
    assert attention.weights.shape[1] == 62
    tokens = tokenize(predictor.encoder.tokenizer, [long])
    assert tokens.n_truncated == 1
    assert again.predict([long]).expected[0] == pytest.approx(predictor.predict([long]).expected[0], abs=2e-5)


@pytest.mark.bundled
@pytest.mark.skipif(not has_int8(), reason="this processor does not multiply 8-bit integers exactly")
def test_the_bundled_encoder_in_eight_bits(make, ngrams, tmp_path):
    encoder = FrozenEncoder.load("bundled", precision="int8", layers=(3, 4), max_length=128)
    base = make()
    settings = HeadSettings(n_hops=4, attention_dim=16, hidden_dim=32)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        head = RatingHead(encoder.dim, settings, ("classification",), 2)
        torch.nn.init.normal_(head.output("classification").weight, std=0.4)
    used = EncoderSettings(layers=(3, 4), precision="int8", runtime="onnx", max_length=128)
    card = base.card.model_copy(
        update={"encoder": used, "encoder_fingerprint": encoder.fingerprint, "dim": encoder.dim, "head": settings}
    )
    predictor = RatingPredictor.of_head(card, head, ngrams=ngrams, encoder=encoder)
    agreement = export_model(predictor, tmp_path / "out")
    assert agreement.largest_difference < 1e-3
    expected = predictor.predict(TEXTS)
    found = RatingPredictor.load(tmp_path / "out").predict(TEXTS)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)
