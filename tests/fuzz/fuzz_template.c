/* The input is a chat template, and after a zero byte the messages as JSON (default: a short conversation). Whatever
 * the template does, rendering ends in bounded time and memory. */
#include "fuzz.h"
#include "io/json.h"
#include "text/chat_template.h"

static json_t *read_messages(const uint8_t *data, size_t size)
{
    static const char usual[] =
        "[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"Hi \\n\"},"
        "{\"role\":\"assistant\",\"content\":\" Hello\"}]";
    json_t *messages = NULL;
    plumb_status s = size ? plumb_json_parse((const char *)data, size, false, "messages", &messages) : PLUMB_OK;
    plumb_status_free(s);
    if (!messages) must(!plumb_json_parse(usual, sizeof usual - 1, false, "messages", &messages));
    return messages;
}

static void render(const plumb_template *t, const json_t *messages, bool add_generation_prompt)
{
    plumb_template_input in = {.messages = messages,
                               .bos_token = "<s>",
                               .eos_token = add_generation_prompt ? "</s>" : NULL,
                               .add_generation_prompt = add_generation_prompt,
                               .now = 1700000000};
    plumb_text out = {0};
    plumb_status s = plumb_template_render(t, &in, &out);
    if (s) must(plumb_status_message(s)[0]);
    plumb_status_free(s);
    plumb_text_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n = fuzz_first_part(data, size);
    plumb_template *t = NULL;
    plumb_status s = plumb_template_parse((const char *)data, n, &t);
    if (!s) {
        json_t *messages = n < size ? read_messages(data + n + 1, size - n - 1) : read_messages(NULL, 0);
        render(t, messages, false);
        render(t, messages, true);
        json_decref(messages);
        plumb_template_free(t);
    } else {
        must(plumb_status_code(s) == PLUMB_E_INPUT && plumb_status_message(s)[0]);
    }
    plumb_status_free(s);
    return 0;
}
