/* load: keeps a fixed number of NFSv3 calls outstanding over TCP and says how the server did.
 *
 *   load HOST NFSPORT MOUNTPORT EXPORT CALL [options]
 *
 * CALL: null getattr lookup access read write writesync create readdirplus mix
 *   create is CREATE and REMOVE in turn; readdirplus walks a directory to its end, again and again;
 *   mix is 32 % GETATTR, 25 % LOOKUP, 18 % READ, 13 % ACCESS, 10 % WRITE, 2 % READDIRPLUS of a directory that
 *   fits into one reply.
 *
 *   -w N  calls outstanding on each connection (1; at most 512)    -c N  connections (1; at most 1024)
 *   -t S  seconds that are measured (2)                            -u S  seconds before that (0.2)
 *   -s N  bytes of a READ or WRITE (4096)                          -m N  MiB of the file that they go to (64)
 *   -n N  files (1000)                                             -D N  directories that they are spread over (1)
 *   -d N  directories above those, one in another (0)              -p P  process whose CPU counts; may be repeated
 *   -U N  uid of the calls (0)                                     -G N  gid of the calls (0)
 *   -b P  source ports from P on, one for each connection          -k N  dircount and maxcount of READDIRPLUS
 *                                                                        are N and 4 N (8192)
 *
 * One line of JSON: counts, seconds, latency in microseconds, CPU seconds of the server and of this program.
 * All files are made in the directory load.UID of the export, once: a file "data" that is there and large enough
 * is taken as it is. Xids and the names that CREATE makes differ from run to run, so no duplicate request cache answers instead of
 * the file system. One time stamp is taken for a wake-up; the data of large READs is dropped by the kernel, not
 * copied; that of WRITEs lies in one buffer that fits into a processor's cache.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NULLPROC = 0, GETATTR = 1, LOOKUP = 3, ACCESS = 4, READ = 6, WRITE = 7, CREATE = 8, MKDIR = 9, REMOVE = 12,
       READDIRPLUS = 17, COMMIT = 21, PROCS = 22 };
enum { NFS = 100003, MOUNT = 100005, VERSION = 3 };
enum { FATTR = 84, WCC_BEFORE = 24, STALE = 70, EXISTS = 17, NOENT = 2 };
enum { MAX_OUTSTANDING = 512, MAX_CONNECTIONS = 1024, MAX_PIDS = 64, MAX_HEAD = 512, RECV_BYTES = 256 << 10,
       SMALL_FILES = 32, BATCH = 64, PATIENCE_MS = 20000 };

typedef struct { uint32_t size; uint8_t xdr[68]; } handle_t;            /* length word and bytes, as on the wire */
typedef struct { uint64_t sent_ns, cookie, verifier, number; int proc; bool made; } slot_t;
typedef struct {
  int fd, niov, at, nidle;
  bool watched_write;
  uint8_t *in, *out;
  size_t have, skip, outn;
  struct iovec *iov;
  slot_t *slots;
  uint16_t *idle;
} conn_t;

/* -- options -- */
static const char *CALLS[] = {"null", "getattr", "lookup", "access", "read", "write", "writesync", "create",
                              "readdirplus", "mix", NULL};
enum { C_NULL, C_GETATTR, C_LOOKUP, C_ACCESS, C_READ, C_WRITE, C_WRITESYNC, C_CREATE, C_READDIRPLUS, C_MIX };
static int call, outstanding = 1, connections = 1, nfiles = 1000, ndirs = 1, depth, npids, source_port;
static double seconds = 2, warmup = 0.2;
static uint32_t io_bytes = 4096, uid, gid, dircount = 8192;
static uint64_t file_bytes = 64 << 20;
static pid_t pids[MAX_PIDS];

/* -- state -- */
static handle_t root, *dirs, *files, small_dir, big;
static uint8_t *payload, heads[PROCS][128];
static size_t head_size[PROCS];
static uint32_t xid_base, slot_bits, generation, run_id;
static uint64_t calls, errors, entries, entries_full, data_bytes;
static char first_error[64];

