/* A disk that takes 100 ms longer to make anything durable. Each wait is one byte in
 * the file that ATTEST_TEST_SYNCS names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void wait_and_count(void) {
    struct timespec time = {0, 100 * 1000 * 1000};
    nanosleep(&time, NULL);
    const char *path = getenv("ATTEST_TEST_SYNCS");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (file >= 0) {
        if (write(file, ".", 1) != 1) abort();
        close(file);
    }
}

static int slowly(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    wait_and_count();
    return real(file);
}

int fsync(int file) { return slowly("fsync", file); }
int fdatasync(int file) { return slowly("fdatasync", file); }
