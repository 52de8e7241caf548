/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * One packet with its descriptors over a SOCK_SEQPACKET socket. Neither call
 * blocks, raises SIGPIPE or leaks a descriptor.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "proto/wire.h"

struct tn_packet {
	size_t bytes;              /* received; of .data */
	unsigned n_fds;
	bool cut;                  /* the packet was longer than .data */
	bool fds_cut;              /* it brought more descriptors than asked */
	int fds[TN_MSG_FDS_MAX];   /* close-on-exec; the receiver owns them */
	uint8_t data[TN_MSG_MAX];
};

/**
 * tn_packet_send() - send one packet
 * @fds, @n_fds: up to TN_MSG_FDS_MAX; they stay the caller's
 *
 * Return: 0; -EAGAIN (no room), -EPIPE, -ECONNRESET, -ETOOMANYREFS (too many
 *         descriptors of this user are in flight), -ENOMEM, -ENOBUFS.
 */
int tn_packet_send(int sock, const void *data, size_t bytes, const int *fds,
		   unsigned n_fds);

/**
 * tn_packet_recv() - receive one packet
 * @max_fds: descriptors wanted, 0 to TN_MSG_FDS_MAX; of a packet that brings
 *           more, none is kept and .fds_cut is set
 *
 * Return: 1; 0 (end of the connection, or an empty packet: SOCK_SEQPACKET does
 *         not tell which); -EAGAIN, -ECONNRESET, -ENOMEM.
 */
int tn_packet_recv(int sock, struct tn_packet *ret, unsigned max_fds);

/** tn_packet_peek() - the same without descriptors, and it stays there */
int tn_packet_peek(int sock, struct tn_packet *ret);

/** tn_packet_skip() - take the next packet away */
void tn_packet_skip(int sock);

/** tn_packet_close() - close what descriptors it still holds */
void tn_packet_close(struct tn_packet *packet);
