/* floor: the least work that a real answer needs; what stands under any NFSv3 server that does the same system calls.
 *
 *   floor PORT DIRECTORY
 *
 * One thread that answers the calls that load.c makes, over TCP on the loopback interface, about the files of
 * DIRECTORY: one fstatat for GETATTR, LOOKUP and ACCESS; pread or pwrite, and fstat, for READ and WRITE; openat,
 * fstat and close for CREATE; unlinkat for REMOVE; getdents64, and fstatat for each name, for READDIRPLUS; one recv
 * and one send for all calls of a wake-up. No credentials, no checks, no cache of replies; a handle is the path of
 * its file. It must never meet a network: whoever reaches it may do anything beneath DIRECTORY, and beside it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_CALL = 4 << 20, IN_BYTES = 8 << 20, OUT_BYTES = 16 << 20, MAX_PATH = 64, FATTR = 84 };
typedef struct { int fd; uint8_t *in, *out; size_t have, outn, outo; bool watched_write; } conn_t;
typedef struct { uint8_t size; char path[MAX_PATH + 1]; } handle_t;
typedef struct { int fd; char path[MAX_PATH + 1]; } open_t;

static int top, ep;
static uint8_t *P;
static open_t data = {.fd = -1}, listed = {.fd = -1}; /* the file and the directory that were used last */

static void u32(uint32_t v) { v = htonl(v); memcpy(P, &v, 4); P += 4; }
static void u64(uint64_t v) { u32((uint32_t)(v >> 32)); u32((uint32_t)v); }
static void opaque(const void *bytes, uint32_t n) {
  u32(n);
  memset(P + (n & ~3u), 0, 4);
  memcpy(P, bytes, n);
  P += (n + 3) & ~3u;
}
static uint32_t g32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return ntohl(v); }
static uint64_t g64(const uint8_t *p) { return (uint64_t)g32(p) << 32 | g32(p + 4); }

