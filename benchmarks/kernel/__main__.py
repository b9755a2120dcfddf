"""`python3 -m benchmarks.kernel` is `python3 -m benchmarks kernel`."""

from __future__ import annotations

import sys

from benchmarks.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["kernel", *sys.argv[1:]]))
