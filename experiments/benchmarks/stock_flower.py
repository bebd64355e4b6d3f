"""Flower's own deployment becomes seconds of a round: SuperLink, SuperNodes and strategy as they come, over TLS.

The same rows, model and ClientApp as ours; three `flower-supernode` with keys, process and poll settings as shipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from flwr.cli.build import build_fab_from_files

from experiments.benchmarks.parity import NAMES, node_configs, order_of
from fedcredit.errors import FederationError
from fedcredit.link.authority import Authority, new_key_and_csr
from fedcredit.link.running import free_port
from server.bundle import Bundle
from server.kept import wait_for_port
from server.superlink import control
from server.superlink_files import QUIET

PYPROJECT = """\
[project]
name = "stock"
version = "1.0.0"
license = "Apache-2.0"
dependencies = ["flwr"]
[tool.flwr.app]
publisher = "fedcredit"
[tool.flwr.app.components]
serverapp = "stock.server_app:app"
clientapp = "clients.app:app"
[tool.flwr.app.config]
task = ""
rounds = 1
out = ""
"""
SERVER_APP = """\
import hashlib, json, time
from pathlib import Path
from flwr.app import ConfigRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from fedcredit.federation.engine import to_record
from fedcredit.federation.messages import Task
from server.app import initial_arrays

app = ServerApp()

@app.main()
def main(grid, context):
    text = context.run_config["task"]
    task, began = Task.from_json(text), [time.perf_counter()]

    def config():
        return ConfigRecord({"task": text, "task-sha256": hashlib.sha256(text.encode()).hexdigest()})

    def note(number, arrays):
        began.append(time.perf_counter())

    strategy = FedAvg(min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3)
    strategy.start(
        grid=grid, initial_arrays=to_record(initial_arrays(task)), num_rounds=int(context.run_config["rounds"]),
        train_config=config(), evaluate_config=config(), evaluate_fn=note,
    )
    # evaluate_fn is called before the first round too: what lies between two calls is a round.
    ends = began[1:]
    Path(context.run_config["out"]).write_text(json.dumps([b - a for a, b in zip(ends, ends[1:])]))
"""
RUN_SECONDS = 600.0


def stock_round_seconds(rounds: int) -> list[float]:
    """Seconds of each round after the first."""
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as name, ExitStack() as stack:
        folder = Path(name)
        address, root = _superlink(folder, stack)
        _nodes(folder, stack, address=address, root=root)
        out = folder / "seconds.json"
        config: dict[str, str | int] = {"task": order_of("stock").task.to_json(), "rounds": rounds, "out": str(out)}
        with control(address, root=root) as superlink:
            run = superlink.start(_bundle(), config)
            give_up = time.monotonic() + RUN_SECONDS
            while not out.exists():
                state = superlink.state(run)
                if time.monotonic() > give_up or state is None or (state.is_over and not out.exists()):
                    log = (folder / "superlink.log").read_text(errors="replace")[-2000:]
                    raise FederationError("Flower's own deployment", found=f"{state} {log}", expected="a finished run")
                time.sleep(1.0)
        took: list[float] = json.loads(out.read_text())
        return took[1:] if len(took) > 1 else took


def _superlink(folder: Path, stack: ExitStack) -> tuple[str, Path]:
    authority = Authority.create(folder / "authority", name="stock")
    csr = new_key_and_csr(folder / "server.key", name="superlink")
    hosts = ["127.0.0.1", "localhost"]
    (folder / "server.crt").write_text(authority.issue(csr, role="server", name="superlink", days=1, hosts=hosts))
    root, port = folder / "authority" / "ca.crt", free_port()
    _start(
        stack,
        folder,
        "superlink",
        *("--ssl-certfile", str(folder / "server.crt"), "--ssl-keyfile", str(folder / "server.key")),
        *("--ssl-ca-certfile", str(root), "--enable-supernode-auth", "--database", str(folder / "state.db")),
        *("--host", "127.0.0.1", "--port", str(port), "--disable-runtime-dependency-installation"),
    )
    wait_for_port(f"127.0.0.1:{port}")
    return f"127.0.0.1:{port}", root


def _nodes(folder: Path, stack: ExitStack, *, address: str, root: Path) -> None:
    for number, facts in enumerate(node_configs(folder)):
        key = ec.generate_private_key(ec.SECP384R1())
        path = folder / f"node-{number}.key"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        path.chmod(0o600)
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        with control(address, root=root) as superlink:
            superlink.register(public, name=NAMES[number])
        said = " ".join(f"{k}={json.dumps(v)}" for k, v in facts.items())
        _start(
            stack,
            folder,
            "supernode",
            *("--superlink", address, "--root-certificates", str(root), "--auth-supernode-private-key", str(path)),
            *("--node-config", said, "--port", str(free_port())),
            name=f"supernode-{number}",
        )


def _start(stack: ExitStack, folder: Path, program: str, *words: str, name: str = "") -> None:
    command = str(Path(sys.executable).with_name(f"flower-{program}"))
    with (folder / f"{name or program}.log").open("ab") as log:
        environment = {**os.environ, **QUIET, "FLWR_HOME": str(folder / "flwr")}
        del environment["FLWR_SUPEREXEC_TASK_POLL_INTERVAL"]  # as shipped
        process = subprocess.Popen(
            [command, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=folder
        )
    stack.callback(process.wait)
    stack.callback(process.terminate)


def _bundle() -> Bundle:
    import hashlib

    files: dict[str, bytes | Path] = {
        "pyproject.toml": PYPROJECT.encode(),
        "stock/__init__.py": b"",
        "stock/server_app.py": SERVER_APP.encode(),
    }
    content, _ = build_fab_from_files(files)
    return Bundle(content, hashlib.sha256(content).hexdigest(), "fedcredit/stock", "1.0.0")
