"""The files of server/deploy, checked by the tools that will read them: Compose, systemd and Prometheus."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.healthy import listens, main, runs

DEPLOY = Path(__file__).resolve().parents[2] / "server" / "deploy"
UNITS = sorted(path for path in DEPLOY.iterdir() if path.suffix in (".service", ".timer", ".path"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
PLATFORM = {"FEDCREDIT_IMAGE": "fedcredit:0.1.0", "FEDCREDIT_CONSORTIUM": "/srv/fedcredit/consortium"}
NODE = {"FEDCREDIT_IMAGE": "fedcredit:0.1.0", "FEDCREDIT_NODE": "/srv/node", "FEDCREDIT_ROWS": "/srv/rows"}
LARGEST_EXPOSURE = 2.0  # of 10, as systemd counts; a unit that says nothing has 9.6


def tool(name: str) -> str:
    """The path of a program that judges these files; without it a test skips here, and fails in CI."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        if os.environ.get("FEDCREDIT_CI") == "1":
            pytest.fail(f"no {name} on this machine")
        pytest.skip(f"no {name} on this machine")
    return found


def run(*words: str, folder: Path = DEPLOY, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "SYSTEMD_PAGER": "", **environment}
    return subprocess.run(words, cwd=folder, env=clean, capture_output=True, text=True, timeout=60, check=False)


def compose(file: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(tool("docker-compose"), "-f", file, "config", *words, **environment)


@pytest.mark.parametrize(("file", "settings"), [("compose.yaml", PLATFORM), ("compose.node.yaml", NODE)])
def test_compose_takes_the_file_without_a_word(file: str, settings: dict[str, str]) -> None:
    done = compose(file, "-q", **settings)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("file", "settings", "missing"),
    [("compose.yaml", PLATFORM, name) for name in PLATFORM] + [("compose.node.yaml", NODE, name) for name in NODE],
)
def test_a_missing_setting_is_refused_by_its_name(file: str, settings: dict[str, str], missing: str) -> None:
    rest = {name: value for name, value in settings.items() if name != missing}
    done = compose(file, "-q", **rest)
    assert done.returncode == 1
    assert f"required variable {missing} is missing" in done.stderr


def services(file: str, settings: dict[str, str]) -> dict[str, dict[str, Any]]:
    done = compose(file, "--format", "json", **settings)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    return found


def test_only_the_gateway_publishes_a_port_and_only_one() -> None:
    found = services("compose.yaml", PLATFORM)
    assert {name: service.get("ports") for name, service in found.items() if service.get("ports")} == {
        "gateway": [{"mode": "ingress", "target": 443, "published": "443", "protocol": "tcp"}]
    }
    assert all(s["network_mode"] == "service:gateway" for name, s in found.items() if name != "gateway")
    assert not services("compose.node.yaml", NODE)["node"].get("ports")


@pytest.mark.parametrize(("file", "settings"), [("compose.yaml", PLATFORM), ("compose.node.yaml", NODE)])
def test_every_container_is_read_only_without_rights_and_is_asked_whether_it_lives(
    file: str, settings: dict[str, str]
) -> None:
    for name, service in services(file, settings).items():
        assert service["read_only"] is True, name
        assert service["user"] == "10001:10001", name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "pid", "ipc", "devices"} & {key for key in service if service[key]}, name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert re.fullmatch(r"[\w./-]+:[\w.-]+(@sha256:[0-9a-f]{64})?", service["image"]), name
        assert not service["image"].endswith(":latest"), name


KEYS = {
    "authority/ca.key": set[str](),
    "officers/wang.key": set[str](),
    "gateway/server.key": {"gateway"},
    "superlink/server.key": {"superlink"},
    "superlink/secret": {"superlink", "superexec"},
    "superlink/state.db": {"superlink", "metrics"},
}


@pytest.mark.parametrize("path", KEYS)
def test_a_container_sees_the_keys_that_are_its_own_and_no_others(path: str) -> None:
    for name, service in services("compose.yaml", PLATFORM).items():
        mounts = [(m["target"], m["type"], m.get("source", "")) for m in service["volumes"]]
        mounts += [(m["target"], "bind", "secret") for m in service.get("secrets", ())]
        over = max((m for m in mounts if f"/srv/consortium/{path}".startswith(m[0])), key=lambda m: len(m[0]))
        is_seen = over[1] == "bind" and over[2] != "/dev/null"
        assert is_seen == (name in KEYS[path]), name


@pytest.mark.parametrize("path", KEYS)
@pytest.mark.parametrize("name", ["gateway", "superlink", "superexec", "metrics"])
def test_a_unit_sees_the_keys_that_are_its_own_and_no_others(name: str, path: str) -> None:
    text = (DEPLOY / f"fedcredit-{name}.service").read_text()
    hidden = [p.removeprefix("-") for line in re.findall(r"^InaccessiblePaths=(.*)$", text, re.M) for p in line.split()]
    is_seen = not any(f"/var/lib/fedcredit/consortium/{path}".startswith(p) for p in hidden)
    assert is_seen == (name in KEYS[path])


def test_no_container_of_the_platform_writes_to_the_authoritys_or_the_officers_folder() -> None:
    for name, service in services("compose.yaml", PLATFORM).items():
        mounts = {mount["target"]: mount for mount in service["volumes"]}
        for hidden in ("/srv/consortium/officers", "/srv/consortium/authority"):
            assert mounts[hidden]["type"] == "tmpfs", name
        writable = {m["target"] for m in service["volumes"] if m["type"] == "bind" and not m.get("read_only")}
        assert writable <= {
            f"/srv/consortium/{folder}"
            for folder in {
                "gateway": ["run"],
                "superlink": ["run", "superlink"],
                "superexec": ["run", "studies"],
                "metrics": ["run"],
            }[name]
        }


