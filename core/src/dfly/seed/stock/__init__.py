"""Stock BitTorrent clients: .torrent files, the tracker and web seed behind them, what opens them, and who is let in."""
