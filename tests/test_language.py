"""The catalogue is whole and true, and every sentence is said in the language at hand, and in that one alone."""

import asyncio
import re
import string
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po
from jinja2 import Environment

from xingping import language, names
from xingping.behaviour import behaviour_tests
from xingping.config import ColumnSettings, EncoderSettings, Pooling, RunSettings
from xingping.errors import SettingsError
from xingping.language import _, join_clauses, join_list, join_sentences, ngettext, speaking, spoken, translations
from xingping.metrics import DECISION_RULES
from xingping.pipeline import STAGES
from xingping.ratings import rating_problems
from xingping.report import content, doubt, tabular
from xingping.report.published import PUBLISHED, PUBLISHED_FILM, PUBLISHED_ON
from xingping.reviews import read_reviews
from xingping.slices import find_slices

ROOT = Path(__file__).parents[1]
HAN = re.compile("[一-鿿]")


@pytest.fixture(scope="module")
def catalogue():
    path = ROOT / "src/xingping/locale/zh/LC_MESSAGES/xingping.po"
    with path.open("rb") as file:
        return read_po(file, locale="zh")


@pytest.fixture(scope="module")
def messages(catalogue):
    """Give the messages but for the header."""
    return [message for message in catalogue if message.id]


def test_the_catalogue_has_the_messages_of_the_source_and_no_others(catalogue, messages):
    with (ROOT / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)
    found = {message for _file, _line, message, *_ in extract_from_dir(ROOT / "src", methods, options)}
    assert len(found) > 150
    held = {message.id for message in messages}
    assert sorted(map(str, found - held)) == [], "run: make messages, and translate what is new"
    assert sorted(map(str, held - found)) == [], "run: make messages"
    assert not catalogue.obsolete


def forms(text):
    return text if isinstance(text, tuple) else (text,)


def test_every_message_is_translated(messages):
    assert [message.id for message in messages if message.fuzzy or not all(forms(message.string))] == []


def placeholders(text):
    braces = {name for _text, name, *_ in string.Formatter().parse(text) if name is not None}
    return braces | set(re.findall(r"%\((\w+)\)s", text))


def test_translations_have_the_placeholders_of_their_messages(messages):
    for message in messages:
        wanted = placeholders(forms(message.id)[-1])
        assert "" not in wanted, f"{message.id}: placeholders have names"
        for form in forms(message.string):
            assert placeholders(form) == wanted, message.id


def in_both(say):
    """Return what a function says in English and in Chinese."""
    english = say()
    with speaking("zh"):
        return english, say()


def test_whatever_artefacts_name_has_a_chinese_name():
    slices = find_slices(["好看", "不好看" * 30], np.array([5, 1]))
    named = {
        names.slice_name: list(slices),
        names.behaviour_name: [test.name for test in behaviour_tests(["疯狂动物城的画面真好看，他很喜欢"])],
        names.rule_name: list(DECISION_RULES),
        names.split_name: ["train", "valid", "test", "all"],
        names.task_label: ["classification", "ordinal", "regression"],
        names.task_name: ["classification", "ordinal", "regression"],
        names.baseline_name: list(names.BASELINES),
        names.exact_stars: [1, 2, 3, 4, 5],
        names.side_name: ["film", "user", "time"],
        names.unused_name: list(names.UNUSED),
        names.stage_name: [*STAGES, "crossvalidate", "learning-curve", "tune"],
        names.column_name: list(ColumnSettings.model_fields),
        names.pooling_name: [pooling for pooling in get_args(Pooling) if pooling != "self_attention"],
        names.tuning_name: ["full", "lora", "top-4"],
        names.source_name: [names.BUNDLED_SAMPLE],
        names.encoder_name: [EncoderSettings().name],
        _: [PUBLISHED_ON, *PUBLISHED, *(name for film in PUBLISHED_FILM.values() for name in film)],
    }
    for name_of, keys in named.items():
        for key in keys:
            english, chinese = in_both(lambda key=key, name_of=name_of: name_of(key))
            assert HAN.search(chinese), key
            assert english != chinese, key
    assert {test.name for test in behaviour_tests(["疯狂动物城的画面真好看，他很喜欢"])} == set(names.TESTS)
    assert in_both(lambda: names.slice_name("length 81 and more")) == ("length 81 and more", "81 字及以上")
    assert in_both(lambda: names.baseline_name("my_own_rival")) == ("my own rival", "my own rival")


