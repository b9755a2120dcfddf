"""Wraps: backends in front of others, a module each.

Named in a configuration as ``attrcache?seconds=5``; see docs/wraps.md.
"""
