/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* The listening socket, if none was passed in. */

/**
 * listener_open() - bind and listen
 * @path: what is left there by a dead tarnd is replaced; the directory that
 *        it is in is made if it is missing
 * @private: for this user alone
 *
 * Return: the socket, non-blocking; -EADDRINUSE: a living one is there;
 *         -errno. Logged.
 */
int listener_open(const char *path, int private);

/** listener_refuse_rights() - have the kernel refuse descriptors that clients
 *  send, where it can (Linux 6.16); elsewhere they are seen, and dropped */
void listener_refuse_rights(int fd);
