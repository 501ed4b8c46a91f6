/* A driver library for machines without a GPU: just enough of NVML's ABI for the real pynvml.

   It stands in for NVIDIA's libnvidia-ml.so.1, never for code of the kit. What it answers is in the
   text file named by NVML_STAND_IN, read again at every call, so a test can change a device while a
   sampler watches it:

     init CODE
     v2 CODE                        nvmlDeviceGetMemoryInfo_v2 answers with this code if it is not 0
     gpu UUID TOTAL RESERVED USED UTIL MEMORY_CODE PARENT MIG_MODE

   PARENT is the line number of the GPU a MIG slice belongs to, -1 for a GPU. UTIL below 0 is the
   negated error code. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX 16
typedef unsigned long long u64;
struct gpu { char uuid[96]; u64 total, reserved, used; int util, code, parent, mig; };
static struct gpu gpus[MAX];
static int count, init_code, v2_code;
static int handles[MAX]; /* their addresses are the handles */

static void load(void) {
  const char *path = getenv("NVML_STAND_IN");
  FILE *file = path ? fopen(path, "r") : NULL;
  char line[256];
  count = init_code = v2_code = 0;
  if (!file) return;
  while (fgets(line, sizeof line, file)) {
    struct gpu g;
    if (sscanf(line, "init %d", &init_code) == 1 || sscanf(line, "v2 %d", &v2_code) == 1) continue;
    if (sscanf(line, "gpu %95s %llu %llu %llu %d %d %d %d", g.uuid, &g.total, &g.reserved, &g.used,
               &g.util, &g.code, &g.parent, &g.mig) == 8 && count < MAX) gpus[count++] = g;
  }
  fclose(file);
}
static struct gpu *at(void *handle) { load(); return &gpus[(int *)handle - handles]; }
static int nth(int parent, unsigned index) {
  for (int i = 0; i < count; i++) if (gpus[i].parent == parent && index-- == 0) return i;
  return -1;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; load(); return init_code; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { (void)code; return "stand-in error"; }
int nvmlDeviceGetCount_v2(unsigned *n) {
  load(); *n = 0;
  for (int i = 0; i < count; i++) *n += gpus[i].parent < 0;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
  load(); int i = nth(-1, index);
  if (i < 0) return 2;
  *handle = &handles[i]; return 0;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
  load();
  for (int i = 0; i < count; i++)
    if (!strcmp(gpus[i].uuid, uuid)) { *handle = &handles[i]; return 0; }
  return 6;
}
int nvmlDeviceGetUUID(void *handle, char *out, unsigned n) {
  snprintf(out, n, "%s", at(handle)->uuid); return 0;
}
int nvmlDeviceGetName(void *handle, char *out, unsigned n) {
  snprintf(out, n, "Stand-in %s", at(handle)->uuid); return 0;
}
int nvmlDeviceGetMemoryInfo(void *handle, u64 *m) { /* total, free, used: the reserve counts as used */
  struct gpu *g = at(handle);
  m[0] = g->total; m[2] = g->used + g->reserved; m[1] = g->total - m[2];
  return g->code;
}
int nvmlDeviceGetMemoryInfo_v2(void *handle, u64 *m) { /* version, total, reserved, free, used */
  struct gpu *g = at(handle);
  if (v2_code) return v2_code;
  if (*(unsigned *)m != 0x02000028) return 25;
  m[1] = g->total; m[2] = g->reserved; m[4] = g->used; m[3] = g->total - g->used - g->reserved;
  return g->code;
}
int nvmlDeviceGetUtilizationRates(void *handle, unsigned *rates) {
  struct gpu *g = at(handle);
  if (g->util < 0) return -g->util;
  rates[0] = (unsigned)g->util; rates[1] = 0; return 0;
}
int nvmlDeviceIsMigDeviceHandle(void *handle, unsigned *is) { *is = at(handle)->parent >= 0; return 0; }
int nvmlDeviceGetMigMode(void *handle, unsigned *now, unsigned *next) {
  struct gpu *g = at(handle);
  if (g->mig < 0) return 3;
  *now = *next = (unsigned)g->mig; return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *n) { (void)handle; *n = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **part) {
  load(); int i = nth((int)((int *)handle - handles), index);
  if (i < 0) return 6;
  *part = &handles[i]; return 0;
}
