"""Warnings are errors in the tests, so drawing here also says that no glyph is missing."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from PIL import Image

from xingping import plots
from xingping.language import speaking
from xingping.plots import style

MATRIX = np.array([[8, 2, 0, 0, 0], [1, 5, 2, 2, 0], [0, 0, 0, 0, 0], [0, 0, 1, 6, 1], [1, 0, 0, 4, 5]])
EPOCHS = [
    {
        "epoch": epoch,
        "train_loss": 1 / epoch,
        "valid_loss": 1.2 / epoch,
        "valid_accuracy": 0.4 + epoch / 50,
        "valid_accuracy_within_one": 0.8 + epoch / 50,
    }
    for epoch in (1, 2, 3)
]

POINTS = [
    {
        "labels": labels,
        "measures": {
            name: {
                measure: {"mean": 0.3 + step / 10, "sd": None if name == "head" else 0.02}
                for measure in ("accuracy", "accuracy_within_one")
            }
            for name in ("model", "head", "char_ngram", "word_ngram")
        },
    }
    for step, labels in enumerate((50, 60, 500, 33_810))
]


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def figures():
    rng = np.random.default_rng(0)
    words = [("剧情", 0.5), ("$烂$_^", 0.25), ("Marvel", 0.125)]
    return {
        "confusion": plots.confusion(MATRIX, "分类: exact"),
        "within": plots.confusion_within_one(MATRIX, "回归: within one"),
        "distribution": plots.rating_distribution([5, 4, 3, 2, 1], [0, 0, 0, 0, 15], "星海列车"),
        "splits": plots.stars_by_split({"train": [5, 4, 3, 2, 1], "test": [0, 0, 0, 0, 0]}),
        "models": plots.model_comparison(["head", "n-grams"], [0.5, 0.4], [0.9, 1.0], [True, False]),
        "curves": plots.training_curves(EPOCHS, 2, "classification"),
        "labels": plots.learning_curves(POINTS, "测试: classification"),
        "one_size": plots.learning_curves(POINTS[:1], "classification"),
        "one_epoch": plots.training_curves(EPOCHS[:1], 1, "classification"),
        "tsne": plots.tsne(*rng.normal(size=(2, 50)), rng.integers(1, 6, 50), "head"),
        "tfidf": plots.tfidf_bars(words, "星海列车"),
        "words": plots.frequent_words({1: [("烂片", 3)], 2: [], 3: [], 4: [], 5: [("经典", 9)]}, "星海列车"),
        "cloud": plots.word_cloud({"剧情": 9, "经典": 3}, {"剧情": 1.2, "经典": 4.8}),
    }


def test_every_figure_is_written_as_png_and_svg_with_text_as_paths(tmp_path):
    for name, figure in figures().items():
        png, svg = plots.save_figure(figure, tmp_path, name)
        with Image.open(png) as image:
            assert image.width >= 600, name
        markup = svg.read_text(encoding="utf-8")
        assert "<text" not in markup, name
        assert "dc:date" not in markup, name


def test_saving_twice_gives_the_same_bytes(tmp_path):
    x = np.linspace(0, 1, 9) ** 2
    figures = [plots.tsne(x, x[::-1], np.full(9, 3), "星") for _ in range(2)]
    first, second = (plots.save_figure(figure, tmp_path / str(number), "x") for number, figure in enumerate(figures))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_labels_are_chinese_where_that_is_spoken():
    with speaking("zh"):
        drawn = figures()
    for figure in drawn.values():
        figure.canvas.draw()
    shown = {name: set(texts(figure)) for name, figure in drawn.items()}
    assert {"真实星级", "预测星级", "评论数"} <= shown["confusion"]
    assert "误差\n一星以内" in shown["within"]
    assert {"评论占比", "空心：真实     实心：预测"} <= shown["distribution"]
    assert {"训练集", "测试集"} <= shown["splits"]
    assert "● 完全命中     ○ 误差一星以内" in shown["models"]
    assert {"训练集", "验证集", "损失", "轮次", "最佳：第 2 轮", "完全命中", "一星以内"} <= shown["curves"]
    assert {"神经网络 + n-gram", "仅神经网络", "带星级的评论数", "33,810"} <= shown["labels"]
    assert "全部评论的平均 TF-IDF" in shown["tfidf"]


def test_confusion_shows_shares_of_the_row_and_counts():
    found = texts(plots.confusion(MATRIX, "Classification"))
    assert {"80%", "20%", "8", "Classification", "true", "predicted", "1 ★", "5 ★"} <= set(found)
    assert found.count("10") == 3, "totals of three rows"
    assert found.count("0") == 1, "the empty row's total; empty cells stay empty"


def test_within_one_gives_the_share_of_each_true_star():
    figure = plots.confusion_within_one(MATRIX, "Regression")
    notes = [text.get_text() for text in figure.axes[0].texts if text.get_position()[0] > 4.5]
    assert notes == ["within\none star", "100%", "80%", "–", "100%", "90%"]


def test_within_one_shades_the_band_alike():
    cells = figure_cells(plots.confusion_within_one(MATRIX, "Regression"))
    near = {cells[row, column] for row in range(5) for column in range(5) if abs(row - column) <= 1}
    assert len(near) == 1
    assert cells[1, 3] not in near


def figure_cells(figure):
    return {
        (round(box.get_y() + 0.48), round(box.get_x() + 0.48)): to_hex(box.get_facecolor(), keep_alpha=True)
        for box in figure.axes[0].patches
    }


def test_distribution_has_both_bars_for_each_star():
    axes = figures()["distribution"].axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx([5 / 15, 4 / 15, 3 / 15, 2 / 15, 1 / 15, 0, 0, 0, 0, 1])


def test_training_curves_mark_the_best_epoch():
    figure = figures()["curves"]
    assert "best: epoch 2" in texts(figure)
    assert {"train", "valid", "exact", "within one", "loss", "epoch"} <= set(texts(figure))
    assert all(2 in set(np.ravel(axes.lines[-1].get_xdata())) for axes in figure.axes)


def test_learning_curves_name_every_learner_apart_and_the_sizes_that_have_room():
    figure = figures()["labels"]
    figure.canvas.draw()
    assert {"head and n-grams", "head alone", "character n-grams", "word n-grams", "33,810"} <= set(texts(figure))
    for axes in figure.axes:
        heights = [text.xy[1] for text in axes.texts]
        assert np.diff(np.sort(heights)).min() >= 0.07
    shown = [text.get_text() for text in figure.axes[1].get_xticklabels()]
    assert shown == ["60", "500", "33,810"]


def test_model_comparison_labels_every_dot():
    assert {"head", "n-grams", "50.0%", "40.0%", "90.0%", "100.0%"} <= set(texts(figures()["models"]))


def test_tsne_colours_by_star_and_leaves_others_faint():
    points = np.arange(5.0)
    among = np.array([True, False, True, False, False])
    figure = plots.tsne(points, points, [1, 2, 5, 4, 3], "head", among=among)
    faint, coloured = figure.axes[0].collections
    assert len(faint.get_offsets()) == 3
    assert [to_hex(colour) for colour in coloured.get_facecolor()] == [style.STAR_COLOURS[0], style.STAR_COLOURS[4]]


def test_words_are_drawn_as_they_stand():
    assert "$烂$_^" in texts(figures()["tfidf"])
    assert {"烂片", "3", "经典", "9", "1 ★", "5 ★"} <= set(texts(figures()["words"]))


def test_word_cloud_is_the_same_each_time_and_coloured_by_mean_star():
    counts, means = {"剧情": 9, "经典": 3}, {"剧情": 1.2, "经典": 4.8}
    first, second = (plots.word_cloud(counts, means).axes[0].images[0].get_array() for _ in range(2))
    assert np.array_equal(first, second)
    solid = {to_hex(pixel / 255) for pixel in first[first[..., 3] == 255][:, :3]}
    assert solid == {"#b2432f", "#3474ba"}


def test_star_colours_run_from_light_in_the_middle_to_dark_at_the_ends():
    def lightness(colour):
        return np.dot([0.2126, 0.7152, 0.0722], [int(colour[i : i + 2], 16) for i in (1, 3, 5)])

    light = [lightness(colour) for colour in style.STAR_COLOURS]
    assert light[0] < light[1] < light[2]
    assert light[2] > light[3] > light[4]
