"""Blobs on disk: arriving, surviving crashes, verified.

`partial.Partial` is the door to one blob that arrives, `blobs.BlobStore` to all blobs that a long-lived process keeps.
"""
