"""Every error of ours: where, what was found, what would be right, and a hint, drawn for whoever catches it."""

from __future__ import annotations


class FedCreditError(Exception):
    """Root of our errors; a command prints it in two lines and leaves with `exit_code`, a service answers its fields.

    >>> print(TableError("loans.csv, row 7", found="'n/a'", expected="a number", hint="leave it empty"))
    loans.csv, row 7: found 'n/a', expected a number
    hint: leave it empty
    """

    code = "error"
    exit_code = 1

    def __init__(self, where: str, *, found: str, expected: str, hint: str = "") -> None:
        super().__init__(where, found, expected, hint)
        self.where = where
        self.found = found
        self.expected = expected
        self.hint = hint

    def __str__(self) -> str:
        line = f"{self.where}: found {self.found}, expected {self.expected}"
        return f"{line}\nhint: {self.hint}" if self.hint else line

    def __reduce__(self) -> tuple[object, ...]:
        # A worker process hands its error to the parent by pickling; keyword-only arguments need this.
        return (_rebuild, (type(self), self.where, self.found, self.expected, self.hint))

    def as_dict(self) -> dict[str, str]:
        """The object that `--json` prints and a service answers."""
        return {
            "error": type(self).__name__,
            "where": self.where,
            "found": self.found,
            "expected": self.expected,
            "hint": self.hint,
            "code": self.code,
        }


def _rebuild(kind: type[FedCreditError], where: str, found: str, expected: str, hint: str) -> FedCreditError:
    return kind(where, found=found, expected=expected, hint=hint)


class TableError(FedCreditError):
    """A table cannot be used as it stands: its owner mends the named cell, column or file."""

    code = "table"


class DatasetError(FedCreditError):
    """A public data set is missing, unreadable or not the one that was pinned."""

    code = "dataset"


class ConfigError(FedCreditError):
    """A setting is misspelt, of the wrong type or out of range; nothing has run yet."""

    code = "config"
    exit_code = 2


class PolicyRefused(FedCreditError):
    """A policy, gate or budget says no; retrying the same thing will not help."""

    code = "refused"
    exit_code = 3


class TrapRefused(PolicyRefused):
    """A study names a column that is known to leak the outcome."""

    code = "trap"


class BudgetSpent(PolicyRefused):
    """The privacy budget does not cover what was asked."""

    code = "budget"


class LedgerEdited(PolicyRefused):
    """The ledger of privacy spend was changed by hand; what was spent is unknown, so nothing may be charged."""

    code = "ledger"


class EgressRefused(PolicyRefused):
    """A message that was about to leave the institution does not look as its type must, or holds an identifier."""

    code = "egress"


class FederationError(FedCreditError):
    """A run cannot go on: no quorum, no good reply, or the institutions do not fit together."""

    code = "federation"


class NodeError(FedCreditError):
    """A node cannot start, cannot be reached, or was sent what it does not take."""

    code = "node"


class ReplyError(FedCreditError):
    """What a node uploaded as its reply is no message that a coordinator reads."""

    code = "reply"


class CheckpointError(FedCreditError):
    """A checkpoint could not be written or does not belong to this run."""

    code = "checkpoint"


class ModelError(FedCreditError):
    """A model bundle or registered version cannot be loaded, or does not fit the table."""

    code = "model"


class RunError(FedCreditError):
    """A run folder is missing, unfinished or not readable."""

    code = "run"
