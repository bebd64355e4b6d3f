"""The batches of a rescoring run become their reasons, as far as the model allows; no score waits for a reason."""

from __future__ import annotations

import time
from collections.abc import Iterable

from fedcredit.data.schema import Table
from fedcredit.errors import FedCreditError
from fedcredit.explain import can_compare
from fedcredit.models.bundle import Bundle
from server.scoring.kept_reasons import write_reasons

NOT_WANTED = "none were asked for"
NO_TYPICAL = "the model's indicators are not those of the dictionary, so there is no typical company to compare with"


class Explaining:
    """Explains batch by batch, and counts; `fault` says why scores are without reasons, in words without a cell."""

    def __init__(self, bundle: Bundle, *, is_wanted: bool = True) -> None:
        self._bundle = bundle
        self._is_able = is_wanted and can_compare(bundle.schema)
        self.fault = "" if self._is_able else NO_TYPICAL if is_wanted else NOT_WANTED
        self.explained, self.seconds = 0, 0.0

    def texts(self, rows: Table, companies: Iterable[str]) -> list[str | None]:
        """What the book keeps for each company, in their order; None where there is nothing to say."""
        texts: dict[str, str] = {}
        if self._is_able:
            began = time.monotonic()
            try:
                texts = write_reasons(self._bundle, rows)
            except FedCreditError as fault:  # its words may quote a cell
                self.fault = f"rows that cannot be explained ({type(fault).__name__})"
            self.seconds += time.monotonic() - began
            self.explained += len(texts)
        return [texts.get(company) for company in companies]
