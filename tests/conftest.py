"""Fixtures that several test files share: a tiny random encoder, the real reviews, a cache of one's own."""

import csv
import runpy
import string
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from browser import launched_chromium
from toy import planted_reviews
from xingping.cli import run_command

# A busy machine is no failure, and a failure must come again.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

SHARED = Path(__file__).resolve().parents[2] / "shared"
HAN = [chr(code) for code in range(0x4E00, 0xA000)]
PUNCTUATION = list("，。！？、；：“”‘’（）《》【】…—·～★☆" + string.punctuation)
LATIN = list(string.digits + string.ascii_lowercase)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def chinese_tokenizer():
    """Return a WordPiece tokenizer as bert-base-chinese has one: every character of Chinese is a token."""
    pieces = SPECIAL + PUNCTUATION + LATIN + [f"##{letter}" for letter in LATIN] + HAN
    tokenizer = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(dict.fromkeys(pieces))}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def save_encoder(folder, model, tokenizer):
    """Write a model and its tokenizer as a Hugging Face folder."""
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def tiny_encoder_folder(tmp_path_factory):
    """Folder of a random BERT (2 layers of width 32) whose vocabulary has every common Chinese character."""
    tokenizer = chinese_tokenizer()
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(config)
    return save_encoder(tmp_path_factory.mktemp("tiny_encoder"), model, tokenizer)


@pytest.fixture(scope="session")
def shared_data():
    """Folder of the real reviews beside the project."""
    folder = SHARED / "data"
    if not (folder / "dmsc_sample.csv").is_file():
        pytest.skip(f"{folder} is absent: it holds real reviews that may not be passed on")
    return folder


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """Headless Chromium, for one file of tests: its event loop must be gone when the next one starts."""
    with launched_chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def isolated_cache(tmp_path, monkeypatch):
    """Empty cache folder for the test alone."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XINGPING_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def reviews_file(tmp_path_factory):
    """CSV of 240 invented reviews of two films whose stars one word decides."""
    texts, ratings = planted_reviews(240, seed=0)
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ID", "Movie_Name_CN", "Username", "Date", "Star", "Comment", "Like"])
        for number, (text, rating) in enumerate(zip(texts, ratings, strict=True)):
            film = "疯狂动物城" if number % 3 else "长城"
            writer.writerow([number, film, f"u{number}", "2016-03-04", rating, f" {text}", number % 7])
    return path


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory, tiny_encoder_folder, reviews_file):
    """Run directory of the whole flow with the tiny encoder; tests must not change it."""
    out = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XINGPING_CACHE", str(tmp_path_factory.mktemp("cache")))
        arguments = ["run", str(reviews_file), "--out", str(out), "--encoder", str(tiny_encoder_folder)]
        arguments += ["--epochs", "20", "--patience", "20", "--batch-size", "16", "--learning-rate", "0.005"]
        arguments += ["--dropout", "0.1", "--movie", "疯狂动物城"]
        code = run_command([*arguments, "--quiet"])
    if code:
        pytest.fail(f"the run ended with exit code {code}")
    return out


@pytest.fixture(scope="session")
def docs_site(tmp_path_factory):
    """Folder of the documentation's site, built with warnings as errors."""
    pytest.importorskip("zensical", reason="the extra `docs` is not installed: make test installs it")
    pytest.importorskip("mkdocstrings_handlers.python", reason="the extra `docs` is not installed")
    folder = tmp_path_factory.mktemp("docs")
    tool = runpy.run_path(str(Path(__file__).resolve().parents[1] / "tools" / "docs.py"))
    if tool["build"](folder):
        pytest.fail("the documentation has warnings; see: make docs")
    return folder / "site"
