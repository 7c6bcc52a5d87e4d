import subprocess
import sys
from io import BytesIO
from threading import Event, Thread

import matplotlib as mpl
import pytest
from fontTools.ttLib import TTFont

from xingping import fonts
from xingping.errors import UsageError
from xingping.fonts import chinese_style, drawable, font_path, font_properties, subset_woff2


def code_points(font: bytes) -> set[int]:
    with TTFont(BytesIO(font)) as opened:
        return set(opened.getBestCmap())


def test_the_font_has_chinese_characters():
    with TTFont(font_path()) as font:
        assert {ord(character) for character in "星评疯狂动物城烂赞，。！★"} <= set(font.getBestCmap())
    assert font_properties().get_file() == str(font_path())


def test_subset_holds_what_was_asked_for_and_skips_what_the_font_lacks():
    subset = subset_woff2({"星", "评", "A", "！", "🎬"})
    assert subset[:4] == b"wOF2"
    assert code_points(subset) == {ord(character) for character in "星评A！"}
    assert len(subset) < 10_000


def test_subset_is_the_same_for_the_same_characters():
    assert subset_woff2({"电", "影", "星"}) == subset_woff2({"星", "影", "电"})


def test_serif_is_another_font():
    assert code_points(subset_woff2({"星"}, "serif")) == {ord("星")}
    assert subset_woff2({"星"}, "serif") != subset_woff2({"星"})


def test_drawable_leaves_out_what_no_font_has():
    assert drawable("好看\u0007\n囧 $x$\U0001fae8") == "好看囧 $x$"


def test_style_is_restored():
    before = dict(mpl.rcParams)
    with chinese_style():
        assert mpl.rcParams["svg.fonttype"] == "path"
        assert mpl.rcParams["font.family"][0] != before["font.family"][0]
    assert dict(mpl.rcParams) == before


def test_threads_that_draw_at_once_leave_the_settings_as_they_were():
    before = dict(mpl.rcParams)
    first_draws, second_draws, first_may_end = Event(), Event(), Event()

    def draw_first():
        with chinese_style():
            first_draws.set()
            first_may_end.wait(60)

    def draw_second():
        with chinese_style():
            second_draws.set()
            first.join(60)

    first, second = Thread(target=draw_first), Thread(target=draw_second)
    first.start()
    assert first_draws.wait(60)
    second.start()
    assert not second_draws.wait(0.5)
    first_may_end.set()
    second.join(60)
    assert second_draws.is_set()
    assert dict(mpl.rcParams) == before


def test_import_changes_no_setting_of_matplotlib():
    code = (
        "import matplotlib as m; b = dict(m.rcParams); import xingping.fonts, xingping.plots; "
        "raise SystemExit(dict(m.rcParams) != b)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def forget_fonts():
    font_path.cache_clear()
    yield
    font_path.cache_clear()


@pytest.mark.usefixtures("forget_fonts")
def test_without_the_package_a_system_font_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr(fonts, "find_spec", lambda name: None)
    file = tmp_path / "SimHei.ttf"
    asked = []

    def findfont(family, *, fallback_to_default):
        asked.append(family)
        if family != "SimHei":
            raise ValueError(family)
        return str(file)

    monkeypatch.setattr(fonts.font_manager, "findfont", findfont)
    assert font_path() == file
    assert asked[-1] == "SimHei"


@pytest.mark.usefixtures("forget_fonts")
def test_without_any_font_the_error_names_the_remedy(monkeypatch):
    monkeypatch.setattr(fonts, "find_spec", lambda name: None)

    def findfont(family, *, fallback_to_default):
        raise ValueError(family)

    monkeypatch.setattr(fonts.font_manager, "findfont", findfont)
    with pytest.raises(UsageError, match="pip install pylopdf-fonts-zh-cn"):
        font_path()
