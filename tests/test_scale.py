import csv
import importlib
import importlib.util
import signal
import socket
import sys
import threading
import time
from functools import partial

import psutil
import pytest
import torch

from toy import planted_reviews
from xingping.batch import predict_file
from xingping.cli import run_command
from xingping.config import EngineSettings, HeadSettings, TrainingSettings
from xingping.encoders import FrozenEncoder
from xingping.errors import EncoderError, RunDirectoryError, SettingsError, UsageError
from xingping.features import FeatureStore
from xingping.predictor import CHUNK_TEXTS, RatingPredictor
from xingping.texts import TextBatches
from xingping.training import train_head

HEAD = HeadSettings(token_dim=12, n_hops=2, attention_dim=8, hidden_dim=16, dropout=0.1)
TRAINING = TrainingSettings(epochs=6, patience=6, batch_size=16, learning_rate=0.005, precision="fp32")
TWO = EngineSettings(engine="ray", workers=2)
ONE = EngineSettings(engine="ray", workers=1)


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "xingping.scale", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'xingping\[ray\]'"):
        importlib.import_module("xingping.scale")


def test_options_of_a_cluster_need_its_engine(trained_run, capsys):
    assert run_command(["predict", str(trained_run), "不错", "--ray-address", "auto"]) == 2
    assert "--engine ray" in capsys.readouterr().err
    assert run_command(["predict", str(trained_run), "不错", "--engine", "spark"]) == 2
    assert "'local' or 'ray'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def scale():
    """The package, without a cluster yet."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    return importlib.import_module("xingping.scale")


@pytest.mark.parametrize(
    ("address", "expected", "message"),
    [
        ("10.0.0.1", SettingsError, "expected auto or HOST:PORT"),
        ("ray://10.0.0.1:10001", SettingsError, "ray job submit"),
        ("127.0.0.1:{port}", UsageError, "no Ray cluster answers at 127.0.0.1.*ray start --head"),
    ],
)
def test_an_address_without_a_cluster_is_told_at_once(scale, address, expected, message):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]  # nobody listens there, for listen() is not called
        with pytest.raises(expected, match=message):
            scale.connect(EngineSettings(engine="ray", ray_address=address.format(port=port)))


@pytest.fixture(scope="module")
def cluster(scale):
    """A cluster of two CPUs on this machine."""
    scale.connect(TWO)
    yield scale
    scale.disconnect()


@pytest.fixture(scope="module")
def encoder(tiny_encoder_folder):
    return FrozenEncoder.load(str(tiny_encoder_folder), precision="fp32", device="cpu")


@pytest.fixture
def texts(trained_run):
    return TextBatches.parquet(trained_run / "reviews.parquet")


def open_store(encoder, root):
    """Open a store of small shards, so that there are several."""
    return FeatureStore(encoder.fingerprint, root, shard_texts=32)


def contents(store):
    return {path.name: path.read_bytes() for path in store.folder.iterdir()}


def kill_one(title):
    """Kill one of the cluster's processes of this kind as the kernel does where memory runs out."""
    found = [process for process in psutil.Process().children(recursive=True) if title in " ".join(process.cmdline())]
    found[0].send_signal(signal.SIGKILL)


def test_a_killed_worker_is_replaced_and_the_store_is_that_of_one_machine(cluster, encoder, texts, tmp_path):
    alone, together = open_store(encoder, tmp_path / "alone"), open_store(encoder, tmp_path / "together")
    expected = alone.encode(encoder, texts)
    done = []

    def watch(count):
        if not done:
            kill_one("ray::MapWorker")
        done.append(count)

    assert cluster.encode_on_ray(together, encoder, texts, engine=TWO, progress=watch) == expected
    assert len(done) >= 6
    assert sum(done) == expected
    assert contents(together) == contents(alone)
    assert cluster.encode_on_ray(together, encoder, texts, engine=TWO) == 0


def test_what_fails_in_a_worker_keeps_its_class_and_its_line(cluster, tiny_encoder_folder, texts, tmp_path):
    folder = tmp_path / "encoder"
    folder.symlink_to(tiny_encoder_folder)
    encoder = FrozenEncoder.load(str(folder), precision="fp32", device="cpu")
    folder.unlink()
    with pytest.raises(EncoderError, match=str(folder)):
        cluster.encode_on_ray(open_store(encoder, tmp_path), encoder, texts, engine=ONE)


def test_more_workers_than_the_cluster_has_room_for_are_refused(cluster, encoder, texts, tmp_path):
    engine = EngineSettings(engine="ray", workers=3)
    with pytest.raises(SettingsError, match="3 workers need as many CPUs, and the cluster has 2"):
        cluster.encode_on_ray(open_store(encoder, tmp_path), encoder, texts, engine=engine)


