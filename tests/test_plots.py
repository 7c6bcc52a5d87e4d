"""Warnings are errors in the tests, so drawing here also says that no glyph is missing."""

from functools import cache

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


BINS = [
    {"n": 12, "confidence": 0.31, "accuracy": 0.25, "low": 0.1, "high": 0.5},
    {"n": 40, "confidence": 0.55, "accuracy": 0.6, "low": 0.45, "high": 0.7},
    {"n": 3, "confidence": 1.0, "accuracy": 1.0, "low": 0.4, "high": 1.0},
]

UNDRAWABLE = "🐱海边\U000e0041"
"""A name with a character that no font here draws."""


def interval(value, reach=0.05):
    return {"value": value, "low": value - reach, "high": value + reach}


ASPECTS = {
    "故事": {"n": 120, **interval(3.1)},
    "音乐": {"n": 1, **interval(4.5)},
    "节奏": {"n": 0, "value": None, "low": None, "high": None},
}

FAITHFULNESS = {
    name: {"comprehensiveness": interval(more), "sufficiency": interval(less)}
    for name, more, less in (("attention", 0.4, 0.3), ("occlusion", 0.8, 0.1), ("random", 0.2, 0.5))
}


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


@cache
def figures():
    """Return every figure, drawn once; a test that changes one draws its own."""
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
        "tsne_none": plots.tsne([], [], [], "head"),
        "tsne_film": plots.tsne_by_film([0, 1, 2], [0, 1, 0], ["甲", UNDRAWABLE, "乙"], ["甲", UNDRAWABLE], "head"),
        "reliability": plots.reliability_diagram(BINS, "测试"),
        "reliability_none": plots.reliability_diagram([], "测试"),
        "forest": plots.model_intervals({"head": interval(0.57), "majority": interval(0.3)}, {"head"}, "测试", "exact"),
        "forest_none": plots.model_intervals({}, set(), "测试", "exact"),
        "differences": plots.differences({"exact": {"甲": interval(0.05), UNDRAWABLE: interval(-0.1)}}, "与甲相比"),
        "differences_none": plots.differences({}, "与甲相比"),
        "faithfulness": plots.faithfulness(FAITHFULNESS, "classification", unit="stars"),
        "faithfulness_none": plots.faithfulness({}, "classification"),
        "aspects": plots.aspect_ratings(ASPECTS, 3.6, "星海列车"),
        "aspects_none": plots.aspect_ratings({}, 3.6, "星海列车"),
        "distinctive": plots.distinctive_words({1: [("烂片", 3.2), ("经典", -4.0)], 5: []}, "星海列车"),
        "distinctive_none": plots.distinctive_words({}, "星海列车"),
        "moving": plots.moving_words([("经典", 0.8), (UNDRAWABLE, 0.5)], [("烂", -0.9)], "classification"),
        "moving_none": plots.moving_words([], [], "classification"),
        "explanation": plots.explanation_bars(["太", "烂"], {"attention": [0, 1], "occlusion": [0.1, -1]}, "太🐱烂"),
        "explanation_none": plots.explanation_bars([], {"attention": [], "occlusion": []}, ""),
        "time": plots.ratings_over_time(["2016-03", "2016-04", "2016-05"], [4, 0, 9], [3.5, np.nan, 4.0], "星海列车"),
        "time_one": plots.ratings_over_time(["2016-03"], [4], [3.5], "星海列车", low=[3.0], high=[4.0]),
        "time_none": plots.ratings_over_time([], [], [], "星海列车"),
        "films": plots.film_comparison(("星海列车", UNDRAWABLE), [1, 2, 3, 4, 10], [0, 0, 1, 0, 0], (4.0, 3.0)),
        "films_none": plots.film_comparison(("甲", "乙"), [0] * 5, [0] * 5, (None, None)),
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
        drawn = figures.__wrapped__()
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


