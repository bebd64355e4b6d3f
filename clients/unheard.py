"""A question that is refused before the worker hears it becomes a line of the audit log, and the code to answer."""

from __future__ import annotations

import logging

from flwr.app import Message

from clients.audit_entry import AuditBroken
from clients.audit_log import AuditLog
from fedcredit.errors import FedCreditError

log = logging.getLogger(__name__)
MAX_TYPE = 40  # letters of a name that the platform chose


def on_record(kept: AuditLog, envelope: Message, fault: FedCreditError) -> str:
    """The code that may be answered, once it is on record; `audit` where that was not possible."""
    try:
        kept.append("refused", {"type": envelope.metadata.message_type[:MAX_TYPE], "code": fault.code})
    except AuditBroken as broken:
        log.error("the audit log takes no entry: %s", broken)  # noqa: TRY400 - its text is all there is to know
        return AuditBroken.code
    return fault.code
