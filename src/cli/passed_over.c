#include "cli/passed_over.h"

#include <inttypes.h>

void plumb_passed_over_note(void *user, const char *text)
{
    plumb_passed_over *p = user;
    if (p->count++ >= PLUMB_MOST_LISTED) return;
    plumb_status_free(plumb_text_string(&p->first[p->count - 1], text));
}

void plumb_passed_over_list(const plumb_passed_over *p, plumb_cli *cli)
{
    for (int64_t i = 0; i < p->count && i < PLUMB_MOST_LISTED; i++)
        if (p->first[i].data) plumb_cli_say(cli, "%s", p->first[i].data);
    if (p->count > PLUMB_MOST_LISTED)
        plumb_cli_say(cli, "and %" PRId64 " more were passed over", p->count - PLUMB_MOST_LISTED);
}

void plumb_passed_over_free(plumb_passed_over *p)
{
    for (int i = 0; i < PLUMB_MOST_LISTED; i++) plumb_text_free(&p->first[i]);
}
