"""The table of fuzz targets."""

from __future__ import annotations

import fuzz_codecs
import fuzz_index
import fuzz_messages
import fuzz_ring
import fuzz_server
import fuzz_texts
from fuzz_kinds import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (fuzz_messages, fuzz_codecs, fuzz_server, fuzz_ring, fuzz_index, fuzz_texts)
    for target in module.TARGETS
}
