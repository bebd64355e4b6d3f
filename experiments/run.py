"""The composed configuration becomes a run: `python -m experiments.run experiment=quickstart`, or `-m` for a sweep."""

from __future__ import annotations

import sys

import hydra
from omegaconf import DictConfig

from experiments.study import run
from fedcredit.config import CONFIGS, register, typed
from fedcredit.errors import FedCreditError

register()


@hydra.main(config_path=str(CONFIGS), config_name="study", version_base="1.3")
def main(composed: DictConfig) -> float | None:
    """Run one job; a sweeper that optimises gets the headline AUC of the federated arm."""
    try:
        report = run(typed(composed))
    except FedCreditError as fault:
        print(f"error: {fault}", file=sys.stderr)  # noqa: T201 - the program's own rim
        sys.exit(fault.exit_code)
    print(report.folder)  # noqa: T201 - the result
    auc = report.headline.query("name == 'federated'")["point"]
    return float(auc.iloc[0]) if len(auc) else None


if __name__ == "__main__":
    main()
