"""make and gcc on the mount: what is built must run, and a second make must find nothing to do."""

from __future__ import annotations

import os
import time

from ..guest_lib import Context, check, command, drop_caches, equal, write_file

MAKEFILE = """\
CFLAGS = -O0
OBJECTS = main.o one.o two.o
prog: $(OBJECTS)
\tgcc -o $@ $(OBJECTS)
%.o: %.c common.h
\tgcc $(CFLAGS) -c -o $@ $<
"""
SOURCES = {
    "Makefile": MAKEFILE,
    "common.h": "int one(void); int two(void);\n",
    "one.c": '#include "common.h"\nint one(void) { return 1; }\n',
    "two.c": '#include "common.h"\nint two(void) { return 2; }\n',
    "main.c": '#include "common.h"\n#include <stdio.h>\n'
    'int main(void) { printf("%d\\n", one() + two()); return 0; }\n',
}


def run(ctx: Context) -> None:
    work = ctx.path("build")
    os.mkdir(work)
    with ctx.step("build and run"):
        for name, text in SOURCES.items():
            write_file(f"{work}/{name}", text.encode())
        command(["make"], cwd=work)
        equal(command([f"{work}/prog"]).strip(), "3", "output")
    with ctx.step("a second make does nothing"):
        drop_caches()
        check("up to date" in command(["make"], cwd=work), "make built something again")
    with ctx.step("one changed source: one object is built again"):
        time.sleep(0.02)
        write_file(f"{work}/two.c", SOURCES["two.c"].replace("2;", "40;").encode())
        text = command(["make"], cwd=work)
        check("two.c" in text and "one.c" not in text, f"make did {text!r}")
        equal(command([f"{work}/prog"]).strip(), "41", "output")
        command(["make", "-q"], cwd=work)
