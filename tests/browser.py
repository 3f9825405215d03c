"""A headless Chromium that a test steers, through the pipe of its devtools protocol."""

import base64
import contextlib
import io
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
from PIL import Image

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")
FLAGS += ("--disable-dev-shm-usage", "--disable-background-networking", "--disable-sync")
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Escape": 27}


class Browser:
    """One page. `complaints` are errors of scripts and what a content security policy refused."""

    def __init__(self, folder: Path, *, width: int = 1280, height: int = 800) -> None:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        # The protocol is on the file descriptors 3 and 4, whatever the pipes are here.
        command = f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}'
        given = [*FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}"]
        given += ["--remote-debugging-pipe", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", command, CHROMIUM, *given],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": str(folder)},
        )
        os.close(to_read)
        os.close(to_write)
        self._held, self._number, self._session = b"", 0, None
        self.complaints: list[str] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(t["targetId"] for t in targets if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for part in ("Page", "Runtime", "Log"):
            self.call(f"{part}.enable")
        self.resize(width, height)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            self._session = None
            self.call("Browser.close", patience_s=5)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def call(self, method: str, *, patience_s: float = 60, **parameters: object) -> dict:
        """One command of the protocol, and its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + patience_s
        while True:
            answer = self._next(end)
            self._note(answer)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def resize(self, width: int, height: int, *, touch: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": touch}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch, maxTouchPoints=2)

    def value(self, expression: str) -> object:
        """What a script gives, as JSON; a promise is waited for."""
        options = {"returnByValue": True, "awaitPromise": True}
        found = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str, *, patience_s: float = 60) -> None:
        """Until a script gives something true."""
        end = time.monotonic() + patience_s
        while not self.value(f"Boolean({expression})"):
            assert time.monotonic() < end, f"{expression} is never true; {self.complaints}"
            time.sleep(0.05)

    def key(self, key: str) -> None:
        """Press and let go."""
        typed = {"Enter": "\r"}.get(key, key)
        about = {"key": key, "windowsVirtualKeyCode": KEYS.get(key, ord(typed[0].upper()))}
        text = {} if key in KEYS else {"text": typed}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of an element."""
        box = f"document.querySelector({json.dumps(selector)})"
        self.value(f"{box}.scrollIntoView({{block: 'nearest'}})")
        x, y = self.value(
            f"(r => [r.x + r.width / 2, r.y + r.height / 2])({box}.getBoundingClientRect())"
        )
        self.press(x, y)

    def press(self, x: float, y: float, *, times: int = 1) -> None:
        """Press the mouse at a place of the window, twice for a double click."""
        for count in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.mouse(kind, x, y, button="left", clickCount=count)

    def drag(self, path: list[tuple[float, float]]) -> None:
        """The mouse goes down, along a path, rests and goes up."""
        held = {"button": "left", "buttons": 1, "clickCount": 1}
        self.mouse("mousePressed", *path[0], **held)
        for place in path[1:]:
            self.mouse("mouseMoved", *place, **held)
            time.sleep(0.02)
        time.sleep(0.3)  # or what is let go may swing on
        self.mouse("mouseReleased", *path[-1], **held)

    def wheel(self, x: float, y: float, down: float) -> None:
        self.mouse("mouseWheel", x, y, deltaX=0, deltaY=down)

    def mouse(self, kind: str, x: float, y: float, **about: object) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **about)

    def touch(self, *paths: list[tuple[float, float]]) -> None:
        """Fingers that go down, along their paths and up."""
        for kind, step in [("touchStart", 0), *(("touchMove", k) for k in range(1, len(paths[0])))]:
            points = [{"x": p[step][0], "y": p[step][1], "id": n} for n, p in enumerate(paths)]
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
            time.sleep(0.03)
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def screenshot(self) -> np.ndarray:
        """What is seen, RGB (h, w, 3) uint8."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))

    def _next(self, end: float) -> dict:
        while b"\0" not in self._held:
            ready = select.select([self._read], [], [], max(0, end - time.monotonic()))[0]
            part = os.read(self._read, 1 << 16) if ready else b""
            if not part:
                raise TimeoutError("the browser does not answer")
            self._held += part
        message, self._held = self._held.split(b"\0", 1)
        return json.loads(message)

    def _note(self, message: dict) -> None:
        about = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(about["exceptionDetails"]["exception"].get("description", ""))
        entry = about.get("entry", {})
        if message.get("method") == "Log.entryAdded" and entry["level"] in ("error", "warning"):
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}")
