"""What the vectors of nlm4.txt say, as typed values. Written by hand, as the vectors are."""

from __future__ import annotations

from typing import Any

from nfsloop.nlm4.nlm4_xdr import (
    fsa_R,
    fsa_RW,
    fsm_DN,
    fsm_DW,
    nlm4_cancargs,
    nlm4_holder,
    nlm4_lock,
    nlm4_lockargs,
    nlm4_notify,
    nlm4_res,
    nlm4_share,
    nlm4_shareargs,
    nlm4_shareres,
    nlm4_sm_status,
    nlm4_stat,
    nlm4_stats,
    nlm4_testargs,
    nlm4_testres,
    nlm4_testrply,
    nlm4_unlockargs,
)

COOKIE = b"\0\0\x0a\x01"
LOCK = nlm4_lock(
    caller_name=b"omega-1",
    fh=b"FILE\0\0\0\0\0\0\1\2\0\0\0\x7f",
    oh=b"42@omega-1",
    svid=42,
    l_offset=(1 << 32) + 16,
    l_len=32,
)


def _res(stat: nlm4_stats) -> nlm4_res:
    return nlm4_res(COOKIE, nlm4_stat(stat))


CALLS: dict[str, Any] = {
    "NULL none": None,
    "TEST exclusive": nlm4_testargs(COOKIE, True, LOCK),
    "TEST to the end with empty objects": nlm4_testargs(
        b"", False, nlm4_lock(b"", b"f", b"", -10, (1 << 64) - 1, 0)
    ),
    "LOCK blocking exclusive": nlm4_lockargs(COOKIE, True, True, LOCK, False, 3),
    "LOCK shared reclaim": nlm4_lockargs(COOKIE, False, False, LOCK, True, -1),
    "CANCEL blocking": nlm4_cancargs(COOKIE, True, False, LOCK),
    "UNLOCK range": nlm4_unlockargs(COOKIE, LOCK),
    "GRANTED exclusive": nlm4_testargs(COOKIE, True, LOCK),
    "TEST_MSG shared": nlm4_testargs(COOKIE, False, LOCK),
    "LOCK_MSG blocking exclusive": nlm4_lockargs(COOKIE, True, True, LOCK, False, 0x7FFFFFFF),
    "CANCEL_MSG blocking exclusive": nlm4_cancargs(COOKIE, True, True, LOCK),
    "UNLOCK_MSG range": nlm4_unlockargs(COOKIE, LOCK),
    "GRANTED_MSG exclusive": nlm4_testargs(COOKIE, True, LOCK),
    "TEST_RES denied with the holder": nlm4_testres(
        COOKIE, nlm4_testrply(nlm4_stats.NLM4_DENIED, nlm4_holder(False, -1, b"", 1, 0))
    ),
    "LOCK_RES read-only": _res(nlm4_stats.NLM4_ROFS),
    "CANCEL_RES granted": _res(nlm4_stats.NLM4_GRANTED),
    "UNLOCK_RES too big": _res(nlm4_stats.NLM4_FBIG),
    "GRANTED_RES denied": _res(nlm4_stats.NLM4_DENIED),
    "SM_NOTIFY host": nlm4_sm_status(
        b"omega-1", 5, bytes.fromhex("00112233445566778899aabbccddeeff")
    ),
    "SHARE deny write": nlm4_shareargs(
        COOKIE, nlm4_share(b"omega-1", b"file", b"oh", fsm_DW, fsa_RW), True
    ),
    "UNSHARE deny nothing": nlm4_shareargs(
        COOKIE, nlm4_share(b"omega-1", b"file", b"", fsm_DN, fsa_R), False
    ),
    "NM_LOCK exclusive": nlm4_lockargs(COOKIE, False, True, LOCK, False, 0),
    "FREE_ALL host": nlm4_notify(b"omega-1", 9),
}

REPLIES: dict[str, Any] = {
    "NULL none": None,
    "TEST granted": nlm4_testres(COOKIE, nlm4_testrply(nlm4_stats.NLM4_GRANTED)),
    "TEST denied with the holder": nlm4_testres(
        COOKIE,
        nlm4_testrply(
            nlm4_stats.NLM4_DENIED,
            nlm4_holder(exclusive=True, svid=99, oh=b"99@xx", l_offset=0, l_len=(1 << 63) - 1),
        ),
    ),
    "TEST grace period": nlm4_testres(b"", nlm4_testrply(nlm4_stats.NLM4_DENIED_GRACE_PERIOD)),
    "LOCK granted": _res(nlm4_stats.NLM4_GRANTED),
    "LOCK blocked": _res(nlm4_stats.NLM4_BLOCKED),
    "LOCK no locks": _res(nlm4_stats.NLM4_DENIED_NOLOCKS),
    "LOCK deadlock": _res(nlm4_stats.NLM4_DEADLCK),
    "LOCK failed": _res(nlm4_stats.NLM4_FAILED),
    "CANCEL denied": _res(nlm4_stats.NLM4_DENIED),
    "UNLOCK granted": _res(nlm4_stats.NLM4_GRANTED),
    "UNLOCK stale": _res(nlm4_stats.NLM4_STALE_FH),
    "GRANTED granted": _res(nlm4_stats.NLM4_GRANTED),
    "TEST_MSG void": None,
    "LOCK_MSG void": None,
    "CANCEL_MSG void": None,
    "UNLOCK_MSG void": None,
    "GRANTED_MSG void": None,
    "TEST_RES void": None,
    "LOCK_RES void": None,
    "CANCEL_RES void": None,
    "UNLOCK_RES void": None,
    "GRANTED_RES void": None,
    "SM_NOTIFY void": None,
    "SHARE granted": nlm4_shareres(COOKIE, nlm4_stats.NLM4_GRANTED, 7),
    "SHARE denied": nlm4_shareres(COOKIE, nlm4_stats.NLM4_DENIED, -1),
    "UNSHARE granted": nlm4_shareres(COOKIE, nlm4_stats.NLM4_GRANTED, 0),
    "NM_LOCK denied": _res(nlm4_stats.NLM4_DENIED),
    "FREE_ALL void": None,
}
