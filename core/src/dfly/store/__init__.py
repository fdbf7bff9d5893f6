"""Blobs on disk: arriving, surviving crashes, verified. `partial.Partial` is the door; the rest are its parts."""
