"""A full disk or a crash at any write: the old version or the new one holds, and the same command ends the job."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcredit.trust import files
from fedcredit.trust.joining import read_join
from server.consortium.home import Consortium
from server.consortium.verify import verify
from tests.server.consortium.conftest import Applicant, run

WRITES = 7  # of an approval: certificate, pending, history, manifest, highest version, answer; and one more than that


@pytest.mark.parametrize("good", range(WRITES))
def test_approval_that_breaks_off_at_any_write_is_ended_by_the_same_command(
    kept: Consortium, applicant: Callable[[str], Applicant], monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    request, sync, done = applicant("harbour").request(), os.fsync, []

    def full(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").resolve().is_dir():
            return sync(handle)
        done.append(handle)
        if len(done) > good:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        if good < WRITES - 1:
            with pytest.raises(OSError, match="No space left"):
                run("approve", request)
        else:
            run("approve", request)
    assert not list(kept.places.folder.rglob(".*.??????*"))  # no drafts are left behind
    assert kept.current().version in (1, 2)
    if good < WRITES - 1:
        run("approve", request)
    assert kept.current().version == 2
    joined = read_join(
        request.with_suffix(".fcjoin").read_bytes(), fingerprint=kept.current().root_fingerprint, now=datetime.now(UTC)
    )
    assert joined.members() == kept.current()
    assert not kept.places.pending.exists()
    assert all(one.is_fine or one.is_warning for one in verify(kept, now=datetime.now(UTC)))
