"""Lines of a shell, as a guide has them; each must print what the guide says.

`lines`: [[line, output], …].
"""

from __future__ import annotations

from ..guest_lib import Context, command, equal


def run(ctx: Context) -> None:
    for line, output in ctx.params["lines"]:
        with ctx.step(line):
            equal(command(["sh", "-c", line]), output, "its output")