REJECTED_ROWS = b"""film,rating,text
\xe7\x94\xb2,,a
\xe7\x94\xb2,many,a
\xe7\x94\xb2,3.5,a
\xe7\x94\xb2,-9,a
\xe7\x94\xb2,5,
\xe7\x94\xb2,5
\xe7\x94\xb2
\xe7\x94\xb2,5,"a"b
\xe7\x94\xb2,5,"a
"""
REJECTED_LINES = b"""{"text": "a", "rating": 5}
[1]
{"text": "a"
{"text": "\xff", "rating": 5}
{"text": %b, "rating": 5}
""" % (b"[" * 100_000)


def test_whatever_a_row_is_rejected_for_has_a_chinese_name(tmp_path):
    good = "".join(f"甲,{star},第{star}条\n" for star in range(1, 6)).encode() * 3
    (tmp_path / "rows.csv").write_bytes(REJECTED_ROWS + good)
    (tmp_path / "lines.jsonl").write_bytes(REJECTED_LINES)
    reasons = set()
    for name in ("rows.csv", "lines.jsonl"):
        reasons |= set(read_reviews(tmp_path / name).rejects["reason"].to_pylist())
    reasons |= set(rating_problems(pa.array(["10"])).to_pylist())
    assert len(reasons) == len(names.REASONS)
    for reason in reasons:
        english, chinese = in_both(lambda reason=reason: names.reason_name(reason))
        assert english == reason
        assert HAN.search(chinese), reason
    used = {pattern for pattern in names.REASONS for reason in reasons if re.fullmatch(pattern, reason, re.DOTALL)}
    assert used == set(names.REASONS)


