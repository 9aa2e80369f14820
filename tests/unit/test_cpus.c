/* The number of processors: what a cgroup's quota leaves of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "scratch.h"
#include "base/cpus.h"

/* Writes ROOT/NAME with its folders. */
static void put(const char *name, const char *text)
{
    char path[1100], command[1300];
    snprintf(path, sizeof path, "%s", scratch(name));
    snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s')\"", path);
    assert_int_equal(system(command), 0);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static double quota(const char *root, const char *membership)
{
    char folder[1100];
    put("membership", membership);
    snprintf(folder, sizeof folder, "%s", scratch(root));
    return plumb_cgroup_cpus(folder, scratch("membership"));
}

static void test_version_2(void **state)
{
    (void)state;
    put("v2/cpu.max", "max 100000\n");
    put("v2/pod/cpu.max", "250000 100000\n");
    put("v2/pod/job/cpu.max", "max 100000\n");
    put("v2/pod/small/cpu.max", "50000 100000\n");
    assert_true(quota("v2", "0::/\n") == 0);
    assert_true(quota("v2", "0::/pod\n") == 2.5);
    assert_true(quota("v2", "0::/pod/job\n") == 2.5); /* of the one above */
    assert_true(quota("v2", "0::/pod/small\n") == 0.5);
    assert_true(quota("v2", "0::/kubepods/of/the/host\n") == 0);
    put("v2/cpu.max", "400000 100000\n"); /* as a container sees its own */
    assert_true(quota("v2", "0::/kubepods/of/the/host\n") == 4);
    assert_true(quota("v2", "0::/pod/job\n") == 2.5);
    put("v2/cpu.max", "nonsense\n");
    assert_true(quota("v2", "0::/\n") == 0);
}

static void test_version_1(void **state)
{
    (void)state;
    put("v1/cpu/cpu.cfs_quota_us", "-1\n");
    put("v1/cpu/cpu.cfs_period_us", "100000\n");
    put("v1/cpu/docker/cpu.cfs_quota_us", "300000\n");
    put("v1/cpu/docker/cpu.cfs_period_us", "100000\n");
    put("v1/cpuset/docker/cpu.cfs_quota_us", "100000\n");
    put("v1/cpuset/docker/cpu.cfs_period_us", "100000\n");
    assert_true(quota("v1", "12:memory:/docker\n4:cpu,cpuacct:/docker\n3:cpuset:/docker\n0::/docker\n") == 3);
    assert_true(quota("v1", "4:cpu,cpuacct:/\n") == 0);
    assert_true(quota("v1", "3:cpuset:/docker\n") == 0);
    assert_true(quota("v1", "") == 0);
    assert_true(plumb_cgroup_cpus(scratch("v1"), scratch("missing")) == 0);
}

static void test_this_process(void **state)
{
    (void)state;
    assert_true(plumb_cpus() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
