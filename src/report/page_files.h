/* The files of src/report/page, embedded when plumb is built (tools/embed.cmake). The arrays end in a zero byte that
 * the sizes do not count; the hashes are hexadecimal. */
#ifndef PLUMB_REPORT_PAGE_FILES_H
#define PLUMB_REPORT_PAGE_FILES_H

#include <stddef.h>

extern const unsigned char plumb_page_html[], plumb_page_css[], plumb_page_js[];
extern const size_t plumb_page_html_size, plumb_page_css_size, plumb_page_js_size;
extern const char plumb_page_html_sha256[], plumb_page_css_sha256[], plumb_page_js_sha256[];

#endif
