"""How Sphinx builds these pages: Markdown by MyST, no network, every warning an error (`make docs`)."""

from dmarcops.__about__ import __version__

project = "dmarcops"
author = "the dmarcops developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["build", "configuration.in.md", "rotation.in.md", "rotation.tail.md"]
nitpicky = False  # types of the standard library would need its inventory from the network

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "code"  # docstrings are written with single backquotes

html_theme = "furo"
html_title = f"dmarcops {__version__}"
html_copy_source = False
html_show_copyright = False
