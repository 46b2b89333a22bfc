/* Counts the calls that wait for a disk, in a process that was started with this library preloaded.
 *
 *     cc -O2 -shared -fPIC -o syncs.so syncs.c -ldl
 *
 * Every SQLite build, whoever linked it, comes through these functions of libc. The counter is read from Python with
 * ctypes, so that a window can be counted apart from the start and the end of a process.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/types.h>

static atomic_long calls;

long bench_syncs(void) { return atomic_load(&calls); }

#define COUNTED(name)                                                       \
  int name(int descriptor) {                                                \
    static int (*real)(int);                                                \
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, #name);                \
    atomic_fetch_add(&calls, 1);                                            \
    return real(descriptor);                                                \
  }

COUNTED(fsync)
COUNTED(fdatasync)
COUNTED(syncfs)
