/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Putting a reply together. */
#include "proto/fdpass.h"

/** reply_init() - a reply without a body */
void reply_init(struct tn_packet *reply, uint16_t op, uint32_t id, int status);

/** reply_header() - of any packet that has one */
struct tn_msg reply_header(const struct tn_packet *packet);

/** reply_refuse() - make it say no, without a body. Return: 0 */
int reply_refuse(struct tn_packet *reply, int status);

/** reply_append() - some more of the body */
void reply_append(struct tn_packet *reply, const void *body, size_t bytes);

/** reply_seal() - its header tells the length and the descriptors */
void reply_seal(struct tn_packet *reply);
