/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Give and take, whoever dies when.
 *
 * Three client slots and tarnd; one slab page with two objects. Clients
 * allocate, free, give, take, detach and adopt for ever, in any order. Each
 * may be killed at each step, and each slot be taken again by a client with
 * the slot's next id. tarnd recovers the dead, may be killed at each of its
 * steps and start again, or stay away for good.
 *
 * Here                   In the source
 * alloc                  claim_slots() and tarn_alloc(): 0 to HELD
 * free                   tn_object_release(); tn_slab_return()
 * give.1 ... give.8      tn_hold_give_found(): alive, tn_touch, the record and
 *                        tn_lane_begin, a look at the tag, a plain store to
 *                        it, alive, change back, tn_lane_commit
 * take                   tn_hold_take(), with tn_hold_adopt() after it
 * detach, adopt          tn_hold_detach(), tn_hold_adopt()
 * rec.mark               tn_recover_begin()
 * rec.alive, rec.back    resume_give(); then tn_lane_commit()
 * rec.look, rec.clear    tn_slab_sweep(), one tag; recover_run()
 * rec.forget             recover_area(): the touched bit
 * rec.done               the slot is free again (daemon/attachment.c)
 *
 * Each label is one step: one access to shared memory, with private work
 * before or after it. The record of a lane is private until its death, so
 * all of it is one step.
 *
 * What holds in every state (the monitor at the end):
 *   - a living client believes that it holds an object (the calls it made
 *     said so) if and only if the tag is HELD by it: one holder, no double
 *   - a tag that names a client names one that lives or is not yet
 *     recovered; or it is GIVEN, and a give that is under way, of a client
 *     that lives or is not yet recovered, names the object: nothing is lost
 * At the end of every run nobody is stuck, dead or absent as others may be:
 * nobody waits.
 *
 * Left out: orderings weaker than sequential consistency; leases and counts
 * (slab.pml); the LINK on the way to adopt, and what the ref of a record may
 * name by then (link.pml); two threads of one client that give the same
 * object; an id that comes round a second time.
 *
 * RUN hand -DBIRTHS=0
 * RUN hand-ids -DOBJS=1
 * RUN hand-away -DAWAY -DBIRTHS=0
 * MUTANT 1 -DOBJS=1: give does not look at the receiver a second time
 * MUTANT 2 -DOBJS=1: tarnd marks the dead only after the sweep
 * MUTANT 3 -DOBJS=1: recovery does not look at gives under way
 * MUTANT 4 -DOBJS=1: a slot's next client has the same id
 * MUTANT 5 -DOBJS=1: the receiver's page is touched after the tag is stored
 * MUTANT 6 -DOBJS=1: the sweep clears a tag by a plain store, whatever it is by then
 * MUTANT 7 -DOBJS=1: give says "still ours" when the object could not be had back
 *
 * States: see the table that `make model` prints.
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef BIRTHS
#define BIRTHS 1	/* of clients in slots that had one before */
#endif

#ifndef OBJS
#define OBJS 2
#endif
#define SLOT(c) ((c) & 3)
#define FREE 0
#define HELD(c) (c)
#define KEPT(c) (16 | (c))
#define GIVEN(c) (32 | (c))
#define POOL 112
#define FORM(t) ((t) & 112)
#define WHO(t) ((t) & 7)

#define ALIVE 1
#define DEAD 2

byte tag[OBJS];
byte state[4];		/* of a slot: 0, ALIVE, DEAD */
byte id[4];		/* with the slot's number in the low two bits */
bool touched[4];
bool gone[4];		/* killed */
bool op[4];		/* the record: a give ... */
byte op_obj[4];		/* ... of this */
byte op_to[4];		/* ... to this */

byte births;

/* What the clients were told: bit o, o is held; and what one is freeing. */
byte has[4];
byte frees[4];

#define alive(c) (state[SLOT(c)] == ALIVE && id[SLOT(c)] == (c))
#define known(c) (state[SLOT(c)] != 0 && id[SLOT(c)] == (c))

/* The slots are alike: let them lose their first clients in their order. */
#define may_die(s) (s == 1 || gone[s - 1] || (id[s - 1] & 4))

/* Killed instead of the step that it stands beside. */
#define OR_DIE :: atomic { may_die(s) -> gone[s] = true; \
	has[s] = 0; frees[s] = 0; me = 0; o = 0; to = 0; goto absent }
#define OR_TARND_DIES :: atomic { s = 0; o = 0; t = 0; goto again }

#if OBJS == 2
#define PICK(o, cond) if :: cond(0) -> o = 0 :: cond(1) -> o = 1 fi
#else
#define PICK(o, cond) if :: cond(0) -> o = 0 fi
#endif
#define is_free(o) (tag[o] == FREE)
#define is_pool(o) (tag[o] == POOL)
#define is_ours(o) (has[s] >> o & 1)
#define is_given(o) (tag[o] == GIVEN(me))

#define gains(o) has[s] = has[s] | (1 << o)
#define loses(o) has[s] = has[s] & ~(1 << o)

/* give.7: the object is still ours, or it is gone with the receiver */
inline give_back()
{
	if
	:: d_step { tag[o] == GIVEN(to) -> tag[o] = HELD(me); gains(o) }
#if MUTANT == 7
	:: d_step { tag[o] != GIVEN(to) -> gains(o) }
#else
	:: tag[o] != GIVEN(to)
#endif
	OR_DIE
	fi
}

