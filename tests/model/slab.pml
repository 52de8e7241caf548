/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slots: claimed under a lease, returned without one, swept after a death.
 *
 * Clients and tarnd; one place for a slab, which has two slots. Clients claim
 * slots, return one or both, end the slab when it is empty, and make it anew,
 * for ever, in any order. tarnd recovers the dead, may be killed at each of its
 * steps and start again.
 *
 *   (plain)  three clients: two that claim a slot at a time and return it or
 *            pass it to the third, which only returns; nobody sets, clears or
 *            reads the hint; one of them is killed, at any step
 *   HINTS    two clients, which claim one or two slots and drop hints that
 *            look stale; both may be killed, each at any step
 *
 * Here                   In the source (pool/slab.c, sweep.c, slabhint.c)
 * lease                  lease()
 * unlease                tn_lease_end()
 * claim                  tn_slab_claim(), claim_leased(), claim_slots(): one
 *                        look at the tags, then a plain store for each slot
 * make                   make_slab(): pages claimed, page word, slab word, op
 * give_back              tn_slab_return(): a plain store for each slot; then
 *                        count_returned()
 * end_if_empty           tn_slab_end_if_empty(), count_free()
 * end_slab               tn_lease_end_slab(), tn_run_drop(): hint, op, wiped
 *                        from the slab word on, released
 * drop_stale             drop_stale()
 * resume                 tn_run_resume(), of a dead lane and of tarnd's own
 * sweep                  recover_page(), tn_slab_sweep(), lease_for_sweep(),
 *                        sweep_slot(), open_counted(); "later" is to go and
 *                        look at another of the dead first
 *
 * A free by another than who allocated is no case of its own in tarn: the slot
 * goes into the magazine of who frees. What others may be at in the meantime is
 * its return, to a slab that somebody else has leased, or ended, or made anew.
 *
 * Each access to the slab word, a tag, the page word or the hint is a step.
 * A tag names who has the slot; KEPT in a magazine or HELD is one to a slab.
 *
 * What holds in every state:
 *   - a slot is claimed only when it is free, and returned only by who has
 *     it (asserted where it is stored)
 *   - a tag, a lease or an op names a client that lives or is not yet
 *     recovered, or tarnd
 *   - a slab that is open: its count, and what clients have cleared and not
 *     yet added, is no less than the tags that are 0
 *   - pages that are free have all words and tags 0; pages that are claimed
 *     are a slab's, or an op names them
 * and in every state in which nobody has anything under way:
 *   - no slab is leased, and none is empty: who made it so has ended it
 *   - a slab with a count has its hint
 * At the end of every run nobody is stuck: nobody waits.
 *
 * Left out: orderings weaker than sequential consistency; the step by which
 * the pages are claimed and released (step.pml); pages touched (hand.pml);
 * a slab that is kept although it is empty (the cursor); other classes; the
 * class's hint above the page's; shared objects.
 *
 * RUN slab
 * RUN slab-hints -DHINTS
 * RUN slab-away -DAWAY
 * MUTANT 1: the count is raised before the tag is 0
 * MUTANT 2: the sweep does not count anew
 * MUTANT 3: the sweep forgets what was added while it looked
 * MUTANT 4: the lessee does not look again when the last slot came back
 * MUTANT 5: a return adds to the word of a slab that is gone
 * MUTANT 6: a slab ends because its count says so, its tags not looked at
 * MUTANT 7: a new tarnd does not end what the last one had under way
 * MUTANT 8 -DHINTS: a stale hint is dropped without a second look
 *
 * States: see the table that `make model` prints.
 */
#ifndef MUTANT
#define MUTANT 0
#endif

#define OPEN 1
#define LEASED 2
#define STATE(w) ((w) & 3)
#define LESSEE(w) ((w) >> 2 & 7)
#define COUNT(w) ((w) >> 5)
#define WORD(state, who, count) ((state) | (who) << 2 | (count) << 5)
#define TARND 4
#define SLOTS 2

byte tag[SLOTS];
byte word;		/* the slab word */
bit page_word;		/* says: a slab */
bit claimed;		/* the row's bit */
bit hint;
bool op[5];		/* the pages are in this one's hands */
bool gone[5];		/* killed */
bool done[5];		/* and recovered */
bool busy[5];		/* something is under way */
byte cleared[5];	/* slots whose tag is 0 and that are not yet added */

