/* Runs a fuzz target over files and folders, without a fuzzing engine. */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    uint8_t *data = NULL;
    size_t size = 0, got = 0;
    do {
        uint8_t *larger = realloc(data, size + 65536);
        must(larger != NULL);
        data = larger;
        got = fread(data + size, 1, 65536, f);
        size += got;
    } while (got);
    fclose(f);
    uint8_t *exact = malloc(size ? size : 1); /* no room behind the input: a read beyond it is seen */
    must(exact != NULL);
    if (size) memcpy(exact, data, size);
    free(data);
    fprintf(stderr, "%s: %zu bytes\n", path, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 1;
}

static int replay_folder(const char *folder)
{
    int files = 0;
    DIR *listing = opendir(folder);
    if (!listing) return 0;
    for (const struct dirent *entry; (entry = readdir(listing));) {
        char path[4096];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        files += replay_file(path);
    }
    closedir(listing);
    return files;
}

int main(int count, char **paths)
{
    int files = 0;
    for (int i = 1; i < count; i++) {
        struct stat about;
        if (stat(paths[i], &about) == 0)
            files += S_ISDIR(about.st_mode) ? replay_folder(paths[i]) : replay_file(paths[i]);
    }
    fprintf(stderr, "%d inputs\n", files);
    return files ? 0 : 1; /* nothing to replay is a mistake in the call */
}
