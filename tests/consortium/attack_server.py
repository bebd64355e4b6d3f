"""Questions in files become messages to nodes, whatever they hold, and answers become files: a coordinator turned bad.

It is put into a bundle as `server/attack.py` and runs at the platform, started by SuperExec as any coordinator is.
"""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

from flwr.app import Context, Message
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto
from flwr.serverapp import Grid, ServerApp

from fedcredit.federation.deployed_grid import DeployedGrid

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Send what is laid down, until a file `end` is."""
    folder = Path(os.environ["FEDCREDIT_CONSORTIUM"]) / "attack" / str(context.run_config["order"])
    deployed = DeployedGrid(grid)  # for its patience with replies that are being uploaded; what is sent goes as it is
    (folder / "ready").touch()
    waiting: dict[str, Path] = {}
    while not (folder / "end").exists():
        for asked in sorted(folder.glob("*.ask")):
            said = json.loads(asked.read_text())
            asked.unlink()
            try:
                (key,) = _push(grid, said)
            except Exception as fault:  # what the SuperLink itself does not take
                _write(asked.with_suffix(".said"), {"unsent": f"{type(fault).__name__}: {str(fault)[:300]}"})
                continue
            waiting[key] = asked.with_suffix(".said")
        for reply in deployed.pull_messages(list(waiting)) if waiting else ():
            _write(waiting.pop(reply.metadata.reply_to_message_id), _told(reply))
        time.sleep(0.05)


def _push(grid: Grid, said: dict[str, Any]) -> list[str]:
    """Send it to the node with this key, which may take a moment to be online."""
    for _ in range(200):
        nodes = {base64.b64encode(bytes(n.public_key)).decode(): int(n.node_id) for n in grid.get_nodes()}
        if said["to"] in nodes:
            break
        time.sleep(0.1)
    content = recorddict_from_proto(RecordDictProto.FromString(base64.b64decode(said["content"])))
    return list(grid.push_messages([Message(content, nodes[said["to"]], said["kind"])]))


def _told(reply: Message) -> dict[str, Any]:
    if reply.has_error():
        return {"code": reply.error.reason, "number": reply.error.code}
    return {"content": base64.b64encode(recorddict_to_proto(reply.content).SerializeToString()).decode()}


def _write(path: Path, said: dict[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(said))
    draft.replace(path)
