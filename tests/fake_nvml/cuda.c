/* A CUDA driver that does not start (INIT is not 0), or that lists COUNT devices
 * and does not describe the one of number BROKEN. */
#ifndef COUNT
#define COUNT 2
#endif
#ifndef BROKEN
#define BROKEN 1
#endif
#include <stdio.h>
#include <string.h>

int cuInit(unsigned flags) {
    (void)flags;
    return INIT;
}

int cuDriverGetVersion(int *version) {
    *version = 13000;
    return 0;
}

int cuDeviceGetCount(int *count) {
    *count = COUNT;
    return 0;
}

int cuDeviceGet(int *device, int index) {
    *device = index;
    return 0;
}

int cuDeviceGetName(char *text, int length, int device) {
    snprintf(text, (size_t)length, "NVIDIA H200");
    return device == BROKEN ? 214 : 0; /* CUDA_ERROR_ECC_UNCORRECTABLE */
}

int cuDeviceGetUuid(char *uuid, int device) {
    memset(uuid, 0xa0 + device, 16);
    return 0;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    (void)device;
    *bytes = (size_t)140 << 30;
    return 0;
}

int cuDeviceGetAttribute(int *value, int which, int device) {
    (void)which;
    (void)device;
    *value = 9;
    return 0;
}

int cuDeviceGetPCIBusId(char *text, int length, int device) {
    snprintf(text, (size_t)length, "0000:%02x:00.0", 0xa0 + device);
    return 0;
}