def test_differences_are_drawn_in_points_on_both_sides_of_nothing():
    axes = figures()["differences"].axes[0]
    nothing, *_ = axes.lines
    assert list(nothing.get_xdata()) == [0, 0]
    dots = [float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o"]
    assert dots == pytest.approx([5, -10])
    assert {"+5.0", "-10.0", "甲", "–"} <= set(texts(figures()["differences"]))


def test_words_are_drawn_as_they_stand():
    assert "$烂$_^" in texts(figures()["tfidf"])
    assert {"烂片", "3", "经典", "9", "1 ★", "5 ★"} <= set(texts(figures()["words"]))


def test_word_cloud_is_the_same_each_time_and_coloured_by_mean_star():
    counts, means = {"剧情": 9, "经典": 3}, {"剧情": 1.2, "经典": 4.8}
    first, second = (plots.word_cloud(counts, means).axes[0].images[0].get_array() for _ in range(2))
    assert np.array_equal(first, second)
    solid = {to_hex(pixel / 255) for pixel in first[first[..., 3] == 255][:, :3]}
    assert solid == {"#b2432f", "#3474ba"}


@pytest.mark.parametrize("word", ["W" * 300, "哈" * 300, "啊啊" * 40], ids=lambda word: word[:2])
def test_a_very_long_word_leaves_room_for_the_bars(word):
    by_rating = {star: [(word, 9), ("经典", 4)] for star in style.RATINGS}
    drawn = {
        "tfidf": plots.tfidf_bars([(word, 0.3), ("经典", 0.1)], "星海列车"),
        "frequent": plots.frequent_words(by_rating, "星海列车"),
        "distinctive": plots.distinctive_words(by_rating, "星海列车"),
        "moving": plots.moving_words([(word, 0.3)], [(word, -0.2)], "classification"),
        "cloud": plots.word_cloud({word: 9, "经典": 4}, {word: 1.2, "经典": 4.8}),
    }
    for name, figure in drawn.items():
        figure.draw_without_rendering()
        room = sum(axes.get_position().width for axes in figure.axes)
        assert room > 0.35, name


def test_star_colours_run_from_light_in_the_middle_to_dark_at_the_ends():
    def lightness(colour):
        return np.dot([0.2126, 0.7152, 0.0722], [int(colour[i : i + 2], 16) for i in (1, 3, 5)])

    light = [lightness(colour) for colour in style.STAR_COLOURS]
    assert light[0] < light[1] < light[2]
    assert light[2] > light[3] > light[4]


def test_reliability_has_a_dot_and_a_bar_for_each_bin_beside_the_diagonal():
    shares, counts = figures()["reliability"].axes
    diagonal, dots = shares.lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
    assert list(dots.get_ydata()) == [0.25, 0.6, 1.0]
    ends = [segment[:, 1].tolist() for segment in shares.collections[0].get_segments()]
    assert ends == [[0.1, 0.5], [0.45, 0.7], [0.4, 1.0]]
    assert [bar.get_height() for bar in counts.patches] == [12, 40, 3]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("reliability_none", "no predictions"),
        ("forest_none", "no models"),
        ("differences_none", "no models"),
        ("faithfulness_none", "no methods"),
        ("aspects_none", "no aspects"),
        ("distinctive_none", "no words"),
        ("moving_none", "no words"),
        ("explanation_none", "no words"),
        ("time_none", "no dated reviews"),
    ],
)
def test_a_figure_of_nothing_says_so(name, why):
    assert why in texts(figures()[name])


def test_names_are_cut_and_lose_what_no_font_draws():
    assert style.legible(UNDRAWABLE) in {"海边", "🐱海边"}
    assert style.legible("\U000e0041") == "–"
    assert style.legible("很" * 20) == "很" * 13 + "…"
    assert style.legible(UNDRAWABLE) in texts(figures()["films"])


def test_a_forest_has_each_interval_and_marks_the_first_of_ours():
    axes = figures()["forest"].axes[0]
    line, *rows = axes.lines
    assert line.get_xdata() == [0.57, 0.57]
    assert [list(row.get_xdata()) for row in rows] == [
        pytest.approx(each) for each in ([0.52, 0.62], [0.57], [0.25, 0.35], [0.3])
    ]
    assert {"57.0%", "30.0%", "head", "majority"} <= set(texts(figures()["forest"]))