#ifdef HINTS
#define PICK_WANT if :: k = 1 :: k = 2 fi
#define CONSUMES(c) false
#else
#define PICK_WANT k = 1
#define CONSUMES(c) ((c) == 3)
#endif

#define reset() w = 0; n = 0; f = 0; k = 0; was = 0
/* Clients 1 and 2 are alike: of these, 1 dies first. */
#ifdef HINTS
#define may_die (me != 2 || gone[1])
#else
#define may_die (me == TARND || (me != 2 && gone[1] + gone[3] == 0))
#endif
#define OR_DIE :: atomic { may_die -> gone[me] = (me != TARND); \
	busy[me] = (me == TARND); reset(); goto died }

/* w is the word then; n != 0: it is ours */
inline lease()
{
	if :: w = word OR_DIE fi;
	if
	:: atomic { word == w && STATE(w) == OPEN && COUNT(w) > 0 ->
		w = WORD(LEASED, me, COUNT(w)); word = w; n = 1 }
	:: atomic { word != w || STATE(w) != OPEN || COUNT(w) == 0 ->
		n = 0; w = 0 }
	OR_DIE
	fi
}

/* n is the count then. A loop of compare-and-swap is one step where nothing
 * else happens in it. */
inline unlease(taken, extra)
{
#ifdef HINTS
	if :: w = word OR_DIE fi;
	do
	:: true ->
		if
		:: atomic { COUNT(w) + extra == taken -> hint = 0 }
		:: COUNT(w) + extra != taken
		OR_DIE
		fi;
		if
		:: atomic { word == w ->
			n = COUNT(w) + extra - taken; assert(n < 7);
			word = WORD(OPEN, 0, n); w = 0; break }
		:: atomic { word != w -> w = word }
		OR_DIE
		fi
	od;
	if
	:: atomic { n > 0 -> hint = 1 }
	:: n == 0
	OR_DIE
	fi
#else
	if
	:: atomic { n = COUNT(word) + extra - taken; assert(n < 7);
		word = WORD(OPEN, 0, n); w = 0 }
	OR_DIE
	fi
#endif
}

inline end_slab()
{
#ifdef HINTS
	if :: hint = 0 OR_DIE fi;
#endif
	if :: atomic { op[me] = true; reset() } OR_DIE fi;
	if :: word = 0 OR_DIE fi;
	if :: atomic { page_word = 0; claimed = 0; op[me] = false } OR_DIE fi
}

inline end_if_empty()
{
	do
	:: true ->
		lease();
		if
		:: n == 0 -> break
		:: n != 0 && COUNT(w) < SLOTS -> f = COUNT(w)
		:: n != 0 && COUNT(w) >= SLOTS ->
#if MUTANT == 6
			f = SLOTS
#else
			if :: f = (tag[0] == 0) OR_DIE fi;
			if :: f = f + (tag[1] == 0) OR_DIE fi
#endif
		fi;
		if
		:: f == SLOTS -> end_slab(); break
		:: f < SLOTS ->
			atomic { f = COUNT(w) - f; w = 0 };
			unlease(f, 0);
			f = 0
		fi;
#if MUTANT == 4
		break
#else
		if
		:: n < SLOTS -> break
		:: n >= SLOTS
		fi
#endif
	od
}

/* Pages claimed, and a slab made of them, leased. */
inline make()
{
	if :: atomic { w = WORD(LEASED, me, SLOTS); word = w } OR_DIE fi;
	if :: op[me] = false OR_DIE fi
}

inline store(i)
{
	if
	:: atomic { f >> i & 1 -> assert(tag[i] == 0); tag[i] = me }
	:: !(f >> i & 1)
	OR_DIE
	fi
}

/* Of a leased slab, up to k; f is which, n how many in the end. */
inline claim_leased()
{
	if :: atomic {
		was = COUNT(w);
		w = 0;
		if
		:: k > was -> k = was
		:: else
		fi;
		f = (tag[0] == 0 && k > 0);
		n = f + (tag[1] == 0 && k > f);
		f = f + 2 * (n > f);
		/* was becomes what is to be taken off the count */
		if
		:: n == k -> was = n
		:: else
		fi;
		n = 0 }
	OR_DIE
	fi;
	store(0);
	store(1);
	unlease(was, 0);
	atomic { n = 0; was = 0 }
}

