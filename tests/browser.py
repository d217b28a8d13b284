"""A headless Chromium for tests, spoken to over a pipe (Chrome DevTools Protocol); no other package is
needed."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


class Browser:
    """One page of a browser."""

    def __init__(self, command, folder):
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        options = [
            *("--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *(f"--user-data-dir={folder}", "--disable-dev-shm-usage", "--hide-scrollbars", "about:blank"),
        ]
        # The browser reads from descriptor 3 and writes to descriptor 4.
        shell = f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, command, *options],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._rest, self._number, self._session, self.errors = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **given):
        """Ask the browser, and wait for its answer."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": given}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, (method, told)
                return told["result"]
            if told.get("method") == "Runtime.exceptionThrown":
                self.errors.append(told["params"]["exceptionDetails"])
            if told.get("method") == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.errors.append(told["params"]["entry"])

    def _next(self):
        while b"\0" not in self._rest:
            part = os.read(self._from, 1 << 16)
            assert part, "the browser has gone"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def size(self, width, height, scale=1):
        """Make the window so large, as a phone below 600 pixels."""
        about = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **about)

    def go(self, url):
        """Open a page."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def run(self, script):
        """The value of an expression in the page."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def until(self, script, seconds=20):
        """Wait until an expression is true in the page."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({script})"):
            if time.monotonic() > end:
                pytest.fail(f"{script} did not become true: {self.run('document.body.innerText')[:1500]}")
            time.sleep(0.05)

    def press(self, key):
        """Press and let go of a key."""
        about = {"key": key, "text": key} if len(key) == 1 else {"key": key}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def write(self, text):
        """Type where the cursor is."""
        self.call("Input.insertText", text=text)

    def picture(self):
        """A PNG of what is shown."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self):
        """End it."""
        with contextlib.suppress(OSError, AssertionError):
            self._session = None
            self.call("Browser.close")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._to)
        os.close(self._from)


@contextlib.contextmanager
def a_browser():
    """A browser, where the machine has one; else the test is skipped."""
    command = os.environ.get("LAKEPULSE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if command is None:
        pytest.skip(f"no browser on this machine ({', '.join(NAMES)}): the review page was not looked at")
    with tempfile.TemporaryDirectory(prefix="lakepulse-browser-", ignore_cleanup_errors=True) as folder:
        browser = Browser(command, folder)
        try:
            yield browser
        finally:
            browser.close()
