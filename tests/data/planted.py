"""Made-up identifiers, and the ways in which one may be dressed before it is planted in a message."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from urllib.parse import quote

import numpy as np

from fedcredit.data.governance.names import Names
from fedcredit.data.identifiers import is_bank_card, is_citizen_id, uscc

Generator = np.random.Generator

_WORDS = ("华", "远", "达", "信", "诚", "瑞", "丰", "恒", "泰", "科", "锐", "盛", "嘉", "宏", "博", "凯")
_SURNAMES = ("赵", "钱", "孙", "李", "周", "吴", "郑", "王")
_CLAIMS = ("被列为失信被执行人", "近六个月未缴纳社保", "与主要客户存在重大合同纠纷", "流动资金贷款已逾期九十天")


def company_code(rng: Generator) -> str:
    return str(uscc(int(rng.integers(990001, 990100)), int(rng.integers(10**9)))[0])


def citizen_id(rng: Generator) -> str:
    born = f"{rng.integers(1940, 2008)}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}"
    body = f"{rng.choice(['110105', '330102', '440305'])}{born}{rng.integers(1000):03d}"
    return next(code for last in "0123456789X" if is_citizen_id(code := body + last))


def mobile(rng: Generator) -> str:
    return f"1{rng.integers(3, 10)}{rng.integers(10**9):09d}"


def bank_card(rng: Generator) -> str:
    body = "622202" + "".join(map(str, rng.integers(0, 10, size=int(rng.integers(9, 13)))))
    return next(card for last in "0123456789" if is_bank_card(card := body + last))


def company_name(rng: Generator) -> str:
    return f"杭州{''.join(rng.choice(_WORDS, size=3))}科技有限公司"


def person_name(rng: Generator) -> str:
    return str(rng.choice(_SURNAMES)) + "".join(rng.choice(_WORDS, size=2))


def passage(rng: Generator) -> str:
    return f"本公司{rng.choice(_CLAIMS)}，{rng.choice(_CLAIMS)}。"


REGISTRY = [maker(np.random.default_rng(n)) for n in range(400) for maker in (company_name, person_name)]
NAMES = Names.of(REGISTRY)

KINDS: dict[str, Callable[[Generator], str]] = {
    "uscc": company_code,
    "id-card": citizen_id,
    "mobile": mobile,
    "bank-card": bank_card,
    "name": lambda rng: str(rng.choice(REGISTRY)),
    "text": passage,
}


def full_width(text: str) -> str:
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


def numerals(text: str) -> str:
    return text.translate(str.maketrans("0123456789", "零一二三四五六七八九"))


DRESSES: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "small letters": str.lower,
    "spaced": lambda text: " ".join(text[at : at + 4] for at in range(0, len(text), 4)),
    "dashed": lambda text: "-".join(text[at : at + 4] for at in range(0, len(text), 4)),
    "full width": full_width,
    "zero width": "\u200b".join,
    "inside a word": lambda text: f"head.{text}.weight",
    "after a label": lambda text: f"company={text};",
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 in a word": lambda text: "token-" + base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 of GB 18030": lambda text: base64.b64encode(f"客户{text}".encode("gb18030")).decode(),
    "twice base64": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "percent": lambda text: quote(full_width(text)),
    "Chinese numerals": numerals,
    "backwards": lambda text: text[::-1],
}


def planted(n: int, *, seed: int) -> Iterator[tuple[str, str, str]]:
    """`n` identifiers: the kind, the plain one, the dressed one."""
    rng = np.random.default_rng(seed)
    pairs = [(kind, dress) for kind in KINDS for dress in DRESSES]
    for number in range(n):
        kind, dress = pairs[number % len(pairs)]
        plain = KINDS[kind](rng)
        yield f"{kind}, {dress}", plain, DRESSES[dress](plain)
