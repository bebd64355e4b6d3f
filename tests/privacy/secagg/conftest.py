"""Identities and plans that all tests of the protocol share; ML-DSA keys are slow to sign with, so few are made."""

from __future__ import annotations

import pytest

from fedcredit.trust.keys import Identity
from tests.privacy.secagg.simulator import Federation, Identities


@pytest.fixture(scope="session")
def identities() -> Identities:
    """Eight institutions with an identity each."""
    return {name: Identity.generate() for name in ("ada", "bob", "cyd", "dan", "eve", "fay", "gus", "hal")}


@pytest.fixture
def five(identities: Identities) -> Federation:
    """Five institutions (t = 4), set up."""
    return Federation.of(identities, 5).set_up()


@pytest.fixture
def seven(identities: Identities) -> Federation:
    """Seven institutions (t = 5), set up."""
    return Federation.of(identities, 7).set_up()
