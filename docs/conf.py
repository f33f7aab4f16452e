"""Sphinx configuration."""

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import gallery

project = "pm_statmech"
author = "The pm_statmech developers"
release = importlib.metadata.version("pm_statmech")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"navigation_with_keys": False, "show_toc_level": 2}
# pages without a section of their own have nothing to list beside them
html_sidebars = {
    name: []
    for name in ("index", "getting_started", "how_to_choose", "conventions", "correctness",
                 "architecture", "genindex", "search")
}  # fmt: skip
exclude_patterns = ["_build", "_gallery"]
autodoc_typehints = "none"
numpydoc_show_class_members = False
myst_enable_extensions = ["colon_fence", "dollarmath"]
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_output_stderr = "remove"
html_title = "pm_statmech"


def setup(app):
    """Run the examples before pages are read."""
    app.connect("builder-inited", lambda _: gallery.write_pages())
