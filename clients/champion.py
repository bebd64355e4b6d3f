"""A bundle that came becomes the champion that this node scores with, once two officers' signatures over it hold.

Beside the node's keys lies champion/: a folder a bundle, named by its digest, and champions.json, which says by model
which one is in force. A bundle is whole in its place before the pointer moves; whatever cuts that short leaves the one
before in force.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedcredit.errors import ModelError, PolicyRefused
from fedcredit.trust.files import write_whole
from fedcredit.trust.keys import PublicIdentity
from fedcredit.trust.promotion import Promotion, open_promotion

if TYPE_CHECKING:
    from fedcredit.models.bundle import Bundle

DIGEST = re.compile(r"[0-9a-f]{64}")
POINTER, LOCK, PROMOTION = "champions.json", ".lock", "PROMOTION.json"
MAX_POINTER_BYTES = 256 * 1024
MAX_MODELS = 100


class ChampionRefused(PolicyRefused):
    """A champion cannot be taken or used: it is not what the officers promoted, or there is none."""

    code = "champion"


@dataclass(frozen=True)
class Champion:
    """A bundle that verified, with the promotion by which it is in force; `is_new` if it was not before."""

    bundle: Bundle
    promotion: Promotion
    folder: Path
    is_new: bool = False


def take(
    folder: Path,
    files: Mapping[str, bytes],
    *,
    officers: Mapping[str, PublicIdentity],
    now: datetime,
) -> Champion:
    """Verify the files of a promoted bundle and make it this node's champion of its model.

    Raises:
        ChampionRefused: the bundle is not whole, or the disk refuses.
        PromotionRefused, SealBroken: it is not promoted by two officers now, or later than the one in force.
    """
    from fedcredit.models import bundle as bundles

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(folder):
        draft = folder / f".{secrets.token_hex(8)}"
        try:
            draft.mkdir(mode=0o700)
            for name, content in files.items():
                write_whole(draft / name, content)
            bundle = bundles.read(draft)
            promotion = open_promotion(files[PROMOTION], bundle_sha256=bundle.sha256, officers=officers, now=now)
            known = _pointers(folder)
            before = _before(promotion.model, known)
            promotion.require_later(before)
            if promotion.model not in known and len(known) >= MAX_MODELS:
                raise ChampionRefused("champion", found=f"{len(known)} models", expected=f"at most {MAX_MODELS}")
            place = folder / bundle.sha256
            _put(draft, place)
            said = {"bundle_sha256": bundle.sha256, "made": promotion.made.isoformat(), "since": now.isoformat()}
            _write_pointers(folder, {**known, promotion.model: said})
        except ModelError as fault:
            raise ChampionRefused("champion", found=fault.found, expected=fault.expected) from None
        except OSError as fault:
            found, hint = os.strerror(fault.errno or 0).lower(), "free some space; the champion before is in force"
            raise ChampionRefused("champion", found=found, expected="a disk that can be written", hint=hint) from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    is_new = before is None or before.bundle_sha256 != bundle.sha256
    return Champion(bundle, promotion, place, is_new)


def champion_of(folder: Path, model: str | None, *, officers: Mapping[str, PublicIdentity]) -> Champion:
    """The champion in force, verified anew: every file, and both signatures, against the officers of now.

    `model` may be left out where there is only one.

    Raises:
        ChampionRefused: there is none, or its files are not what was promoted.
        PromotionRefused, SealBroken: no two officers of the manifest stand for it.
    """
    from fedcredit.models import bundle as bundles

    known = _pointers(folder)
    if model is None and len(known) > 1:
        raise ChampionRefused("--model", found=f"champions of {', '.join(sorted(known))}", expected="one of them")
    name = model or next(iter(known), None)
    if name is None or name not in known:
        hint = "the platform sends it: fedcredit model publish"
        raise ChampionRefused("champion", found="none that was verified here", expected="one", hint=hint)
    place = folder / known[name]["bundle_sha256"]
    try:
        bundle = bundles.read(place)
        data = (place / PROMOTION).read_bytes()
    except (ModelError, OSError) as fault:
        found = fault.found if isinstance(fault, ModelError) else "no promotion"
        hint = "it was changed on this disk, or lost: have it sent again by fedcredit model publish"
        raise ChampionRefused(
            f"champion of {name}", found=found, expected="the bundle as promoted", hint=hint
        ) from None
    if bundle.sha256 != place.name:
        raise ChampionRefused(f"champion of {name}", found="another bundle in its place", expected="the promoted one")
    promotion = open_promotion(data, bundle_sha256=bundle.sha256, officers=officers)
    if promotion.model != name:
        raise ChampionRefused(f"champion of {name}", found=f"one of {promotion.model}", expected="its own")
    return Champion(bundle, promotion, place)


def _before(model: str, known: Mapping[str, Any]) -> Promotion | None:
    """The promotion in force, from the pointer: officers change, and files get lost, but what was taken stays known."""
    if model not in known:
        return None
    said = known[model]
    made = datetime.fromisoformat(said["made"])
    return Promotion(model, "", str(said["bundle_sha256"]), made, made)


def _put(draft: Path, place: Path) -> None:
    """Move a verified folder into its place; what lies there already may be damaged, and goes.

    Where the same bundle is there whole, only its promotion is new: it is in force at every moment.
    """
    from fedcredit.models import bundle as bundles

    try:
        is_whole = bundles.read(place).sha256 == place.name
    except ModelError:
        is_whole = False
    if is_whole:
        write_whole(place / PROMOTION, (draft / PROMOTION).read_bytes())
    elif place.exists():
        aside = place.with_name(f".{secrets.token_hex(8)}")
        place.rename(aside)
        draft.rename(place)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        draft.rename(place)


def _pointers(folder: Path) -> dict[str, Any]:
    try:
        with (folder / POINTER).open("rb") as file:
            data = file.read(MAX_POINTER_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as fault:
        raise ChampionRefused(POINTER, found=os.strerror(fault.errno or 0), expected="a readable file") from None
    try:
        known = json.loads(data)["champions"]
        holds = all(
            datetime.fromisoformat(one["made"]).tzinfo and DIGEST.fullmatch(one["bundle_sha256"])
            for one in known.values()
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        holds = False
    if not holds:
        hint = "restore the folder from its backup: without it an older champion could come back"
        raise ChampionRefused(POINTER, found="another form", expected="the champions in force", hint=hint) from None
    return dict(known)


def _write_pointers(folder: Path, known: Mapping[str, Any]) -> None:
    write_whole(folder / POINTER, json.dumps({"schema": 1, "champions": known}, ensure_ascii=False).encode() + b"\n")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One at a time: of two that come together, the later promotion stays."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