def test_faithfulness_sets_every_method_beside_random_words():
    figure = figures()["faithfulness"]
    more, less = figure.axes
    assert (more.lines[0].get_xdata()[0], less.lines[0].get_xdata()[0]) == (0.2, 0.5)
    dots = [line.get_xdata()[0] for line in more.lines if line.get_marker() == "o"]
    assert dots == [0.4, 0.8, 0.2]
    assert {"comprehensiveness", "sufficiency", "attention", "occlusion", "random"} <= set(texts(figure))


def test_an_aspect_nobody_speaks_of_has_no_dot():
    figure = figures()["aspects"]
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [to_hex(dot.get_color()) for dot in dots] == [style.STAR_COLOURS[0], style.STAR_COLOURS[4]]
    assert {"故事", "音乐", "节奏", "120 reviews", "1 review", "0 reviews", "all: 3.60"} <= set(texts(figure))


def test_distinctive_words_of_all_stars_have_one_scale():
    one, five = figures()["distinctive"].axes
    assert [bar.get_width() for bar in one.patches] == [3.2, -4.0]
    assert [to_hex(bar.get_facecolor()) for bar in one.patches] == [style.STAR_COLOURS[0], style.FAINT]
    assert "no words" in [text.get_text() for text in five.texts]
    assert one.get_xlim()[0] == -one.get_xlim()[1]


def test_moving_words_go_up_in_blue_and_down_in_red():
    figure = figures()["moving"]
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == [0.8, 0.5, -0.9]
    assert [to_hex(bar.get_facecolor()) for bar in bars] == [style.STAR_COLOURS[at] for at in (4, 4, 0)]
    assert {"+0.80", "-0.90"} <= set(texts(figure))


def test_an_explanation_has_a_bar_for_each_word_and_method():
    attention, occlusion = figures()["explanation"].axes
    assert [bar.get_width() for bar in attention.patches] == [0, 1]
    assert [bar.get_width() for bar in occlusion.patches] == [0.1, -1]
    assert {to_hex(bar.get_facecolor()) for bar in attention.patches} == {style.ACCENT}
    assert [label.get_text() for label in attention.get_yticklabels()] == ["太", "烂"]
    assert attention.get_xlim()[0] == 0


def test_a_month_without_reviews_interrupts_the_line_and_keeps_its_place():
    stars, volume = figures()["time"].axes
    assert [bar.get_height() for bar in volume.patches] == [4, 0, 9]
    assert list(stars.lines[1].get_xdata()) == [0, 2], "points without neighbours are dots"
    assert [label.get_text() for label in volume.get_xticklabels()] == ["2016-03", "2016-04", "2016-05"]


def test_two_films_stand_back_to_back_on_one_scale():
    left, right = figures()["films"].axes
    assert [bar.get_width() for bar in left.patches] == [0.05, 0.1, 0.15, 0.2, 0.5]
    assert [bar.get_width() for bar in right.patches] == [0, 0, 1, 0, 0]
    assert left.get_xlim() == right.get_xlim()[::-1]
    assert {"20 reviews, mean 4.00", "1 review, mean 3.00"} <= set(texts(figures()["films"]))


def test_films_have_their_colours_and_the_others_are_faint():
    figure = figures()["tsne_film"]
    faint, coloured = figure.axes[0].collections
    assert faint.get_offsets().tolist() == [[2, 0]]
    assert [to_hex(colour) for colour in coloured.get_facecolor()] == list(style.FILM_COLOURS[:2])
    with pytest.raises(ValueError, match="7 films to colour, and 6 colours"):
        plots.tsne_by_film([], [], [], list("甲乙丙丁戊己庚"), "head")


def test_new_reviews_are_numbered_on_the_map():
    figure = plots.tsne([0.0, 1.0], [0.0, 1.0], [1, 5], "head", placed=[[0.5, 0.5], [2, 2]])
    diamonds = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in diamonds] == [(0.5, 0.5), (2, 2)]
    assert {"1", "2"} <= set(texts(figure))
