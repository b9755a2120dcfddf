"""Limits of the NFS server, with units in the names; the runtime's are in `oncrpc.limits`."""

from __future__ import annotations

#: The most that one READ or WRITE carries over TCP.
TRANSFER_BYTES = 1 << 20

#: The most that one READ or WRITE carries over UDP: the reply must fit a datagram.
UDP_TRANSFER_BYTES = 32 << 10

#: No file reaches beyond it, and no system call takes a larger offset (off_t is signed).
OFFSET_MAX = 2**63 - 1

#: Preferred READDIR count, and the most that a READDIR or READDIRPLUS reply takes.
READDIR_BYTES = 64 << 10
READDIR_MAX_BYTES = 256 << 10

#: Handles remembered as verified, and as made.
HANDLE_MEMO_ENTRIES = 65536

#: Identities remembered per export.
CONTEXT_MEMO_ENTRIES = 4096

#: Exports for which an origin (`oncrpc.call.Origin`) remembers as whom its calls act.
ORIGIN_NOTES = 64

#: Entries of the list of mounts; the oldest are forgotten beyond it.
MOUNTS = 4096

#: Names of clients: answers remembered, how long before they are asked for again (and if there was
#: none), questions asked at once, how long one may take, the threads that wait for the resolver.
NAME_ENTRIES = 4096
NAME_SECONDS = 300.0
NAME_RETRY_SECONDS = 30.0
NAME_LOOKUPS = 256
NAME_LOOKUP_SECONDS = 10.0
NAME_THREADS = 4

#: A file of exports or settings.
CONFIG_FILE_BYTES = 1 << 20

#: A request on the control socket, how long it may take to come, and its answer to be read; how
#: many there are at once, and how long one more is told that in.
CONTROL_REQUEST_BYTES = 64 << 10
CONTROL_REQUEST_SECONDS = 10.0
CONTROL_ANSWER_SECONDS = 30.0
CONTROL_REFUSE_SECONDS = 1.0
CONTROL_CLIENTS = 16

#: Those of them that are streams, which last; and how long one may take to end at a stop.
CONTROL_STREAMS = 8
CONTROL_STREAM_END_SECONDS = 1.0

#: Sockets that a service manager may hand over.
HANDED_SOCKETS = 64

#: What `nfsloop.watching.trace` tells of a call: lines of arguments or of a result, characters of
#: a line, bytes of a name; and what it remembers of those who call.
TRACE_LINES = 200
TRACE_LINE_CHARS = 1024
TRACE_NAME_BYTES = 256
TRACE_CALLERS = 1024

#: Lines that wait for one who reads a trace: more are dropped, and counted. So many leave at once.
TRACE_QUEUE_LINES = 4096
TRACE_BATCH_LINES = 256

#: A result that is longer, and no data of a file (a directory's listing), is told by its size: to
#: take it apart keeps everybody waiting.
TRACE_RESULT_BYTES = 32 << 10

#: How long anybody may follow, or be waited for: what system calls take has bounds.
WAIT_MAX_SECONDS = 1_000_000.0

#: Lines of the log that wait to be written, where a thread writes them.
LOG_QUEUE_BYTES = 4 << 20

#: Clients and files that `layers.Census` tells apart.
CENSUS_CLIENTS = 1024
CENSUS_FILES = 65536

#: What `nfsloop.watching` tells apart: series of calls (some 20 an export), and clients; and how
#: long it counts after somebody has looked.
METER_SERIES = 4096
METER_CLIENTS = 1024
METER_SECONDS = 30.0

#: What asks for metrics and health: connections at once, each for one request, which must come
#: soon; how long one may take before it makes room for another; a line of a request, and a header;
#: how many headers.
HTTP_CLIENTS = 16
HTTP_REQUEST_SECONDS = 3.0
HTTP_SECONDS = 20.0
HTTP_LINE_BYTES = 4096
HTTP_HEADERS = 64

#: How long a worker has to say that it lives, for who asks whether the server is ready; and for how
#: long the answer holds. (Storage has `backends.hosted.HEALTH_SECONDS`.)
READY_ASK_SECONDS = 2.0
READY_KEPT_SECONDS = 1.0

#: What a stop takes after the calls in flight have had their time, if storage hangs: in all, so
#: that with the default of that time it is over before a container engine loses patience (10 s).
STOP_REST_SECONDS = 3.0

#: A server that was killed has workers that end at once; so long the next one waits for them.
HANDOVER_SECONDS = 5.0

#: A worker that dies so often in so many seconds is replaced after a pause, each twice as long as
#: the one before, up to the last of these.
WORKER_DEATHS = 5
WORKER_DEATHS_SECONDS = 60.0
WORKER_PAUSE_SECONDS = 60.0

#: Worker processes; questions between one and its home that wait for an answer, and a message.
WORKERS = 64
CHANNEL_CALLS = 256
CHANNEL_MESSAGE_BYTES = 64 << 20

#: What waits to be written to the other process; nothing is added beyond it. Arguments of a call
#: that a worker sends on to its home: MOUNT's and NLM's are shorter.
CHANNEL_BACKLOG_BYTES = 4 << 20
RELAY_BYTES = 8 << 10

#: A worker is asked so often whether it lives, and killed if nothing is heard of it for so long.
PING_SECONDS = 5.0
SILENT_SECONDS = 60.0

#: Calls of a worker that died which are settled at once.
SETTLE_CALLS = 32
