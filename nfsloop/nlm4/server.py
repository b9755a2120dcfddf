"""NLM version 4 (RFC 1813 appendix II) of a server that has no locks: each request is refused.

The Linux client asks for this program at its first lock; without an answer the program that locks
would hang. Refused, it gets ENOLCK at once.
"""

from __future__ import annotations

from nfsloop.nlm4.nlm4_xdr import (
    NLM4_DENIED,
    NLM4_DENIED_NOLOCKS,
    NLM4_GRANTED,
    NLM4_VERS_Service,
    nlm4_cancargs,
    nlm4_lockargs,
    nlm4_notify,
    nlm4_res,
    nlm4_shareargs,
    nlm4_shareres,
    nlm4_stat,
    nlm4_stats,
    nlm4_testargs,
    nlm4_testres,
    nlm4_testrply,
    nlm4_unlockargs,
)
from oncrpc.call import Call


class NoLocks(NLM4_VERS_Service):
    """Locks and shares are LCK_DENIED_NOLOCKS; giving back what nobody has succeeds.

    The asynchronous procedures (``*_MSG``, ``*_RES``) and GRANTED, a server's call to its clients,
    are PROC_UNAVAIL.
    """

    async def TEST(self, call: Call, args: nlm4_testargs) -> nlm4_testres:
        """NLMPROC4_TEST."""
        return nlm4_testres(args.cookie, nlm4_testrply(NLM4_DENIED_NOLOCKS))

    async def LOCK(self, call: Call, args: nlm4_lockargs) -> nlm4_res:
        """NLMPROC4_LOCK."""
        return _res(args.cookie, NLM4_DENIED_NOLOCKS)

    async def CANCEL(self, call: Call, args: nlm4_cancargs) -> nlm4_res:
        """NLMPROC4_CANCEL: no request waits that could be cancelled."""
        return _res(args.cookie, NLM4_DENIED)

    async def UNLOCK(self, call: Call, args: nlm4_unlockargs) -> nlm4_res:
        """NLMPROC4_UNLOCK: succeeds for a lock that nobody has."""
        return _res(args.cookie, NLM4_GRANTED)

    async def SHARE(self, call: Call, args: nlm4_shareargs) -> nlm4_shareres:
        """NLMPROC4_SHARE."""
        return nlm4_shareres(args.cookie, NLM4_DENIED_NOLOCKS, 0)

    async def UNSHARE(self, call: Call, args: nlm4_shareargs) -> nlm4_shareres:
        """NLMPROC4_UNSHARE: succeeds for a share that nobody has."""
        return nlm4_shareres(args.cookie, NLM4_GRANTED, 0)

    async def NM_LOCK(self, call: Call, args: nlm4_lockargs) -> nlm4_res:
        """NLMPROC4_NM_LOCK."""
        return _res(args.cookie, NLM4_DENIED_NOLOCKS)

    async def FREE_ALL(self, call: Call, args: nlm4_notify) -> None:
        """NLMPROC4_FREE_ALL: a client that restarted has no locks here."""


def _res(cookie: bytes, stat: nlm4_stats) -> nlm4_res:
    return nlm4_res(cookie, nlm4_stat(stat))
