"""Ways to mount: each variant is mounted, used and unmounted; refused ones fail quickly.

`variants`: [[label, spec, options], …]; `refused`: the same, and must fail.
"""

from __future__ import annotations

import os
import time

from ..guest_lib import Context, check, equal, mount, mount_options, read_file, umount, write_file


def run(ctx: Context) -> None:
    for number, (label, spec, options) in enumerate(ctx.params["variants"]):
        with ctx.step(label) as notes:
            target = f"/mnt/variant{number}"
            mount(spec, target, options)
            try:
                shown = mount_options(target)
                equal(shown["vers"], "3", "version")
                notes.append(f"{shown['proto']} rsize {shown['rsize']} wsize {shown['wsize']}")
                data = label.encode() * 1000
                write_file(f"{target}/variant{number}", data)
                os.sync()
                check(read_file(f"{target}/variant{number}") == data, "content differs")
                check(f"variant{number}" in os.listdir(target), "not listed")
                os.unlink(f"{target}/variant{number}")
            finally:
                umount(target)
    for number, (label, spec, options) in enumerate(ctx.params.get("refused", [])):
        with ctx.step(f"refused: {label}") as notes:
            start = time.monotonic()
            try:
                mount(spec, f"/mnt/refused{number}", options)
            except AssertionError as error:
                notes.append(str(error).strip().splitlines()[-1])
            else:
                umount(f"/mnt/refused{number}")
                raise AssertionError("it was mounted")
            check(time.monotonic() - start < 10, "refused, but slowly")
