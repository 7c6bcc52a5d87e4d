from pathlib import Path

import platformdirs

from xingping.cache import cache_folder


def test_the_environment_names_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XINGPING_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("XINGPING_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"


def test_otherwise_it_is_the_user_s(monkeypatch):
    monkeypatch.setenv("XINGPING_CACHE", "")
    assert cache_folder() == Path(platformdirs.user_cache_dir("xingping", appauthor=False))
