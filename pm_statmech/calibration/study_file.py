"""The file of a study: what is studied, and the repetitions that are finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pm_statmech.errors import CheckpointError, CheckpointMismatchError

Row = dict[str, Any]


class StudyFile:
    """One JSON line that says what is studied, then one a finished repetition."""

    def __init__(self, path: Path, header: Row) -> None:
        self.path = path
        self.rows: dict[int, Row] = {}
        # a line that was cut short is written again
        lines = [line for line in _text(path).splitlines(keepends=True) if line.endswith("\n")]
        if lines:
            self._read(lines, header)
            path.write_text("".join(lines))
        else:
            path.write_text(json.dumps(header) + "\n")

    def _read(self, lines: list[str], header: Row) -> None:
        found, *rows = (_parsed(self.path, k + 1, line) for k, line in enumerate(lines))
        if found.get("study") != "coverage":
            raise CheckpointError(f"{self.path} is not the checkpoint of a study.")
        other = [key for key in header if found.get(key) != header[key]]
        if other:
            raise CheckpointMismatchError(
                f"{self.path} is of another study: its {other} are "
                f"{[found.get(key) for key in other]}, not {[header[key] for key in other]}. Give "
                "the same arguments, or another file."
            )
        self.rows = {row["number"]: row for row in rows}

    def add(self, row: Row) -> None:
        """Write a finished repetition."""
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _text(path: Path) -> str:
    try:
        return path.read_text() if path.exists() else ""
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not the checkpoint of a study.") from error


def _parsed(path: Path, number: int, line: str) -> Row:
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise CheckpointError(
            f"{path}, line {number} is not what a study writes: {line[:60]!r}."
        ) from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is not the checkpoint of a study.")
    return found
