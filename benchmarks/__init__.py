"""Measures this server beside others. ``python3 -m benchmarks --help``; docs/benchmarks.md."""
