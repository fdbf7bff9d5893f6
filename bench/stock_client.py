"""libtorrent as it comes out of the box: `python stock_client.py FILE.torrent DIR HOST:PORT`.

Only what a closed network needs is set: where to listen, and nothing that would search elsewhere.
"""

import sys
from pathlib import Path

import libtorrent as lt


def main(torrent: str, directory: str, listen: str) -> None:
    """Say "complete" and the path when all of it is there and checked, and go on seeding."""
    session = lt.session(
        {
            "listen_interfaces": listen,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "alert_mask": lt.alert_category.status,
        }
    )
    params = lt.load_torrent_file(torrent)
    params.save_path = directory
    handle = session.add_torrent(params)
    while not handle.status().is_seeding:
        session.wait_for_alert(200)
        session.pop_alerts()
    print("complete", Path(directory, handle.name()), flush=True)
    while True:
        session.wait_for_alert(1000)
        session.pop_alerts()


if __name__ == "__main__":
    main(*sys.argv[1:])
