"""JupyterLab's configuration for the project: `make lab` gives it.

The project is its root, so that links from the notebooks to other files of the project work.
"""

c = get_config()  # noqa: F821, of Jupyter, which runs this file
c.LabApp.default_url = "/lab/tree/notebooks"
c.ServerApp.root_dir = "."
c.ContentsManager.pre_save_hook = "detr_steps.notebook.saving.before_saving"


def without_announcements(handler, page_config):
    """They would ask the network at each start, and the reader whether they may."""
    page_config["disabledExtensions"].append("@jupyterlab/apputils-extension:announcements")
    return page_config


c.ServerApp.tornado_settings = {"page_config_hook": without_announcements}
