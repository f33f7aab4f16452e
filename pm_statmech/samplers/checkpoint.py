r"""Checkpoints of a run: one npz file, written so that a crash at any moment leaves a whole one.

A file is the npz archive (no pickle anywhere), then eight bytes of magic and the SHA-256 of the
archive; its member ``manifest`` is JSON with the SHA-256 of every other member. It is written to a
temporary name, synchronised to disk and renamed; the generation before stays beside it as
``{path}.previous``. A lock file, freed by the system when its owner dies, keeps two writers apart.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from pm_statmech.errors import CheckpointError, CheckpointMismatchError

MAGIC = b"PMSTATM1"
DIGEST = 32
FORMAT = 1
PROBE_TOLERANCE = 1e-9


def pack(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Describe a value in JSON, and put its arrays into `arrays` under names that begin so."""
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name}
    if isinstance(value, np.generic):
        return {"value": value.item()}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    if is_dataclass(value):
        parts = {f.name: getattr(value, f.name) for f in fields(value)}
    elif hasattr(value, "_asdict"):
        parts = value._asdict()
    elif isinstance(value, Mapping):
        return {"map": {k: pack(v, f"{name}.{k}", arrays) for k, v in value.items()}}
    else:
        return {"list": [pack(v, f"{name}.{i}", arrays) for i, v in enumerate(value)]}
    packed = {k: pack(v, f"{name}.{k}", arrays) for k, v in parts.items()}
    return {"class": type(value).__name__, "fields": packed}


def unpack(node: Any, arrays: Mapping[str, np.ndarray], classes: Mapping[str, type]) -> Any:
    """Inverse of `pack`; only the named classes are made."""
    if "array" in node:
        return arrays[node["array"]]
    if "value" in node:
        return node["value"]
    if "map" in node:
        return {k: unpack(v, arrays, classes) for k, v in node["map"].items()}
    if "list" in node:
        return [unpack(v, arrays, classes) for v in node["list"]]
    parts = {k: unpack(v, arrays, classes) for k, v in node["fields"].items()}
    return classes[node["class"]](**parts)


def _member_digest(array: np.ndarray) -> str:
    header = f"{array.dtype.str}{array.shape}".encode()
    return sha256(header + np.ascontiguousarray(array).tobytes()).hexdigest()


def encode(tree: dict, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Bytes of a checkpoint file."""
    manifest = {
        "format": FORMAT,
        "tree": tree,
        "members": {name: _member_digest(array) for name, array in arrays.items()},
    }
    text = np.frombuffer(json.dumps(manifest).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, manifest=text, **arrays)  # type: ignore[arg-type]
    archive = buffer.getvalue()
    return archive + MAGIC + sha256(archive).digest()


def _damaged_members(archive: bytes) -> str:
    """Which members of a damaged archive do not read back as they were written."""
    try:
        with np.load(io.BytesIO(archive), allow_pickle=False) as file:
            manifest = json.loads(file["manifest"].tobytes())
            bad = []
            for name, digest in manifest["members"].items():
                try:
                    same = _member_digest(file[name]) == digest
                except Exception:
                    same = False
                if not same:
                    bad.append(name)
    except Exception:
        return "its table of contents cannot be read"
    return f"damaged members: {', '.join(bad)}" if bad else "its table of contents is damaged"


def decode(content: bytes, path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Tree and arrays of a checkpoint file's bytes.

    Raises
    ------
    CheckpointError
        the file is cut short, damaged, or no checkpoint.
    """
    previous = previous_of(path)
    remedy = (
        f"The generation before it is {previous}: move it to {path} to go on from there."
        if previous.exists() and path != previous
        else "Delete it to begin anew."
    )
    tail = content[-(len(MAGIC) + DIGEST) :]
    if len(content) < len(MAGIC) + DIGEST or not tail.startswith(MAGIC):
        raise CheckpointError(
            f"{path} is no whole checkpoint: its last bytes ({len(content)} in all) are not those "
            f"that a finished write leaves; it was cut short, or is another kind of file. {remedy}"
        )
    archive = content[: -len(tail)]
    if sha256(archive).digest() != tail[len(MAGIC) :]:
        raise CheckpointError(
            f"{path} has changed since it was written: {_damaged_members(archive)}. {remedy}"
        )
    with np.load(io.BytesIO(archive), allow_pickle=False) as file:
        manifest = json.loads(file["manifest"].tobytes())
        if manifest["format"] != FORMAT:
            raise CheckpointError(
                f"{path} has format {manifest['format']}; this version reads {FORMAT}. Go on with "
                "the version that wrote it, or delete it to begin anew."
            )
        return manifest["tree"], {name: file[name] for name in manifest["members"]}


def previous_of(path: Path) -> Path:
    """Where the generation before lies."""
    return path.with_name(path.name + ".previous")


def _synchronise(folder: Path) -> None:
    """Make renames in a folder last through a power cut, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write(path: Path, content: bytes) -> None:
    """Write a generation, keeping the one before; at no moment is there none."""
    temporary = path.with_name(path.name + ".writing")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        os.replace(path, previous_of(path))
    os.replace(temporary, path)
    _synchronise(path.parent)


def read(path: Path) -> tuple[dict, dict[str, np.ndarray]] | None:
    """Tree and arrays of the newest generation, or None where there is none."""
    if path.is_dir() or not path.parent.is_dir():
        raise CheckpointError(
            f"checkpoint={str(path)!r}: give a file name in a folder that exists."
        )
    # a crash between two renames leaves only the generation before, which is whole
    for candidate in (path, previous_of(path)):
        if candidate.exists():
            return decode(candidate.read_bytes(), candidate)
    return None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a checkpoint.

    Raises
    ------
    CheckpointError
        another process holds it, or the path cannot be a file.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise CheckpointError(
            f"checkpoint={str(path)!r}: give a file name in a folder that exists."
        )
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise CheckpointError(
            f"{path} is being written by another process. Wait for it, or give this run another "
            "checkpoint=."
        ) from None
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class Fingerprint:
    """What a run was asked to do; a checkpoint is only resumed by the same.

    Parameters
    ----------
    model
        names, shapes and terms; data : SHA-256 of the data.
    probes
        log pi_0 and E at fixed points.
    arguments, versions
        by name; seed : entropy of the run's seed.
    """

    model: dict
    data: str
    probes: np.ndarray
    arguments: dict
    seed: list
    versions: dict


def check_same(path: Path, saved: Fingerprint, now: Fingerprint, *, seed_given: bool) -> None:
    """Raise CheckpointMismatchError where a checkpoint belongs to another run."""
    differences = []
    for what in ("model", "arguments", "versions"):
        before, after = getattr(saved, what), getattr(now, what)
        for key in sorted(set(before) | set(after)):
            if before.get(key) != after.get(key):
                differences.append(f"{what}: {key} was {before.get(key)}, is {after.get(key)}")
    if saved.data != now.data:
        differences.append("data: the observed or constant data have changed")
    elif saved.probes.shape != now.probes.shape or not np.allclose(
        saved.probes, now.probes, rtol=PROBE_TOLERANCE, atol=0.0, equal_nan=True
    ):
        differences.append("model: the density has other values at the same points")
    if seed_given and saved.seed != now.seed:
        differences.append(f"seed: random_seed was {saved.seed}, is {now.seed}")
    if differences:
        raise CheckpointMismatchError(
            f"{path} belongs to another run. " + "; ".join(differences) + ". Restore what changed "
            "to go on with it, or give another checkpoint= (or delete this one) to begin anew."
        )
