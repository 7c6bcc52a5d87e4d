"""Texts a second of the encoder's runtimes, beside the usual ways to get the same states, all in one run.

    python benchmarks/encoder.py REVIEWS.csv [--encoder bert-base | bundled | FOLDER] [--json OUT]

REVIEWS.csv is any file that xingping reads; of its distinct texts, some are taken evenly from the shortest to the
longest, so that their lengths are distributed as in the file, and put in random order. `bert-base` is a BertModel
of transformers' own sizes with random weights and 21,128 pieces, a piece for each Chinese character. The ways take
turns, each is timed --repeat times on the same texts, tokenization included, and its best time counts.

- tutorial: transformers in fp32, batches of 32 in the given order, each text padded or cut to 128 tokens;
- sentence-transformers: token embeddings in fp32, batches of 32 (it sorts by length on its own);
- xingping: by precision.

The share of the peak is that of 8-bit integer products: 2 operations for each weight of the layers' matrices and each
token, special ones included and padding not (what attention multiplies is left out), over the time of the whole way,
against the best rate of large products of ONNX Runtime (8-bit by 8-bit integers) on as many cores.

Needs the extra `bench`.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from machine import describe_machine
from xingping.cleaning import clean_text
from xingping.config import CleaningSettings, ColumnSettings
from xingping.encoders import FrozenEncoder
from xingping.encoders.folders import find_folder
from xingping.encoders.hardware import core_count
from xingping.reviews import read_reviews

BATCH, TUTORIAL_LENGTH, MAX_LENGTH = 32, 128, 256
PIECES = 21128
SHAPES = ((512, 768, 3072), (512, 3072, 768), (1024, 4096, 1024), (2048, 2048, 2048))
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def main() -> None:
    args = arguments()
    machine = describe_machine()
    texts = drawn_texts(args.reviews, args.texts)
    with tempfile.TemporaryDirectory() as scratch:
        name = str(make_bert_base(Path(scratch))) if args.encoder == "bert-base" else args.encoder
        folder = find_folder(name)
        ways: dict[str, Callable[[], object]] = {}
        if not args.only:
            ways["tutorial"] = tutorial(folder, texts)
            ways["sentence-transformers"] = sentence_transformers(folder, texts)
        encoders = {}
        for precision in args.precisions.split(","):
            runtime, _, wanted = precision.rpartition(":")
            encoder = FrozenEncoder.load(name, precision=wanted, runtime=runtime or "auto", max_length=MAX_LENGTH)
            label = f"xingping {encoder.runtime} {encoder.precision}" + (" (auto)" if wanted == "auto" else "")
            encoders[label] = encoder
            ways[label] = lambda encoder=encoder: encoder.encode(texts)
        seconds = take_turns(ways, args.repeat)
        operations = count_operations(folder, encoders, texts)
        peak = integer_peak()
        cosines = cosines_to_fp32(name, encoders, texts)
    slowest = seconds.get("tutorial"), seconds.get("sentence-transformers")
    rows = []
    for way, best in seconds.items():
        row = {"way": way, "texts_per_second": len(texts) / best, "share_of_int8_peak": operations / best / peak}
        row["cosine_to_fp32"] = cosines.get(way)
        row["times_tutorial"], row["times_sentence_transformers"] = (base / best if base else None for base in slowest)
        rows.append(row)
    figures = {
        "machine": machine,
        "encoder": args.encoder,
        "texts": len(texts),
        "tokens_per_text": float(np.mean(next(iter(encoders.values())).count_tokens(texts))),
        "int8_peak_gops": peak / 1e9,
        "ways": rows,
    }
    show(figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reviews", type=Path, help="table of reviews")
    parser.add_argument("--encoder", default="bert-base", help="bert-base, bundled or a folder")
    parser.add_argument("--texts", type=int, default=384)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--precisions", default="fp32,bf16,onnx:fp32,int8", help="such as auto or int8,onnx:fp32")
    parser.add_argument("--only", action="store_true", help="leave out what xingping is compared with")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def drawn_texts(path: Path, number: int) -> list[str]:
    reviews = read_reviews(path, ColumnSettings(), CleaningSettings())
    texts = list(dict.fromkeys(clean_text(text, CleaningSettings()) for text in reviews.table["text"].to_pylist()))
    by_length = sorted(texts, key=len)
    chosen = [by_length[i] for i in np.linspace(0, len(texts) - 1, min(number, len(texts))).astype(int)]
    return [chosen[i] for i in np.random.default_rng(0).permutation(len(chosen))]


def make_bert_base(folder: Path) -> Path:
    """Write a BertModel of the default sizes with random weights, and a tokenizer of characters."""
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=PIECES)
    transformers.BertModel(config).save_pretrained(folder)
    characters = [chr(code) for code in (*range(0x21, 0x7F), *range(0x3000, 0x3030), *range(0x4E00, 0x9FFF))]
    pieces = [*SPECIAL, *characters, *map(chr, range(0xFF01, 0xFF60))][:PIECES]
    pieces += [f"[unused{i}]" for i in range(PIECES - len(pieces))]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))
    fast_tokenizer(folder).save_pretrained(folder)
    return folder


def fast_tokenizer(folder: Path) -> transformers.PreTrainedTokenizerFast:
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    known = tokenizer.get_vocab()
    tokenizer.pad_token = next(token for token in ("[PAD]", "<pad>") if token in known)
    return tokenizer


def tutorial(folder: Path, texts: list[str]) -> Callable[[], object]:
    tokenizer, model = fast_tokenizer(folder), transformers.AutoModel.from_pretrained(folder).eval()

    def run() -> list[np.ndarray]:
        states = []
        with torch.no_grad():
            for start in range(0, len(texts), BATCH):
                batch = tokenizer(
                    texts[start : start + BATCH],
                    padding="max_length",
                    truncation=True,
                    max_length=TUTORIAL_LENGTH,
                    return_tensors="pt",
                )
                output = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
                states.append(output.last_hidden_state.numpy())
        return states

    return run


def sentence_transformers(folder: Path, texts: list[str]) -> Callable[[], object]:
    transformer = modules.Transformer(str(folder), max_seq_length=MAX_LENGTH)
    model = SentenceTransformer(modules=[transformer], device="cpu")

    def run() -> object:
        return model.encode(texts, output_value="token_embeddings", batch_size=BATCH, show_progress_bar=False)

    return run


def take_turns(ways: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(repeat):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            best[way] = min(best[way], time.perf_counter() - start)
    return best


def count_operations(folder: Path, encoders: dict[str, FrozenEncoder], texts: list[str]) -> float:
    """Return the operations of the layers' matrices for all tokens of the texts."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    width, inner = config["hidden_size"], config["intermediate_size"]
    weights = config["num_hidden_layers"] * (4 * width * width + 2 * width * inner)
    tokens = int(next(iter(encoders.values())).count_tokens(texts).sum()) + 2 * len(texts)
    return 2.0 * weights * tokens


