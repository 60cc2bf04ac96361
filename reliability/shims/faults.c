/* Preloaded into the sidecar: makes its disk and its clock misbehave, as a shared file says.
 *
 * The file, named by RELIABILITY_CONTROL, holds two 64-bit integers: a set of flags, and what is
 * added to the clock's seconds. Of all the sidecar does, only SQLite calls what fails here.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { FSYNC_FAILS = 1, DISK_IS_FULL = 2, WRITES_ARE_SHORT = 4, WRITES_ARE_TORN = 8 };

static volatile int64_t *control;

__attribute__((constructor)) static void map_control(void) {
    const char *path = getenv("RELIABILITY_CONTROL");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *map = mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) control = map;
    close(file);
}

static int is(int64_t flag) { return control && (control[0] & flag); }

static int fail(int code) {
    errno = code;
    return -1;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

int fsync(int file) {
    REAL(int, fsync, int);
    return is(FSYNC_FAILS) ? fail(EIO) : real(file);
}

int fdatasync(int file) {
    REAL(int, fdatasync, int);
    return is(FSYNC_FAILS) ? fail(EIO) : real(file);
}

/* A write under a fault, of which SHORT and TORN do half; TORN says that it failed. */
#define WRITE(name, offset) \
    ssize_t name(int file, const void *bytes, size_t count, offset at) { \
        REAL(ssize_t, name, int, const void *, size_t, offset); \
        if (is(DISK_IS_FULL)) return fail(ENOSPC); \
        if (!is(WRITES_ARE_SHORT | WRITES_ARE_TORN) || count < 2) return real(file, bytes, count, at); \
        ssize_t done = real(file, bytes, count / 2, at); \
        return is(WRITES_ARE_TORN) ? fail(EIO) : done; \
    }

WRITE(pwrite, off_t)
WRITE(pwrite64, off64_t)

int ftruncate(int file, off_t length) {
    REAL(int, ftruncate, int, off_t);
    return is(DISK_IS_FULL) ? fail(ENOSPC) : real(file, length);
}

int ftruncate64(int file, off64_t length) {
    REAL(int, ftruncate64, int, off64_t);
    return is(DISK_IS_FULL) ? fail(ENOSPC) : real(file, length);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int result = real(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && control) now->tv_sec += control[1];
    return result;
}
