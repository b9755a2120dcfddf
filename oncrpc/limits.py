"""A limit on everything that a peer can make grow, with units in the names."""

from __future__ import annotations

from dataclasses import dataclass

#: The body of an opaque_auth (RFC 5531 section 8.2).
AUTH_BODY_BYTES = 400

#: Supplementary groups in an AUTH_SYS credential (RFC 5531 appendix A).
AUTH_SYS_GROUPS = 16

#: An AUTH_SYS machine name (RFC 5531 appendix A).
AUTH_SYS_NAME_BYTES = 255

#: One record over TCP: 1 MiB of data and what goes around it.
RECORD_BYTES = (1 << 20) + (64 << 10)

#: Received at once from one connection: a record and more, so that one wake-up serves many calls.
RECEIVE_BYTES = RECORD_BYTES + (256 << 10)

#: Records up to this size are copied out of the receive buffer: cheaper than views of it.
SMALL_RECORD_BYTES = 8 << 10

#: A datagram, the largest that UDP carries.
DATAGRAM_BYTES = 65536

#: Datagrams that wait in a UDP socket.
UDP_RECEIVE_BYTES = 4 << 20

#: Datagrams handled in one wake-up, lest UDP starve the rest.
DATAGRAMS_PER_WAKE_UP = 32

#: Call headers (program, procedure, credential) remembered as resolved.
HEADER_MEMO_ENTRIES = 16384

#: Credentials remembered in all, and of those the ones that each connection has used lately.
CREDENTIAL_MEMO_ENTRIES = 4096
ORIGINS = 64

#: Senders of datagrams whose origins are remembered.
DATAGRAM_SENDERS = 1024

#: Fragments of one record, and those that one connection has gathered in one wake-up.
FRAGMENTS_PER_RECORD = 1024
FRAGMENTS_PER_WAKE_UP = 256

#: Open connections, in all and from one address; one more takes the place of an idle one.
CONNECTIONS = 4096
CONNECTIONS_PER_CLIENT = 1024

#: Connections accepted a second when more come; so many come at once before that counts.
ACCEPTS_PER_SECOND = 500
ACCEPTS_AT_ONCE = 1000

#: Connections accepted in one wake-up.
ACCEPTS_PER_WAKE_UP = 32

#: Connections looked at to find one whose place can be taken.
EVICTION_LOOKS = 32

#: Calls of one connection that wait for their backend; at the limit it is not read from.
CALLS_IN_FLIGHT = 256

#: The same of one client address, over all its connections and UDP, and of all clients: then those
#: who have a call waiting already are not read from.
CALLS_IN_FLIGHT_PER_CLIENT = 1024
CALLS_IN_FLIGHT_IN_ALL = 16384

#: Datagrams' calls that wait for their backend, per socket; at the limit it is not read from.
DATAGRAMS_IN_FLIGHT = 1024

#: Records of one connection served in one wake-up; the others have their turn before the next.
RECORDS_PER_WAKE_UP = 128

#: Records that are no RPC call at all; with so many a connection is closed.
JUNK_RECORDS = 16

#: Log lines that the mistakes of one peer make in a minute, and peers that are told apart.
WARNINGS_PER_MINUTE = 20
WARNING_PEERS = 4096

#: Log lines in a minute that the mistakes of all peers make together.
WARNINGS_PER_MINUTE_IN_ALL = 1000

#: Replies not yet taken by the peer; above it the connection is not read from.
BACKLOG_BYTES = 8 << 20

#: The same of all connections of one client address, with the arguments of its calls that wait.
CLIENT_BACKLOG_BYTES = 32 << 20

#: What the reply to a call that waits is taken to have, until a client's first ones are known.
EXPECTED_REPLY_BYTES = 128 << 10

#: The same of all clients. Beyond one half of it each has one reply outstanding at a time; beyond
#: the whole, the client with most of it loses connections.
SERVER_BACKLOG_BYTES = 256 << 20

#: Buffers of incomplete records, of all clients; beyond it the client with most loses connections.
SERVER_RECORD_BYTES = 256 << 20

#: How often the connections are looked at for the following.
SWEEP_SECONDS = 5.0

#: A connection without a call is closed after this long, as the Linux server does it. The Linux
#: client closes its own after five minutes.
IDLE_SECONDS = 360.0

#: A record that has begun has this long, and longer by its bytes: nobody's link is slower than so
#: many a second.
RECORD_SECONDS = 30.0
SLOWEST_BYTES_PER_SECOND = 4096

#: A client that has replies to take and takes fewer than that is cut off after this long.
BACKLOG_SECONDS = 60.0

#: Replies are written at the end of a wake-up, or as soon as this much has gathered.
CORK_BYTES = 1 << 20

#: Writes up to this size are joined into one buffer; larger ones go out as they are, vectored.
JOIN_BYTES = 64 << 10

#: The duplicate request cache: bytes of the ring that its replies lie in, and of a segment of it.
DRC_BYTES = 32 << 20
RING_SEGMENT_BYTES = 128 << 10

#: Replies kept, whatever their size.
DRC_ENTRIES = 65536

#: How long a reply is kept if there is room: beyond any client's time to send a call again (the
#: Linux client's: 60 s, then 120 s over TCP), and short of the time in which xids come round.
DRC_RETENTION_SECONDS = 900.0

#: Of bulk arguments, this much goes into the checksum that tells two calls of one xid apart.
CHECKSUM_BYTES = 256

#: Client addresses remembered as hashed.
DRC_CLIENT_MEMO_ENTRIES = 4096


#: Sessions, in all and of one client address; one more takes the place of an idle one.
SESSIONS = 16384
SESSIONS_PER_HOST = 1024

#: Sessions looked at to find an idle one.
SESSION_LOOKS = 32

#: How far a session's calls are ahead of what its client has acknowledged; so many replies are
#: kept, and SESSION_OWED_MAX more.
SESSION_WINDOW_CALLS = 256

#: The replies of one session, and of all; beyond it the oldest are forgotten.
SESSION_REPLY_BYTES = 4 << 20
SESSIONS_REPLY_BYTES = 64 << 20

#: A client's call lists those before it that still wait, once they are behind it by so many.
SESSION_LAG_CALLS = 32


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What the clients of one server may have of it; docs/limits.md tells what happens beyond.

    Each field's default is the constant above whose name is like it.
    """

    connections: int = CONNECTIONS
    connections_per_client: int = CONNECTIONS_PER_CLIENT
    accepts_per_second: float = ACCEPTS_PER_SECOND
    accepts_at_once: int = ACCEPTS_AT_ONCE
    idle_seconds: float = IDLE_SECONDS
    calls_per_connection: int = CALLS_IN_FLIGHT
    calls_per_client: int = CALLS_IN_FLIGHT_PER_CLIENT
    calls: int = CALLS_IN_FLIGHT_IN_ALL
    datagram_calls: int = DATAGRAMS_IN_FLIGHT
    record_bytes: int = RECORD_BYTES
    record_seconds: float = RECORD_SECONDS
    slowest_bytes_per_second: int = SLOWEST_BYTES_PER_SECOND
    server_record_bytes: int = SERVER_RECORD_BYTES
    junk_records: int = JUNK_RECORDS
    backlog_bytes: int = BACKLOG_BYTES
    client_backlog_bytes: int = CLIENT_BACKLOG_BYTES
    server_backlog_bytes: int = SERVER_BACKLOG_BYTES
    backlog_seconds: float = BACKLOG_SECONDS
    sweep_seconds: float = SWEEP_SECONDS

    def __post_init__(self) -> None:
        """Raises ValueError for a limit that is not above zero."""
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0")
