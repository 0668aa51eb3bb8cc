"""The notebooks in JupyterLab: a browser runs cells, moves controls, opens listings, saves."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, expect

ROOT = Path(__file__).parent.parent
SECONDS = 90  # to wait for anything, on a busy machine
SETUP = """
import torch
from detr_steps.notebook import explorers
from detr_steps.training.detectors import load_detector
from detr_steps.training.scenes import Scenes

from detr_steps import Step2
from detr_steps.notebook import lesson

detector, scenes = load_detector("shipped"), Scenes(3, "test")
images = torch.stack([image for image, _ in (scenes[i] for i in range(3))])
"""
CONNECTED = """
window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.connectionStatus ===
"connected"
"""
SOURCES = "lesson.show_source(Step2)"
LESSON = ROOT / "notebooks" / "Step1_Single_Feature_Map.ipynb"
EXPLORERS = {
    "encoder": "explorers.explore_encoder(detector, images)",
    "decoder": "explorers.explore_decoder(detector, images)",
    "losses": "explorers.explore_losses()",
    "matching": "explorers.explore_matching()",
}


ASKED = []  # addresses
SOURCES_OF_CELLS = (SETUP, *EXPLORERS.values(), SOURCES)


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
def lab(browser, tmp_path_factory):
    """The address of a JupyterLab with the configuration of `make lab`, and its folder.

    In the folder are a notebook of all explorers, and a lesson.
    """
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("notebooks")
    cells = [nbformat.v4.new_code_cell(source) for source in SOURCES_OF_CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "explorers.ipynb")
    shutil.copy(LESSON, folder)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    kinds = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    config = ROOT / "detr_steps" / "notebook" / "lab_config.py"
    command = [sys.executable, "-m", "jupyterlab", f"--config={config}", "--no-browser"]
    command.append("--allow-root")
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
            yield f"http://127.0.0.1:{port}/lab", folder
        finally:
            server.terminate()  # it ends its kernels first
            server.wait(SECONDS)


@pytest.fixture(scope="module")
def cells(lab, browser):
    """The notebook's code cells after all of them have run."""
    page = browser.new_page(viewport={"width": 1200, "height": 4000})  # so that no cell is left out
    page.set_default_timeout(SECONDS * 1000)
    expect.set_options(timeout=SECONDS * 1000)
    page.on("request", lambda request: ASKED.append(request.url))
    page.goto(f"{lab[0]}/tree/explorers.ipynb")
    page.wait_for_function(CONNECTED)  # until then a command to run is lost
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells') }")
    code = page.locator(".jp-CodeCell")
    expect(code.locator(".jp-InputPrompt").last).to_have_text(f"[{len(SOURCES_OF_CELLS)}]:")
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


def test_a_picture_follows_a_slider_while_it_is_dragged(cells):
    cell = cells.nth(1)
    caption, handle = cell.locator(".jupyter-widgets em"), cell.get_by_role("slider").last
    words, box = caption.inner_text(), handle.bounding_box()
    mouse = cells.page.mouse
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse.down()
    mouse.move(box["x"] + 60, box["y"], steps=5)
    expect(caption).not_to_have_text(words)  # the button is still down
    mouse.up()


def test_a_listing_is_folded_and_opens(cells):
    listing = cells.last.locator("details", has_text="The source of")
    expect(listing.locator("pre")).to_be_hidden()
    listing.locator("summary").click()
    expect(listing.locator("pre")).to_contain_text("class Step2(Step1):")


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_differences_have_colours(cells, theme):
    change = "theme => jupyterapp.commands.execute('apputils:change-theme', { theme })"
    cells.page.evaluate(change, theme)
    light = str(theme.endswith("Light")).lower()
    expect(cells.page.locator("body")).to_have_attribute("data-jp-theme-light", light)
    details = cells.last.locator("details", has_text="line by line")
    details.evaluate("one => { one.open = true }")
    shades = "lines => lines.map(one => getComputedStyle(one).backgroundColor)"
    added, removed = (details.locator(tag).evaluate_all(shades) for tag in ("ins", "del"))
    assert len(set(added)) == len(set(removed)) == 1 and added[0] != removed[0]
    assert {"rgba(0, 0, 0, 0)"}.isdisjoint(added + removed)
    assert details.locator("ins").first.inner_text().startswith("+")


def test_nothing_left_the_machine(cells, lab):
    own = (lab[0].removesuffix("/lab"), "data:", "blob:")
    assert len(ASKED) > 20 and [url for url in ASKED if not url.startswith(own)] == []
    assert cells.page.get_by_text("Jupyter news").count() == 0


def test_a_lesson_that_is_opened_and_saved_is_as_it_was(lab, browser):
    address, folder = lab
    page = browser.new_page()
    page.set_default_timeout(SECONDS * 1000)
    page.goto(f"{address}/workspaces/lesson/tree/{LESSON.name}")  # beside no other notebook
    page.wait_for_function(CONNECTED)  # until the kernel has said which Python it is
    before = (folder / LESSON.name).stat().st_mtime_ns
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    end = time.monotonic() + SECONDS
    while (folder / LESSON.name).stat().st_mtime_ns == before and time.monotonic() < end:
        page.wait_for_timeout(200)
    assert (folder / LESSON.name).stat().st_mtime_ns != before
    assert (folder / LESSON.name).read_bytes() == LESSON.read_bytes()
    page.close()
