"""A page in headless Chromium, controlled through the DevTools protocol: the view of a report's reader."""

import itertools
import json
import shutil
import subprocess
import urllib.request
from base64 import b64decode
from contextlib import contextmanager

from websockets.sync.client import connect

PROGRAM = shutil.which("chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0"]
SECONDS = 60  # time limit of an answer, for a machine under load


class Page:
    """The page of a browser. ``events`` holds all reported events: requests, console messages, errors."""

    def __init__(self, socket):
        self.socket, self.numbers, self.events = socket, itertools.count(1), []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (message := self._receive()).get("id") != number:
            self.events.append(message)
        assert "error" not in message, message
        return message["result"]

    def _receive(self):
        return json.loads(self.socket.recv(timeout=SECONDS))

    def wait(self, method):
        """Wait for the next event of this kind."""
        while True:
            self.events.append(self._receive())
            if self.events[-1].get("method") == method:
                return

    def open(self, file):
        self.call("Page.navigate", url=file.as_uri())
        self.wait("Page.loadEventFired")

    def run(self, script):
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key, code):
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def resize(self, width, height=900):
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def screenshot(self, file):
        file.write_bytes(b64decode(self.call("Page.captureScreenshot")["data"]))

    def requests(self):
        return [event["params"]["request"]["url"] for event in self._of("Network.requestWillBeSent")]

    def complaints(self):
        """Return all console messages and errors."""
        methods = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed")
        return self._of(*methods)

    def _of(self, *methods):
        return [event for event in self.events if event.get("method") in methods]


@contextmanager
def browser(profile):
    """Start Chromium with an empty profile and yield its page."""
    command = [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            line = next(line for line in process.stderr if line.startswith("DevTools listening on"))
            port = line.split(":")[2].split("/")[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=SECONDS) as answer:
                target = next(target for target in json.load(answer) if target["type"] == "page")
            with connect(target["webSocketDebuggerUrl"], max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
