"""Benchmarks: `python -m bench.swarm` for many machines, `python -m bench.single_node` for one. See bench/README.md."""
