/*
 * Preloaded into linux.uml on hosts whose CPU has more register state than that kernel knows (AMX).
 *
 * UML 6.1 saves 2696 bytes of XSAVE area (up to AVX-512). A newer host refuses PTRACE_SETREGSET with EFAULT unless it is
 * handed the whole area, and the guest then dies in its first process. The guest never uses the newer state, so it is
 * right to hand over what UML saved followed by zeros: XSTATE_BV has no bit set for the rest.
 */
#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char whole[1 << 16];

static size_t host_size(void)
{
    static size_t size;
    unsigned a, b, c, d;

    if (!size) {
        __cpuid_count(0xd, 0, a, b, c, d);
        size = b < sizeof whole ? b : sizeof whole;
    }
    return size;
}

long ptrace(enum __ptrace_request request, ...)
{
    va_list args;
    va_start(args, request);
    pid_t pid = va_arg(args, pid_t);
    void *addr = va_arg(args, void *);
    void *data = va_arg(args, void *);
    va_end(args);

    if (request == PTRACE_SETREGSET && (long)addr == NT_X86_XSTATE) {
        struct iovec *saved = data;
        struct iovec full = {whole, host_size()};
        if (saved->iov_len < full.iov_len) {
            memcpy(whole, saved->iov_base, saved->iov_len);
            return syscall(SYS_ptrace, request, pid, addr, &full);
        }
    }
    /* glibc's wrapper returns what PEEK reads; the system call stores it through `data`. */
    int peek = request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER;
    long word = 0;
    long result = syscall(SYS_ptrace, request, pid, addr, peek ? &word : data);
    if (peek && result >= 0) {
        errno = 0;
        return word;
    }
    return result;
}