static void die(const char *what) {
  fprintf(stderr, "load: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
  exit(1);
}
static void refused(const char *what, uint32_t status) {
  fprintf(stderr, "load: %s: status %u\n", what, status);
  exit(1);
}
static uint64_t clock_ns(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t)) return 0;
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
/* The CPU clock of another process: nanoseconds of all its threads, also of those that have ended. */
static uint64_t cpu_ns(void) {
  uint64_t sum = 0;
  for (int i = 0; i < npids; i++) sum += clock_ns((~(clockid_t)pids[i] << 3) | 2);
  return sum;
}
static uint64_t random_state;
static uint32_t below(uint32_t limit) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(((random_state >> 32) * limit) >> 32);
}

/* -- latency: 256 steps for each power of two, so 0.4 % -- */
static uint32_t histogram[64 << 8];
static uint64_t slowest_ns;
static uint32_t step_of(uint64_t ns) {
  int top = 63 - __builtin_clzll(ns | 256);
  return (uint32_t)((top - 7) << 8 | ((ns >> (top - 8)) & 255));
}
static double percentile_us(double share) {
  uint64_t wanted = (uint64_t)((double)calls * share), seen = 0;
  for (uint32_t i = 0; i < sizeof histogram / sizeof *histogram; i++) {
    seen += histogram[i];
    if (seen > wanted) {
      uint32_t top = (i >> 8) + 7;
      uint64_t middle = ((256ull | (i & 255)) << (top - 8)) + (1ull << (top - 8)) / 2;
      return (double)(middle < slowest_ns ? middle : slowest_ns) / 1e3;
    }
  }
  return (double)slowest_ns / 1e3;
}

/* -- XDR -- */
static uint8_t *put32(uint8_t *p, uint32_t v) { v = htonl(v); memcpy(p, &v, 4); return p + 4; }
static uint8_t *put64(uint8_t *p, uint64_t v) { return put32(put32(p, (uint32_t)(v >> 32)), (uint32_t)v); }
static uint8_t *put_opaque(uint8_t *p, const void *bytes, uint32_t n) {
  p = put32(p, n);
  memset(p + (n & ~3u), 0, 4);
  memcpy(p, bytes, n);
  return p + ((n + 3) & ~3u);
}
static uint8_t *put_handle(uint8_t *p, const handle_t *h) { memcpy(p, h->xdr, h->size); return p + h->size; }
static uint8_t *put_sattr(uint8_t *p, uint32_t mode) {
  p = put32(put32(p, 1), mode);
  memset(p, 0, 20);
  return p + 20;
}
static uint8_t *put_name(uint8_t *p, uint32_t number) { /* f00000042 */
  p = put32(p, 9);
  p[0] = 'f';
  for (int i = 8; i > 0; i--, number /= 10) p[i] = (uint8_t)('0' + number % 10);
  p[9] = p[10] = p[11] = 0;
  return p + 12;
}
static uint32_t get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return ntohl(v); }
static uint64_t get64(const uint8_t *p) { return (uint64_t)get32(p) << 32 | get32(p + 4); }
static const uint8_t *get_handle(const uint8_t *p, handle_t *h) {
  uint32_t n = get32(p);
  if (n > 64) die("a handle of more than 64 bytes");
  h->size = 4 + ((n + 3) & ~3u);
  memcpy(h->xdr, p, h->size);
  return p + h->size;
}
/* Record mark (empty as yet), call header, AUTH_SYS credential, empty verifier. */
static uint8_t *put_head(uint8_t *p, uint32_t xid, uint32_t program, uint32_t proc, uint32_t as_uid, uint32_t as_gid) {
  uint8_t body[64], *b = put32(body, 0x6c6f6164);
  b = put_opaque(b, "load", 4);
  b = put32(put32(put32(b, as_uid), as_gid), 0);
  p = put32(put32(put32(p + 4, xid), 0), 2);
  p = put32(put32(put32(p, program), VERSION), proc);
  return put64(put_opaque(put32(p, 1), body, (uint32_t)(b - body)), 0);
}
static void mark(uint8_t *start, uint64_t bytes) { put32(start, 0x80000000u | (uint32_t)bytes); }

