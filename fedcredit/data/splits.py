"""The ids of companies become a training, validation and test split, the same on every machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SALT = "fedcredit/v1/split"


def split_by_company(company: NDArray[np.str_], *, validation: float = 0.2, test: float = 0.2) -> NDArray[np.str_]:
    """Split of each row by the hash of its company, so that a company's rows stay together.

    >>> split_by_company(np.array(["acme", "beta", "acme"])).tolist()
    ['train', 'test', 'train']
    """
    at = hash_of(company, salt=SALT)
    return np.where(at < test, "test", np.where(at < test + validation, "validation", "train"))


def hash_of(company: NDArray[np.str_], *, salt: str) -> NDArray[np.float64]:
    """A number in 0..1 for each row, equal for equal companies: the first 8 bytes of sha256("salt:company")."""
    code, seen = pd.factorize(np.asarray(company, dtype=object))
    digests = [hashlib.sha256(f"{salt}:{name}".encode()).digest()[:8] for name in seen]
    return np.asarray([int.from_bytes(digest, "big") / 2**64 for digest in digests])[code]
