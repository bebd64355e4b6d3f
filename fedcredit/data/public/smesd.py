"""SMEsD's pickles of companies, lawsuits and relations become a table with one row a company and its city."""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Never

import pandas as pd

from fedcredit.data.datasets import dataset
from fedcredit.data.features import choose
from fedcredit.data.public import smesd_graph
from fedcredit.data.schema import Column, Label, Schema, Table
from fedcredit.errors import DatasetError

SPLIT_FILES = {"train": "train_data.pkl", "validation": "validate_data.pkl", "test": "test_data.pkl"}
INDEX_FILE = "split_data_idx.pkl"

CITIES = (
    "温州",
    "杭州",
    "宁波",
    "金华",
    "衢州",
    "台州",
    "绍兴",
    "上海",
)  # every other place is the institution "other"
CAUSES = (
    *("loan", "sale", "lease", "works", "debt_transfer", "other_contract"),
    *("intellectual_property", "labour", "tort", "corporate", "property"),
)
COURTS = ("grassroots", "intermediate", "higher")  # the one supreme court case counts as higher
RESULTS = ("plaintiff_won", "plaintiff_failed", "defendant_won", "defendant_failed")

# GB/T 4754-2017 divisions as the files write them, cut at each 、 by the authors; the first piece names the division.
SECTORS: dict[str, str] = {
    "agriculture": "农业 林业 渔业 畜牧业 农 林 牧 渔服务业",
    "mining_utilities": "煤炭开采和洗选业 其他采矿业 非金属矿采选业 电力 燃气生产和供应业 水的生产和供应业",
    "food": "农副食品加工业 食品制造业 酒 饮料和精制茶制造业",
    "textile_leather": "纺织业 纺织服装 皮革 化学纤维制造业",
    "light_industry": "木材加工和木 家具制造业 造纸和纸制品业 印刷和记录媒介复制业 文教 其他制造业",
    "chemicals": "化学原料和化学制品制造业 医药制造业 橡胶和塑料制品业 石油加工",
    "metals_minerals": "非金属矿物制品业 黑色金属冶炼和压延加工业 有色金属冶炼和压延加工业 金属制品业",
    "machinery": "通用设备制造业 专用设备制造业 仪器仪表制造业",
    "vehicles": "汽车制造业 铁路",
    "electrical": "电气机械和器材制造业 计算机",
    "construction": "房屋建筑业 土木工程建筑业 建筑安装业 建筑装饰和其他建筑业",
    "wholesale": "批发业",
    "retail": "零售业",
    "transport": "道路运输业 水上运输业 装卸搬运和运输代理业 仓储业 邮政业 管道运输业",
    "hospitality": "住宿业 餐饮业",
    "software": "软件和信息技术服务业 互联网和相关服务",
    "finance": "货币金融服务 资本市场服务 保险业 其他金融业",
    "real_estate": "房地产业",
    "business_services": "商务服务业 租赁业",
    "research": "科技推广和应用服务业 研究和试验发展 专业技术服务业",
    "other_services": "公共设施管理业 水利管理业 生态保护和环境治理业 居民服务业 机动车 其他服务业 "
    "教育 社会工作 文化艺术业 体育 娱乐业 广播",
}
SECTOR_OF = {division: sector for sector, divisions in SECTORS.items() for division in divisions.split()}


def _columns() -> tuple[Column, ...]:
    counts = [f"lawsuits_{name}" for name in (*CAUSES, *COURTS, *RESULTS, "loan_lost", "sale_lost", "labour_lost")]
    shares = [f"lawsuits_{name}_share" for name in ("loan", "sale", *RESULTS)]
    return (
        *(Column(n, unit="10,000 CNY", level=2) for n in ("registered_capital", "paid_in_capital", "unpaid_capital")),
        Column("paid_in_ratio", kind="ratio", lo=0.0, hi=2.0, level=2),
        Column("industries", level=2),
        *(Column(f"sector_{name}", kind="flag", level=2) for name in SECTORS),
        Column("sued", kind="flag", level=2),
        *(Column(name, level=2) for name in ("lawsuits", "lawsuit_causes", *counts)),
        *(Column(name, kind="ratio", lo=0.0, hi=1.0, level=2) for name in shares),
        *smesd_graph.COLUMNS,
    )


COLUMNS = _columns()


