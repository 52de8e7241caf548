/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is there: a client whose slot says so, and whose control file, if the
 * caller has it, is that of one who still counts. DEAD in the slot means
 * that its recovery is at work, until when what names the client stays.
 */
#include "audit/look.h"

int tn_audit_control(const struct tn_audit *a, uint32_t client)
{
	unsigned c = a->control_of[TN_CLIENT_SLOT(client)];

	return c && a->in.controls[c - 1].client == client ? (int)c - 1 : -1;
}

static bool known_gone(const struct tn_audit *a, uint32_t client)
{
	for (unsigned c = 0; c < a->in.n_controls; c++)
		if (a->in.controls[c].client == client)
			return !a->in.controls[c].alive;
	return false;
}

bool tn_audit_attached(const struct tn_audit *a, uint32_t client)
{
	uint64_t state = tn_look_client(a, TN_CLIENT_SLOT(client));
	bool here = tn_audit_control(a, client) >= 0;

	if (!client || (uint32_t)state != client)
		return false;
	if (state == (TN_CLIENT_DEAD | client) && a->in.quiescent)
		return here;
	return here || !known_gone(a, client);
}

bool tn_audit_recovering(const struct tn_audit *a)
{
	for (unsigned slot = 1; slot < TN_DAEMON_SLOT; slot++)
		if (tn_look_client(a, slot) >> 32 == TN_CLIENT_DEAD >> 32)
			return true;
	return false;
}

static bool unseen(const struct tn_audit *a)
{
	for (unsigned slot = 1; slot < TN_N_CLIENTS; slot++) {
		uint64_t state = tn_look_client(a, slot);

		if (state && tn_audit_control(a, (uint32_t)state) < 0 &&
		    tn_audit_attached(a, (uint32_t)state))
			return true;
	}
	return !a->in.quiescent &&
	       tn_audit_control(a, TN_DAEMON_SLOT) < 0;
}

bool tn_audit_unseen(struct tn_audit *a)
{
	if (a->unseen < 0)
		a->unseen = unseen(a);
	return a->unseen;
}

bool tn_audit_touched(const struct tn_audit *a, uint32_t client, uint64_t page)
{
	uint64_t slot = TN_CLIENT_SLOT(client), area = page / TN_AREA_PAGES;
	uint64_t areas = a->geo.at[TN_AUDIT_AT_TOUCHED_AREAS] +
			 (slot * a->geo.area_words + area / 64) * 8;
	uint64_t pages = a->geo.at[TN_AUDIT_AT_TOUCHED_PAGES] +
			 (slot * a->geo.n_areas + area) * 64;

	return tn_look64(a, areas) >> area % 64 & 1 &&
	       tn_look64(a, pages + page % 512 / 64 * 8) >> page % 64 & 1;
}
