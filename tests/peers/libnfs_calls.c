/* Many calls of libnfs's API against a server, each result checked.
 *
 * Usage: libnfs_calls nfs://HOST/PATH   (PATH is an empty directory; it is left as it was found)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <nfsc/libnfs.h>

static struct nfs_context *nfs;

#define WANT(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, nfs_get_error(nfs));        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define OK(call) WANT((call) == 0)

static char big[3 << 20], back[3 << 20];

static int names(const char *path)
{
    struct nfsdir *dir;
    struct nfsdirent *entry;
    int count = 0;

    OK(nfs_opendir(nfs, path, &dir));
    while ((entry = nfs_readdir(nfs, dir)) != NULL)
        if (strcmp(entry->name, ".") && strcmp(entry->name, "..")) {
            WANT(entry->inode != 0);
            count++;
        }
    nfs_closedir(nfs, dir);
    return count;
}

static void data(void)
{
    struct nfs_stat_64 st;
    struct nfsfh *fh;
    uint64_t at;
    size_t done;
    int n;

    for (done = 0; done < sizeof big; done++)
        big[done] = (char)(done * 31 + (done >> 12));
    OK(nfs_creat(nfs, "/file", 0640, &fh));
    for (done = 0; done < sizeof big; done += n) {
        n = nfs_write(nfs, fh, sizeof big - done, big + done);
        WANT(n > 0);
    }
    OK(nfs_fsync(nfs, fh));
    OK(nfs_fstat64(nfs, fh, &st));
    WANT(st.nfs_size == sizeof big && (st.nfs_mode & 07777) == 0640 && st.nfs_nlink == 1);
    OK(nfs_close(nfs, fh));

    OK(nfs_open(nfs, "/file", O_RDWR, &fh));
    for (done = 0; done < sizeof back; done += n) {
        n = nfs_read(nfs, fh, sizeof back - done, back + done);
        WANT(n > 0);
    }
    WANT(memcmp(big, back, sizeof big) == 0);
    WANT(nfs_read(nfs, fh, 10, back) == 0);
    WANT(nfs_pread(nfs, fh, 70001, 9, back) == 9 && memcmp(back, big + 70001, 9) == 0);
    WANT(nfs_pwrite(nfs, fh, 5ull << 30, 3, "far") == 3);
    OK(nfs_lseek(nfs, fh, -3, SEEK_END, &at));
    WANT(at == 5ull << 30);
    WANT(nfs_read(nfs, fh, 10, back) == 3 && memcmp(back, "far", 3) == 0);
    OK(nfs_ftruncate(nfs, fh, 5));
    OK(nfs_close(nfs, fh));
    OK(nfs_truncate(nfs, "/file", 7));
    OK(nfs_stat64(nfs, "/file", &st));
    WANT(st.nfs_size == 7);
    WANT(nfs_open(nfs, "/none", O_RDONLY, &fh) == -ENOENT);
}

static void attributes(void)
{
    struct timeval times[2] = {{1000000000, 111000}, {1500000000, 222000}};
    struct nfs_stat_64 st;
    struct statvfs vfs;

    OK(nfs_chmod(nfs, "/file", 0604));
    OK(nfs_chown(nfs, "/file", 1234, 2345));
    OK(nfs_utimes(nfs, "/file", times));
    OK(nfs_stat64(nfs, "/file", &st));
    WANT((st.nfs_mode & 07777) == 0604 && st.nfs_uid == 1234 && st.nfs_gid == 2345);
    WANT(st.nfs_atime == 1000000000 && st.nfs_atime_nsec == 111000000);
    WANT(st.nfs_mtime == 1500000000 && st.nfs_mtime_nsec == 222000000);
    OK(nfs_access(nfs, "/file", R_OK | W_OK));
    WANT(nfs_access(nfs, "/file", X_OK) == -EACCES);
    WANT(nfs_access2(nfs, "/file") == (R_OK | W_OK));
    OK(nfs_statvfs(nfs, "/", &vfs));
    WANT(vfs.f_blocks >= vfs.f_bfree && vfs.f_bfree > 0 && vfs.f_namemax >= 255);
    WANT(nfs_get_readmax(nfs) == 1 << 20 && nfs_get_writemax(nfs) == 1 << 20);
}

static void entries(void)
{
    struct nfs_stat_64 st;
    char name[300], target[100];
    int n;

    OK(nfs_mkdir2(nfs, "/dir", 0750));
    WANT(nfs_mkdir(nfs, "/dir") == -EEXIST);
    OK(nfs_symlink(nfs, "../some/where", "/dir/link"));
    OK(nfs_readlink(nfs, "/dir/link", target, sizeof target));
    WANT(strcmp(target, "../some/where") == 0);
    OK(nfs_lstat64(nfs, "/dir/link", &st));
    WANT(S_ISLNK(st.nfs_mode) && st.nfs_size == 13);
    OK(nfs_link(nfs, "/file", "/dir/hard"));
    OK(nfs_stat64(nfs, "/dir/hard", &st));
    WANT(st.nfs_nlink == 2);
    OK(nfs_mknod(nfs, "/dir/fifo", S_IFIFO | 0600, 0));
    OK(nfs_stat64(nfs, "/dir/fifo", &st));
    WANT(S_ISFIFO(st.nfs_mode));
    WANT(nfs_rmdir(nfs, "/dir") == -ENOTEMPTY || nfs_rmdir(nfs, "/dir") == -EEXIST);
    OK(nfs_rename(nfs, "/dir/hard", "/renamed"));
    WANT(names("/dir") == 2 && names("/") == 3);
    OK(nfs_unlink(nfs, "/dir/link"));
    OK(nfs_unlink(nfs, "/dir/fifo"));
    OK(nfs_unlink(nfs, "/renamed"));

    for (n = 0; n < 1000; n++) {
        struct nfsfh *fh;
        snprintf(name, sizeof name, "/dir/name-%04d-%0100d", n, n);
        OK(nfs_creat(nfs, name, 0644, &fh));
        OK(nfs_close(nfs, fh));
    }
    WANT(names("/dir") == 1000);
    for (n = 0; n < 1000; n++) {
        snprintf(name, sizeof name, "/dir/name-%04d-%0100d", n, n);
        OK(nfs_unlink(nfs, name));
    }
    OK(nfs_chdir(nfs, "/dir"));
    WANT(names(".") == 0);
    OK(nfs_chdir(nfs, "/"));
    memset(name, 'n', 257);
    name[0] = '/';
    name[257] = 0;
    WANT(nfs_mkdir(nfs, name) == -ENAMETOOLONG);
    name[256] = 0;
    OK(nfs_mkdir(nfs, name));
    OK(nfs_rmdir(nfs, name));
    OK(nfs_rmdir(nfs, "/dir"));
    OK(nfs_unlink(nfs, "/file"));
    WANT(names("/") == 0);
}

int main(int argc, char **argv)
{
    struct nfs_url *url;

    if (argc != 2 || (nfs = nfs_init_context()) == NULL)
        return 2;
    WANT((url = nfs_parse_url_dir(nfs, argv[1])) != NULL);
    OK(nfs_mount(nfs, url->server, url->path));
    data();
    attributes();
    entries();
    OK(nfs_umount(nfs));
    nfs_destroy_url(url);
    nfs_destroy_context(nfs);
    puts("all is well");
    return 0;
}
