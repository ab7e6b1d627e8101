/*-------------------------------------------------------------------------
 *
 * c_api.h
 *		The table of functions that ckpx.h offers to other extensions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_C_API_H
#define CKPX_C_API_H

/* Make the table known; called once, from _PG_init(). */
extern void ckpx_c_api_publish(void);

#endif							/* CKPX_C_API_H */
