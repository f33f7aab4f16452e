"""README code and every example run, as a user would run them."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

SWAPS = "[ok] Neighbouring rungs swap"
SAID = {
    "attitudes.py": "944 voters: the sign of",
    "bars_and_stripes.py": "what is remembered in 100%",
    "children.py": "nu is above 1, so under-dispersed, in 100.0% of the draws",
    "diabetes.py": SWAPS,
    "expert.py": "maximum entropy               11.00     0.100     0.100     3.132",
    "heat_capacity.py": "peaks at beta = 0.435, exactly 0.435",
    "portrait.py": "76% of neighbours are equal; by chance it would be 33%",
    "quickstart.py": SWAPS,
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_example(path, tmp_path):
    environment = {**os.environ, "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)], cwd=tmp_path, env=environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert SAID[path.name] in done.stdout
    last = done.stdout.strip().splitlines()[-1]
    if path.name == "quickstart.py":
        assert last == f"Report: {tmp_path / 'engel.html'}"
        assert (tmp_path / "engel.html").stat().st_size > 20_000


def test_readme_code(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    space = runpy.run_path(str(script))
    assert (tmp_path / "engel.html").exists()
    assert space["dt"]["posterior"].attrs["target_beta"] == 0.0103


@pytest.mark.parametrize("page", ["README.md", "docs/conventions.md", "docs/architecture.md"])
def test_links_of_pages_point_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), target
