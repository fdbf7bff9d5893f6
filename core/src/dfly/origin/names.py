"""What two URLs must share to be of one origin: scheme, host and port. Credentials and pauses belong to an origin."""

import httpx

_PORTS = {"http": 80, "https": 443}


def origin_of(url: str | httpx.URL) -> str:
    """`scheme://host:port` with the port spelled out; for other schemes `scheme://` and what stands before the first
    `/`.

    >>> origin_of("https://Hub.example/a?b"), origin_of("gopher://hole/file")
    ('https://hub.example:443', 'gopher://hole')
    """
    if isinstance(url, str):
        scheme, _, rest = url.partition("://")
        if scheme.lower() not in _PORTS:
            return f"{scheme.lower()}://{rest.partition('/')[0]}"
        url = httpx.URL(url)
    port = url.port or _PORTS.get(url.scheme, 0)
    # the raw one: `host` decodes punycode, and raises where it is none
    return f"{url.scheme}://{url.raw_host.decode('ascii')}:{port}"
