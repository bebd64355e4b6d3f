"""A node's node.yaml becomes the node_config that the ClientApp reads, every path whole and every key known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml

from clients.home import NodeHome
from fedcredit.errors import ConfigError
from fedcredit.strict import build
from fedcredit.trust.files import write_whole

MAX_FACTS_BYTES = 64 * 1024
NodeConfig = dict[str, str | int | bool]

# One line a key, `key: value` from its first letter on: `set_facts` replaces such a line and keeps all others.
TEMPLATE = """\
# What the operator of this node set. Nothing here is sent; paths are relative to this folder.
institution: {institution}

# The rows: `fedcredit node data TABLE` makes this file and sets the definition of its outcome, which must be the
# federation's.
windows: windows.npz
label-definition: unstated

# Rows that are public, synthetic or consented to. false keeps every level from 4 on at home but for noised aggregates.
open-rows: false
# Exact validation counts of a private task. Only for rows that are public or synthetic.
exact-metrics: false

# Optional, one a line:
# level: 4                      a higher level of JR/T 0197-2020 than the columns' own
# known-to: known-to.json       to how many institutions each company is known, for epsilon across institutions
# registry: registry.txt        names and codes that must never leave nor stand in a log
# ceilings: ceilings.yaml       limits beside those of the policy
# population: bank-a            whose budget the rows spend, if another node of this institution spends the same one

# The link. The gateway's address is in the signed manifest.
server-name: {server_name}
tunnel-port: 0                # on 127.0.0.1; 0 takes a free one
require-pq: true              # refuse a link whose key exchange is not X25519MLKEM768
# overspending: true            let a run spend more than its plan after a crash; only for public or synthetic rows
# metrics-port: 9411            answer Prometheus on 127.0.0.1
# proxy: http://proxy.example:3128   your own way out; it must not open TLS
# worker-seconds: 3600          the longest that one answer may take before the worker is started anew
"""


@dataclass(frozen=True)
class NodeFacts:
    """The operator's facts; what is not here cannot be set for a node of a consortium."""

    institution: str
    windows: str = "windows.npz"
    label_definition: str = "unstated"
    open_rows: bool = False
    exact_metrics: bool = False
    level: int | None = None
    known_to: str | None = None
    registry: str | None = None
    ceilings: str | None = None
    population: str | None = None
    server_name: str = ""
    tunnel_port: int = 0
    require_pq: bool = True
    proxy: str | None = None
    overspending: bool = False
    worker_seconds: float = 3600.0
    metrics_port: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.tunnel_port <= 65535:
            raise ConfigError("tunnel_port", found=str(self.tunnel_port), expected="a port, or 0 for a free one")
        if not 0.0 < self.worker_seconds < float("inf"):
            raise ConfigError("worker_seconds", found=str(self.worker_seconds), expected="a number above 0")

    def node_config(self, home: NodeHome) -> NodeConfig:
        """What `clients.institution` reads: keys, ledger and state are always those of the folder.

        >>> from pathlib import Path
        >>> NodeFacts("bank-a").node_config(NodeHome(Path("/n")))["windows"]
        '/n/windows.npz'
        """
        config: NodeConfig = {
            "institution": self.institution,
            "windows": str(home.folder / self.windows),
            "label-definition": self.label_definition,
            "state": str(home.state),
            "ledger": str(home.ledger),
            "identity": str(home.identity),
            "roster": str(home.roster),
            "policy": str(home.policy),
            "officer": str(home.officer_public),
            "manifest": str(home.manifest),
            "audit": str(home.audit_log),
            "champion": str(home.champion),
            "open-rows": self.open_rows,
            "exact-metrics": self.exact_metrics,
            "overspending": self.overspending,
        }
        files = {"known-to": self.known_to, "registry": self.registry, "ceilings": self.ceilings}
        config |= {key: str(home.folder / path) for key, path in files.items() if path is not None}
        if self.level is not None:
            config["level"] = self.level
        if self.population is not None:
            config["population"] = self.population
        return config


def read_facts(home: NodeHome) -> NodeFacts:
    """The facts in the folder's node.yaml.

    Raises:
        ConfigError: there is none, it is no YAML, or a key or a value is wrong.
    """
    path = home.facts
    try:
        if path.stat().st_size > MAX_FACTS_BYTES:
            raise ConfigError(str(path), found="a larger file", expected=f"at most {MAX_FACTS_BYTES} bytes")
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = "fedcredit node join FILE.fcjoin writes it"
        raise ConfigError(str(path), found="no file", expected="the operator's facts", hint=hint) from None
    except (OSError, ValueError, yaml.YAMLError) as fault:
        raise ConfigError(str(path), found=type(fault).__name__, expected="a YAML file of facts") from None
    if not isinstance(raw, dict):
        raise ConfigError(str(path), found="no group of settings", expected="key: value lines")
    return build(NodeFacts, {str(key).replace("-", "_"): value for key, value in raw.items()}, where=path.name)


def write_facts(home: NodeHome, *, institution: str, server_name: str) -> None:
    """Write the template, whole or not at all; a file that is there is the operator's and stays."""
    if not home.facts.exists():
        text = TEMPLATE.format(institution=_scalar(institution), server_name=_scalar(server_name))
        write_whole(home.facts, text.encode())


def set_facts(home: NodeHome, **facts: str | int | bool) -> None:
    """Put values into node.yaml, a line each, and keep its comments; what would not read again is not written."""
    lines = home.facts.read_text(encoding="utf-8").splitlines()
    for name, value in facts.items():
        key = name.replace("_", "-")
        line = f"{key}: {_scalar(value)}"
        at = [number for number, one in enumerate(lines) if one.startswith(f"{key}:")]
        if at:
            lines[at[0]] = line
        else:
            lines.append(line)
    write_whole(home.facts, ("\n".join(lines) + "\n").encode())


def _scalar(value: Any) -> str:
    """A value as one line of YAML: JSON is YAML, and quotes what could be read as something else."""
    return json.dumps(value, ensure_ascii=False)
