/* An NVML that claims CLAIMED devices which are not there: what a fraudster
 * puts before nvidia-smi. Only as much of it as looks right at a glance. */
#include <stdio.h>
#include <string.h>

typedef struct {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} PciInfo;

/* Which of the devices is out of order, and how: NO_HANDLE gives no handle (with this
 * error), LOST answers every question with NVML_ERROR_GPU_IS_LOST, ABSURD has numbers
 * with all bits set. -1: none. */
#ifndef NO_HANDLE
#define NO_HANDLE -1
#define HANDLE_ERROR 15
#endif
#ifndef LOST
#define LOST -1
#endif
#ifndef ABSURD
#define ABSURD -1
#endif

/* A handle is the device's number and one: never null. */
static unsigned index_of(void *device) { return (unsigned)(size_t)device - 1; }

static int result_of(void *device) { return (int)index_of(device) == LOST ? 15 : 0; }

static unsigned number(void *device, unsigned sane) {
    return (int)index_of(device) == ABSURD ? 0xffffffffu : sane;
}

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }

int nvmlSystemGetDriverVersion(char *text, unsigned length) {
    snprintf(text, length, "580.82.07");
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = CLAIMED;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(size_t)(index + 1);
    return (int)index == NO_HANDLE ? HANDLE_ERROR : 0;
}

int nvmlDeviceGetName(void *device, char *text, unsigned length) {
    snprintf(text, length, "NVIDIA H200");
    return result_of(device);
}

int nvmlDeviceGetUUID(void *device, char *text, unsigned length) {
    snprintf(text, length, "GPU-fa4efa4e-0000-0000-0000-%012x", index_of(device));
    return result_of(device);
}

int nvmlDeviceGetPciInfo_v3(void *device, PciInfo *info) {
    memset(info, 0, sizeof *info);
    info->bus = 0xa0 + index_of(device);
    snprintf(info->bus_id, sizeof info->bus_id, "00000000:%02X:00.0", info->bus);
    return result_of(device);
}

/* One board's number for all of them: the same card, told again and again. */
int nvmlDeviceGetSerial(void *device, char *text, unsigned length) {
    snprintf(text, length, "1650123456789");
    return result_of(device);
}

/* Four billion tenants: nobody may reserve memory for them. */
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, void *list) {
    (void)device;
    (void)list;
    *count = 0xffffffff;
    return 7; /* NVML_ERROR_INSUFFICIENT_SIZE */
}

/* Nonsense where a switch is expected: neither on nor off. */
int nvmlDeviceGetEccMode(void *device, unsigned *current, unsigned *pending) {
    (void)device;
    *current = *pending = 77;
    return 0;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) {
    (void)sensor;
    *celsius = number(device, 40);
    return result_of(device);
}

int nvmlDeviceGetClockInfo(void *device, int which, unsigned *mhz) {
    (void)which;
    *mhz = number(device, 345);
    return result_of(device);
}

typedef struct {
    unsigned version;
    unsigned long long total, reserved, free, used;
} MemoryInfo;

int nvmlDeviceGetMemoryInfo_v2(void *device, MemoryInfo *info) {
    info->total = (int)index_of(device) == ABSURD ? ~0ull : 140ull << 30;
    info->reserved = info->used = 0;
    info->free = info->total;
    return result_of(device);
}

/* Confidential computing is off, as on most machines: an unknown error (999). With CC_ON it
 * gives certificates. */
typedef struct {
    unsigned cert_chain_size, attestation_cert_chain_size;
    unsigned char cert_chain[0x1000], attestation_cert_chain[0x1400];
} Certificate;

int nvmlDeviceGetConfComputeGpuCertificate(void *device, Certificate *certificate) {
    (void)device;
#ifdef CC_ON
    memset(certificate, 'a', sizeof *certificate);
    certificate->cert_chain_size = 0;
    certificate->attestation_cert_chain_size = 0x1400;
    return 0;
#else
    (void)certificate;
    return 999;
#endif
}
