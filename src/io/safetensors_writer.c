#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/json.h"
#include "io/output.h"
#include "io/safetensors.h"

struct plumb_tensors_writer {
    plumb_output *output;
    uint64_t missing; /* bytes of data that are still to come */
};

static const char *stored_name(plumb_dtype t)
{
    return t == PLUMB_F32 ? "F32" : t == PLUMB_F16 ? "F16" : "BF16";
}

static plumb_status bad_spec(const plumb_tensor_spec *spec, const char *what)
{
    return plumb_fail(PLUMB_E_INTERNAL, "tensor \"%s\" cannot be written: %s", spec->name, what);
}

static plumb_status spec_bytes(const plumb_tensor_spec *spec, uint64_t *bytes)
{
    *bytes = plumb_dtype_size(spec->dtype);
    if (spec->dims < 0 || spec->dims > PLUMB_MAX_DIMS) return bad_spec(spec, "its number of dimensions");
    for (int i = 0; i < spec->dims; i++) {
        if (spec->shape[i] < 0) return bad_spec(spec, "a negative size in its shape");
        if (__builtin_mul_overflow(*bytes, (uint64_t)spec->shape[i], bytes))
            return bad_spec(spec, "its size overflows");
    }
    return PLUMB_OK;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static plumb_status check_names(const plumb_tensor_spec *specs, size_t count)
{
    const char **names = NULL;
    PLUMB_TRY(plumb_new(&names, count, sizeof *names));
    for (size_t i = 0; i < count; i++) names[i] = specs[i].name;
    qsort(names, count, sizeof *names, by_name);
    plumb_status s = PLUMB_OK;
    for (size_t i = 1; i < count && !s; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            s = plumb_fail(PLUMB_E_INTERNAL, "tensor \"%s\" cannot be written: it is listed twice", names[i]);
    free(names);
    return s;
}

static plumb_status write_entry(plumb_text *header, const plumb_tensor_spec *spec, uint64_t *end)
{
    uint64_t bytes = 0, begin = *end;
    PLUMB_TRY(spec_bytes(spec, &bytes));
    if (__builtin_add_overflow(begin, bytes, end)) return bad_spec(spec, "the file's size overflows");
    if (begin % plumb_dtype_size(spec->dtype))
        return bad_spec(spec, "it would not be aligned; tensors of wider types come first");
    PLUMB_TRY(plumb_text_string(header, ","));
    PLUMB_TRY(plumb_json_quote(header, spec->name, strlen(spec->name)));
    PLUMB_TRY(plumb_text_printf(header, ":{\"dtype\":\"%s\",\"shape\":[", stored_name(spec->dtype)));
    for (int i = 0; i < spec->dims; i++)
        PLUMB_TRY(plumb_text_printf(header, "%s%lld", i ? "," : "", (long long)spec->shape[i]));
    return plumb_text_printf(header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
                             (unsigned long long)*end);
}

/* The header with its length before it, padded with spaces so that the data begin at a multiple of 8. */
static plumb_status lay_out(plumb_text *header, const plumb_tensor_spec *specs, size_t count, uint64_t *bytes)
{
    uint8_t length[8] = {0};
    PLUMB_TRY(check_names(specs, count));
    PLUMB_TRY(plumb_text_append(header, length, sizeof length));
    PLUMB_TRY(plumb_text_string(header, "{\"__metadata__\":{\"format\":\"pt\"}")); /* transformers asks for it */
    for (size_t i = 0; i < count; i++) PLUMB_TRY(write_entry(header, &specs[i], bytes));
    PLUMB_TRY(plumb_text_string(header, "}"));
    while (header->size % sizeof length) PLUMB_TRY(plumb_text_string(header, " "));
    uint64_t size = header->size - sizeof length;
    for (size_t i = 0; i < sizeof length; i++) length[i] = (uint8_t)(size >> 8 * i);
    memcpy(header->data, length, sizeof length);
    return PLUMB_OK;
}

plumb_status plumb_tensors_create(const char *path, const plumb_tensor_spec *specs, size_t count,
                                  plumb_tensors_writer **out)
{
    plumb_text header = {0};
    plumb_tensors_writer *w = NULL;
    plumb_status s = plumb_new(&w, 1, sizeof *w);
    if (s) goto done;
    PLUMB_GO(lay_out(&header, specs, count, &w->missing));
    PLUMB_GO(plumb_output_open(path, false, &w->output));
    PLUMB_GO(plumb_output_write(w->output, header.data, header.size));
    *out = w;
done:
    if (s) plumb_tensors_abandon(w);
    plumb_text_free(&header);
    return s;
}

plumb_status plumb_tensors_write(plumb_tensors_writer *w, const void *bytes, size_t count)
{
    if (count > w->missing)
        return plumb_fail(PLUMB_E_INTERNAL, "%zu bytes more than the tensors of the list hold",
                          count - (size_t)w->missing);
    w->missing -= count;
    return plumb_output_write(w->output, bytes, count);
}

plumb_status plumb_tensors_finish(plumb_tensors_writer *w)
{
    plumb_status s = w->missing ? plumb_fail(PLUMB_E_INTERNAL, "%llu bytes of the listed tensors were not written",
                                             (unsigned long long)w->missing)
                                : plumb_output_flush(w->output);
    if (s) {
        plumb_tensors_abandon(w);
        return s;
    }
    s = plumb_output_commit(w->output);
    free(w);
    return s;
}

void plumb_tensors_abandon(plumb_tensors_writer *w)
{
    if (!w) return;
    plumb_output_close(w->output, false);
    free(w);
}
