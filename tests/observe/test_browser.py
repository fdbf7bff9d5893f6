"""The page in a real browser: its script runs under its own policy, follows the stream, and lets nothing in."""

import asyncio
import base64
import os
from pathlib import Path

import pytest

from dfly.backend import Secret
from dfly.plugins import Plugins
from dfly.testing.memory import memory_backend
from dfly.testing.swarm import small_swarm
from tests.swarm_e2e.files import MIB, SEGMENT, some_bytes
from tests.swarm_e2e.origin import Origin

from .browser import browsing, chromium

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium: install one, or `python -m tests.observe.browser`, or set DFLY_CHROMIUM"
)
FULL = "[...document.querySelectorAll('tr[data-node] svg.strip')].map((s) => s.querySelector('path.full')?.getAttribute('d'))"
SHOT = os.environ.get("DFLY_SCREENSHOT")


def test_the_page_is_alive(swarm, tmp_path):
    origin = Origin(
        {"model-00001.bin": some_bytes(5 * SEGMENT), "model-00002.bin": some_bytes(5 * SEGMENT, 2), "a.json": b"a"}
    )
    origin.hold("model-00001.bin", 3 * SEGMENT)
    origin.hold("model-00002.bin", SEGMENT)
    cluster = swarm(origin)

    async def look():
        async with browsing(tmp_path / "profile") as page:
            await page.open(cluster.url + "/ui")
            await page.until("document.getElementById('state').textContent === 'live'")
            assert await page.ask("document.querySelectorAll('#tasks > section').length") == 0
            nodes = [
                cluster.node("memory://model", joining={"seed_time": 0.0, "location": f"zone-a/rack-{n // 3 + 1}"})
                for n in range(6)
            ]
            for node in nodes:
                await asyncio.to_thread(node.until, "segment.finished", 4)
            # the nodes appear by themselves, each with the segments that are published
            await page.until("document.querySelectorAll('tr[data-node]').length === 6")
            await page.until(f"new Set({FULL}).size === 1 && {FULL}[0] !== undefined")
            assert await page.ask("document.querySelectorAll('svg.ring circle').length") == 7
            # what a keyboard has reached, and scrolled, stays when the section is drawn anew
            await page.ask("document.body.style.width = '20rem'")
            await page.ask("document.querySelector('.scroll').focus()")
            await page.ask("document.querySelector('.scroll').scrollLeft = 40")
            if SHOT:
                await page.screenshot(Path(SHOT))
            await page.dark(True)
            dark = await page.ask("getComputedStyle(document.body).backgroundColor")
            await page.dark(False)
            assert dark != await page.ask("getComputedStyle(document.body).backgroundColor")
            origin.let_go()
            for node in nodes:
                await asyncio.to_thread(node.done)
            await page.until("document.body.textContent.match(/left, done/g)?.length === 6")
            assert await page.ask("document.activeElement === document.querySelector('.scroll')")
            assert await page.ask("document.activeElement.scrollLeft") == 40
            assert page.complaints == []

    asyncio.run(look())


def test_a_hostile_name_is_shown_and_does_nothing(tmp_path):
    name = "<img src=x onerror=alert(1)><script>alert(2)"
    plugins = Plugins(extra=[memory_backend({name: {"a": b"1"}})])

    async def look(cluster):
        async with browsing(tmp_path / "profile") as page:
            await page.open(cluster.url + "/ui")
            await page.until("document.getElementById('state').textContent === 'live'")
            await page.until("document.querySelector('#tasks h2')?.textContent.includes('onerror')")
            assert await page.ask("document.querySelectorAll('img').length") == 0
            assert await page.ask("document.querySelectorAll('script').length") == 1
            # whatever got in all the same could not run
            await page.ask(
                "new Promise((failed) => {"
                " const totals = document.getElementById('totals');"
                " totals.innerHTML = '<img src=x onerror=\"document.title=1\">';"
                " totals.firstChild.addEventListener('error', () => failed(true)); })"
            )
            assert await page.ask("document.title") == "dfly seed peer"
            assert any("Content Security Policy" in complaint for complaint in page.complaints)

    with small_swarm(tmp_path, plugins=plugins) as cluster, cluster.mute(f"memory://{name}"):
        asyncio.run(look(cluster))


def test_the_token_is_a_browsers_password(swarm, tmp_path):
    cluster = swarm(Origin({"a": b"a"}), cluster_token=Secret("cluster"))
    said = "Basic " + base64.b64encode(b"me:cluster").decode()

    async def look():
        async with browsing(tmp_path / "profile") as page:
            await page.open(cluster.url + "/ui", Authorization=said)
            await page.until("document.getElementById('state')?.textContent === 'live'")

    asyncio.run(look())


def test_without_scripts_the_page_is_complete(swarm, tmp_path):
    cluster = swarm(Origin({"model.bin": some_bytes(SEGMENT + MIB)}))
    cluster.node("memory://model", joining={"seed_time": 0.0}).done()

    async def look():
        async with browsing(tmp_path / "profile") as page:
            await page.tell("Emulation.setScriptExecutionDisabled", value=True)
            await page.tell("Page.navigate", url=cluster.url + "/ui")
            async with asyncio.timeout(60):
                while "memory://model@" not in (await text(page)):
                    await asyncio.sleep(0.05)
            assert "as of now" in await text(page)

    async def text(page):
        return str(await page.tell("DOM.getDocument", depth=-1))

    asyncio.run(look())
