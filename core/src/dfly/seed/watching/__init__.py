"""How a seed peer is watched: counters, metrics, readiness, and the live page."""