/* -- replies -- */
typedef struct { uint32_t rpc, status; const uint8_t *body, *end; } reply_t;
static reply_t parse(const uint8_t *p, size_t n, bool has_status) {
  reply_t r = {1, 0, NULL, p + n};
  if (n < 24 || get32(p + 4) != 1 || get32(p + 8) != 0) return r;
  uint32_t verifier = (get32(p + 16) + 3) & ~3u;
  if (verifier > 400 || 24 + verifier + (has_status ? 4 : 0) > n) return r;
  p += 20 + verifier;
  r.rpc = get32(p);
  r.body = p + 4;
  if (!r.rpc && has_status) { r.status = get32(p + 4); r.body = p + 8; }
  return r;
}
static const uint8_t *past_attributes(const uint8_t *p) { return p + 4 + (get32(p) ? FATTR : 0); }
static void count_entries(const reply_t *r, slot_t *slot) {
  const uint8_t *p = past_attributes(r->body);
  slot->verifier = get64(p);
  for (p += 8; p + 4 <= r->end && get32(p); entries++) {
    p += 12;
    p += 4 + ((get32(p) + 3) & ~3u);
    slot->cookie = get64(p);
    bool attributes = get32(p + 8);
    p = past_attributes(p + 8);
    bool handle = get32(p);
    p += 4;
    if (handle) p += 4 + ((get32(p) + 3) & ~3u);
    entries_full += attributes && handle;
  }
  if (p + 8 <= r->end && get32(p + 4)) slot->cookie = slot->verifier = 0;
}
static void account(const reply_t *r, slot_t *slot) {
  if (r->rpc || r->status) {
    if (!errors++) snprintf(first_error, sizeof first_error, "proc %d: accept_stat %u, nfsstat3 %u", slot->proc, r->rpc, r->status);
    slot->cookie = slot->verifier = 0;
    return;
  }
  if (slot->proc == READ) data_bytes += get32(past_attributes(r->body));
  else if (slot->proc == WRITE) data_bytes += get32(past_attributes(r->body + 4 + (get32(r->body) ? WCC_BEFORE : 0)));
  else if (slot->proc == READDIRPLUS) count_entries(r, slot);
}

