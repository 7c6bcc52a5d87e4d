"""The words by which reviews speak of story, acting, picture, music and pace, and those that judge."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ASPECTS", "DEGREES", "FAINT_VERDICTS", "NEGATIONS", "PASSED_OVER", "STRONG_DEGREES", "VERDICTS", "Aspect"]


@dataclass(frozen=True)
class Aspect:
    """How an aspect of a film is spoken of; all in simplified characters.

    Attributes
    ----------
    name
        In Chinese.
    nouns
        Name the aspect; they say nothing of how it is.
    verdicts
        Name it and judge it at once, as 拖沓 does with the pace.
    others
        Hold a noun and mean something else, as 音乐剧 does.
    """

    name: str
    nouns: tuple[str, ...]
    verdicts: tuple[str, ...]
    others: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ASPECTS: Mapping[str, Aspect] = {
    "story": Aspect(
        "剧情",
        _words("""
            剧情 情节 故事 剧本 编剧 剧作 脚本 桥段 结局 结尾 叙事 叙述 主线 支线 伏笔 反转 转折 悬念 铺垫 逻辑 套路
            台词 对白 立意 题材 设定 世界观
        """),
        _words("狗血 烂尾 老套 俗套 扣人心弦 引人入胜 跌宕起伏 漏洞百出 不知所云"),
        _words("故事片 剧情片 剧情类 逻辑思维 剧情介绍 剧情简介"),
    ),
    "acting": Aspect(
        "演技",
        _words("""
            演技 演员 表演 主演 演得 演的 演绎 演戏 饰演 扮演 出演 戏骨 对手戏 哭戏 选角 配音 声优 客串 群演 卡司
            阵容 影帝 影后
        """),
        _words("飙戏 面瘫 演活 入木三分"),
        _words("导演的 导演得 导演戏"),
    ),
    "picture": Aspect(
        "画面",
        _words("""
            画面 画风 画质 画工 作画 特效 视效 视觉 摄影 镜头 运镜 构图 分镜 色彩 色调 配色 光影 打光 美术 场景 布景
            取景 服装 服化道 造型 妆容 建模 打斗 打戏 动作戏 动作设计 风景 景色 滤镜 3D 3d IMAX imax CG cg
        """),
        _words("美轮美奂 五毛特效 赏心悦目 炫目"),
        _words("""
            喜剧色彩 悲剧色彩 传奇色彩 神秘色彩 政治色彩 宗教色彩 个人色彩 感情色彩 主义色彩 浪漫色彩 民族色彩
        """),
    ),
    "music": Aspect(
        "音乐",
        _words("""
            音乐 配乐 背景乐 主题曲 主题歌 插曲 片尾曲 片头曲 尾曲 歌曲 歌声 歌词 首歌 唱歌 神曲 旋律 音效 声效
            原声带 原声碟 电影原声 交响乐 BGM bgm OST
        """),
        _words("好听 动听 悦耳 余音绕梁"),
        _words("音乐剧 音乐片 音乐人 音乐节 音乐学院 小插曲 LOST POST HOST"),
    ),
    "pace": Aspect(
        "节奏",
        _words("节奏 剪辑 片长 时长"),
        _words("""
            拖沓 拖拉 拖泥带水 冗长 紧凑 慢热 缓慢 太慢 太快 太赶 太长 太拖 仓促 急促 沉闷 一气呵成 行云流水
            张弛有度 松散 昏昏欲睡 催眠
        """),
        _words("节奏布鲁斯 太快乐"),
    ),
}
"""By key; `Aspect.name` is its Chinese name."""

VERDICTS = frozenset(
    _words("""
        好 好看 不错 很棒 棒 赞 精彩 精致 精美 精良 精妙 细腻 细致 出色 优秀 优美 优雅 完美 完整 经典 震撼 震撼人心
        惊艳 惊人 惊喜 惊险 刺激 华丽 绚丽 绚烂 唯美 美 美丽 漂亮 美妙 动人 感人 感动 温暖 温馨 治愈 煽情 走心 用心
        诚意 良心 有趣 有意思 好玩 好笑 搞笑 幽默 可爱 帅 酷 炫 炫酷 燃 爽 甜 萌 过瘾 带感 抓人 吸引人 吸引 紧张
        流畅 自然 真实 真诚 真挚 逼真 生动 灵动 鲜活 鲜明 饱满 丰富 丰满 立体 到位 在线 合格 过关 及格 稳定 稳
        成熟 老练 扎实 严谨 巧妙 新颖 新鲜 新意 创新 创意 深刻 深入人心 深度 感染力 张力 爆发力 说服力 大气
        恢弘 宏大 磅礴 史诗 清新 干净 利落 舒服 舒适 恰到好处 恰当 贴切 合适 契合 满意 喜欢 喜爱 加分 满分 给力
        牛逼 炸裂 炸 绝了 一绝 一流 顶级 神作 神级 无敌 惊为天人 亮点 亮眼 抢眼 出彩 传神 细思极恐 难忘 回味
        值得 推荐 成功 用功 敬业 专业 高级 高超 高能 精湛 炉火纯青 可圈可点 耐看 赏心悦目 目不暇接 美轮美奂
        丝丝入扣 环环相扣 扣人心弦 引人入胜 跌宕起伏 入木三分 余音绕梁 好听 动听 悦耳 紧凑 一气呵成 行云流水
        张弛有度 差 差劲 很差 太差 烂 渣 糟 糟糕 糟心 垃圾 难看 难听 难受 丑 丑陋 恶心 恶俗 低俗 庸俗 俗 俗气 土
        俗套 老套 陈旧 陈词滥调 狗血 雷人 假 虚假 做作 造作 浮夸 夸张 尴尬 尬 别扭 生硬 僵硬 呆板 刻板 死板 木讷
        面瘫 空洞 空泛 单薄 单调 单一 苍白 薄弱 弱 弱智 脑残 幼稚 低幼 简单 简陋 粗糙 粗制滥造 敷衍 草率 马虎 廉价
        山寨 抄袭 混乱 乱 凌乱 杂乱 松散 松垮 零散 散 拖沓 拖拉 拖 冗长 冗余 啰嗦 沉闷 闷 无聊 无趣 无感 无语 乏味
        乏善可陈 枯燥 平淡 平庸 平平 平淡无奇 一般 一般般 普通 中规中矩 还行 还可以 凑合 勉强 将就 失望 可惜 遗憾
        失败 崩 崩坏 崩塌 垮 烂尾 跳戏 出戏 牵强 突兀 莫名其妙 不知所云 不合理 漏洞 漏洞百出 硬伤 矛盾 扯 扯淡 离谱
        奇怪 诡异 多余 刻意 用力过猛 过度 过分 泛滥 吵 吵闹 刺耳 聒噪 晕 头晕 暗 昏暗 模糊 五毛 仓促 急促 慢 慢热
        缓慢 催眠 昏昏欲睡 败笔 毁 浪费 可笑 老土 过时 油腻 不行 不好 辣眼睛
    """)
)
"""Words that judge wherever they stand."""

FAINT_VERDICTS = frozenset("快长短强弱满高低深浅新旧亮神水绝赶浓淡牛雷")
"""Single characters that judge only behind a word of degree: 太长, but not 长."""

STRONG_DEGREES = frozenset(
    _words("""
        很 太 挺 蛮 超级 非常 十分 特别 相当 极其 极度 无比 格外 更加 颇为 过于 过分 有点 有点儿 比较 略显 显得 异常
        太过
    """)
)
"""Words of degree behind which any word judges, be it in the list or not."""

DEGREES = STRONG_DEGREES | frozenset(
    _words("""
        真 真是 真的 超 极 尤其 最 更 较 有些 略 稍 稍微 够 足够 实在 实在太 那么 这么 如此 多么 好 巨 贼 颇 完全 绝对
    """)
)
"""All words of degree: `FAINT_VERDICTS` judge behind them."""

NEGATIONS: Mapping[str, str] = {
    **dict.fromkeys(
        _words("""
            不 不是 不算 不太 不够 不怎么 不大 不那么 不是很 并不 并非 谈不上 算不上 称不上 毫不 一点也不 绝不 未必
        """),
        "不",
    ),
    **dict.fromkeys(_words("没 没有 没什么 毫无 缺乏 缺少 欠缺 无 少了"), "没有"),
}
"""What turns the verdict behind it, and how that is shown: 不太好看 counts as 不好看."""

PASSED_OVER = frozenset(_words("是 的 得 地 也 都 还 就 又 能 会 让 令 人 到 觉得 感觉 那么 怎么 什么 算 有"))
"""Words that may stand between a negation or a degree and the verdict."""
