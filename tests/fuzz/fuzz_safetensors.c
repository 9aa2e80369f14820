/* The input is a safetensors file. What opens must lie inside the file, be sorted, and be found by name. */
#include "fuzz.h"
#include "io/safetensors.h"

static uint8_t touched; /* every byte of every tensor is read, for AddressSanitizer and the page tables */

static void check_tensor(const plumb_tensors *set, const plumb_tensor *t)
{
    const uint8_t *bytes = t->data;
    must(plumb_tensors_find(set, t->name) == t);
    must(t->dims >= 0 && t->dims <= PLUMB_MAX_DIMS && t->count >= 0 && t->file == 0);
    if (t->is_weight) must(t->bytes == (uint64_t)t->count * plumb_dtype_size(t->dtype));
    for (uint64_t i = 0; i < t->bytes; i++) touched ^= bytes[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_file f = fuzz_file_open(data, size);
    plumb_tensors *set = NULL;
    plumb_status s = plumb_tensors_open_file(f.path, &set);
    if (!s) {
        size_t count = 0, header_size = 0;
        const uint8_t *header = NULL;
        const plumb_tensor *list = plumb_tensors_list(set, &count);
        for (size_t i = 0; i < count; i++) check_tensor(set, &list[i]);
        must(plumb_tensors_file(set, 0, &header, &header_size) && header_size + 8 <= size);
        plumb_tensors_close(set);
    } else {
        must(plumb_status_code(s) == PLUMB_E_INPUT && plumb_status_message(s)[0]);
    }
    plumb_status_free(s);
    fuzz_file_close(&f);
    return 0;
}