/* -- one call at a time, and batches, for the preparations -- */
static int dial(const char *host, const char *port, int local) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  errno = 0;
  if (getaddrinfo(host, port, &hints, &found)) die("no such address");
  int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  if (fd < 0) die("socket");
  if (local) {
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons((uint16_t)local)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (found->ai_family != AF_INET || bind(fd, (void *)&from, sizeof from)) die("bind to the source port");
  }
  if (connect(fd, found->ai_addr, found->ai_addrlen)) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  freeaddrinfo(found);
  return fd;
}
static void send_all(int fd, const uint8_t *p, size_t n) {
  while (n) {
    ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
    if (k <= 0) die("send");
    p += k;
    n -= (size_t)k;
  }
}
static void recv_all(int fd, uint8_t *p, size_t n) {
  while (n) {
    ssize_t k = recv(fd, p, n, 0);
    if (k == 0) errno = 0;
    if (k <= 0) die("the server closed the connection");
    p += k;
    n -= (size_t)k;
  }
}
static uint8_t reply_buffer[2 << 20], call_buffer[2 << 20];
static size_t recv_record(int fd) {
  size_t n = 0;
  for (;;) {
    uint8_t word[4];
    recv_all(fd, word, 4);
    uint32_t fragment = get32(word) & 0x7fffffff;
    if (n + fragment > sizeof reply_buffer) die("a reply that is too large");
    recv_all(fd, reply_buffer + n, fragment);
    n += fragment;
    if (get32(word) >> 31) return n;
  }
}
static uint32_t setup_xid, as_uid, as_gid;
static uint8_t *begin(uint32_t program, uint32_t proc) { return put_head(call_buffer, setup_xid++, program, proc, as_uid, as_gid); }
static reply_t transact(int fd, uint8_t *end) {
  mark(call_buffer, (uint64_t)(end - call_buffer - 4));
  send_all(fd, call_buffer, (size_t)(end - call_buffer));
  reply_t r = parse(reply_buffer, recv_record(fd), true);
  if (r.rpc) refused("a call of the preparations was refused by RPC", r.rpc);
  return r;
}
static uint32_t lookup(int fd, const handle_t *dir, const char *name, handle_t *found) {
  uint8_t *p = put_handle(begin(NFS, LOOKUP), dir);
  reply_t r = transact(fd, put_opaque(p, name, (uint32_t)strlen(name)));
  if (!r.status) get_handle(r.body, found);
  return r.status;
}
static uint32_t make(int fd, const handle_t *dir, const char *name, handle_t *made, bool is_dir) {
  uint8_t *p = put_handle(begin(NFS, is_dir ? MKDIR : CREATE), dir);
  p = put_opaque(p, name, (uint32_t)strlen(name));
  if (!is_dir) p = put32(p, 0);
  reply_t r = transact(fd, put_sattr(p, is_dir ? 0777 : 0666));
  if (r.status && r.status != EXISTS) return r.status;
  return lookup(fd, dir, name, made);
}
static void need(int fd, const handle_t *dir, const char *name, handle_t *made, bool is_dir) {
  if (!lookup(fd, dir, name, made)) return;
  uint32_t status = make(fd, dir, name, made, is_dir);
  if (status) refused(name, status);
}
/* LOOKUP or CREATE of `n` files, BATCH at a time; replies come in any order. How many were not there. */
static int batch(int fd, int n, handle_t *into, const handle_t *in, int nin, bool creating) {
  int missing = 0;
  for (int from = 0; from < n; from += BATCH) {
    int upto = from + BATCH < n ? from + BATCH : n, sent = 0;
    uint8_t *p = call_buffer;
    for (int i = from; i < upto; i++) {
      if (creating && into[i].size) continue;
      uint8_t *start = p;
      p = put_head(p, setup_xid + (uint32_t)(i - from), NFS, creating ? CREATE : LOOKUP, as_uid, as_gid);
      p = put_name(put_handle(p, &in[i % nin]), (uint32_t)i);
      if (creating) p = put_sattr(put32(p, 0), 0666);
      mark(start, (uint64_t)(p - start - 4));
      sent++;
    }
    if (sent) send_all(fd, call_buffer, (size_t)(p - call_buffer));
    while (sent--) {
      reply_t r = parse(reply_buffer, recv_record(fd), true);
      uint32_t i = get32(reply_buffer) - setup_xid;
      if (r.rpc || i >= BATCH) refused("a call of the preparations was refused by RPC", r.rpc);
      if (r.status && r.status != (creating ? EXISTS : NOENT)) refused(creating ? "CREATE" : "LOOKUP", r.status);
      if (!creating && r.status) missing++;
      if (!creating && !r.status) get_handle(r.body, &into[from + (int)i]);
    }
    setup_xid += BATCH;
  }
  return missing;
}
static void need_files(int fd, int n, handle_t *into, const handle_t *in, int nin) {
  if (!batch(fd, n, into, in, nin, false)) return;
  batch(fd, n, into, in, nin, true);
  if (batch(fd, n, into, in, nin, false)) die("files that were made are not there");
}
static void fill(int fd, const handle_t *file) {
  reply_t r = transact(fd, put_handle(begin(NFS, GETATTR), file));
  if (!r.status && get64(r.body + 20) >= file_bytes) return;
  enum { CHUNK = 256 << 10 };
  for (uint64_t at = 0; at < file_bytes; at += CHUNK) {
    uint32_t n = file_bytes - at < CHUNK ? (uint32_t)(file_bytes - at) : CHUNK;
    uint8_t *p = put32(put32(put64(put_handle(begin(NFS, WRITE), file), at), n), 0);
    p = put32(p, n);
    memset(p, 0xa5, (n + 3) & ~3u);
    r = transact(fd, p + ((n + 3) & ~3u));
    if (r.status) refused("WRITE of the data", r.status);
  }
  r = transact(fd, put32(put64(put_handle(begin(NFS, COMMIT), file), 0), 0));
  if (r.status) refused("COMMIT of the data", r.status);
}
static bool uses(unsigned kinds) { return kinds >> call & 1; }
static void prepare(const char *host, const char *port, const char *mount_port, const char *export) {
  int fd = dial(host, mount_port, 0);
  reply_t r = transact(fd, put_opaque(begin(MOUNT, 1), export, (uint32_t)strlen(export)));
  if (r.status) refused("MNT", r.status);
  get_handle(r.body, &root);
  close(fd);
  fd = dial(host, port, 0);
  char name[64];
  snprintf(name, sizeof name, "load.%u", uid);
  handle_t top;
  uint32_t status = lookup(fd, &root, name, &top);
  if (status) status = make(fd, &root, name, &top, true); /* as root, which may in most exports */
  as_uid = uid;
  as_gid = gid;
  if (status && (status = make(fd, &root, name, &top, true))) refused(name, status);
  if (uses(1 << C_READ | 1 << C_WRITE | 1 << C_WRITESYNC | 1 << C_MIX)) {
    need(fd, &top, "data", &big, false);
    fill(fd, &big);
  }
  for (int i = 0; i < depth; i++) {
    handle_t above = top;
    need(fd, &above, "deep", &top, true);
  }
  dirs = calloc((size_t)ndirs, sizeof *dirs);
  files = calloc((size_t)nfiles, sizeof *files);
  for (int i = 0; i < ndirs; i++) {
    snprintf(name, sizeof name, "d%d-%d-%d", i, ndirs, nfiles);
    need(fd, &top, name, &dirs[i], true);
  }
  if (uses(1 << C_GETATTR | 1 << C_LOOKUP | 1 << C_ACCESS | 1 << C_READDIRPLUS | 1 << C_MIX)) need_files(fd, nfiles, files, dirs, ndirs);
  if (uses(1 << C_CREATE)) need(fd, &top, "made", &dirs[0], true);
  if (uses(1 << C_MIX)) {
    static handle_t few[SMALL_FILES];
    need(fd, &top, "few", &small_dir, true);
    need_files(fd, SMALL_FILES, few, &small_dir, 1);
  }
  close(fd);
}

