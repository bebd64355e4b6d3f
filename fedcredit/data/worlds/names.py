"""Made-up names of companies and people: places that do not exist, brands and surnames put together at random."""

from __future__ import annotations

import numpy as np

PLACES = (
    *("云岭市", "青汀市", "白鹭市", "松溪口市", "望川市", "银滩口市", "临泽湾市", "丹霞口市", "沐阳口市", "碧海湾市"),
    *("长亭市", "雁回市", "石桥口市", "清源口市", "梧桐岭市", "翠屏口市", "玉带市", "金谷口市", "鹿鸣市", "星河口市"),
    *("槐荫口市", "澜波市", "榆林湾市", "禾丰口市", "墨江湾市", "寒山口市", "晓月市", "远帆市"),
)
FIRST = "鑫恒瑞嘉泰华盛宏达博诚信德润丰凯智创远景天海东方正中联众汇金银百千永久兴隆顺安康宁福禄祥和美雅文思"
SECOND = "源达昌盛通利泰祥和丰茂隆顺安宁康乐佳美优信诚德仁义礼智勇强伟业成立新兴旺发展途征程航帆翔宇宙星辰光辉"
TRADES = (
    ("农业发展", "生态农业", "种业", "果蔬", "养殖"),
    ("机械制造", "精密模具", "五金制品", "电子科技", "纺织", "塑料制品", "食品"),
    ("建筑工程", "建筑装饰", "市政工程", "建材安装"),
    ("商贸", "贸易", "物资", "供应链管理", "百货"),
    ("物流", "货运", "仓储", "运输"),
    ("餐饮管理", "酒店管理", "食府", "餐饮服务"),
    ("软件", "信息技术", "网络科技", "数据服务"),
    ("咨询服务", "人力资源", "检测技术", "物业服务", "文化传媒"),
)
SUFFIXES = ("有限公司", "有限公司", "有限公司", "有限责任公司", "股份有限公司")
SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰飞鹏宇轩子涵浩然欣怡梓雨晨佳琪思远志国建文"


def company_names(rng: np.random.Generator, *, region: int, industry: np.ndarray) -> list[str]:
    """One name a company; two companies of a region may share one, as real ones do across registries.

    >>> company_names(np.random.default_rng(1), region=0, industry=np.array([1]))
    ['云岭市方礼电子科技股份有限公司']
    """
    n = len(industry)
    first, second = rng.integers(len(FIRST), size=n), rng.integers(len(SECOND), size=n)
    trade, suffix = rng.integers(2**20, size=n), rng.integers(len(SUFFIXES), size=n)
    place = PLACES[region % len(PLACES)]
    return [
        f"{place}{FIRST[a]}{SECOND[b]}{TRADES[i][t % len(TRADES[i])]}{SUFFIXES[s]}"
        for a, b, i, t, s in zip(first, second, industry, trade, suffix, strict=True)
    ]


def people(rng: np.random.Generator, n: int) -> list[str]:
    """Names of n representatives.

    >>> [len(name) for name in people(np.random.default_rng(1), 3)]
    [3, 3, 3]
    """
    family, one, two = (rng.integers(len(pool), size=n) for pool in (SURNAMES, GIVEN, GIVEN))
    is_short = rng.random(n) < 0.25
    return [
        SURNAMES[f] + GIVEN[a] + ("" if short else GIVEN[b])
        for f, a, b, short in zip(family, one, two, is_short, strict=True)
    ]