def read(name: str, files: Mapping[str, Path], *, columns: Sequence[str] | None = None) -> Table:
    """The SMEsD table: company, institution (city), split as published, `bankrupt`, and `columns` (all by default).

    Wei et al., Information Sciences 2024. It is a retrospective case-control sample, so its prevalence is no PD.
    Companies in two splits keep the later one. Graph features come from each split's own edges.

    Raises TrapRefused for a column on the outcome's clock, DatasetError for files that hold more than plain values.
    """
    dataset(name).refuse_traps(columns or ())
    chosen = choose(COLUMNS, columns, where=name)
    splits = _unpickle(files[INDEX_FILE])
    parts = [
        _rows(_unpickle(files[file]), companies=companies).assign(split=split)
        for (split, file), companies in zip(SPLIT_FILES.items(), splits, strict=True)
    ]
    frame = pd.concat(parts, ignore_index=True).drop_duplicates("company", keep="last").reset_index(drop=True)
    keys = ["company", "institution", "split", "bankrupt", "sector"]
    schema = Schema(
        columns=chosen,
        label=Label("bankrupt", definition="bankruptcy", performance_window="2014 to 2021, retrospective"),
        company="company",
        institution="institution",
        split="split",
        sector="sector",
        lineage={
            "dataset": name,
            "source": "SMEsD V1.0",
            "split": "by year of bankruptcy, companies in two kept later",
        },
    )
    return Table(frame[keys + [column.name for column in chosen]], schema)


class _PlainValues(pickle.Unpickler):
    """Lists, dicts, numbers and text; any class or function in the file is refused before it can run."""

    def find_class(self, module_name: str, global_name: str) -> Never:
        raise pickle.UnpicklingError(f"the global {module_name}.{global_name}")

    def persistent_load(self, pid: Any) -> Never:
        raise pickle.UnpicklingError("a persistent reference")


def _unpickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _PlainValues(file).load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        found = str(error) or type(error).__name__
        raise DatasetError(path.name, found=found, expected="a pickle of plain lists, dicts and numbers") from error


def _rows(data: Sequence[Any], *, companies: Sequence[int]) -> pd.DataFrame:
    """One split's rows; data is (lawsuits by company, registry facts, graph, hyper graph, labels)."""
    lawsuits, registry, graph, hyper, labels = data
    city = {c: place for place, members in hyper["area"].items() for c in members}
    industries: dict[int, set[str]] = defaultdict(set)
    for division, members in hyper["industry"].items():
        for c in members:
            industries[c].add(division)
    facts = {
        # The third registry fact, age_months, is a trap and stays behind.
        c: _registry(capital, paid) | _industry(industries[c]) | _court(lawsuits.get(c, []))
        for c, (capital, paid, _) in zip(companies, registry, strict=True)
    }
    frame = pd.DataFrame.from_dict(facts, orient="index", dtype=float)
    near = smesd_graph.describe(graph, facts=facts, industries=industries)
    keys = pd.DataFrame(
        {
            "company": [f"smesd-{c}" for c in companies],
            "institution": [_city(city[c]) for c in companies],
            "sector": [_sector(industries[c]) for c in companies],
            "bankrupt": labels,
        },
        index=frame.index,
    )
    return pd.concat([keys, frame, near], axis="columns")


def _city(place: object) -> str:
    return next((city for city in CITIES if place == f"{city}市"), "other")


def _sector(divisions: set[str]) -> str:
    return next((name for name in SECTORS if name in {SECTOR_OF.get(d) for d in divisions}), "unknown")


def _registry(capital: float, paid: float) -> dict[str, float]:
    return {
        "registered_capital": capital,
        "paid_in_capital": paid,
        "unpaid_capital": capital - paid,
        "paid_in_ratio": paid / capital,
    }


def _industry(divisions: set[str]) -> dict[str, float]:
    held = {SECTOR_OF.get(division) for division in divisions}
    return {"industries": len(divisions)} | {f"sector_{name}": float(name in held) for name in SECTORS}


def _court(cases: Sequence[Sequence[int]]) -> dict[str, float]:
    """Counts of [cause, court, result, ...]; the two clock fields after them are traps and are not read."""
    causes, courts, results = ([case[i] for case in cases] for i in range(3))
    row = {"sued": float(bool(cases)), "lawsuits": len(cases), "lawsuit_causes": len(set(causes))}
    row |= {f"lawsuits_{name}": causes.count(i) for i, name in enumerate(CAUSES)}
    row |= {f"lawsuits_{name}": sum(min(court, 2) == i for court in courts) for i, name in enumerate(COURTS)}
    row |= {f"lawsuits_{name}": results.count(i) for i, name in enumerate(RESULTS)}
    lost = [cause for cause, result in zip(causes, results, strict=True) if RESULTS[result] == "defendant_failed"]
    row |= {f"lawsuits_{name}_lost": lost.count(CAUSES.index(name)) for name in ("loan", "sale", "labour")}
    shares = ("loan", "sale", *RESULTS)
    return row | {f"lawsuits_{name}_share": row[f"lawsuits_{name}"] / max(1, len(cases)) for name in shares}
