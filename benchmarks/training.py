"""One epoch of training on stored features beside the PyTorch way of a tutorial, and on stores of several sizes.

    python benchmarks/training.py --data ../shared/data/dmsc_sample.csv --json training.json
    python benchmarks/training.py --data ../shared/data/dmsc_sample.csv --rounds 0 --copies 1 2 8

The tutorial way: a `Dataset` that gives the stored features of one review, `DataLoader(shuffle=True, batch_size=64)`
with 0 and with 2 workers (the faster counts), `pad_sequence` in `collate_fn`, the same network written plainly,
float32, AdamW. Both train on the same features, in turns, `--rounds` times. Reviews per second are those of the
training pass of an epoch, without validation.

`--copies` makes a temporary store that holds every review so many times, trains an epoch on it, and gives the speed
and the most memory: what the process holds of its own, and what it holds of the mapped files.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from machine import describe_machine
from xingping import FeatureStore, read_reviews
from xingping.config import EncoderSettings, HeadSettings, TrainingSettings
from xingping.encoders import TokenFeatures
from xingping.pipeline import sample_path
from xingping.predictor import load_encoder
from xingping.training import LabelledFeatures, train_head

HEAD = HeadSettings()
TRAINING = TrainingSettings(epochs=2, patience=2)
VALID = 64  # as few as can be: the training pass is what counts here
COPIED_TEXTS = 4096


def encode(data):
    """Return a store, the distinct texts and the features and ratings of all reviews of a file."""
    table = read_reviews(data).table
    texts, ratings = table["text"].to_pylist(), table["rating"].to_numpy().astype(np.int64)
    encoder = load_encoder(EncoderSettings())
    store = FeatureStore(encoder.fingerprint)
    encoder_name = {**encoder.describe(), "fingerprint": encoder.fingerprint}
    if store.missing(texts):
        print(f"encoding {len(store.missing(texts)):,} texts with the {encoder.name} encoder ...", flush=True)
        store.encode(encoder, texts)
    return LabelledFeatures(store.view(texts), ratings), encoder_name


def split(data):
    """Give all but a few reviews to training."""
    places = np.arange(len(data.ratings))
    parts = places[VALID:], places[:VALID]
    return [LabelledFeatures(data.features.take(part), data.ratings[part]) for part in parts]


class ReviewDataset(Dataset):
    """Stored features, review by review."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data.ratings)

    def __getitem__(self, index):
        return torch.tensor(self.data.features.tokens(index), dtype=torch.float32), int(self.data.ratings[index]) - 1


def collate(items):
    """Pad the reviews of a batch to the longest."""
    values = [vectors for vectors, _ in items]
    lengths = torch.tensor([len(vectors) for vectors in values])
    padded = pad_sequence(values, batch_first=True)  # (batch, tokens, dim)
    mask = torch.arange(padded.shape[1]) < lengths.unsqueeze(1)
    return padded, mask, torch.tensor([label for _, label in items])


class PlainHead(nn.Module):
    """The network of `RatingHead` as a tutorial writes it."""

    def __init__(self, mean, scale):
        super().__init__()
        dim = len(mean)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.drop_dimensions = nn.Dropout1d(HEAD.token_dropout)
        self.token_layer = nn.Linear(dim, HEAD.token_dim, bias=False)
        dim = HEAD.token_dim
        self.W_s1 = nn.Linear(dim, HEAD.attention_dim, bias=False)
        self.W_s2 = nn.Linear(HEAD.attention_dim, HEAD.n_hops, bias=False)
        self.classifier = nn.Sequential(
            nn.Dropout(HEAD.dropout),
            nn.Linear(HEAD.n_hops * dim, HEAD.hidden_dim),
            nn.ReLU(),
            nn.Dropout(HEAD.dropout),
            nn.Linear(HEAD.hidden_dim, 5),
        )

    def forward(self, values, mask):
        values = (values - self.mean) * self.scale
        values = self.drop_dimensions(values.transpose(1, 2)).transpose(1, 2)
        values = torch.relu(self.token_layer(values))
        scores = self.W_s2(torch.tanh(self.W_s1(values)))  # (batch, tokens, hops)
        A = torch.softmax(scores.masked_fill(~mask.unsqueeze(2), float("-inf")), dim=1).transpose(1, 2)
        A = torch.nan_to_num(A)  # of a review without tokens
        return self.classifier((A @ values).flatten(1)), A


