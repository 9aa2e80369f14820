/* Which names a body owns from its start. Jinja decides at compile time: a name whose first use in a body (bodies
 * inside not counted) is an unconditional {% set %}, and which no body around it uses, is never looked up in the input.
 */
#include <string.h>

#include "text/template_internal.h"

/* The names that one body uses; bodies are nested as scopes are. */
typedef struct frame {
    const struct frame *parent;
    plumb_arena *arena;
    const jinja_string **table; /* open addressing, at most half full */
    size_t room, count;
    jinja_hidden **hidden;
} frame;

static size_t slot_of(const frame *f, const jinja_string *name)
{
    uint64_t hash = 14695981039346656037U; /* FNV-1a */
    for (size_t i = 0; i < name->size; i++) hash = (hash ^ (unsigned char)name->data[i]) * 1099511628211U;
    size_t slot = (size_t)hash & (f->room - 1);
    for (; f->table[slot]; slot = (slot + 1) & (f->room - 1)) {
        const jinja_string *other = f->table[slot];
        if (other->size == name->size && memcmp(other->data, name->data, name->size) == 0) break;
    }
    return slot;
}

static bool uses(const frame *f, const jinja_string *name)
{
    return f->room && f->table[slot_of(f, name)];
}

static plumb_status grow(frame *f)
{
    enum { FIRST_ROOM = 16 };
    frame old = *f;
    f->room = old.room ? old.room * 2 : FIRST_ROOM;
    PLUMB_TRY(plumb_arena_new(f->arena, &f->table, f->room, sizeof(const jinja_string *)));
    for (size_t i = 0; i < old.room; i++) {
        if (old.table[i]) f->table[slot_of(f, old.table[i])] = old.table[i];
    }
    return PLUMB_OK;
}

/* Notes a use; one that may hide the name does so where it is the first, here and around. */
static plumb_status see(frame *f, const jinja_string *name, bool may_hide)
{
    bool known = false;
    for (const frame *around = f; around && !known; around = around->parent) known = uses(around, name);
    if (f->count * 2 >= f->room) PLUMB_TRY(grow(f));
    size_t slot = slot_of(f, name);
    f->count += !f->table[slot];
    f->table[slot] = name;
    if (known || !may_hide) return PLUMB_OK;
    jinja_hidden *hidden = NULL;
    PLUMB_TRY(plumb_arena_new(f->arena, &hidden, 1, sizeof *hidden));
    *hidden = (jinja_hidden){*f->hidden, name};
    *f->hidden = hidden;
    return PLUMB_OK;
}

/* All names that an expression reads. */
static plumb_status see_reads(frame *f, const jinja_node *node)
{
    if (!node) return PLUMB_OK;
    if (node->kind == NODE_NAME) return see(f, node->text, false);
    PLUMB_TRY(see_reads(f, node->a));
    PLUMB_TRY(see_reads(f, node->b));
    PLUMB_TRY(see_reads(f, node->c));
    PLUMB_TRY(see_reads(f, node->d));
    for (const jinja_node *item = node->list; item; item = item->next) PLUMB_TRY(see_reads(f, item));
    return PLUMB_OK;
}

static plumb_status see_target(frame *f, const jinja_node *target, bool certain)
{
    for (const jinja_node *item = target->list; item; item = item->next) PLUMB_TRY(see_target(f, item, certain));
    if (target->kind != NODE_NAME && target->kind != NODE_MEMBER) return PLUMB_OK;
    return see(f, target->text, certain && target->kind == NODE_NAME);
}

static plumb_status see_body(frame *f, const jinja_node *body, bool certain);

static plumb_status see_statement(frame *f, const jinja_node *node, bool certain)
{
    switch (node->kind) {
    case NODE_PRINT:
    case NODE_FILTER:
        return see_reads(f, node->a);
    case NODE_FOR:
        return see_reads(f, node->b);
    case NODE_SET:
        PLUMB_TRY(see_reads(f, node->b));
        return see_target(f, node->a, certain);
    case NODE_SET_BLOCK:
        return see_target(f, node->a, certain);
    case NODE_MACRO:
        return see(f, node->text, certain);
    case NODE_WITH:
        for (const jinja_node *set = node->list; set; set = set->next) PLUMB_TRY(see_reads(f, set->b));
        return PLUMB_OK;
    case NODE_IF:
        for (const jinja_node *arm = node; arm; arm = arm->other) {
            PLUMB_TRY(see_reads(f, arm->a));
            PLUMB_TRY(see_body(f, arm->body, false));
        }
        return PLUMB_OK;
    default:
        return PLUMB_OK;
    }
}

static plumb_status see_body(frame *f, const jinja_node *body, bool certain)
{
    for (const jinja_node *node = body; node; node = node->next) PLUMB_TRY(see_statement(f, node, certain));
    return PLUMB_OK;
}

static plumb_status open_bodies(const frame *f, jinja_node *body);

/* A body in a scope of its own; what comes with it (targets, parameters) is already noted in `f`. */
static plumb_status open_body(frame *f, jinja_node *body)
{
    PLUMB_TRY(see_body(f, body, true));
    return open_bodies(f, body);
}

/* The bodies of one statement, whose scopes lie within that of `outer`. */
static plumb_status open_statement(const frame *outer, jinja_node *node)
{
    frame inner = {.parent = outer, .arena = outer->arena, .hidden = &node->hidden}, other = inner;
    other.hidden = &node->other_hidden;
    switch (node->kind) {
    case NODE_IF:
        for (jinja_node *arm = node; arm; arm = arm->other) PLUMB_TRY(open_bodies(outer, arm->body));
        return PLUMB_OK;
    case NODE_FOR:
        PLUMB_TRY(see_target(&inner, node->a, false));
        PLUMB_TRY(open_body(&inner, node->body));
        return open_body(&other, node->other);
    case NODE_MACRO:
        for (const jinja_node *parameter = node->list; parameter; parameter = parameter->next) {
            PLUMB_TRY(see(&inner, parameter->text, false));
        }
        for (const jinja_node *parameter = node->list; parameter; parameter = parameter->next) {
            PLUMB_TRY(see_reads(&inner, parameter->a));
        }
        return open_body(&inner, node->body);
    case NODE_WITH:
        for (const jinja_node *set = node->list; set; set = set->next) PLUMB_TRY(see_target(&inner, set->a, false));
        return open_body(&inner, node->body);
    case NODE_SET_BLOCK:
    case NODE_FILTER:
    case NODE_GENERATION:
        return open_body(&inner, node->body);
    default:
        return PLUMB_OK;
    }
}

static plumb_status open_bodies(const frame *f, jinja_node *body)
{
    for (jinja_node *node = body; node; node = node->next) PLUMB_TRY(open_statement(f, node));
    return PLUMB_OK;
}

plumb_status plumb_jinja_find_hidden(plumb_arena *arena, jinja_node *body, jinja_hidden **out)
{
    frame top = {.arena = arena, .hidden = out};
    return open_body(&top, body);
}