def test_keys_come_as_files_and_no_setting_holds_one() -> None:
    text = (DEPLOY / "compose.yaml").read_text() + (DEPLOY / "compose.node.yaml").read_text()
    parsed = [yaml.safe_load((DEPLOY / file).read_text()) for file in ("compose.yaml", "compose.node.yaml")]
    assert all(set(secret) == {"file"} for one in parsed for secret in one["secrets"].values())
    assert "environment:" not in text


def test_the_image_runs_as_nobody_and_fetches_nothing() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    stages = [line for line in text.splitlines() if line.startswith("FROM ")]
    assert all("${PYTHON_IMAGE}" in line for line in stages)
    assert re.search(r"^ARG PYTHON_IMAGE=[a-z]+:\d+\.\d+\.\d+-[a-z-]+$", text, re.MULTILINE)
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert text.rindex("USER 10001") < text.rindex("ENTRYPOINT")
    assert "--no-index" in text
    assert "--require-hashes" in text
    assert not re.search(r"curl|wget|apt-get|ADD ", text)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with a program that exists here: systemd refuses one that does not."""
    for path in UNITS:
        text = re.sub(r"/opt/fedcredit/bin/\w+", "/bin/true", path.read_text())
        (tmp_path / path.name).write_text(text)
    return tmp_path


def test_systemd_takes_every_unit_without_a_word(units: Path) -> None:
    done = run(tool("systemd-analyze"), "verify", *(f"./{path.name}" for path in UNITS), folder=units)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


@pytest.mark.parametrize("name", [path.name for path in SERVICES])
def test_systemd_counts_a_service_as_little_exposed(units: Path, name: str) -> None:
    most = str(int(10 * LARGEST_EXPOSURE))
    asked = ("security", "--offline=true", "--no-pager", f"--threshold={most}", f"./{name}")
    done = run(tool("systemd-analyze"), *asked, folder=units)
    assert done.returncode == 0, done.stdout[-300:]


def test_an_open_service_would_be_found_out(units: Path) -> None:
    (units / "open.service").write_text("[Service]\nExecStart=/bin/true\n")
    asked = ("security", "--offline=true", "--no-pager", "--threshold=40", "./open.service")
    assert run(tool("systemd-analyze"), *asked, folder=units).returncode == 1


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_no_service_is_root_or_sees_keys_that_it_does_not_need(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"^User=fedcredit$", text, re.MULTILINE)
    assert re.search(r"^NoNewPrivileges=yes$", text, re.MULTILINE)
    if path.stem != "fedcredit-backup":
        assert re.search(r"^InaccessiblePaths=.*authority/ca.key .*officers$", text, re.MULTILINE)
    if path.stem != "fedcredit-gateway":
        assert re.search(r"^CapabilityBoundingSet=$", text, re.MULTILINE)
        assert re.search(r"^IPAddressDeny=any$", text, re.MULTILINE)


def test_the_settings_of_prometheus_are_right() -> None:
    done = run(tool("promtool"), "check", "config", "--syntax-only", "prometheus.yml")
    assert done.returncode == 0, done.stderr


def test_the_alerts_are_right_and_fire_when_they_should() -> None:
    checked = run(tool("promtool"), "check", "rules", "alerts.yaml")
    assert checked.returncode == 0, checked.stderr
    tested = run(tool("promtool"), "test", "rules", "alerts-test.yaml")
    assert tested.returncode == 0, tested.stderr + tested.stdout


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_is_seen_to_fire() -> None:
    tests = yaml.safe_load((DEPLOY / "alerts-test.yaml").read_text())["tests"]
    fired = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one["exp_alerts"]}
    assert {rule["alert"] for rule in alerts()} == fired


def test_every_alert_says_how_urgent_it_is_and_which_page_helps() -> None:
    root = DEPLOY.parents[1]
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert (root / rule["annotations"]["page"]).exists(), rule["alert"]


def test_alerts_ask_for_metrics_that_exist() -> None:
    asked = set(re.findall(r"fedcredit_(?:platform|node|scoring)_\w+", (DEPLOY / "alerts.yaml").read_text()))
    code = "".join((DEPLOY.parents[1] / file).read_text() for file in (
        "server/metrics.py", "clients/node_metrics.py", "fedcredit/gauges.py", "server/scoring/gauges.py"
    ))  # fmt: skip
    told = set(re.findall(r'sheet\.(?:gauge|counter)\(\s*"(\w+)"', code))
    names = {re.sub(r"^fedcredit_(platform|node|scoring)_", "", name).removesuffix("_total") for name in asked}
    assert names <= told


def test_a_port_that_nobody_listens_at_is_not_healthy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listens(port)
        assert main(["gateway", str(port)]) == 0
        (tmp_path / "port").write_text(str(port))
        assert main(["superlink", str(tmp_path / "port")]) == 0
    assert main(["superlink", str(tmp_path / "none")]) == 1
    assert main(["gateway", str(port)]) == 1


def test_a_program_that_does_not_run_is_not_healthy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(b"python\0-m\0server.healthy\0flower-superexec")
    assert not runs(b"flower-superexec", processes=tmp_path)
    (tmp_path / "8").mkdir()
    (tmp_path / "8" / "cmdline").write_bytes(b"python\0/opt/fedcredit/bin/flower-superexec\0")
    assert runs(b"flower-superexec", processes=tmp_path)
    assert main(["nonsense"]) == 2
    assert "usage" in capsys.readouterr().err