inline claim()
{
	lease();
	if
	:: n == 0 ->
		if
		:: atomic { !claimed -> claimed = 1; op[me] = true;
			page_word = 1 };
			make();
			claim_leased()
		:: claimed -> f = 1 /* no luck; elsewhere, perhaps */
		OR_DIE
		fi
	:: n != 0 -> claim_leased()
	fi
}

/* What is to be done: n, set the hint; f, see whether the slab is empty. */
inline after()
{
	n = (STATE(w) == OPEN && COUNT(w) == 0);
	f = (STATE(w) == OPEN && COUNT(w) + k >= SLOTS);
	k = 0;
	w = 0
}

#if MUTANT == 5
#define skip_add(w) false
#else
#define skip_add(w) (STATE(w) == 0)
#endif

/* k slots have been cleared. */
inline count_returned()
{
#if MUTANT != 1
#ifdef HINTS
	if :: atomic { w = word; f = 0 } OR_DIE fi;
	do
	:: atomic { skip_add(w) -> cleared[me] = 0; after(); break }
	:: !skip_add(w) ->
		if
		:: atomic { word == w -> assert(COUNT(w) + k < 7);
			word = w + (k << 5); cleared[me] = 0; after(); break }
		:: atomic { word != w -> w = word }
		OR_DIE
		fi
	od;
#else
	if
	:: atomic { skip_add(word) -> w = word; cleared[me] = 0; after() }
	:: atomic { !skip_add(word) -> w = word; assert(COUNT(w) + k < 7);
		word = w + (k << 5); cleared[me] = 0; after() }
	OR_DIE
	fi;
#endif
#endif
#ifdef HINTS
	if
	:: atomic { n != 0 -> hint = 1; n = 0 }
	:: n == 0
	OR_DIE
	fi;
#endif
	if
	:: f != 0 -> f = 0; end_if_empty()
	:: f == 0
	fi
}

inline clear(i)
{
	if
	:: atomic { f >> i & 1 -> assert(tag[i] == me); tag[i] = 0;
		cleared[me]++; k++ }
	:: !(f >> i & 1)
	OR_DIE
	fi
}

inline give_back()
{
#if MUTANT == 1
	if
	:: atomic { STATE(word) != 0 -> w = word;
		word = w + ((1 + (f == 3)) << 5) }
	OR_DIE
	fi;
#endif
	clear(0);
	clear(1);
#if MUTANT == 1
	atomic { cleared[me] = 0; after() };
#endif
	count_returned()
}

inline drop_stale()
{
	if
	:: STATE(word) == LEASED || (STATE(word) == OPEN && COUNT(word) > 0)
	:: !(STATE(word) == LEASED || (STATE(word) == OPEN && COUNT(word) > 0))
		->
		if :: hint = 0 OR_DIE fi;
#if MUTANT != 8
		if
		:: atomic { STATE(word) == OPEN && COUNT(word) > 0 -> n = 1 }
		:: !(STATE(word) == OPEN && COUNT(word) > 0)
		OR_DIE
		fi;
		if
		:: atomic { n == 1 -> hint = 1 }
		:: n == 0
		OR_DIE
		fi
#endif
	OR_DIE
	fi
}

proctype client(byte me)
{
	byte w, n, f, k, was;

idle:
	atomic { reset(); busy[me] = false };
end_idle:
	if
	OR_DIE
	:: atomic { !CONSUMES(me) -> busy[me] = true;
		PICK_WANT };
		do
		:: f == 0 -> claim()
		:: f != 0 -> break
		od
	/* give and take, in one */
	:: atomic { !CONSUMES(me) && tag[0] == me && CONSUMES(3) && !gone[3] ->
		tag[0] = 3 }
	:: atomic { !CONSUMES(me) && tag[1] == me && CONSUMES(3) && !gone[3] ->
		tag[1] = 3 }
	:: atomic { tag[0] == me -> busy[me] = true; f = 1;
		if
		:: tag[1] == me -> f = 3
		:: true
		fi };
		give_back()
	:: atomic { tag[1] == me -> busy[me] = true; f = 2 };
		give_back()
#ifdef HINTS
	:: atomic { hint -> busy[me] = true };
		drop_stale()
#endif
	fi;
	goto idle;
died:
	skip
}

