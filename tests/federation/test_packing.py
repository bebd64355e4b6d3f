"""Packed messages: the same question gives the same answer, and what is packed wrongly is refused with a code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from clients.app import app
from fedcredit.errors import ConfigError
from fedcredit.federation.arrays import decode
from fedcredit.federation.engine import to_record
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.packing import MOST_PACKED_BYTES, is_packed, pack, unpack
from server.app import initial_arrays
from tests.conftest import Nodes
from tests.federation.conftest import make_task


def test_content_comes_back_as_it_was_packed() -> None:
    arrays = to_record({"w": np.arange(6, dtype=np.float32).reshape(2, 3)})
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"n": 3, "h": [1, 2]}), "config": ConfigRecord({})})
    back = unpack(pack(content))
    assert list(back) == ["arrays", "metrics", "config"]
    assert dict(back["metrics"]) == {"n": 3, "h": [1, 2]}
    np.testing.assert_array_equal(decode(back["arrays"]["w"]), [[0, 1, 2], [3, 4, 5]])


def test_packed_question_is_answered_packed_and_with_the_same_update(nodes: Callable[..., Nodes]) -> None:
    task = make_task()
    config = task.as_config(**{"server-round": 1})
    content = RecordDict({"arrays": to_record(initial_arrays(task)), "config": config})
    grid = InProcessGrid(app, nodes(2).configs)
    (plain,) = grid.send_and_receive([Message(content, 1, "train")])
    (packed,) = grid.send_and_receive([Message(pack(content), 1, "train")])
    assert is_packed(packed.content)
    assert not is_packed(plain.content)
    for name, array in unpack(packed.content)["arrays"].items():
        np.testing.assert_array_equal(decode(array), decode(plain.content["arrays"][name]))


def test_large_content_is_left_to_flower_which_sends_it_in_pieces() -> None:
    content = RecordDict({"arrays": to_record({"w": np.zeros(MOST_PACKED_BYTES // 4 + 1, dtype=np.float32)})})
    assert pack(content) is content
    assert unpack(content) is content


@pytest.mark.parametrize("data", [b"\xff\xff", "text", 3])
def test_what_is_packed_wrongly_is_refused(data: bytes | str | int) -> None:
    with pytest.raises(ConfigError, match="packed"):
        unpack(RecordDict({"packed": ConfigRecord({"packed": data})}))


def test_records_beside_a_packed_one_are_refused() -> None:
    content = pack(RecordDict({"config": ConfigRecord({})}))
    content["config"] = ConfigRecord({"a": 1})
    with pytest.raises(ConfigError, match="packed"):
        unpack(content)
