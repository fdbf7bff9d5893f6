"""The version of this release: one place, imported by everything that tells it."""

VERSION = "0.1.0"
