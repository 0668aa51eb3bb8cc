"""Sphinx's configuration of the pages; `site.py` sets what differs from site to site."""

from pathlib import Path

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "detr_steps.pages.finishing",
]
author = "detr_steps developers"
copyright = f"{author}, MIT licence"
html_copy_source = False
html_show_sphinx = False
html_theme = "sphinx_book_theme"
html_theme_options = {
    "footer_content_items": ["copyright"],
    "home_page_in_toc": True,
    "navbar_persistent": [],
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "search_bar_text": "Search the pages",
}
html_sidebars = {"**": ["search-button-field", "sbt-sidebar-nav"]}
html_static_path = ["cards.js", "style.css"]
html_css_files = ["style.css"]
html_js_files = ["cards.js"]
html_favicon = "icon.svg"
html_search_scorer = str(Path(__file__).with_name("scorer.js"))
mathjax_path = "mathjax/tex-chtml.js"

nb_execution_mode = "off"
nb_render_markdown_format = "gfm"
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
smartquotes = False  # "..." in shapes is no ellipsis
suppress_warnings = ["myst.header", "myst-nb.lexer"]
add_module_names = False
default_role = "py:obj"
highlight_language = "text"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": True}
