/* Which names belong to the template from the start. Jinja decides at compile time: a name whose first use at the top
 * level (loop and macro bodies not counted) is an unconditional {% set %} is never looked up in the input. */
#include <string.h>

#include "text/template_internal.h"

typedef struct seen {
    plumb_arena *arena;
    const jinja_string **table; /* open addressing, at most half full */
    size_t room, count;
    jinja_hidden **hidden;
} seen;

static size_t slot_of(const seen *s, const jinja_string *name)
{
    uint64_t hash = 14695981039346656037U; /* FNV-1a */
    for (size_t i = 0; i < name->size; i++) hash = (hash ^ (unsigned char)name->data[i]) * 1099511628211U;
    size_t slot = (size_t)hash & (s->room - 1);
    for (; s->table[slot]; slot = (slot + 1) & (s->room - 1)) {
        const jinja_string *other = s->table[slot];
        if (other->size == name->size && memcmp(other->data, name->data, name->size) == 0) break;
    }
    return slot;
}

static plumb_status grow(seen *s)
{
    enum { FIRST_ROOM = 256 };
    seen old = *s;
    s->room = old.room ? old.room * 2 : FIRST_ROOM;
    PLUMB_TRY(plumb_arena_new(s->arena, &s->table, s->room, sizeof(const jinja_string *)));
    for (size_t i = 0; i < old.room; i++) {
        if (old.table[i]) s->table[slot_of(s, old.table[i])] = old.table[i];
    }
    return PLUMB_OK;
}

static plumb_status see(seen *s, const jinja_string *name, bool is_new_hidden)
{
    if (s->count * 2 >= s->room) PLUMB_TRY(grow(s));
    size_t slot = slot_of(s, name);
    if (s->table[slot]) return PLUMB_OK;
    s->table[slot] = name;
    s->count++;
    if (!is_new_hidden) return PLUMB_OK;
    jinja_hidden *hidden = NULL;
    PLUMB_TRY(plumb_arena_new(s->arena, &hidden, 1, sizeof *hidden));
    *hidden = (jinja_hidden){*s->hidden, name};
    *s->hidden = hidden;
    return PLUMB_OK;
}

/* All names that an expression reads. */
static plumb_status see_reads(seen *s, const jinja_node *node)
{
    if (!node) return PLUMB_OK;
    if (node->kind == NODE_NAME) return see(s, node->text, false);
    PLUMB_TRY(see_reads(s, node->a));
    PLUMB_TRY(see_reads(s, node->b));
    PLUMB_TRY(see_reads(s, node->c));
    PLUMB_TRY(see_reads(s, node->d));
    for (const jinja_node *item = node->list; item; item = item->next) PLUMB_TRY(see_reads(s, item));
    return PLUMB_OK;
}

static plumb_status see_target(seen *s, const jinja_node *target, bool certain)
{
    for (const jinja_node *item = target->list; item; item = item->next) PLUMB_TRY(see_target(s, item, certain));
    if (target->kind != NODE_NAME && target->kind != NODE_MEMBER) return PLUMB_OK;
    return see(s, target->text, certain && target->kind == NODE_NAME);
}

static plumb_status see_body(seen *s, const jinja_node *body, bool certain);

static plumb_status see_statement(seen *s, const jinja_node *node, bool certain)
{
    switch (node->kind) {
    case NODE_PRINT:
    case NODE_FILTER:
        return see_reads(s, node->a);
    case NODE_FOR:
        return see_reads(s, node->b);
    case NODE_SET:
        PLUMB_TRY(see_reads(s, node->b));
        return see_target(s, node->a, certain);
    case NODE_SET_BLOCK:
        return see_target(s, node->a, certain);
    case NODE_MACRO:
        return see(s, node->text, certain);
    case NODE_WITH:
        for (const jinja_node *set = node->list; set; set = set->next) PLUMB_TRY(see_reads(s, set->b));
        return PLUMB_OK;
    case NODE_IF:
        for (const jinja_node *arm = node; arm; arm = arm->other) {
            PLUMB_TRY(see_reads(s, arm->a));
            PLUMB_TRY(see_body(s, arm->body, false));
        }
        return PLUMB_OK;
    default:
        return PLUMB_OK;
    }
}

static plumb_status see_body(seen *s, const jinja_node *body, bool certain)
{
    for (const jinja_node *node = body; node; node = node->next) PLUMB_TRY(see_statement(s, node, certain));
    return PLUMB_OK;
}

plumb_status plumb_jinja_find_hidden(plumb_arena *arena, const jinja_node *body, jinja_hidden **out)
{
    seen s = {.arena = arena, .hidden = out};
    return see_body(&s, body, true);
}
