"""A real browser on JupyterLab, both of this machine, driven through Chromium's own protocol."""

import json
import os
import shutil
import subprocess
import sys
import time
from base64 import b64decode
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
import websocket

from repro.report.pages import BROWSERS

OPEN = "[...jupyterapp.shell.widgets('main')].find((each) => each.context)"


def eventually(ask, seconds=240.0):
    """Return the first answer that is something; fail after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"nothing after {seconds:g} s")


class Lab:
    """A notebook that is open in JupyterLab."""

    def __init__(self, address):
        self.socket = websocket.create_connection(address, suppress_origin=True, timeout=60)
        self.count = 0

    def call(self, method, **params):
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while (answer := json.loads(self.socket.recv())).get("id") != self.count:
            pass
        return answer["result"]

    def ask(self, expression):
        """The value of an expression of JavaScript in the page; None where it fails."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def click(self, selector):
        """Press and release the mouse in the middle of an element, once it is there."""
        found = f"document.querySelector({json.dumps(selector)})?.getBoundingClientRect().toJSON()"
        box = eventually(lambda: self.ask(found))
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def run(self, command):
        """Do what a menu's entry does."""
        self.ask(f"jupyterapp.commands.execute({json.dumps(command)}), true")

    def cells(self):
        """The code cells as they are now: source, execution count and outputs."""
        text = self.ask(f"JSON.stringify({OPEN}.context.model.toJSON().cells)")
        return [cell for cell in json.loads(text or "[]") if cell["cell_type"] == "code"]

    def idle(self):
        """Whether the kernel has done all that it was asked for."""
        return self.ask(f"{OPEN}.sessionContext.session.kernel.status") == "idle"

    def picture(self, path):
        path.write_bytes(b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def started(command, environment, log):
    """A process that is ended at the end."""
    with open(log, "wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def opened(notebook: Path, folder: Path, **environment):
    """Open a notebook in JupyterLab; skips the test where there is no Chromium."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None) or pytest.skip("needs Chromium")
    places = {name: str(folder / name) for name in ("config", "runtime", "data", "profile")}
    environment |= {f"JUPYTER_{name.upper()}_DIR": places[name] for name in ("config", "runtime", "data")}
    environment |= {"IPYTHONDIR": places["config"]}
    server = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port=0"]
    server += [f"--ServerApp.root_dir={notebook.parent}", "--LabApp.expose_app_in_browser=True"]
    server += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None"]
    pages = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    pages += ["--disable-background-networking", "--disable-component-update", "--window-size=1400,1000"]
    pages += ["--remote-debugging-port=0", f"--user-data-dir={places['profile']}", "about:blank"]
    with started(server, environment, folder / "server.log"), started(pages, {}, folder / "browser.log"):
        (facts,) = eventually(lambda: [*Path(places["runtime"]).glob("jpserver-*.json")])
        facts = eventually(lambda: json.loads(facts.read_text() or "null"))
        port = (
            eventually(lambda: Path(places["profile"], "DevToolsActivePort").exists())
            and Path(places["profile"], "DevToolsActivePort").read_text().split()[0]
        )
        (page,) = [page for page in json.load(urlopen(f"http://127.0.0.1:{port}/json")) if page["type"] == "page"]
        lab = Lab(page["webSocketDebuggerUrl"])
        lab.call("Emulation.setFocusEmulationEnabled", enabled=True)
        lab.call("Page.navigate", url=f"{facts['url']}lab/tree/{notebook.name}?token={facts['token']}")
        eventually(lambda: lab.cells() and lab.idle())
        lab.ask(f"jupyterapp.shell.activateById({OPEN}.id)")
        eventually(lambda: lab.ask("jupyterapp.shell.currentWidget !== null"))
        yield lab
