"""``python -m nfsloop``."""

import sys

from nfsloop.cli import main

sys.exit(main())