inline give()
{
	if /* give.1 */
	:: !alive(to) -> goto idle
	:: alive(to)
	OR_DIE
	fi;
#if MUTANT != 5
	if :: touched[SLOT(to)] = true OR_DIE fi; /* give.2 */
#endif
	if /* give.3 */
	:: d_step { op[s] = true; op_obj[s] = o; op_to[s] = to }
	OR_DIE
	fi;
	if /* give.4 */
	:: tag[o] != HELD(me) -> assert(false)
	:: tag[o] == HELD(me)
	OR_DIE
	fi;
	if /* give.5 */
	:: d_step { tag[o] = GIVEN(to); loses(o) }
	OR_DIE
	fi;
#if MUTANT == 5
	if :: touched[SLOT(to)] = true OR_DIE fi;
#endif
#if MUTANT != 1
	if /* give.6 */
	:: alive(to)
	:: !alive(to) -> give_back()
	OR_DIE
	fi;
#endif
	if /* give.8 */
	:: d_step { op[s] = false; op_obj[s] = 0; op_to[s] = 0 }
	OR_DIE
	fi
}

proctype client(byte s)
{
	byte me, o, to;

absent:
end_absent:
	atomic { !gone[s] -> me = id[s] };
idle:
	atomic { o = 0; to = 0 };
end_idle:
	if
	OR_DIE
	/* alloc */
	:: atomic { PICK(o, is_free); touched[s] = true; tag[o] = HELD(me);
		gains(o) }
	/* free */
	:: atomic { PICK(o, is_ours); tag[o] = KEPT(me); loses(o);
		frees[s] = frees[s] | (1 << o) };
		if
		:: d_step { tag[o] = FREE; frees[s] = 0 }
		OR_DIE
		fi
	/* detach */
	:: atomic { PICK(o, is_ours); tag[o] = POOL; loses(o) }
	/* take, which goes on to adopt */
	:: atomic { PICK(o, is_given); tag[o] = HELD(me); gains(o) }
	:: atomic { PICK(o, is_pool); touched[s] = true; tag[o] = HELD(me);
		gains(o) }
	/* give: which, and to whom */
	:: atomic { PICK(o, is_ours);
		if
		:: to = id[(s % 3) + 1]
		:: to = id[((s + 1) % 3) + 1]
		fi };
		give()
	fi;
	goto idle
}

inline resume_give()
{
	if /* rec.alive */
	:: alive(op_to[s])
	:: !alive(op_to[s]) ->
		if /* rec.back */
		:: d_step { tag[op_obj[s]] == GIVEN(op_to[s]) ->
			tag[op_obj[s]] = HELD(id[s]) }
		:: tag[op_obj[s]] != GIVEN(op_to[s])
		OR_TARND_DIES
		fi
	OR_TARND_DIES
	fi
}

#define orphan(t) (FORM(t) != POOL && WHO(t) == id[s])

inline sweep()
{
	do
	:: o < OBJS ->
		if :: t = tag[o] OR_TARND_DIES fi; /* rec.look */
		do /* rec.clear */
		:: !orphan(t) -> break
#if MUTANT == 6
		:: orphan(t) -> tag[o] = FREE; break
#else
		:: d_step { orphan(t) && tag[o] == t -> tag[o] = FREE }; break
		:: d_step { orphan(t) && tag[o] != t -> t = tag[o] }
#endif
		OR_TARND_DIES
		od;
		atomic { t = 0; o++ }
	:: o == OBJS -> break
	od;
	if :: atomic { touched[s] = false; o = 0 } /* rec.forget */
	OR_TARND_DIES
	fi
}

inline recover()
{
#if MUTANT != 2
	if :: state[s] = DEAD OR_TARND_DIES fi; /* rec.mark */
#endif
	if
	:: !op[s]
	:: op[s] ->
#if MUTANT != 3
		resume_give();
#endif
		if
		:: d_step { op[s] = false; op_obj[s] = 0; op_to[s] = 0 }
		OR_TARND_DIES
		fi
	fi;
	if
	:: !touched[s]
	:: touched[s] -> sweep()
	fi;
#if MUTANT == 2
	if :: state[s] = DEAD OR_TARND_DIES fi;
#endif
	if :: atomic { state[s] = 0; s = 0 } /* rec.done */
	OR_TARND_DIES
	fi
}

inline attach(s)
{
	d_step { births < BIRTHS && gone[s] && state[s] == 0 ->
		births++;
#if MUTANT != 4
		id[s] = id[s] ^ 4;
#endif
		state[s] = ALIVE; gone[s] = false }
}

proctype tarnd()
{
	byte s, o, t;

again:
end_idle:
	do
	:: atomic { if
		:: gone[1] && state[1] -> s = 1
		:: gone[2] && state[2] -> s = 2
		:: gone[3] && state[3] -> s = 3
		fi };
		recover()
	:: attach(1)
	:: attach(2)
	:: attach(3)
	od
}

#define gives(s, o, c) (op[s] && state[s] && op_obj[s] == o && op_to[s] == c)
#define under_way(o, c) (gives(1, o, c) || gives(2, o, c) || gives(3, o, c))
#define no_holder(t) (t == FREE || t == POOL)
#define kept_safe(o) (no_holder(tag[o]) || known(WHO(tag[o])) || \
	(FORM(tag[o]) == 32 && under_way(o, WHO(tag[o]))))
#define believes(s, o) (gone[s] || \
	((has[s] >> o & 1) == (tag[o] == HELD(id[s])) && \
	 (frees[s] >> o & 1) == (tag[o] == KEPT(id[s]))))
#define right(o) (kept_safe(o) && believes(1, o) && believes(2, o) && \
	believes(3, o))

proctype monitor()
{
end:	d_step { !(right(0) && right(OBJS - 1)) -> assert(false) }
}

init
{
	atomic {
		id[1] = 1; id[2] = 2; id[3] = 3;
		state[1] = ALIVE; state[2] = ALIVE; state[3] = ALIVE;
		run client(1); run client(2); run client(3);
#ifndef AWAY
		run tarnd();
#endif
		run monitor()
	}
}
