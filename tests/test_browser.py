"""The explorers in JupyterLab: a browser runs their cells and moves their controls."""

import os
import shutil
import socket
import subprocess
import sys
import time

import nbformat
import pytest
from playwright.sync_api import Locator, expect, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 90  # to wait for anything, on a busy machine
SETUP = """
import torch
from detr_steps.notebook import explorers
from detr_steps.training.detectors import load_detector
from detr_steps.training.scenes import Scenes

detector, scenes = load_detector("shipped"), Scenes(3, "test")
images = torch.stack([image for image, _ in (scenes[i] for i in range(3))])
"""
CONNECTED = """
window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.connectionStatus ===
"connected"
"""
EXPLORERS = {
    "encoder": "explorers.explore_encoder(detector, images)",
    "decoder": "explorers.explore_decoder(detector, images)",
    "losses": "explorers.explore_losses()",
    "matching": "explorers.explore_matching()",
}


def wait_for(server: subprocess.Popen, port: int, log) -> None:
    """Until the server answers; fails with its log where it does not."""
    end = time.monotonic() + SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')}")


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no Chromium found: none of {', '.join(BROWSERS)} is on the path")
    with sync_playwright() as playwright:  # its default is --no-sandbox, as containers need it
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """The address of a JupyterLab of its own, with a notebook of all explorers."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("notebooks")
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, *EXPLORERS.values())]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "explorers.ipynb")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    kinds = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder,
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": True,
    }
    command += [f"--{name}={value}" for name, value in options.items()]
    log = home / "log"
    with log.open("w", encoding="utf-8") as sink:
        server = subprocess.Popen(
            command,
            env=os.environ | {kind: str(home / kind) for kind in kinds},
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(server, port, log)
            yield f"http://127.0.0.1:{port}/lab/tree/explorers.ipynb"
        finally:
            server.terminate()  # it ends its kernels first
            server.wait(SECONDS)


@pytest.fixture(scope="module")
def cells(lab, browser):
    """The notebook's code cells after all of them have run."""
    page = browser.new_page(viewport={"width": 1200, "height": 4000})  # so that no cell is left out
    page.set_default_timeout(SECONDS * 1000)
    expect.set_options(timeout=SECONDS * 1000)
    page.goto(lab)
    page.wait_for_function(CONNECTED)  # until then a command to run is lost
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells') }")
    code = page.locator(".jp-CodeCell")
    expect(code.locator(".jp-InputPrompt").last).to_have_text(f"[{len(EXPLORERS) + 1}]:")
    return code


def move(cell: Locator, name: str) -> None:
    """Moves the first control as a reader without a mouse does."""
    if name == "matching":
        cell.get_by_role("spinbutton").first.fill("9")
        cell.get_by_role("spinbutton").first.press("Enter")
    else:
        cell.get_by_role("slider").first.press("ArrowRight")


@pytest.mark.parametrize("name", EXPLORERS)
def test_a_moved_control_changes_the_picture_and_its_words(cells, name):
    cell = cells.nth(1 + list(EXPLORERS).index(name))
    picture, caption = cell.locator(".jupyter-widgets img"), cell.locator(".jupyter-widgets em")
    before, words = picture.get_attribute("src"), caption.inner_text()
    assert before.startswith("data:image/png;base64,")
    assert picture.get_attribute("alt") == words
    move(cell, name)
    expect(caption).not_to_have_text(words)
    expect(picture).not_to_have_attribute("src", before)
    assert picture.get_attribute("alt") == caption.inner_text()


def test_nothing_went_wrong_on_the_page(cells):
    assert cells.locator(".jp-OutputArea-output").count() >= 3 * len(EXPLORERS)
    errors = cells.locator("[data-mime-type='application/vnd.jupyter.stderr']")  # tracebacks too
    expect(errors).to_have_count(0)
