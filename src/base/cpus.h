/* How many processors this process may use. */
#ifndef PLUMB_BASE_CPUS_H
#define PLUMB_BASE_CPUS_H

/* The processors of its affinity mask, or what the quotas of its cgroups allow, rounded up, where that is less: a
 * container with two of 64 processors gets two threads. At least 1. */
int plumb_cpus(void);

/* The least quota, in processors, of the cgroups that `membership` (/proc/self/cgroup) names and of those above them:
 * cpu.max (v2) or cpu.cfs_quota_us and cpu.cfs_period_us (v1) below the folder `root` (/sys/fs/cgroup), v1 in its
 * folder cpu. 0: no quota. */
double plumb_cgroup_cpus(const char *root, const char *membership);

#endif
