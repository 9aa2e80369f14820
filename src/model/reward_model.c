#include "model/reward_model.h"

#include <string.h>

#include "io/output.h"

plumb_status plumb_is_adapter_folder(const char *folder, bool *out)
{
    bool model, adapter;
    PLUMB_TRY(plumb_path_holds(folder, "config.json", &model));
    PLUMB_TRY(plumb_path_holds(folder, "adapter_config.json", &adapter));
    *out = adapter && !model;
    return PLUMB_OK;
}

/* The checkpoint that the adapter's folder names, which must be there. */
static plumb_status check_base(const char *folder, const plumb_text *base)
{
    bool there = false;
    if (base->size) PLUMB_TRY(plumb_path_holds(base->data, "config.json", &there));
    if (there) return PLUMB_OK;
    return plumb_cure(
        plumb_fail(PLUMB_E_INPUT, "%s: the checkpoint that adapter_config.json names is not there: %s", folder,
                   base->size ? base->data : "none is named"),
        "correct \"base_model_name_or_path\" there, or make one model of both: plumb merge BASE %s -o OUT", folder);
}

static plumb_status open_base(const char *folder, const char *base, plumb_compute *compute, plumb_reward_model *m)
{
    plumb_text named = {0};
    bool reward = false, fresh;
    plumb_status s = plumb_adapter_about(folder, &reward, &named);
    if (!s && !reward)
        s = plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%s: is the adapter of a language model, which has no rewards", folder),
            "plumb reward --use_peft makes one of a reward model");
    if (!s && !base) s = check_base(folder, &named);
    if (!s) s = plumb_model_open_score(base ? base : named.data, compute, 0, &m->model, &fresh);
    plumb_text_free(&named);
    return s;
}

static plumb_status open_model(const char *folder, const char *base, plumb_compute *compute, plumb_reward_model *m)
{
    bool adapter = true, fresh;
    if (!base) PLUMB_TRY(plumb_is_adapter_folder(folder, &adapter));
    if (adapter) {
        PLUMB_TRY(open_base(folder, base, compute, m));
        PLUMB_TRY(plumb_adapter_load(folder, m->model, &m->adapter));
        return plumb_model_attach(m->model, m->adapter);
    }
    PLUMB_TRY(plumb_model_open_score(folder, compute, 0, &m->model, &fresh));
    if (!fresh) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: is a language model, which has no rewards", folder),
                      "make a reward model of it: plumb reward %s PAIRS -o RM", folder);
}

/* The token that training told the place of the reward by. */
static plumb_status take_pad(plumb_reward_model *m)
{
    const char *token = json_string_value(json_object_get(m->encoder->variables, "pad_token"));
    if (!token) return PLUMB_OK;
    int32_t id = plumb_tokenizer_id(m->encoder->tokenizer, token, strlen(token));
    if (id < 0)
        return plumb_fail(PLUMB_E_INPUT, "%s: the pad token \"%s\" is no token of the tokenizer", m->text, token);
    m->model->config.pad_id = id;
    return PLUMB_OK;
}

plumb_status plumb_reward_model_open(const char *folder, const char *base, const char *chat_template,
                                     plumb_compute *compute, plumb_reward_model *out)
{
    bool own = true;
    *out = (plumb_reward_model){0};
    PLUMB_TRY(open_model(folder, base, compute, out));
    if (out->adapter) PLUMB_TRY(plumb_path_holds(folder, "tokenizer.json", &own));
    const char *text = own ? folder : out->model->folder;
    PLUMB_TRY(plumb_arena_copy(&out->model->arena, &out->text, text, strlen(text)));
    PLUMB_TRY(plumb_encoder_open(text, chat_template, out->model->config.eos_id, &out->encoder));
    return out->adapter && own ? take_pad(out) : PLUMB_OK;
}

void plumb_reward_model_close(plumb_reward_model *m)
{
    plumb_encoder_close(m->encoder);
    plumb_model_close(m->model);
    plumb_adapter_free(m->adapter);
    *m = (plumb_reward_model){0};
}
