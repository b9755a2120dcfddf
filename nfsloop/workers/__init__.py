"""Several processes that serve one port: ``nfsloop serve --workers N``.

The process that is started is their *home* (`home`); the workers are made by it and know it
through a `channel`. docs/workers.md tells what holds across them.
"""
