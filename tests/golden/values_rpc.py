"""What the vectors of rpc.txt say, as typed values. Written by hand, as the vectors are."""

from __future__ import annotations

from oncrpc.errors import (
    AuthError,
    AuthStat,
    GarbageArgs,
    ProcUnavail,
    ProgMismatch,
    ProgUnavail,
    Refusal,
    RpcMismatch,
    SystemErr,
)
from oncrpc.message import AUTH_SYS, Credential

#: The credentials of the program files: what their calls carry, by file and fragment.
ALPHA = Credential(AUTH_SYS, 1000, 100, (100, 4, 27), b"alpha", 0x4F2E1A00)
PHILOMEL = Credential(AUTH_SYS, 0, 0, (), b"philomel", 0)
OMEGA = Credential(AUTH_SYS, 1001, 101, (101,), b"omega-1", 1)
NOBODY = Credential()

#: The credentials of rpc.txt.
CREDENTIALS = {
    "AUTH_NONE": NOBODY,
    "AUTH_SYS of 16 groups": Credential(
        AUTH_SYS, 4294967294, 4294967295, (*range(15), 4294967295), b"z", 0xFFFFFFFF
    ),
    "AUTH_SYS of nothing": Credential(AUTH_SYS),
}

#: What the replies of rpc.txt refuse, with every field.
REFUSALS: dict[str, Refusal] = {
    "program unavailable": ProgUnavail(),
    "NFS version 4": ProgMismatch(3, 3),
    "MOUNT version 2": ProgMismatch(1, 3),
    "procedure unavailable": ProcUnavail(),
    "garbage: arguments missing": GarbageArgs(),
    "garbage: handle of 65 bytes": GarbageArgs(),
    "garbage: bool of 2": GarbageArgs(),
    "garbage: a word left over": GarbageArgs(),
    "system error": SystemErr(),
    "RPC version 3": RpcMismatch(2, 2),
    "bad credential: 17 groups": AuthError(AuthStat.BADCRED),
    "bad credential: it ends too soon": AuthError(AuthStat.BADCRED),
    "rejected credential": AuthError(AuthStat.REJECTEDCRED),
    "bad verifier": AuthError(AuthStat.BADVERF),
    "rejected verifier": AuthError(AuthStat.REJECTEDVERF),
    "too weak": AuthError(AuthStat.TOOWEAK),
    "invalid response": AuthError(AuthStat.INVALIDRESP),
    "failed": AuthError(AuthStat.FAILED),
    "gss credential problem": AuthError(13),
    "RPC versions 3 to 7": RpcMismatch(3, 7),
}

#: The messages that the records of rpc.txt hold.
RECORDS: dict[str, list[str]] = {
    "one fragment": ["call AUTH_NONE"],
    "three fragments": ["call AUTH_NONE"],
    "cut within a word": ["call AUTH_NONE"],
    "last fragment empty": ["call AUTH_NONE"],
    "first fragment empty": ["call AUTH_NONE"],
    "two records": ["call AUTH_NONE", "call AUTH_NONE"],
    "reply": ["reply AUTH_NONE"],
    "reply of two fragments": ["reply AUTH_NONE"],
}
