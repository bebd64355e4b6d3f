"""The two files of joining by one name: an institution's request (.fcreq) and the consortium's answer (.fcjoin)."""

from __future__ import annotations

from fedcredit.trust.joining_answer import (
    JOIN,
    Join,
    JoinRefused,
    draft_join,
    finish_join,
    join_of,
    read_join,
    write_join,
)
from fedcredit.trust.joining_request import (
    MAX_REQUEST_BYTES,
    REQUEST,
    Environment,
    Request,
    RequestRefused,
    Role,
    read_request,
    signed_also_by,
    write_request,
)

__all__ = [
    "JOIN",
    "MAX_REQUEST_BYTES",
    "REQUEST",
    "Environment",
    "Join",
    "JoinRefused",
    "Request",
    "RequestRefused",
    "Role",
    "draft_join",
    "finish_join",
    "join_of",
    "read_join",
    "read_request",
    "signed_also_by",
    "write_join",
    "write_request",
]
