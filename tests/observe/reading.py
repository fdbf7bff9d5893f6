"""Reads what operators read: metrics, the page's JSON, its HTML and its event stream."""

import json
import time
from html.parser import HTMLParser

from prometheus_client.parser import text_string_to_metric_families

PATIENCE = 60.0


def metrics(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by sample name and labels."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def value(text: str, name: str, **labels: str) -> float:
    return metrics(text)[name][tuple(sorted(labels.items()))]


def segments(runs) -> set[int]:
    """The numbers in [first, last] runs."""
    return {n for first, last in runs for n in range(first, last + 1)}


def until(look, wanted):
    """What `look()` gives once `wanted` likes it."""
    end = time.monotonic() + PATIENCE
    while True:
        found = look()
        if wanted(found):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.02)


def pictures(response):
    """The pictures of an event stream, as they come."""
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


class Html(HTMLParser):
    """The elements of a page, flat: (tag, attributes, text directly inside)."""

    VOID = ("meta", "link", "path", "line", "circle", "br", "th", "td", "tr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))

    def handle_data(self, data):
        if self.elements:
            self.elements[-1][2].append(data)

    def all(self, tag, **wanted):
        return [
            (given, "".join(inside))
            for name, given, inside in self.elements
            if name == tag and all(given.get(key.rstrip("_")) == value for key, value in wanted.items())
        ]


def drawn_cells(html: str) -> list[dict[int, str]]:
    """Of each strip in a piece of HTML, the cells that are drawn and how."""
    found: list[dict[int, str]] = []
    for tag, given, _ in Html(html).elements:
        if tag == "svg" and given.get("class") == "strip":
            found.append({})
        elif tag == "svg":
            found.append({})  # another drawing: what is inside is not the strip's
        elif tag == "path" and found:
            for run in (given.get("d") or "").split("z"):
                if run:
                    start, long = run.removeprefix("M").split(" 0h")
                    found[-1] |= {int(start) + n: str(given["class"]) for n in range(int(long.partition("v")[0]))}
    return found
