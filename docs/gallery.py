"""The gallery: every example run once, with what it printed and drew.

``run(example)`` runs an example as a user would, with warnings as errors, and keeps its output
under ``docs/_gallery`` until the example, the package or Python changes; tests and pages share it.
"""

import hashlib
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
KEPT = ROOT / "docs" / "_gallery"
PAGES = ROOT / "docs" / "gallery"
LIMIT = 600


def key(example: Path) -> str:
    """Digest of all that an example's output depends on."""
    found = hashlib.sha256(sys.version.encode())
    for name in ("pymc", "pytensor", "arviz"):
        found.update(importlib.metadata.version(name).encode())
    for path in [example, *sorted((ROOT / "pm_statmech").rglob("*.py"))]:
        found.update(path.read_bytes())
    return found.hexdigest()


def run(example: Path) -> Path:
    """Folder with ``stdout.txt`` and the files that an example wrote, run now or before.

    Raises
    ------
    RuntimeError
        the example failed; with the end of what it said.
    """
    folder, digest = KEPT / example.stem, key(example)
    if (folder / "key").exists() and (folder / "key").read_text() == digest:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)], cwd=folder,
        env={**os.environ, "MPLBACKEND": "agg"}, capture_output=True, text=True, timeout=LIMIT,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{example.name} failed:\n{done.stderr[-3000:]}")
    # the folder is this machine's
    (folder / "stdout.txt").write_text(done.stdout.replace(f"{folder}{os.sep}", ""))
    (folder / "key").write_text(digest)
    return folder


def page(example: Path) -> tuple[str, str]:
    """Title and text of the page of an example."""
    folder = run(example)
    source = example.read_text(encoding="utf-8")
    story = source.split('"""')[1]
    first, _, rest = story.partition("\n")
    title = first.strip().rstrip(".")
    parts = [f"# {title}\n", rest.strip().replace("``", "`") + "\n"]
    for picture in sorted(folder.glob("*.png")):
        parts.append(f"![What {example.name} draws](../_gallery/{example.stem}/{picture.name})\n")
    for report in sorted(folder.glob("*.html")):
        parts.append(
            f"It writes {{download}}`{report.name} <../_gallery/{example.stem}/{report.name}>`, a "
            "report of one file.\n"
        )
    printed = (folder / "stdout.txt").read_text()
    parts.append(f"## What it prints\n\n```text\n{printed.strip()}\n```\n")
    parts.append(
        f"## The whole of it\n\n```{{literalinclude}} ../../examples/{example.name}\n```\n"
    )
    return title, "\n".join(parts)


def write_pages() -> None:
    """Write the pages of the gallery, and the one that lists them."""
    PAGES.mkdir(exist_ok=True)
    names = []
    for example in EXAMPLES:
        _, text = page(example)
        target = PAGES / f"{example.stem}.md"
        # untouched where nothing changed, so that Sphinx reads it no second time
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
        names.append(example.stem)
    listed = "\n".join(names)
    (PAGES / "index.md").write_text(
        "# Gallery\n\nEvery example is one file that runs by itself; what stands on these pages is "
        "what it printed\nand drew when they were made.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n",
        encoding="utf-8",
    )
