"""What a run is asked, and its answers: sentences with the number behind each, and a level."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Literal

import numpy as np

Level = Literal["good", "doubtful", "bad", "note"]

MARKS = {"good": "ok", "doubtful": "doubtful", "bad": "NOT OK", "note": "note"}
# of traffic lights that the colour-blind tell apart: blue, orange, vermilion, grey
COLOURS = {"good": "#0072b2", "doubtful": "#e69f00", "bad": "#d55e00", "note": "#888888"}


@dataclass(frozen=True)
class Finding:
    """One question about a run: its answer in a sentence, the number behind it, a level."""

    question: str
    level: Level
    sentence: str
    value: float

    def __str__(self) -> str:
        return f"[{MARKS[self.level]}] {self.sentence}"

    __repr__ = __str__


@dataclass(frozen=True)
class Verdict:
    """The findings about a run; prints as sentences, and shows as a list in a notebook."""

    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst level among the findings."""
        levels = {finding.level for finding in self.findings}
        return next((worst for worst in ("bad", "doubtful") if worst in levels), "good")

    def __str__(self) -> str:
        return "\n".join(str(finding) for finding in self.findings)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        style = "margin:.3rem 0;padding:.2rem .6rem;list-style:none;border-left:.4rem solid"
        items = "".join(
            f'<li style="{style} {COLOURS[f.level]}"><b>{MARKS[f.level]}</b> '
            f"{html.escape(f.sentence)}</li>"
            for f in self.findings
        )
        return f'<ul style="padding:0">{items}</ul>'


def graded(value: float, good: float, doubtful: float) -> Level:
    """Grade a number that should be small."""
    if not np.isfinite(value):
        return "bad"
    return "good" if value <= good else "doubtful" if value <= doubtful else "bad"
