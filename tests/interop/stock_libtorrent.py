"""`python stock_libtorrent.py TORRENT FOLDER`: libtorrent as it comes, but for what would leave this machine.

A process of its own, because a session that ends holds the lock of Python's interpreter, and says so to the tracker meanwhile.
"""

import sys

import libtorrent as lt

HERE_ONLY = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "listen_interfaces": "127.0.0.1:0",
}


def download(torrent, folder):
    session = lt.session({**HERE_ONLY, "alert_mask": lt.alert_category.all})
    params = lt.load_torrent_file(torrent)
    params.save_path = folder
    handle = session.add_torrent(params)
    finished = False
    while True:
        session.wait_for_alert(200)
        for alert in session.pop_alerts():
            if not isinstance(alert, lt.log_alert | lt.torrent_log_alert | lt.peer_log_alert):
                print(alert.message(), file=sys.stderr)
            if finished and isinstance(alert, lt.cache_flushed_alert):
                return
        if not finished and handle.status().is_seeding:
            finished = True
            handle.flush_cache()


if __name__ == "__main__":
    download(*sys.argv[1:])
