/* Makes system calls on one SQLite database fail, hang or write in parts, while the program that makes them
 * runs. faults.py compiles this library, loads it into the server with LD_PRELOAD, and writes the table of
 * faults. A change of the table applies to the next call.
 *
 * FAULTS_DATABASE is the absolute path of the database, and FAULTS_TABLE is the file that holds the table. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* faults.py has the same lists in the same order. */
enum operation { OPEN, READ, WRITE, SYNC, TRUNCATE, LOCK, UNLINK, STAT, MAP, OPERATIONS };
enum file { DATABASE, WAL, SHM, FOLDER, FILES, OTHER = FILES };

struct fault {
    int error;  /* errno of the call; 0: it succeeds */
    int hang;   /* not 0: the call waits until this is 0 */
    int skip;   /* how many calls are let through first */
    int parts;  /* not 0: a write of more than a byte writes a half, and `error` is for the last byte */
    int hits;   /* how many calls met the fault */
};

static struct fault none[OPERATIONS][FILES];
static struct fault (*table)[FILES] = none;
static char database[4096], folder[4096];
/* 1 + the file of each descriptor; 0 for others. */
static unsigned char files[1 << 16];

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fcntl)(int, int, ...);
static int (*real_unlink)(const char *);
static int (*real_stat)(const char *, struct stat *);
static int (*real_fstat)(int, struct stat *);
static int (*real_statx)(int, const char *, int, unsigned, struct statx *);
static void *(*real_mmap)(void *, size_t, int, int, int, off_t);

__attribute__((constructor)) static void start(void) {
    real_open = dlsym(RTLD_NEXT, "open");
    real_openat = dlsym(RTLD_NEXT, "openat");
    real_close = dlsym(RTLD_NEXT, "close");
    real_read = dlsym(RTLD_NEXT, "read");
    real_pread = dlsym(RTLD_NEXT, "pread");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
    real_fcntl = dlsym(RTLD_NEXT, "fcntl");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_stat = dlsym(RTLD_NEXT, "stat");
    real_fstat = dlsym(RTLD_NEXT, "fstat");
    real_statx = dlsym(RTLD_NEXT, "statx");
    real_mmap = dlsym(RTLD_NEXT, "mmap");

    const char *path = getenv("FAULTS_DATABASE"), *name = getenv("FAULTS_TABLE");
    if (!path || !name || strlen(path) >= sizeof database) abort();
    strcpy(database, path);
    strcpy(folder, path);
    *strrchr(folder, '/') = 0;
    int descriptor = real_open(name, O_RDWR | O_CLOEXEC);
    void *shared = real_mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (shared == MAP_FAILED) abort();
    real_close(descriptor);
    table = shared;
}

static enum file file_of(const char *path) {
    if (!path) return OTHER;
    if (strcmp(path, folder) == 0) return FOLDER;
    size_t length = strlen(database);
    if (strncmp(path, database, length) != 0) return OTHER;
    if (path[length] == 0) return DATABASE;
    if (strcmp(path + length, "-wal") == 0) return WAL;
    return strcmp(path + length, "-shm") == 0 ? SHM : OTHER;
}

static int is_known(int descriptor) { return descriptor >= 0 && descriptor < (int)sizeof files; }

static enum file file_at(int descriptor) {
    return is_known(descriptor) && files[descriptor] ? files[descriptor] - 1 : OTHER;
}

static int opened(int descriptor, enum file file) {
    if (is_known(descriptor)) files[descriptor] = file == OTHER ? 0 : file + 1;
    return descriptor;
}

/* Waits if the call must hang. Returns the fault if the call must fail or write in parts, else NULL. */
static struct fault *meet(enum operation operation, enum file file) {
    if (file == OTHER) return NULL;
    struct fault *fault = &table[operation][file];
    if (!__atomic_load_n(&fault->error, __ATOMIC_SEQ_CST) && !__atomic_load_n(&fault->hang, __ATOMIC_SEQ_CST))
        return NULL;
    if (__atomic_load_n(&fault->skip, __ATOMIC_SEQ_CST) > 0 &&
        __atomic_fetch_sub(&fault->skip, 1, __ATOMIC_SEQ_CST) > 0)
        return NULL;
    __atomic_fetch_add(&fault->hits, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&fault->hang, __ATOMIC_SEQ_CST)) {
        struct timespec pause = {0, 5000000};
        nanosleep(&pause, NULL);
    }
    return fault->error ? fault : NULL;
}

