"""`nfsloop doctor`: why a mount does not work, and what to do.

`probes` and `local` observe, each in bounded time; `diagnosis` is pure and makes findings of what
they saw; `causes` has the words.
"""
