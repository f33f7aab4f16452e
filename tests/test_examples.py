"""README code and every example run, as a user would run them."""

import importlib.util
import re
import runpy
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery.py")
gallery = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gallery)

SWAPS = "[ok] Neighbouring rungs swap"
SAID = {
    "attitudes.py": "944 voters: the sign of",
    "betas.py": "matching            0.00525         0.00099",
    "certificate.py": "maurer_seeger  certifies a risk below 9.0%",
    "bars_and_stripes.py": "what is remembered in 100%",
    "children.py": "nu is above 1, so under-dispersed, in 100.0% of the draws",
    "diabetes.py": SWAPS,
    "expert.py": "maximum entropy               11.00     0.100     0.100     3.132",
    "heat_capacity.py": "peaks at beta = 0.435, exactly 0.435",
    "loaded_die.py": "100             -20.3052      -20.2842",
    "rare_event.py": "exactly 1.06e-12",
    "three_roads.py": "smallest worst loss     2.175072   5.195802   2.991898",
    "overconfident.py": "Bayes    at beta 1.000 holds level 54%",
    "portrait.py": "76% of neighbours are equal; by chance it would be 33%",
    "quickstart.py": SWAPS,
}


@pytest.mark.parametrize("path", gallery.EXAMPLES, ids=lambda p: p.name)
def test_example(path):
    """Run as a user would, or kept since the last change: the gallery shows the same output."""
    folder = gallery.run(path)
    printed = (folder / "stdout.txt").read_text()
    assert SAID[path.name] in printed
    drawn = set(re.findall(r"draws? ``(\w+\.png)``", path.read_text(encoding="utf-8")))
    assert drawn == {p.name for p in folder.glob("*.png")}
    if path.name == "quickstart.py":
        assert printed.strip().splitlines()[-1] == "Report: engel.html"
        assert (folder / "engel.html").stat().st_size > 20_000


def test_output_is_kept_until_something_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "KEPT", tmp_path / "kept")
    example = tmp_path / "example.py"
    example.write_text("print(1 + 1)")
    kept = gallery.run(example) / "stdout.txt"
    assert kept.read_text() == "2\n"
    kept.write_text("kept\n")
    assert gallery.run(example) == kept.parent
    assert kept.read_text() == "kept\n"
    example.write_text("print(1 + 2)")
    assert (gallery.run(example) / "stdout.txt").read_text() == "3\n"
    example.write_text("raise ValueError('no')")
    with pytest.raises(RuntimeError, match="ValueError: no"):
        gallery.run(example)


def test_pages_of_the_gallery(tmp_path, monkeypatch):
    example = tmp_path / "example.py"
    example.write_text('"""A title.\n\nA story, with ``code``.\n"""\n\nprint("said")\n')
    monkeypatch.setattr(gallery, "KEPT", tmp_path / "kept")
    title, text = gallery.page(example)
    assert title == "A title"
    for part in ("# A title", "A story, with `code`.", "```text\nsaid\n```", "literalinclude"):
        assert part in text


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


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/conventions.md",
        "docs/architecture.md",
        "docs/correctness.md",
        "docs/how_to_choose.md",
        "docs/getting_started.md",
    ],
)
def test_links_of_pages_point_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), target
