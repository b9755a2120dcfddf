"""A storm while the kernel's own netem loses, doubles, delays and reorders the guest's packets.

In both directions: what comes in is led through an ifb device, since netem works on what goes out.
"""

from __future__ import annotations

import re
import subprocess

from ..guest_lib import Context, check, command
from . import storm

DEVICE, INWARD = "vec0", "ifb0"
MODULES = ("sch_netem", "sch_ingress", "cls_matchall", "act_mirred", "ifb")
FAULTS = "delay 1ms 1ms loss 2% duplicate 2% reorder 25% 50%"


SET_UP = f"""
qdisc add dev {DEVICE} ingress
filter add dev {DEVICE} ingress matchall action mirred egress redirect dev {INWARD}
qdisc add dev {INWARD} root netem {FAULTS}
qdisc add dev {DEVICE} root netem {FAULTS}
"""
TAKE_DOWN = f"""
qdisc del dev {DEVICE} root
qdisc del dev {INWARD} root
qdisc del dev {DEVICE} ingress
"""


def run(ctx: Context) -> None:
    command(["modprobe", "-a", *MODULES])
    command(["ip", "link", "add", INWARD, "up", "type", "ifb"])
    tc(SET_UP)
    try:
        storm.run(ctx)
        with ctx.step("packets were lost both ways") as notes:
            figures = command(["tc", "-s", "qdisc", "show"])
            for device in (DEVICE, INWARD):
                lost = re.search(rf"netem \S+ dev {device} .*\n.*dropped (\d+)", figures)
                notes.append(f"{device}: {lost and lost[1]}")
                check(lost and int(lost[1]) > 0, figures)
    finally:
        tc(TAKE_DOWN)


def tc(lines: str) -> None:
    """`tc`, a command a line: an exec is dear in here."""
    subprocess.run(["tc", "-batch", "-"], input=lines.encode(), check=True)
