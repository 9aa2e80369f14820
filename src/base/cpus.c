#include "base/cpus.h"

#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MOST_PATH = 4096 };

static int affinity(void)
{
    for (int room = 1024; room <= 1 << 20; room *= 2) { /* the call fails while the set is smaller than the kernel's */
        cpu_set_t *set = CPU_ALLOC(room);
        if (!set) break;
        size_t bytes = CPU_ALLOC_SIZE(room);
        int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0) return count;
    }
    return 1;
}

/* The first words of FOLDER/NAME. */
static bool read_words(const char *folder, const char *name, char out[64])
{
    char path[MOST_PATH + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "re");
    bool read = f && fgets(out, 64, f);
    if (f) fclose(f);
    return read;
}

/* Of one cgroup: "QUOTA PERIOD" or "max PERIOD" (v2), or both in files of their own, the quota -1 for none (v1). */
static double folder_quota(const char *folder)
{
    char text[64];
    int64_t quota, period;
    if (read_words(folder, "cpu.max", text)) {
        if (sscanf(text, "%" SCNd64 " %" SCNd64, &quota, &period) != 2) return 0;
    } else if (!read_words(folder, "cpu.cfs_quota_us", text) || sscanf(text, "%" SCNd64, &quota) != 1 ||
               !read_words(folder, "cpu.cfs_period_us", text) || sscanf(text, "%" SCNd64, &period) != 1) {
        return 0;
    }
    return quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

/* Of a cgroup and all above it, up to the root. In a container the path may be the host's, which is not there; then the
 * root is the container's own. */
static double path_quota(const char *root, const char *path)
{
    char folder[MOST_PATH];
    size_t top = strlen(root);
    double least = 0;
    int size = snprintf(folder, sizeof folder, "%s%s", root, path);
    if (size < 0 || (size_t)size >= sizeof folder) return 0;
    for (;;) {
        double quota = folder_quota(folder);
        if (quota > 0 && (least <= 0 || quota < least)) least = quota;
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= top || !slash || slash < folder + top) return least;
        *slash = 0;
    }
}

/* Is "cpu" in this list with commas? */
static bool has_cpu(const char *controllers, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t size = strcspn(controllers + at, ",:");
        if (size == 3 && memcmp(controllers + at, "cpu", 3) == 0) return true;
        at += size + 1;
    }
    return false;
}

double plumb_cgroup_cpus(const char *root, const char *membership)
{
    char line[MOST_PATH], top[MOST_PATH];
    double least = 0;
    FILE *f = fopen(membership, "re");
    while (f && fgets(line, sizeof line, f)) { /* NUMBER:CONTROLLERS:PATH; v2 has no controllers */
        line[strcspn(line, "\n")] = 0;
        const char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        size_t n = (size_t)(path - ++controllers);
        if (n && !has_cpu(controllers, n)) continue;
        snprintf(top, sizeof top, "%s%s", root, n ? "/cpu" : ""); /* v1: a folder or a link of that name */
        double quota = path_quota(top, path + 1);
        if (quota > 0 && (least <= 0 || quota < least)) least = quota;
    }
    if (f) fclose(f);
    return least;
}

int plumb_cpus(void)
{
    int count = affinity();
    double quota = plumb_cgroup_cpus("/sys/fs/cgroup", "/proc/self/cgroup");
    int allowed = quota > 0 && quota < count ? (int)ceil(quota) : count;
    return allowed < 1 ? 1 : allowed;
}
