"""Columns: which column of a table holds the text, the stars, the film, the date, the likes and the author."""

import re
from pathlib import Path
from typing import Any

from xingping.config import ColumnSettings
from xingping.errors import InputError

__all__ = ["find_columns"]

_NAMES = {
    "text": """
        comment text content review comments reviews short short_comment short_review review_text comment_text
        review_content comment_content
        评论 短评 内容 评论内容 短评内容 影评 影评内容 評論 內容""",
    "rating": """
        star stars rating score ratings user_rating rate 评分 星级 打分 评级 用户评分 星数 評分 星級""",
    "movie": """
        movie_name_cn film movie movie_name film_name movie_title film_title title name_cn
        电影 影片 片名 电影名 电影名称 影片名 影片名称 影名 電影 movie_name_en""",
    "date": """
        date posted time comment_time comment_date review_date review_time created_at create_time datetime
        timestamp 时间 日期 评论时间 评论日期 发布时间 發布時間 日期时间""",
    "likes": """
        like likes votes vote useful useful_count useful_num like_count vote_count upvotes helpful
        赞 有用 点赞 点赞数 赞数 有用数 讚""",
    "user": """
        username user author user_name nickname nick user_nickname user_id userid reviewer
        用户 用户名 昵称 作者 用户昵称 评论者 评论人 用戶""",
}
_COLUMN_NAMES = {role: names.split() for role, names in _NAMES.items()}  # the first that a file has wins


def find_columns(
    names: list[str], columns: ColumnSettings, path: Path, *, require_rating: bool = False
) -> ColumnSettings:
    """Find the column for each of text, rating, movie, date, likes and user.

    Parameters
    ----------
    names
        The columns of the table.
    columns
        Names that the user gave; case and spaces around them count only where several columns differ by them.
    path
        The file, for messages.
    require_rating
        Whether a rating column must be there.

    Returns
    -------
    ColumnSettings
        The name of each column as the table has it; None where it has none.

    Raises
    ------
    InputError
        A column that was named, the text, or a rating that is required is not there.
    """
    named = set(columns.model_dump().values())
    known = {_plain(name): name for name in reversed(names) if name not in named}
    found: dict[str, Any] = {}
    for role, candidates in _COLUMN_NAMES.items():
        wanted: str | None = getattr(columns, role)
        if wanted is None:
            found[role] = next((known[name] for name in candidates if name in known), None)
        elif wanted in names:
            found[role] = wanted
        elif _plain(wanted) in known:
            found[role] = known[_plain(wanted)]
        else:
            option = f"--{role}-column"
            raise InputError(f"{path} has no column {wanted!r} ({option}); its columns are {_listed(names)}")
    for role in ("text", "rating") if require_rating else ("text",):
        if found[role] is None:
            raise InputError(
                f"{path} has no {role} column that is recognised; its columns are {_listed(names)}; "
                f"the first line must name the columns, and --{role}-column can say which it is"
            )
    return ColumnSettings.parse(found)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()


def _listed(names: list[str]) -> str:
    some = ", ".join(repr(name[:40]) for name in names[:12])
    return some + (f" and {len(names) - 12} more" if len(names) > 12 else "")