static int fails(enum operation operation, enum file file) {
    struct fault *fault = meet(operation, file);
    if (!fault) return 0;
    errno = fault->error;
    return 1;
}

static int cannot_open(enum file file, int flags) {
    /* On a file system that is read-only, files can still be read. */
    if (file != OTHER && table[OPEN][file].error == EROFS && (flags & O_ACCMODE) == O_RDONLY) return 0;
    return fails(OPEN, file);
}

static mode_t mode_of(int flags, va_list arguments) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    enum file file = file_of(path);
    return cannot_open(file, flags) ? -1 : opened(real_open(path, flags, mode), file);
}

int openat(int at, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    enum file file = file_of(path);
    return cannot_open(file, flags) ? -1 : opened(real_openat(at, path, flags, mode), file);
}

int close(int descriptor) {
    opened(descriptor, OTHER);
    return real_close(descriptor);
}

ssize_t read(int descriptor, void *bytes, size_t count) {
    return fails(READ, file_at(descriptor)) ? -1 : real_read(descriptor, bytes, count);
}

ssize_t pread(int descriptor, void *bytes, size_t count, off_t offset) {
    return fails(READ, file_at(descriptor)) ? -1 : real_pread(descriptor, bytes, count, offset);
}

/* How many bytes of a write are written; -1 if it fails. */
static ssize_t writable(int descriptor, size_t count) {
    struct fault *fault = meet(WRITE, file_at(descriptor));
    if (!fault) return count;
    if (fault->parts && count > 1) return count / 2;
    errno = fault->error;
    return -1;
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
    ssize_t some = writable(descriptor, count);
    return some < 0 ? -1 : real_write(descriptor, bytes, some);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
    ssize_t some = writable(descriptor, count);
    return some < 0 ? -1 : real_pwrite(descriptor, bytes, some, offset);
}

int fsync(int descriptor) { return fails(SYNC, file_at(descriptor)) ? -1 : real_fsync(descriptor); }

int fdatasync(int descriptor) { return fails(SYNC, file_at(descriptor)) ? -1 : real_fdatasync(descriptor); }

int ftruncate(int descriptor, off_t length) {
    return fails(TRUNCATE, file_at(descriptor)) ? -1 : real_ftruncate(descriptor, length);
}

int fcntl(int descriptor, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    int is_lock = (command == F_SETLK || command == F_SETLKW) && ((struct flock *)argument)->l_type != F_UNLCK;
    if (is_lock && fails(LOCK, file_at(descriptor))) return -1;
    int result = real_fcntl(descriptor, command, argument);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) opened(result, file_at(descriptor));
    return result;
}

int unlink(const char *path) { return fails(UNLINK, file_of(path)) ? -1 : real_unlink(path); }

int stat(const char *path, struct stat *result) { return fails(STAT, file_of(path)) ? -1 : real_stat(path, result); }

int fstat(int descriptor, struct stat *result) {
    return fails(STAT, file_at(descriptor)) ? -1 : real_fstat(descriptor, result);
}

int statx(int at, const char *path, int flags, unsigned mask, struct statx *result) {
    enum file file = flags & AT_EMPTY_PATH ? file_at(at) : file_of(path);
    return fails(STAT, file) ? -1 : real_statx(at, path, flags, mask, result);
}

void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
    if (fails(MAP, file_at(descriptor))) return MAP_FAILED;
    return real_mmap(address, length, protection, flags, descriptor, offset);
}

/* The names that programs with 64-bit offsets call. On 64-bit machines, they are the same functions. */
_Static_assert(sizeof(off_t) == 8, "a 64-bit machine");
int open64(const char *, int, ...) __attribute__((alias("open")));
int openat64(int, const char *, int, ...) __attribute__((alias("openat")));
ssize_t pread64(int, void *, size_t, off_t) __attribute__((alias("pread")));
ssize_t pwrite64(int, const void *, size_t, off_t) __attribute__((alias("pwrite")));
int ftruncate64(int, off_t) __attribute__((alias("ftruncate")));
int fcntl64(int, int, ...) __attribute__((alias("fcntl")));
void *mmap64(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap")));
int stat64(const char *path, struct stat64 *result) { return stat(path, (struct stat *)result); }
int fstat64(int descriptor, struct stat64 *result) { return fstat(descriptor, (struct stat *)result); }