def plain_epoch(data, workers):
    """Train one epoch the tutorial way and return its seconds."""
    torch.manual_seed(0)
    sample = np.concatenate([data.features.tokens(i) for i in range(0, len(data.ratings), 20)]).astype(np.float32)
    model = PlainHead(torch.from_numpy(sample.mean(0)), torch.from_numpy(1 / sample.std(0)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=TRAINING.learning_rate, weight_decay=TRAINING.weight_decay)
    loader = DataLoader(
        ReviewDataset(data), batch_size=TRAINING.batch_size, shuffle=True, collate_fn=collate, num_workers=workers
    )
    identity = torch.eye(HEAD.n_hops)
    start = time.perf_counter()
    total = 0.0
    for values, mask, labels in loader:
        logits, A = model(values, mask)
        loss = nn.functional.cross_entropy(logits, labels)
        total += loss.item()
        penalty = ((A @ A.transpose(1, 2) - identity) ** 2).sum((1, 2)).mean()
        optimizer.zero_grad()
        (loss + HEAD.penalty * penalty).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return time.perf_counter() - start, total / len(loader)


def say(number, name, rate, loss):
    print(f"round {number}: {name:18} {rate:7,.0f} reviews/s, loss {loss:.4f}", flush=True)


def compare(train, valid, rounds):
    """Train both ways in turns."""
    n = len(train.ratings)
    rates = {"plain, 0 workers": [], "plain, 2 workers": [], "xingping": []}
    for number in range(1, rounds + 1):
        for workers in (0, 2):
            seconds, loss = plain_epoch(train, workers)
            rates[f"plain, {workers} workers"].append(n / seconds)
            print(
                f"round {number}: plain, {workers} workers: {n / seconds:7,.0f} reviews/s, loss {loss:.4f}", flush=True
            )
        for epoch in train_head("classification", train, valid, HEAD, TRAINING, seed=0).epochs:
            rates["xingping"].append(n / epoch.seconds)
            say(number, f"xingping, epoch {epoch.epoch}", n / epoch.seconds, epoch.train_loss)
    middle = {name: median(values) for name, values in rates.items()}
    plain = max(middle["plain, 0 workers"], middle["plain, 2 workers"])
    print(f"\n{'':18} {'reviews/s':>10} {'times':>6}")
    for name, rate in middle.items():
        print(f"{name:18} {rate:10,.0f} {rate / plain:6.2f}")
    return {"reviews": n, "reviews_per_second": rates, "median": middle, "times": middle["xingping"] / plain}


class MemoryWatch(threading.Thread):
    """Notes the most memory of this process, twenty times a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most = {"RssAnon": 0, "RssFile": 0}
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
                name, _, value = line.partition(":")
                if name in self.most:
                    self.most[name] = max(self.most[name], int(value.split()[0]) * 1024)


def copied(data, copies, folder):
    """Write a store with every review `copies` times and return its view."""
    store = FeatureStore("copies", folder)
    names = []
    for copy in range(copies):
        for start in range(0, len(data.ratings), COPIED_TEXTS):
            places = np.arange(start, min(start + COPIED_TEXTS, len(data.ratings)))
            packed = data.features.packed(places)
            texts = [f"{copy}/{place}" for place in places]
            offsets = np.concatenate([[0], np.cumsum(packed.lengths)])
            spans = np.zeros((len(packed.values), 2), dtype=np.int32)
            store.add([store.write(texts, TokenFeatures(packed.values, offsets, spans, packed.cls))])
            names += texts
    return LabelledFeatures(store.view(names), np.tile(data.ratings, copies))


def grow(data, copies):
    """Train an epoch on stores of several sizes."""
    results = []
    print(f"\n{'reviews':>10} {'store, GB':>10} {'shards':>7} {'reviews/s':>10} {'own, GB':>8} {'mapped, GB':>11}")
    for times in copies:
        with tempfile.TemporaryDirectory() as folder:
            train, valid = split(copied(data, times, Path(folder)))
            data.features.release(np.unique(data.features.shards))  # only the copies are to be counted
            train.features.release(np.unique(train.features.shards))
            watch = MemoryWatch()
            watch.start()
            settings = TRAINING.model_copy(update={"epochs": 1})
            (epoch,) = train_head("classification", train, valid, HEAD, settings, seed=0).epochs
            watch.over.set()
            result = {
                "reviews": len(train.ratings),
                "store_bytes": sum(path.stat().st_size for path in Path(folder).rglob("*.arrow")),
                "shards": len(np.unique(train.features.shards)),
                "reviews_per_second": len(train.ratings) / epoch.seconds,
                "own_bytes": watch.most["RssAnon"],
                "mapped_bytes": watch.most["RssFile"],
            }
            train.features.release(np.unique(train.features.shards))
        results.append(result)
        print(
            f"{result['reviews']:10,} {result['store_bytes'] / 1e9:10.2f} {result['shards']:7} "
            f"{result['reviews_per_second']:10,.0f} {result['own_bytes'] / 1e9:8.2f} "
            f"{result['mapped_bytes'] / 1e9:11.2f}",
            flush=True,
        )
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=sample_path(), help="table of reviews, not the bundled sample")
    parser.add_argument("--rounds", type=int, default=3, help="how often the two ways take turns")
    parser.add_argument("--copies", type=int, nargs="*", default=[], help="sizes of the store, in copies")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    data, encoder = encode(arguments.data)
    train, valid = split(data)
    lengths = train.features.lengths
    print(
        f"{len(lengths):,} reviews of {lengths.mean():.1f} tokens, {train.features.dim} dimensions, "
        f"{torch.get_num_threads()} threads",
        flush=True,
    )
    result = {"machine": describe_machine(), "encoder": encoder}
    if arguments.rounds:
        result["epoch"] = compare(train, valid, arguments.rounds)
    if arguments.copies:
        result["sizes"] = grow(data, arguments.copies)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
