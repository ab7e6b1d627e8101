/*-------------------------------------------------------------------------
 *
 * text.h
 *		The history as lines of text, in ASCII but for names.
 *
 * 'width' is the most that a line takes on a terminal; a name or a word that
 * is longer gets a line of its own, and is cut off there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_TEXT_H
#define CKPX_TEXT_H

#include "core/picture/timeline.h"

#define CKPX_TEXT_MIN_WIDTH		40
#define CKPX_TEXT_MAX_WIDTH		1000

/* Append the picture, lines that end in '\n'. */
extern void ckpx_text_draw(const CkpxTimeline *timeline, int width,
						   StringInfo out);

/*
 * Append 'text' in lines of at most 'width', broken at spaces, further lines
 * of a paragraph set in by 'indent'.  Control characters become '?'.
 */
extern void ckpx_text_wrap(StringInfo out, const char *text, int width,
						   int indent, int encoding);

#endif							/* CKPX_TEXT_H */
