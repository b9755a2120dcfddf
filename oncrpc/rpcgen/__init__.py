"""The .x compiler: XDR (RFC 4506) and RPC (RFC 5531 section 12) language to typed Python.

``python -m oncrpc.rpcgen FILE.x`` writes a module; `oncrpc.rpcgen.dynamic.load` makes the same
types and tables at run time, through xdrlib3. The way of a file through this package:

`lexer` (tokens) → `parser` (the tree of `model`) → `checks` (names, values, recursion) → `layout`
(sizes, linked lists, Python names) → `emit` and its helpers, or `dynamic`.
"""