def integer_peak() -> float:
    """Return the most operations a second of 8-bit integer products on all cores, over some shapes."""
    rng, cores, best = np.random.default_rng(0), core_count(), 0.0
    for rows, inputs, outputs in SHAPES:
        weights = numpy_helper.from_array(rng.integers(-127, 128, (inputs, outputs)).astype(np.int8), "w")
        zero = numpy_helper.from_array(np.array(128, dtype=np.uint8), "z")
        graph = helper.make_graph(
            [helper.make_node("MatMulInteger", ["x", "w", "z"], ["y"])],
            "product",
            [helper.make_tensor_value_info("x", TensorProto.UINT8, [rows, inputs])],
            [helper.make_tensor_value_info("y", TensorProto.INT32, [rows, outputs])],
            [weights, zero],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
        model.ir_version = 9
        best = max(best, _rate(model, rng.integers(0, 256, (rows, inputs)).astype(np.uint8), cores, outputs))
    return best


def _rate(model: onnx.ModelProto, inputs: np.ndarray, cores: int, outputs: int, times: int = 12) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(_: int) -> None:
        for _ in range(times):
            session.run(None, {"x": inputs})

    best = 0.0
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(5):
            start = time.perf_counter()
            list(pool.map(run, range(cores)))
            best = max(best, 2.0 * inputs.size * outputs * times * cores / (time.perf_counter() - start))
    return best


def cosines_to_fp32(name: str, encoders: dict[str, FrozenEncoder], texts: list[str]) -> dict[str, float]:
    exact = FrozenEncoder.load(name, precision="fp32", runtime="torch", max_length=MAX_LENGTH, device="cpu")
    reference = exact.encode(texts).values.astype(np.float32)
    found = {}
    for label, encoder in encoders.items():
        values = encoder.encode(texts).values.astype(np.float32)
        lengths = np.linalg.norm(values, axis=1) * np.linalg.norm(reference, axis=1)
        found[label] = float(((values * reference).sum(axis=1) / lengths).mean())
    return found


def show(figures: dict) -> None:
    print(f"{figures['encoder']}, {figures['texts']} texts of {figures['tokens_per_text']:.1f} tokens; ", end="")
    print(f"int8 peak {figures['int8_peak_gops']:.0f} GOP/s; load before {figures['machine']['load_before']}")
    print(f"{'way':<30}{'texts/s':>10}{'x tutorial':>12}{'x sent.-tr.':>13}{'of peak':>9}{'cosine':>10}")
    for row in figures["ways"]:
        ratios = [row["times_tutorial"], row["times_sentence_transformers"]]
        cells = ["-" if ratio is None else f"{ratio:.1f}" for ratio in ratios]
        cosine = "-" if row["cosine_to_fp32"] is None else f"{row['cosine_to_fp32']:.5f}"
        share = f"{row['share_of_int8_peak']:.0%}"
        print(f"{row['way']:<30}{row['texts_per_second']:>10.1f}{cells[0]:>12}{cells[1]:>13}{share:>9}{cosine:>10}")


if __name__ == "__main__":
    main()
