"""Sphinx configuration."""

import importlib.metadata

project = "pm_statmech"
author = "The pm_statmech developers"
release = importlib.metadata.version("pm_statmech")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
html_theme = "pydata_sphinx_theme"
exclude_patterns = ["_build"]
autodoc_typehints = "none"
numpydoc_show_class_members = False
myst_enable_extensions = ["colon_fence"]
html_title = "pm_statmech"
