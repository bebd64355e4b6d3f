"""What a consortium costs: seconds of a round over TLS beside Flower's own deployment, memory, and a whole demo.

python -m experiments.benchmarks.consortium --json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from experiments.benchmarks.parity import aggregates_agree
from experiments.benchmarks.stock_flower import stock_round_seconds
from experiments.demo.__main__ import demo
from experiments.demo.found import found, give_rows, home_in, widen_policies
from experiments.demo.memory import pss_mb, tree_pss_mb
from experiments.demo.run import Running, running
from experiments.demo.tiny import STUDY, tiny_order, tiny_windows
from experiments.machine import commit, machine
from fedcredit.data.windows import join
from fedcredit.federation.checkpoint import RoundRecord
from server.app import Conducted
from server.consortium.operator import profile
from server.remote import conduct_on_consortium

NAMES = ("bank-a", "bank-b", "bank-c", "bank-d")
REGIONS = 28
LONG_RUN = 500


def measure(*, rounds: int, stock_rounds: int, long_run: int, regions: int) -> dict[str, Any]:
    """Every figure of consortium.md, each part one after the other."""
    plain, group = part("three institutions, plain", lambda: plain_rounds(rounds, long_run=long_run))
    hidden = part("four institutions, masked", lambda: masked_rounds(rounds))
    stock = part("three of Flower's own nodes", lambda: stock_round_seconds(stock_rounds))
    shown = part("the demo, by its command", demo_by_command)
    agree = part("superlink, ray and inprocess", aggregates_agree)
    many = part(f"{regions} institutions", lambda: many_nodes(regions)) if regions else None
    return {
        "round_seconds_median": plain["median"],
        "flower_round_seconds_median": round(median(stock), 3),
        "demo_seconds": shown["seconds"]["total"],
        "node_mb": plain["node_mb"],
        "parity": agree,
        "tls_group": group,
        f"nodes_{regions or REGIONS}": many,
        "round_seconds": plain["seconds"],
        "masked_round_seconds_median": hidden["median"],
        "masked_round_seconds": hidden["seconds"],
        "flower_round_seconds": [round(value, 2) for value in stock],
        "coordinator_mb": plain["coordinator_mb"],
        "demo": shown,
    }


def part(what: str, work: Any) -> Any:
    """Say what is measured, how long that took, and what came of it: a later part may fail."""
    began = time.perf_counter()
    sys.stderr.write(f"{what} ...\n")
    result = work()
    sys.stderr.write(f"  {time.perf_counter() - began:.0f} s: {json.dumps(result)}\n")
    return result


def plain_rounds(rounds: int, *, long_run: int) -> tuple[dict[str, Any], str]:
    """Rounds of train and evaluate in the open; memory of a node after its first, of a coordinator over a long run."""
    from experiments.demo.__main__ import group_of

    with consortium_of(NAMES[:3]) as processes:
        names = list(processes.founded.nodes)
        node_mb: list[float] = []

        def look(record: RoundRecord) -> None:
            if record.round == 1:
                node_mb.extend(sum(_node_mb(processes, name)) for name in names)

        took = seconds_of(conduct(tiny_order(names, rounds=rounds), look))
        grown = coordinator_mb(processes, names, rounds=long_run) if long_run else None
        facts = {**took, "node_mb": round(max(node_mb), 1), "coordinator_mb": grown}
        return facts, group_of(processes.founded)


def masked_rounds(rounds: int) -> dict[str, Any]:
    """The same model, with all updates in one masked sum of four."""
    with consortium_of(NAMES) as processes:
        return seconds_of(conduct(tiny_order(list(processes.founded.nodes), rounds=rounds, masked=True)))


def coordinator_mb(processes: Running, names: Sequence[str], *, rounds: int) -> dict[str, float]:
    """Memory of the coordinator after a fifth of a long run, and at its end."""
    seen: dict[int, float] = {}

    def look(record: RoundRecord) -> None:
        status = json.loads((unit / "status.json").read_text())
        seen[record.round] = pss_mb(int(status["pid"]))

    order = tiny_order(names, rounds=rounds)
    unit = processes.founded.consortium.places.folder / "studies" / order.folder
    conduct(order, look)
    early = min(number for number in seen if number >= rounds // 5)
    return {"rounds": rounds, "early": round(seen[early], 1), "last": round(seen[max(seen)], 1)}


def many_nodes(regions: int) -> dict[str, float]:
    """A node for each region on one machine: seconds from nothing to a finished study, and all their memory."""
    memory: list[float] = []
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as name:

        def look(processes: Running) -> None:
            memory.append(sum(tree_pss_mb(process.pid) for process in processes.processes.values()))

        result = demo(Path(name), institutions=regions, rounds=3, look=look)
    return {
        "seconds": result["seconds"]["total"],
        "gib": round(memory[0] / 1024, 2),
        "round_seconds_median": result["round_seconds_median"],
    }


def demo_by_command() -> dict[str, Any]:
    """The result of `fedcredit consortium demo --json`, with the time of the whole command."""
    began = time.perf_counter()
    words = [sys.executable, "-m", "fedcredit", "consortium", "demo", "--json"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    result["seconds"]["total"] = round(time.perf_counter() - began, 2)
    return result


@contextmanager
def consortium_of(names: Sequence[str]) -> Iterator[Running]:
    """A running consortium of tiny institutions, in a folder that goes."""
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as name, home_in(Path(name)):
        founded = found(Path(name), names, study=STUDY)
        give_rows(founded, join([tiny_windows(one) for one in names]), label_definition="90 dpd")
        widen_policies(founded, studies=f"[{STUDY}]")
        with running(founded) as processes:
            yield processes


def conduct(order: Any, look: Any = lambda record: None) -> Conducted:
    """The order, as an operator has it conducted."""
    return conduct_on_consortium(order, profile("demo"), patience_seconds=120.0, on_round=look)


def seconds_of(conducted: Conducted) -> dict[str, Any]:
    """Seconds of the warm rounds, without the first: their median, and the spread."""
    warm = sorted(record.seconds for record in conducted.state.history[1:])
    spread = {"least": warm[0], "p90": warm[int(0.9 * (len(warm) - 1))], "most": warm[-1]}
    return {"median": round(median(warm), 4), "seconds": {key: round(value, 3) for key, value in spread.items()}}


def _node_mb(processes: Running, name: str) -> tuple[float, float]:
    """The network process and the warm worker, without the tunnel's Caddy."""
    status = processes.status(name)
    return pss_mb(int(status["pid"])), pss_mb(int(status["worker_pid"]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one object; the story goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.consortium", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--rounds", type=int, default=40, help="of the plain and the masked run")
    parser.add_argument("--stock-rounds", type=int, default=4, help="of Flower's own deployment, a quarter minute each")
    parser.add_argument("--long-run", type=int, default=LONG_RUN, help="rounds of the run for the coordinator's memory")
    parser.add_argument("--regions", type=int, default=REGIONS, help="nodes on one machine; 0 leaves it out")
    asked = parser.parse_args(arguments)
    found_figures = measure(
        rounds=asked.rounds, stock_rounds=asked.stock_rounds, long_run=asked.long_run, regions=asked.regions
    )
    about = {"repeats": asked.rounds, "torch_threads": 1, "machine": machine(), "commit": commit()}
    sys.stdout.write(json.dumps({**found_figures, **about}, indent=None if asked.json else 1) + "\n")


if __name__ == "__main__":
    main()