CONFUSION = [[9, 1, 0, 0, 0], [6, 2, 2, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 5, 5], [2, 0, 0, 0, 8]]
PERFECT = np.diag([3, 1, 1, 1, 1]).tolist()
UNEVEN = [[0, 5, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]
MEASURES = {"n": 1234, "accuracy": 0.56, "accuracy_within_one": 0.88, "mae": 0.5}
BEHIND = MEASURES | {"accuracy": 0.55, "accuracy_within_one": 0.9}
EPOCHS = [{"epoch": 1, "valid_loss": 1.2, "valid_accuracy": 0.5, "valid_accuracy_within_one": 0.9}]
MEANS = {"films": {"长城": {"predicted": 3.5, "true": 3.0}}, "coverage": 1.0}
POINTS = np.arange(40.0).reshape(20, 2)
SETS = {"asked": 0.9, "coverage": 0.895, "sizes": [0.2], "mean_size": 2.5}
CEILING = {
    "reviews": 30,
    "texts": 7,
    "agreement": 0.4,
    "agreement_within_one": 0.8,
    "best": 0.6,
    "best_within_one": 0.95,
}
FAILED = {"name": "negating praise lowers", "n": 300, "rate": 0.2, "failures": 60}
INTERVAL = {"value": 0.9, "low": 0.8, "high": 1.0}
DOUBT = {
    "intervals": {"reviews": {"classification": {"mae": INTERVAL, "nll": INTERVAL}, "word_ngram": {"mae": INTERVAL}}},
    "differences": {"reviews": {"classification": {"word_ngram": {"mae": {"value": -0.2, "low": -0.3, "high": 0.1}}}}},
}

SAYINGS = {
    "headline": lambda: content.headline(MEASURES),
    "standfirst": lambda: content.standfirst({"classification": MEASURES, "regression": BEHIND}),
    "comparison": lambda: content.comparison({"classification": MEASURES}, {"majority": BEHIND}),
    "tie": lambda: content.comparison({"ordinal": MEASURES}, {"majority": MEASURES}),
    "baselines": lambda: content.baseline_note({"reviews": 90, "of": 120}),
    "margin": lambda: content.margin(1234),
    "confusion": lambda: content.confusion_finding(CONFUSION),
    "perfect": lambda: content.confusion_finding(PERFECT),
    "within one": lambda: content.within_one_finding(CONFUSION),
    "none far off": lambda: content.within_one_finding(PERFECT),
    "more often": lambda: content.distribution_finding(CONFUSION),
    "less often": lambda: content.distribution_finding(UNEVEN),
    "as often": lambda: content.distribution_finding(PERFECT),
    "decision": lambda: content.decision_finding({"mode": MEASURES, "median": BEHIND}),
    "films": lambda: content.film_finding(MEANS),
    "training": lambda: content.training_finding({"epochs": EPOCHS, "best_epoch": 1}),
    "neighbours": lambda: content.neighbour_finding(POINTS, POINTS, np.repeat([1, 5], 10)),
    "n-grams": lambda: content.ngram_kinds({"characters": 4, "words": 2}),
    "between": lambda: content.between("1", "2"),
    "with interval": lambda: content.with_interval("1", "0", "2"),
    "lead": lambda: doubt.lead_finding(DOUBT, "classification"),
    "sets": lambda: doubt.set_finding(SETS),
    "ceiling": lambda: doubt.ceiling_finding(CEILING),
    "no ceiling": lambda: doubt.ceiling_finding({"texts": 0}),
    "worst test": lambda: doubt.behaviour_finding([FAILED]),
    "no failure": lambda: doubt.behaviour_finding([FAILED | {"failures": 0}]),
    **{f"counted {noun}": lambda noun=noun: content.count(1234, noun) for noun in content.COUNTED},
}


@pytest.mark.parametrize("saying", SAYINGS)
def test_sentences_are_said_in_both_languages(saying):
    english, chinese = in_both(SAYINGS[saying])
    assert english != chinese
    assert HAN.search(chinese)
    assert not HAN.search(english)
    assert not re.search("[a-zA-Z]", chinese.replace("n-gram", "")), chinese
    assert not re.search(r"[{}]|\w\.$|, |; ", chinese), chinese
    assert not re.search("[{}]", english)


def test_a_sentence_is_put_together_in_the_order_of_its_language():
    english, chinese = in_both(SAYINGS["comparison"])
    assert english == (
        "On exact stars, the classification head (56.0%) is 1.0 point ahead of the best baseline, always the commonest "
        "star (55.0%); within one star, the classification head (88.0%) is 2.0 points behind the best baseline, always "
        "the commonest star (90.0%)."
    )
    assert chinese == (
        "论完全命中，分类模型（56.0%）比最强的基线“一律猜最常见的星级”（55.0%）高 1.0 个百分点；"
        "论误差一星以内，分类模型（88.0%）比最强的基线“一律猜最常见的星级”（90.0%）低 2.0 个百分点。"
    )


def test_tables_have_headings_in_both_languages():
    def words_of(table):
        headings = [table.caption, table.corner, *(column.heading for column in table.columns)]
        rows = [row.heading for group in table.groups for row in group.rows]
        return [*headings, *(group.heading for group in table.groups if group.heading), *rows]

    whole = MEASURES | {"rmse": 1.0, "macro_f1": 0.5, "quadratic_weighted_kappa": 0.4, "nll": 1.0, "ece": 0.1}
    split = {"reviews": 10, "distinct_texts": 9, "words": 50, "characters": 90, "stars": dict.fromkeys("12345", 2)}
    film = {"n": 12, "test": {"classification": whole}, "baselines": {}}
    mean = {"true": 3.5, "predicted": 3.4, "low": 3.2, "high": 3.6}
    ours, rivals = {"classification": whole}, {"majority": whole}
    tables = {
        "metrics": lambda: tabular.metrics_table(ours, rivals, PUBLISHED, PUBLISHED_ON, _("Test")),
        "decisions": lambda: tabular.decision_table("classification", {"mode": whole, "mean": whole}),
        "splits": lambda: tabular.split_table({"train": split, "all": split}),
        "films": lambda: tabular.film_table({"长城": film}, {"长城": mean}, ["classification"]),
        "intervals": lambda: doubt.interval_table(DOUBT, ["classification"]),
        "slices": lambda: doubt.slice_table({"star 5": {"n": 2, "classification": whole}}, ["classification"]),
        "behaviour": lambda: doubt.behaviour_table([FAILED | {"kind": "direction", "examples": []}]),
    }
    for name, make in tables.items():
        english, chinese = in_both(lambda make=make: words_of(make()))
        assert len(english) == len(chinese)
        plain = {words for words in chinese if not HAN.search(words)}
        assert plain <= {"MAE", "RMSE", "Kappa", "NLL", "ECE", *(f"{star} ★" for star in range(1, 6))}, name
        assert not {words for words in english if HAN.search(words)} - {"长城"}, name


def test_plurals_follow_the_language():
    def counted(n):
        return ngettext("{n:,} review", "{n:,} reviews", n).format(n=n)

    assert in_both(lambda: [counted(n) for n in (0, 1, 2000)]) == (
        ["0 reviews", "1 review", "2,000 reviews"],
        ["0 条评论", "1 条评论", "2,000 条评论"],
    )
    assert in_both(lambda: content.count(1, "film")) == ("1 film", "1 部电影")


def test_what_the_catalogue_lacks_stays_english():
    assert in_both(lambda: _("No such message.")) == ("No such message.", "No such message.")
    assert in_both(lambda: ngettext("one thing", "{n} things", 2)) == ("{n} things", "{n} things")
    assert in_both(lambda: _("")) == ("", ""), "not the header of the catalogue"


def test_lists_and_sentences_are_joined_as_the_language_does():
    assert in_both(lambda: join_list(["a", "b", "c"])) == ("a, b, c", "a、b、c")
    assert in_both(lambda: join_clauses(["a", "b"])) == ("a; b", "a；b")
    assert in_both(lambda: join_sentences("A.", "", "B.")) == ("A. B.", "A.B.")


def test_a_block_ends_with_its_language_even_by_an_error():
    with pytest.raises(KeyError), speaking("zh"):
        raise KeyError
    assert spoken() == "en"
    with speaking("zh"), speaking("en"):
        assert _("Film") == "Film"


def test_other_threads_and_tasks_keep_their_language():
    async def says(wait_for, then_set):
        await wait_for.wait()
        then_set.set()
        return _("Film")

    async def together():
        chinese_speaks, done = asyncio.Event(), asyncio.Event()
        other = asyncio.create_task(says(chinese_speaks, done))
        with speaking("zh"):
            chinese_speaks.set()
            await done.wait()
            return await other, _("Film")

    assert asyncio.run(together()) == ("Film", "影片")
    with speaking("zh"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: _("Film")).result() == "Film"
        assert _("Film") == "影片"


def test_templates_speak_the_language():
    template = (
        "{{ _('Film') }}: {% trans n=n %}{{ n }} of <b>{% pluralize %}{{ n }} of <i>{% endtrans %}"
        "{{ ngettext('%(num)s x', '%(num)s xs', n) }}"
    )

    def rendered():
        environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
        environment.install_gettext_translations(translations(), newstyle=True)
        return environment.from_string(template).render(n=2)

    assert in_both(rendered) == ("Film: 2 of <i>2 xs", "影片: 2 of <i>2 xs")


def test_an_unknown_language_is_refused():
    with pytest.raises(SettingsError, match=r"setting language: Input should be 'en' or 'zh' \(got 'fr'\)"):
        RunSettings.parse({"language": "fr"})
    assert RunSettings.parse({}).language == "en"
    assert set(language.Language.__args__) == {"en", "zh"}
