/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/**
 * tn_odd_fd() - a descriptor of any kind there is, in place of another
 * @like: what it may resemble, most if it is a memfd: then one thing of it, or
 *        more, is not as it was
 * @kind, @how: any number decides
 *
 * Return: it is the caller's; -1: there is none.
 */
int tn_odd_fd(int like, unsigned kind, unsigned how);