/* -- calls -- */
static void add_iov(conn_t *c, uint8_t *p, size_t n) {
  if (c->niov && (uint8_t *)c->iov[c->niov - 1].iov_base + c->iov[c->niov - 1].iov_len == p) c->iov[c->niov - 1].iov_len += n;
  else c->iov[c->niov++] = (struct iovec){p, n};
}
static int choose(void) {
  static const struct { uint32_t upto; int call; } MIX[] = {{32, C_GETATTR}, {57, C_LOOKUP}, {70, C_ACCESS}, {88, C_READ},
                                                            {98, C_WRITE}, {100, C_READDIRPLUS}};
  uint32_t k = below(100), i = 0;
  while (k >= MIX[i].upto) i++;
  return MIX[i].call;
}
static uint64_t somewhere(void) { return (uint64_t)below((uint32_t)(file_bytes / io_bytes)) * io_bytes; }
static const uint8_t PROC_OF[] = {NULLPROC, GETATTR, LOOKUP, ACCESS, READ, WRITE, WRITE, CREATE, READDIRPLUS};
static void emit(conn_t *c, uint32_t number, uint64_t now) {
  slot_t *slot = &c->slots[number];
  int kind = call == C_MIX ? choose() : call, proc = PROC_OF[kind];
  uint32_t file = below((uint32_t)nfiles), n;
  uint8_t *start = c->out + c->outn, *p;
  char name[64];
  if (kind == C_CREATE && slot->made) proc = REMOVE;
  memcpy(start, heads[proc], head_size[proc]);
  put32(start + 4, xid_base + (generation++ << slot_bits | number));
  p = start + head_size[proc];
  size_t data = 0;
  switch (kind) {
  case C_GETATTR: p = put_handle(p, &files[file]); break;
  case C_ACCESS: p = put32(put_handle(p, &files[file]), 0x3f); break;
  case C_LOOKUP: p = put_name(put_handle(p, &dirs[(int)file % ndirs]), file); break;
  case C_READ: p = put32(put64(put_handle(p, &big), somewhere()), io_bytes); break;
  case C_WRITE:
  case C_WRITESYNC:
    p = put32(put32(put64(put_handle(p, &big), somewhere()), io_bytes), kind == C_WRITESYNC ? 2 : 0);
    p = put32(p, io_bytes);
    data = (io_bytes + 3) & ~3u;
    break;
  case C_CREATE:
    if (!slot->made) slot->number++;
    n = (uint32_t)snprintf(name, sizeof name, "%08x-%x-%x-%llx", run_id, (unsigned)c->fd, number, (unsigned long long)slot->number);
    p = put_opaque(put_handle(p, &dirs[0]), name, n);
    if (!slot->made) p = put_sattr(put32(p, 0), 0644);
    slot->made = !slot->made;
    break;
  case C_READDIRPLUS:
    p = put_handle(p, call == C_MIX ? &small_dir : &dirs[number % (uint32_t)ndirs]);
    p = put32(put32(put64(put64(p, slot->cookie), slot->verifier), dircount), dircount * 4);
    break;
  }
  mark(start, (uint64_t)(p - start) - 4 + data);
  c->outn += (size_t)(p - start);
  add_iov(c, start, (size_t)(p - start));
  if (data) add_iov(c, payload, data);
  slot->proc = proc;
  slot->sent_ns = now;
}