static void attributes(const struct stat *s) {
  u32(S_ISDIR(s->st_mode) ? 2 : 1);
  u32(s->st_mode & 07777);
  u32((uint32_t)s->st_nlink);
  u32(s->st_uid);
  u32(s->st_gid);
  u64((uint64_t)s->st_size);
  u64((uint64_t)s->st_blocks * 512);
  u64(0);
  u64(1);
  u64(s->st_ino);
  u32((uint32_t)s->st_atim.tv_sec); u32((uint32_t)s->st_atim.tv_nsec);
  u32((uint32_t)s->st_mtim.tv_sec); u32((uint32_t)s->st_mtim.tv_nsec);
  u32((uint32_t)s->st_ctim.tv_sec); u32((uint32_t)s->st_ctim.tv_nsec);
}
static void post_op(const struct stat *s) { u32(1); attributes(s); }
static const uint8_t *take_path(const uint8_t *p, handle_t *h) {
  uint32_t n = g32(p);
  h->size = (uint8_t)(n > MAX_PATH ? MAX_PATH : n);
  memcpy(h->path, p + 4, h->size);
  h->path[h->size] = 0;
  return p + 4 + ((n + 3) & ~3u);
}
/* The handle of a name in a directory; "." is the root. */
static const uint8_t *take_name(const uint8_t *p, const handle_t *dir, handle_t *h) {
  uint32_t n = g32(p), at = 0;
  if (strcmp(dir->path, ".")) { memcpy(h->path, dir->path, dir->size); h->path[dir->size] = '/'; at = dir->size + 1u; }
  if (at + n > MAX_PATH) n = MAX_PATH - at;
  memcpy(h->path + at, p + 4, n);
  h->size = (uint8_t)(at + n);
  h->path[h->size] = 0;
  return p + 4 + ((n + 3) & ~3u);
}
static int opened(open_t *last, const handle_t *h, int flags) {
  if (last->fd >= 0 && !strcmp(last->path, h->path)) return last->fd;
  if (last->fd >= 0) close(last->fd);
  memcpy(last->path, h->path, sizeof last->path);
  return last->fd = openat(top, h->path, flags | O_CLOEXEC);
}
static void read_call(const handle_t *h, const uint8_t *a) {
  uint64_t offset = g64(a);
  uint32_t n = g32(a + 8);
  struct stat s;
  int fd = opened(&data, h, O_RDWR);
  ssize_t k = pread(fd, P + 4 + 4 + FATTR + 12, n, (off_t)offset);
  if (k < 0 || fstat(fd, &s)) { u32(5); u32(0); return; }
  u32(0);
  post_op(&s);
  u32((uint32_t)k);
  u32(offset + (uint64_t)k >= (uint64_t)s.st_size);
  u32((uint32_t)k);
  P += k;
  for (; k & 3; k++) *P++ = 0;
}
static void write_call(const handle_t *h, const uint8_t *a) {
  struct stat s;
  int fd = opened(&data, h, O_RDWR);
  uint32_t stable = g32(a + 12);
  ssize_t k = pwrite(fd, a + 20, g32(a + 16), (off_t)g64(a));
  if (stable) fdatasync(fd);
  if (k < 0 || fstat(fd, &s)) { u32(5); u64(0); return; }
  u32(0);
  u32(0);
  post_op(&s);
  u32((uint32_t)k);
  u32(stable);
  u64(7);
}
static void make_call(const handle_t *h, bool is_dir) {
  struct stat s;
  int fd = is_dir ? mkdirat(top, h->path, 0777) : openat(top, h->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) { u32(errno == EEXIST ? 17 : 5); u64(0); return; }
  if (is_dir) fstatat(top, h->path, &s, AT_SYMLINK_NOFOLLOW);
  else { fstat(fd, &s); close(fd); }
  u32(0);
  u32(1);
  opaque(h->path, h->size);
  post_op(&s);
  u64(0);
}
static void list_call(const handle_t *h, const uint8_t *a) {
  static char names[32768];
  uint32_t dircount = g32(a + 16), maxcount = g32(a + 20);
  struct stat s;
  int fd = opened(&listed, h, O_RDONLY | O_DIRECTORY);
  uint8_t *start = P, *limit;
  if (fd < 0 || fstat(fd, &s)) { u32(5); u32(0); return; }
  u32(0);
  post_op(&s);
  u64(0);
  limit = start + (maxcount < 65536 ? maxcount : 65536) - 8;
  lseek(fd, (off_t)g64(a), SEEK_SET);
  uint32_t named = 0;
  for (long n; (n = syscall(SYS_getdents64, fd, names, sizeof names)) > 0;)
    for (long at = 0; at < n;) {
      struct dirent64 *d = (void *)(names + at);
      uint32_t length = (uint32_t)strlen(d->d_name);
      handle_t child;
      uint8_t head[4 + 256 + 4];
      uint32_t word = htonl(length);
      named += 24 + length;
      if (named > dircount || P + 24 + length + 4 + 4 + FATTR + 8 + MAX_PATH > limit) { u32(0); u32(0); return; }
      memcpy(head, &word, 4);
      memcpy(head + 4, d->d_name, length);
      take_name(head, h, &child);
      u32(1);
      u64(d->d_ino);
      opaque(d->d_name, length);
      u64((uint64_t)d->d_off);
      if (fstatat(top, child.path, &s, AT_SYMLINK_NOFOLLOW)) u32(0);
      else post_op(&s);
      u32(1);
      opaque(child.path, child.size);
      at += d->d_reclen;
    }
  u32(0);
  u32(1);
}
static void answer_nfs(uint32_t proc, const uint8_t *a) {
  handle_t h, child;
  struct stat s;
  if (!proc) return;
  a = take_path(a, &h);
  switch (proc) {
  case 1:
    if (fstatat(top, h.path, &s, AT_SYMLINK_NOFOLLOW)) { u32(70); return; }
    u32(0);
    attributes(&s);
    return;
  case 3:
    take_name(a, &h, &child);
    if (fstatat(top, child.path, &s, AT_SYMLINK_NOFOLLOW)) { u32(2); u32(0); return; }
    u32(0);
    opaque(child.path, child.size);
    post_op(&s);
    u32(0);
    return;
  case 4:
    if (fstatat(top, h.path, &s, AT_SYMLINK_NOFOLLOW)) { u32(70); u32(0); return; }
    u32(0);
    post_op(&s);
    u32(g32(a) & 0x3f);
    return;
  case 6: read_call(&h, a); return;
  case 7: write_call(&h, a); return;
  case 8:
  case 9:
    take_name(a, &h, &child);
    make_call(&child, proc == 9);
    return;
  case 12:
    take_name(a, &h, &child);
    u32(unlinkat(top, child.path, 0) ? 2 : 0);
    u64(0);
    return;
  case 17: list_call(&h, a); return;
  case 21:
    fdatasync(opened(&data, &h, O_RDWR));
    u32(0);
    u64(0);
    u64(7);
    return;
  default: u32(10004); u64(0);
  }
}
static void answer(conn_t *c, const uint8_t *b) {
  uint32_t program = g32(b + 12), proc = g32(b + 20);
  const uint8_t *a = b + 32 + ((g32(b + 28) + 3) & ~3u);
  a += 8 + ((g32(a + 4) + 3) & ~3u);
  uint8_t *start = c->out + c->outn;
  P = start + 4;
  u32(g32(b));
  u32(1);
  memset(P, 0, 16); /* accepted, no verifier, success */
  P += 16;
  if (program == 100005) { u32(0); opaque(".", 1); u32(1); u32(1); }
  else answer_nfs(proc, a);
  uint32_t word = htonl(0x80000000u | (uint32_t)(P - start - 4));
  memcpy(start, &word, 4);
  c->outn = (size_t)(P - c->out);
}
static void flush(conn_t *c) {
  while (c->outo < c->outn) {
    ssize_t k = send(c->fd, c->out + c->outo, c->outn - c->outo, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (k <= 0) break;
    c->outo += (size_t)k;
  }
  bool waits = c->outo < c->outn;
  if (!waits) c->outo = c->outn = 0;
  if (waits != c->watched_write) {
    struct epoll_event e = {.events = waits ? EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
    c->watched_write = waits;
  }
}
/* Answers what is complete, as long as replies fit and leave. */
static void drain(conn_t *c) {
  size_t at;
  do {
    for (at = 0; c->have - at >= 4;) {
      size_t n = g32(c->in + at) & 0x7fffffff;
      if (c->have - at < 4 + n || c->outn > OUT_BYTES - MAX_CALL - 65536) break;
      answer(c, c->in + at + 4);
      at += 4 + n;
    }
    c->have -= at;
    if (c->have && at) memmove(c->in, c->in + at, c->have);
    flush(c);
  } while (at && c->have && !c->watched_write);
}
static void accept_one(int listening) {
  int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC), one = 1;
  if (fd < 0) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  conn_t *c = calloc(1, sizeof *c);
  *c = (conn_t){.fd = fd, .in = malloc(IN_BYTES), .out = malloc(OUT_BYTES)};
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}
static void serve(conn_t *c, uint32_t events) {
  if (c->watched_write) {
    if (events & ~(uint32_t)EPOLLIN) flush(c);
    if (c->watched_write) return;
    drain(c);
    return;
  }
  ssize_t k = recv(c->fd, c->in + c->have, IN_BYTES - c->have, MSG_DONTWAIT);
  if (k < 0 && errno == EAGAIN) return;
  if (k <= 0) {
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
    return;
  }
  c->have += (size_t)k;
  drain(c);
}
int main(int argc, char **argv) {
  if (argc != 3 || (top = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
    fprintf(stderr, "usage: floor PORT DIRECTORY\n");
    return 2;
  }
  umask(0);
  int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listening, (void *)&at, sizeof at) || listen(listening, 1024)) {
    perror("floor: bind");
    return 1;
  }
  ep = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event e = {.events = EPOLLIN}, ready[64];
  epoll_ctl(ep, EPOLL_CTL_ADD, listening, &e);
  for (;;) {
    int n = epoll_wait(ep, ready, 64, -1);
    for (int i = 0; i < n; i++) {
      if (ready[i].data.ptr) serve(ready[i].data.ptr, ready[i].events);
      else accept_one(listening);
    }
  }
}
