"""Encode the same texts with the local engine and through Ray on this machine, and size a cluster from that.

    python benchmarks/scale.py ../shared/data/dmsc_sample.csv [--texts 8192] [--encoder bundled] [--workers 2]
        [--json OUT]

Both write the same shards, which is checked byte by byte. Then comes the table of docs/scale-out.md: the row of this
machine is extrapolated from the rate just measured, the rows of GPUs are computed by the formula beside them. The file
is any table of reviews that `xingping prepare` reads.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from machine import describe_machine
from xingping import FeatureStore, FrozenEncoder, read_reviews
from xingping.config import EncoderSettings, EngineSettings
from xingping.predictor import load_encoder
from xingping.scale import connect, disconnect, encode_on_ray

FULL = 2_125_056
"""Rows of DMSC.csv."""

SHARD = 1024
"""Texts a shard here, a quarter of the usual, so that few texts make several for each worker."""

PEAK, UTILISATION = 312e12, {384: 0.10, 768: 0.30}
"""bf16 of an NVIDIA A100 (dense, data sheet), and the share of it that short texts of a model so wide are assumed to
reach."""

STORAGE = 2e9
"""Bytes a second that the shared storage is assumed to take in all."""

START = 120
"""Seconds assumed until all workers have loaded the encoder."""


@dataclass(frozen=True)
class Shape:
    """What of an encoder decides the cost: its width, the layers computed and kept, tokens a text in the sample."""

    name: str
    width: int
    layers: int
    kept: int
    tokens: float

    @property
    def flops(self) -> float:
        """Of a text: two for each weight of a layer's matrices, 12 width² of them, and each token."""
        return 24 * self.width**2 * self.layers * self.tokens

    @property
    def stored(self) -> float:
        """Bytes of a text in fp16: vectors and spans of its tokens, [CLS], key and offsets."""
        dim = self.width * self.kept
        return self.tokens * (2 * dim + 8) + 2 * dim + 32


SHAPES = (Shape("bundled, layers 9 and 11", 384, 11, 2, 22.3), Shape("bert-base-chinese", 768, 12, 1, 29.6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--texts", type=int, default=8192)
    parser.add_argument("--encoder", default="bundled")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    distinct = list(dict.fromkeys(read_reviews(args.file).table["text"].to_pylist()))
    count = min(args.texts, len(distinct))
    texts = [distinct[place * len(distinct) // count] for place in range(count)]
    encoder = load_encoder(EncoderSettings(name=args.encoder, precision=args.precision))
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(texts, encoder, Path(folder), EngineSettings(engine="ray", workers=args.workers))
    for name, value in figures.items():
        print(f"{name:28} {value:,.4g}" if isinstance(value, float) else f"{name:28} {value}")
    print()
    for line in sizing(figures):
        print(line)
    if args.json:
        content = {"machine": describe_machine(), "command": vars(args) | {"file": args.file.name}, **figures}
        args.json.write_text(json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def measure(texts: list[str], encoder: FrozenEncoder, folder: Path, engine: EngineSettings) -> dict[str, object]:
    """Encode with both engines, and time what a worker does beside the encoder."""
    encoder.encode(texts[:64])
    stores = {name: FeatureStore(encoder.fingerprint, folder / name, shard_texts=SHARD) for name in ("local", "ray")}
    start = time.perf_counter()
    stores["local"].encode(encoder, texts)
    local = time.perf_counter() - start
    start = time.perf_counter()
    connect(engine)
    started = time.perf_counter() - start
    arrivals: list[tuple[float, int]] = []
    start = time.perf_counter()
    encode_on_ray(
        stores["ray"], encoder, texts, engine=engine, progress=lambda n: arrivals.append((time.perf_counter(), n))
    )
    ray = time.perf_counter() - start
    disconnect()
    contents = [{path.name: path.read_bytes() for path in store.folder.iterdir()} for store in stores.values()]
    # While each worker does its first shard, they start and load; from then on the rate is that of a long run.
    first = engine.workers or 1
    steady = sum(count for _, count in arrivals[first:]) / (arrivals[-1][0] - arrivals[first - 1][0])
    return {
        "encoder": f"{encoder.name}, {encoder.runtime}, {encoder.precision}",
        "texts": len(texts),
        "tokens a text": float(encoder.count_tokens(texts).mean()),
        "local: seconds": local,
        "local: texts/s": len(texts) / local,
        "ray: seconds to connect": started,
        "ray: seconds": ray,
        "ray: texts/s, all": len(texts) / ray,
        "ray: texts/s, steady": steady,
        "ray to local": steady * local / len(texts),
        "identical": contents[0] == contents[1],
        "bytes a text": sum(map(len, contents[0].values())) / len(texts),
        "beside the encoder: s/text": beside(texts, encoder, folder),
    }


def beside(texts: list[str], encoder: FrozenEncoder, folder: Path) -> float:
    """Return the seconds a text that one worker tokenizes and writes, the best of three."""
    features = encoder.encode(texts[:SHARD])
    times = []
    for number in range(3):
        store = FeatureStore(encoder.fingerprint, folder / f"beside{number}", shard_texts=SHARD)
        start = time.perf_counter()
        encoder.count_tokens(texts[:SHARD])
        store.write(texts[:SHARD], features)
        times.append((time.perf_counter() - start) / len(features))
    return min(times)


def sizing(figures: dict[str, object]) -> list[str]:
    """Return the rows of the table, in Markdown."""
    rate, size, feed = (
        float(figures[name]) for name in ("ray: texts/s, steady", "bytes a text", "beside the encoder: s/text")
    )
    hours, stored = FULL / rate / 3600, FULL * size / 1e9
    note = f"measured: {figures['texts']:,} texts at {rate:,.0f}/s, extrapolated"
    lines = [
        "| texts | encoder | workers | hours | GB | |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| {FULL:,} | {figures['encoder']} | this machine | {hours:.1f} | {stored:.0f} | {note} |",
    ]
    for shape in SHAPES:
        for gpus in (1, 4, 16):
            seconds = FULL * (shape.flops / (PEAK * UTILISATION[shape.width]) + feed) / gpus
            stored = FULL * shape.stored
            hours = (START + max(seconds, stored / STORAGE)) / 3600
            lines.append(f"| {FULL:,} | {shape.name} | {gpus} GPU | {hours:.2f} | {stored / 1e9:.0f} | computed |")
    return lines


if __name__ == "__main__":
    main()