/* -- the run -- */
static enum { WARMING, MEASURING, DRAINING } phase = WARMING;
static uint64_t began_ns, measured_ns, in_flight, now, cpu_before, cpu_used, own_before, own_used;
static void tick(void) {
  now = clock_ns(CLOCK_MONOTONIC);
  if (phase == WARMING && now - began_ns >= (uint64_t)(warmup * 1e9)) {
    phase = MEASURING;
    memset(histogram, 0, sizeof histogram);
    calls = entries = entries_full = data_bytes = slowest_ns = 0;
    cpu_before = cpu_ns();
    own_before = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    began_ns = now = clock_ns(CLOCK_MONOTONIC);
  } else if (phase == MEASURING && now - began_ns >= (uint64_t)(seconds * 1e9)) {
    phase = DRAINING;
    cpu_used = cpu_ns() - cpu_before;
    own_used = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - own_before;
    measured_ns = now - began_ns;
  }
}
static void done_with(conn_t *c, const uint8_t *p, size_t n) {
  uint32_t number = (get32(p) - xid_base) & ((1u << slot_bits) - 1);
  if (number >= (uint32_t)outstanding) die("a reply with an xid that was never sent");
  slot_t *slot = &c->slots[number];
  reply_t r = parse(p, n, slot->proc != NULLPROC);
  c->idle[c->nidle++] = (uint16_t)number;
  in_flight--;
  if (phase == DRAINING) return;
  account(&r, slot);
  uint64_t took = now - slot->sent_ns;
  if (took > slowest_ns) slowest_ns = took;
  histogram[step_of(took)]++;
  calls++;
}
/* The complete record at `at`: how many bytes it takes, with its fragments joined and *n bytes at *p; or 0. */
static size_t record(conn_t *c, size_t at, uint8_t **p, size_t *n) {
  size_t end = at;
  int fragments = 0;
  for (bool last = false; !last; fragments++) {
    if (end + 4 > c->have) return 0;
    uint32_t word = get32(c->in + end);
    end += 4 + (word & 0x7fffffff);
    last = word >> 31;
  }
  if (end > c->have) return 0;
  *p = c->in + at + 4;
  *n = end - at - 4;
  if (fragments > 1) {
    uint8_t *to = *p, *from = c->in + at;
    for (int i = 0; i < fragments; i++) {
      uint32_t size = get32(from) & 0x7fffffff;
      memmove(to, from + 4, size);
      to += size;
      from += 4 + size;
    }
    *n = (size_t)(to - *p);
  }
  return end - at;
}
static void serve_input(conn_t *c) {
  size_t at = 0, took, n;
  uint8_t *p;
  while (at < c->have && (took = record(c, at, &p, &n))) {
    done_with(c, p, n);
    at += took;
  }
  c->have -= at;
  if (c->have && at) memmove(c->in, c->in + at, c->have);
  /* Of a READ's reply in one fragment the head says all that is asked here: drop the rest unseen. */
  if (c->have >= MAX_HEAD && io_bytes >= 65536 && call == C_READ && get32(c->in) >> 31) {
    size_t whole = 4 + (get32(c->in) & 0x7fffffff);
    done_with(c, c->in + 4, c->have - 4);
    c->skip = whole - c->have;
    c->have = 0;
  }
}
/* Once: what is there now. False if there was nothing. */
static bool read_some(conn_t *c, int flags) {
  ssize_t k;
  if (c->have > RECV_BYTES + io_bytes + 65536) die("a reply that is too large");
  if (c->skip) k = recv(c->fd, NULL, c->skip, MSG_TRUNC | flags);
  else k = recv(c->fd, c->in + c->have, RECV_BYTES, flags);
  if (k < 0 && (errno == EAGAIN || errno == EINTR)) {
    if (!flags) die("no reply in 20 s");
    return false;
  }
  if (k == 0) errno = 0;
  if (k <= 0) die("connection lost");
  tick();
  if (c->skip) c->skip -= (size_t)k;
  else { c->have += (size_t)k; serve_input(c); }
  return true;
}
static void write_some(conn_t *c) {
  if (c->at == c->niov) {
    c->at = c->niov = 0;
    c->outn = 0;
    if (phase == DRAINING || !c->nidle) return;
    if (phase == WARMING && !now) tick();
    for (int i = 0; i < c->nidle; i++) emit(c, c->idle[i], now);
    in_flight += (uint64_t)c->nidle;
    c->nidle = 0;
  }
  while (c->at < c->niov) {
    struct msghdr message = {.msg_iov = c->iov + c->at, .msg_iovlen = (size_t)(c->niov - c->at)};
    ssize_t k = c->niov - c->at == 1
        ? send(c->fd, c->iov[c->at].iov_base, c->iov[c->at].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
        : sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (k < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (k < 0) die("send");
    for (size_t left = (size_t)k; left;) {
      struct iovec *v = &c->iov[c->at];
      size_t part = left < v->iov_len ? left : v->iov_len;
      v->iov_base = (uint8_t *)v->iov_base + part;
      v->iov_len -= part;
      left -= part;
      c->at += !v->iov_len;
    }
  }
}
static bool unsent(const conn_t *c) { return c->at < c->niov; }

static void run_one(conn_t *c) {
  struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
  setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  write_some(c);
  while (in_flight) {
    if (unsent(c)) {
      struct pollfd one = {.fd = c->fd, .events = POLLIN | POLLOUT};
      errno = 0;
      if (poll(&one, 1, PATIENCE_MS) <= 0) die("no reply in 20 s");
      if (one.revents & ~POLLOUT) read_some(c, MSG_DONTWAIT);
    } else read_some(c, 0);
    write_some(c);
  }
}
static void run_many(conn_t *all) {
  int ep = epoll_create1(EPOLL_CLOEXEC), n;
  struct epoll_event ready[64];
  for (int i = 0; i < connections; i++) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[i]};
    epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd, &e);
    write_some(&all[i]);
  }
  while (in_flight) {
    for (int i = 0; i < connections; i++) {
      conn_t *c = &all[i];
      if (unsent(c) != c->watched_write) {
        struct epoll_event e = {.events = EPOLLIN | (unsent(c) ? EPOLLOUT : 0), .data.ptr = c};
        epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
        c->watched_write = unsent(c);
      }
    }
    errno = 0;
    if ((n = epoll_wait(ep, ready, 64, PATIENCE_MS)) <= 0) die("no reply in 20 s");
    for (int i = 0; i < n; i++) {
      conn_t *c = ready[i].data.ptr;
      if (ready[i].events & ~(uint32_t)EPOLLOUT) read_some(c, MSG_DONTWAIT);
      write_some(c);
    }
  }
}
static void run(const char *host, const char *port) {
  conn_t *all = calloc((size_t)connections, sizeof *all);
  for (int i = 0; i < connections; i++) {
    conn_t *c = &all[i];
    c->fd = dial(host, port, source_port ? source_port + i : 0);
    c->in = malloc(2 * RECV_BYTES + io_bytes + 65536);
    c->out = malloc((size_t)outstanding * MAX_HEAD);
    c->iov = calloc((size_t)outstanding * 2, sizeof *c->iov);
    c->slots = calloc((size_t)outstanding, sizeof *c->slots);
    c->idle = calloc((size_t)outstanding, sizeof *c->idle);
    for (int k = 0; k < outstanding; k++) c->idle[c->nidle++] = (uint16_t)k;
  }
  began_ns = clock_ns(CLOCK_MONOTONIC);
  if (connections == 1) run_one(all);
  else run_many(all);
}
static void report(void) {
  double s = (double)measured_ns / 1e9, n = calls ? (double)calls : 1;
  printf("{\"call\":\"%s\",\"outstanding\":%d,\"connections\":%d,\"bytes\":%u,\"files\":%d,\"seconds\":%.6f,"
         "\"calls\":%llu,\"errors\":%llu,\"entries\":%llu,\"entries_with_attributes\":%llu,\"data_bytes\":%llu,",
         CALLS[call], outstanding, connections, io_bytes, nfiles, s, (unsigned long long)calls, (unsigned long long)errors,
         (unsigned long long)entries, (unsigned long long)entries_full, (unsigned long long)data_bytes);
  printf("\"calls_s\":%.1f,\"MB_s\":%.2f,\"p50_us\":%.2f,\"p99_us\":%.2f,\"max_us\":%.1f,", (double)calls / s,
         (double)data_bytes / s / 1e6, percentile_us(0.5), percentile_us(0.99), (double)slowest_ns / 1e3);
  printf("\"server_cpu_s\":%.6f,\"load_cpu_s\":%.6f,\"cpu_us_call\":%.3f,\"load_us_call\":%.3f,\"first_error\":\"%s\"}\n",
         (double)cpu_used / 1e9, (double)own_used / 1e9, (double)cpu_used / 1e3 / n, (double)own_used / 1e3 / n, first_error);
}
static void usage(void) {
  fprintf(stderr, "usage: load HOST NFSPORT MOUNTPORT EXPORT CALL [-w N] [-c N] [-t S] [-u S] [-s BYTES] [-m MIB] [-n FILES]\n"
                  "            [-D DIRS] [-d DEPTH] [-p PID]... [-U UID] [-G GID] [-b PORT] [-k BYTES]\n");
  exit(2);
}
static void options(int argc, char **argv) {
  if (argc < 6) usage();
  while (CALLS[call] && strcmp(CALLS[call], argv[5])) call++;
  if (!CALLS[call]) usage();
  optind = 6;
  for (int o; (o = getopt(argc, argv, "w:c:t:u:s:m:n:D:d:p:U:G:b:k:")) != -1;) {
    double v = atof(optarg ? optarg : "0");
    switch (o) {
    case 'w': outstanding = (int)v; break;
    case 'c': connections = (int)v; break;
    case 't': seconds = v; break;
    case 'u': warmup = v; break;
    case 's': io_bytes = (uint32_t)v; break;
    case 'm': file_bytes = (uint64_t)v << 20; break;
    case 'n': nfiles = (int)v; break;
    case 'D': ndirs = (int)v; break;
    case 'd': depth = (int)v; break;
    case 'p': if (npids == MAX_PIDS) usage(); pids[npids++] = (pid_t)v; break;
    case 'U': uid = (uint32_t)v; break;
    case 'G': gid = (uint32_t)v; break;
    case 'b': source_port = (int)v; break;
    case 'k': dircount = (uint32_t)v; break;
    default: usage();
    }
  }
  if (optind != argc || outstanding < 1 || outstanding > MAX_OUTSTANDING || connections < 1 || connections > MAX_CONNECTIONS ||
      nfiles < 1 || nfiles > 99999999 || ndirs < 1 || ndirs > nfiles || depth < 0 || io_bytes < 1 || io_bytes > 64u << 20 ||
      file_bytes < io_bytes || seconds <= 0 || warmup < 0 || dircount < 512 || dircount > 65536)
    usage();
  for (int i = 0; i < npids; i++) {
    errno = 0;
    if (!clock_ns((~(clockid_t)pids[i] << 3) | 2)) die("no such process, of -p");
  }
}
int main(int argc, char **argv) {
  options(argc, argv);
  uint64_t seed[2];
  if (getrandom(seed, sizeof seed, 0) != sizeof seed) die("getrandom");
  random_state = 88172645463325252ull; /* the same order of files and offsets in every run */
  run_id = (uint32_t)seed[0];
  xid_base = (uint32_t)(seed[0] >> 32);
  setup_xid = (uint32_t)seed[1];
  while (1 << slot_bits < outstanding) slot_bits++;
  payload = malloc(io_bytes + 4);
  memset(payload, 0x5a, io_bytes);
  memset(payload + io_bytes, 0, 4);
  prepare(argv[1], argv[2], argv[3], argv[4]);
  for (int proc = 0; proc < PROCS; proc++) head_size[proc] = (size_t)(put_head(heads[proc], 0, NFS, (uint32_t)proc, uid, gid) - heads[proc]);
  run(argv[1], argv[2]);
  report();
  return 0;
}
