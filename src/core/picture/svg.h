/*-------------------------------------------------------------------------
 *
 * svg.h
 *		The history as one SVG document.
 *
 * The document stands alone: no script, no font and no link from elsewhere.
 * It is ASCII: in names other characters are references where the encoding is
 * UTF-8 and '?' where it is another one.  It is at most about 300 kB, however
 * long the history is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_SVG_H
#define CKPX_SVG_H

#include "core/picture/timeline.h"

extern void ckpx_svg_draw(const CkpxTimeline *timeline, StringInfo out);

/* Append 'text' as the content of an element or an attribute. */
extern void ckpx_svg_escape(StringInfo out, const char *text, int encoding);

#endif							/* CKPX_SVG_H */