inline resume(c)
{
	if
	:: op[c] ->
		if :: word = 0 OR_DIE fi;
		if :: atomic { page_word = 0; claimed = 0; op[c] = false }
		OR_DIE
		fi
	:: !op[c]
	OR_DIE
	fi
}

#define in_the_way(w) \
	(STATE(w) == LEASED && LESSEE(w) != c && LESSEE(w) != TARND)

inline sweep_slot(i)
{
	if
	:: atomic { tag[i] == c -> tag[i] = 0; f++ }
	:: atomic { tag[i] == 0 -> f++ }
	:: tag[i] != c && tag[i] != 0
	OR_DIE
	fi
}

inline sweep()
{
	if
	/* being made or ended by another, or gone */
	:: STATE(word) == 0 -> goto swept
	:: atomic { in_the_way(word) ->
		/* whose it is lives, or is yet to be recovered */
		assert(!done[LESSEE(word)]);
		goto later }
	:: atomic { STATE(word) != 0 && !in_the_way(word) ->
		was = COUNT(word);
		word = WORD(LEASED, TARND, was);
		assert(page_word) }
	OR_DIE
	fi;
	sweep_slot(0);
	sweep_slot(1);
	if
	:: f == SLOTS -> end_slab()
	:: f < SLOTS ->
#if MUTANT == 2
		unlease(0, 0);
#else
		if
		:: atomic {
#if MUTANT != 3
			f = f + COUNT(word) - was;
#endif
			was = COUNT(word); w = 0;
			if
			:: f > SLOTS -> f = SLOTS
			:: else
			fi }
		OR_DIE
		fi;
		unlease(was, f);
		atomic { f = 0; was = 0 };
#endif
		if
		:: n >= SLOTS -> end_if_empty()
		:: n < SLOTS
		fi
	fi
}

proctype tarnd()
{
	byte me = TARND;
	byte c, w, n, f, k, was;

died:
#if MUTANT != 7
	resume(TARND);
#endif
later:
	atomic { c = 0; reset(); busy[me] = false };
end_idle:
	atomic { if
		:: gone[1] && !done[1] -> c = 1
		:: gone[2] && !done[2] -> c = 2
		:: gone[3] && !done[3] -> c = 3
		fi;
		busy[me] = true };
	resume(c);
	if
	:: page_word -> sweep()
	:: !page_word
	OR_DIE
	fi;
swept:
	if :: atomic { done[c] = true; cleared[c] = 0 } OR_DIE fi;
	goto later
}

#define zeros ((tag[0] == 0) + (tag[1] == 0))
#define not_lost(t) (t == 0 || !done[t])
#define counted (STATE(word) != OPEN || \
	COUNT(word) + cleared[1] + cleared[2] + cleared[3] >= zeros)
#define pages_right (claimed -> \
	(page_word && STATE(word) != 0) || op[1] || op[2] || op[3] || op[4] : \
	!page_word && word == 0 && zeros == 2)
#define quiet(c) (!busy[c] && gone[c] == done[c])
#define all_quiet (quiet(1) && quiet(2) && quiet(3) && !busy[TARND])
#ifdef HINTS
#define a_hint (hint || COUNT(word) == 0)
#else
#define a_hint true
#endif
#define at_rest (!op[TARND] && (STATE(word) == 0 || \
	(STATE(word) == OPEN && zeros < 2 && a_hint)))

proctype monitor()
{
end:	d_step { !(not_lost(tag[0]) && not_lost(tag[1]) &&
		not_lost(LESSEE(word)) && counted && pages_right &&
		(!all_quiet || at_rest)) ->
		assert(false) }
}

init
{
	atomic {
		run client(1); run client(2);
#ifndef HINTS
		run client(3);
#endif
#ifndef AWAY
		run tarnd();
#endif
		run monitor()
	}
}
