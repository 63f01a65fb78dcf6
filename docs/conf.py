"""How Sphinx builds the documentation: ``make docs``."""

from importlib import metadata

project = "latentseek-agents"
release = version = metadata.version("latentseek-agents")
copyright = "the latentseek-agents authors"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = project
templates_path: list[str] = []
exclude_patterns: list[str] = []

# Docstrings are Google style, with roles and literals of reStructuredText.
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing", "ref.python"]
