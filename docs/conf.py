"""Configuration of the documentation: Sphinx, numpydoc, and notebooks that run when it is built."""

import inspect

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import jpas_gbm

project = "jpas-gbm"
author = copyright = "The jpas-gbm developers"
version = release = jpas_gbm.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_nb"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
root_doc = "index"

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_render_markdown_format = "gfm"

autosummary_generate = True
autodoc_typehints = "none"
autodoc_default_options = {"exclude-members": "set_fit_request, set_predict_request, set_score_request"}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = f"jpas-gbm {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
# The site opens from a folder on disk as well as from a server: no part of it is fetched by script.
html_copy_source = False


def _the_door(app, what, name, obj, options, signature, returned):
    """Show the signature of a verb as one reads it in Python, not as the lazy door passes it on."""
    if what == "function" and callable(obj):
        return str(inspect.signature(obj)).replace("jpas_gbm.", ""), None
    return None


def _math(block):
    """Return what writes equations as MathML, which browsers set without a script or a network."""

    def visit(translator, node):
        translator.body.append(tex2mathml(node.astext(), as_block=block))
        raise nodes.SkipNode

    return visit, None


html_math_renderer = "mathml"


def setup(app):
    app.add_html_math_renderer("mathml", _math(False), _math(True))
    app.connect("autodoc-process-signature", _the_door)
