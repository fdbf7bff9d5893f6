"""The way out of this machine: one connection pool for the direct way, one for each proxy.

httpx chooses a proxy in its client, above the transport; a redirect followed below the client would keep the first
host's proxy. So the choice is made here, for every request that is really sent.
"""

import ipaddress
from collections.abc import Callable, Mapping
from urllib.request import getproxies, proxy_bypass_environment  # type: ignore[attr-defined]

import httpx

from dfly.errors import UsageError

Build = Callable[[str | None], httpx.BaseTransport]


class Proxies(httpx.BaseTransport):
    """Sends each request through the pool that its URL needs.

    `build` makes a pool for a proxy URL, or for None the direct one. `proxy` is for everything; without it
    `environment` counts (`http`, `https`, `all`, `no`, as `urllib.request.getproxies` reads them). Raises UsageError
    for a bad proxy URL.
    """

    def __init__(self, build: Build, *, proxy: str | None, environment: Mapping[str, str] | None = None) -> None:
        found = getproxies() if environment is None else environment
        self._proxies = {"all": proxy} if proxy else {k: v for k, v in found.items() if v and k != "no"}
        self._no_proxy = "" if proxy else found.get("no", "")
        self._pools: dict[str | None, httpx.BaseTransport] = {None: build(None)}
        for url in {self._proxies[k] for k in ("http", "https", "all") if k in self._proxies}:
            self._pools[url] = _built(build, url)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` the way its scheme and host call for."""
        return self._pools[self.way(request.url)].handle_request(request)

    def way(self, url: httpx.URL) -> str | None:
        """The proxy for `url`, None for no proxy."""
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        return None if proxy is None or (self._no_proxy and self._bypassed(url)) else proxy

    def _bypassed(self, url: httpx.URL) -> bool:
        name = url.raw_host.decode("ascii")
        host = f"{name}:{url.port}" if url.port else name
        return bool(proxy_bypass_environment(host, {"no": self._no_proxy})) or _in_network(name, self._no_proxy)

    def close(self) -> None:
        """Close every pool."""
        for pool in self._pools.values():
            pool.close()


def _built(build: Build, url: str) -> httpx.BaseTransport:
    try:
        return build(url if "://" in url else f"http://{url}")
    except ImportError as error:
        raise UsageError("a SOCKS proxy needs one more package", hint="pip install 'httpx[socks]'") from error
    except (ValueError, httpx.InvalidURL):
        # without the URL: it may hold a password
        raise UsageError(
            "the proxy given is not a usable URL", hint="write http://host:port in HTTPS_PROXY and HTTP_PROXY"
        ) from None


def _in_network(host: str, no_proxy: str) -> bool:
    """Whether a NO_PROXY word such as `10.0.0.0/8` covers this address; the standard library only compares names."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for word in no_proxy.split(","):
        try:
            if address in ipaddress.ip_network(word.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False
