/* An NVML that claims CLAIMED devices which are not there: what a fraudster
 * puts before nvidia-smi. Only as much of it as looks right at a glance. */
#include <stdio.h>
#include <string.h>

typedef struct {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} PciInfo;

/* A handle is the device's number and one: never null. */
static unsigned index_of(void *device) { return (unsigned)(size_t)device - 1; }

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
    return 0;
}

int nvmlDeviceGetName(void *device, char *text, unsigned length) {
    (void)device;
    snprintf(text, length, "NVIDIA H200");
    return 0;
}

int nvmlDeviceGetUUID(void *device, char *text, unsigned length) {
    snprintf(text, length, "GPU-fa4efa4e-0000-0000-0000-%012x", index_of(device));
    return 0;
}

int nvmlDeviceGetPciInfo_v3(void *device, PciInfo *info) {
    memset(info, 0, sizeof *info);
    info->bus = 0xa0 + index_of(device);
    snprintf(info->bus_id, sizeof info->bus_id, "00000000:%02X:00.0", info->bus);
    return 0;
}

/* One board's number for all of them: the same card, told again and again. */
int nvmlDeviceGetSerial(void *device, char *text, unsigned length) {
    (void)device;
    snprintf(text, length, "1650123456789");
    return 0;
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
