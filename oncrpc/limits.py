"""A limit on everything that a peer can make grow, with units in the names."""

from __future__ import annotations

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
DATAGRAMS_PER_WAKE_UP = 64

#: Call headers (program, procedure, credential) remembered as resolved.
HEADER_MEMO_ENTRIES = 4096

#: Open connections; one more is closed at once.
CONNECTIONS = 4096

#: Calls of one connection that wait for their backend; at the limit it is not read from.
CALLS_IN_FLIGHT = 256

#: Datagrams' calls that wait for their backend, per socket; at the limit it is not read from.
DATAGRAMS_IN_FLIGHT = 1024

#: Records of one connection served in one wake-up; the others have their turn before the next.
RECORDS_PER_WAKE_UP = 1024

#: Log lines that the mistakes of one peer make in a minute, and peers that are told apart.
WARNINGS_PER_MINUTE = 20
WARNING_PEERS = 4096

#: Replies not yet taken by the peer; above it the connection is not read from.
BACKLOG_BYTES = 8 << 20

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
DRC_CHECKSUM_BYTES = 256

#: Client addresses remembered as hashed.
DRC_CLIENT_MEMO_ENTRIES = 4096
