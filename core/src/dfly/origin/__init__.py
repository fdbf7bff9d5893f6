"""The hub: everything between a backend's `locate` and bytes in order. httpx, blocking, in worker threads.

Blocking threads and not asyncio, because a thread waits in the kernel while another hashes, and because a hub author
writes `get` most easily that way. From the outside in:

    fetch        Fetcher: worker threads take spans from jobs; concurrency adapts its number
    patience     Patient: tries again and goes on at the offset; pauses and throttle pace it
    ranges       Ranges: one attempt; links remembers where a file is, answers judges what came back
    redirects    SafeRedirects: a transport that drops credentials where they do not belong
    retry        Retrying: the transport under API calls; Reconnecting, under everything
    proxies      the way out of this machine; client puts the transports together
    backends     builds a hub's backend with all of the above
"""