@pytest.fixture(scope="module")
def splits(trained_run, encoder, tmp_path_factory):
    """What gives the splits of the run, with features of their own."""
    store = open_store(encoder, tmp_path_factory.mktemp("store"))
    store.encode(encoder, TextBatches.parquet(trained_run / "reviews.parquet"))
    scale = importlib.import_module("xingping.scale")
    return partial(scale.stored_splits, trained_run / "reviews.parquet", store)


def train_alone(splits, training):
    return train_head("classification", *splits(), HEAD, training, seed=1)


def train_together(cluster, splits, training, engine, folder):
    checkpoint = folder / "checkpoint"
    return cluster.train_on_ray(
        "classification", splits, HEAD, training, seed=1, folder=folder, engine=engine, checkpoint=checkpoint
    )


def losses(trained):
    return [(epoch.train_loss, epoch.valid_loss) for epoch in trained.epochs]


def test_a_worker_killed_in_training_goes_on_to_what_one_machine_gives(cluster, splits, tmp_path):
    long = TRAINING.model_copy(update={"epochs": 300, "patience": 300, "learning_rate": 1e-4})
    seen = []

    def kill_in_the_middle():
        while not (tmp_path / "checkpoint").exists():
            time.sleep(0.01)
        kill_one("ray::RayTrainWorker")
        seen.append((tmp_path / "checkpoint").exists())

    killer = threading.Thread(target=kill_in_the_middle, daemon=True)
    killer.start()
    trained = train_together(cluster, splits, long, ONE, tmp_path)
    alone = train_alone(splits, long)
    assert seen == [True]
    assert losses(trained) == losses(alone)
    assert trained.best_epoch == alone.best_epoch
    for name, value in alone.head.state_dict().items():
        assert torch.equal(trained.head.state_dict()[name], value), name
    assert list(tmp_path.iterdir()) == []


def test_two_workers_train_nearly_the_same_head(cluster, splits, tmp_path):
    trained, alone = train_together(cluster, splits, TRAINING, TWO, tmp_path), train_alone(splits, TRAINING)
    for epoch, expected in zip(trained.epochs, alone.epochs, strict=True):
        assert epoch.valid_loss == pytest.approx(expected.valid_loss, rel=1e-3)


def test_a_split_that_cannot_be_read_ends_the_training_with_its_own_error(cluster, encoder, tmp_path):
    splits = partial(cluster.stored_splits, tmp_path / "nothing.parquet", open_store(encoder, tmp_path))
    with pytest.raises(RunDirectoryError, match=r"nothing\.parquet is missing"):
        cluster.train_on_ray("regression", splits, HEAD, TRAINING, seed=1, folder=tmp_path, engine=ONE)


def test_a_table_rated_by_a_cluster_is_the_file_that_one_machine_writes(cluster, trained_run, tmp_path):
    texts, _ = planted_reviews(CHUNK_TEXTS + 300, seed=5)
    rows = [(number, text) for number, text in enumerate([*texts, "", "=1+1", *texts[:50]])]
    with (tmp_path / "in.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "text"), *rows])
        file.write('broken,"line')
    predictor = RatingPredictor.load(trained_run)
    summary = predict_file(predictor, tmp_path / "in.csv", tmp_path / "alone.csv")
    arguments = ["--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / "together.csv"), "--quiet"]
    assert run_command(["predict", str(trained_run), *arguments, "--engine", "ray", "--workers", "2"]) == 0
    assert (tmp_path / "together.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
    assert (summary.rows, summary.unrated) == (len(rows) + 1, 2)


def test_stages_on_a_cluster_leave_the_model_that_one_machine_leaves(
    cluster, trained_run, tiny_encoder_folder, reviews_file, tmp_path, isolated_cache
):
    run, ray = str(tmp_path / "run"), ["--engine", "ray", "--workers", "1", "--quiet"]
    assert run_command(["prepare", str(reviews_file), "--out", run, "--quiet"]) == 0
    assert run_command(["encode", run, "--encoder", str(tiny_encoder_folder), *ray]) == 0
    training = ["--epochs", "20", "--patience", "20", "--batch-size", "16", "--learning-rate", "0.005"]
    assert run_command(["train", run, "--tasks", "classification", *training, "--dropout", "0.1", *ray]) == 0
    model = "models/classification/head.safetensors"
    assert (tmp_path / "run" / model).read_bytes() == (trained_run / model).read_bytes()
    assert (tmp_path / "run" / "models/classification/model.json").read_bytes() == (
        trained_run / "models/classification/model.json"
    ).read_bytes()
    assert sorted(path.name for path in (tmp_path / "run" / "models/classification").iterdir()) == [
        "head.safetensors", "history.json", "model.json", "neighbours.parquet", "ngrams.safetensors"
    ]  # fmt: skip


def test_a_table_without_texts_needs_no_worker(cluster, trained_run, tmp_path):
    (tmp_path / "in.csv").write_text("text,id\n,1\n", encoding="utf-8")
    summary = cluster.predict_on_ray(trained_run, tmp_path / "in.csv", tmp_path / "out.csv", engine=TWO)
    assert (summary.rows, summary.unrated) == (1, 1)
