/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Publish and claim: an object and a word change together.
 *
 * Three lanes of three clients (or, TWO_LANES, of two: the first two lanes
 * are threads of one; or, ONE_CLIENT, of one), two words, two tags. Lanes allocate, free, publish
 * and claim for ever, in any order, each claim with whatever it once read
 * from its word. With RESHAPE, a slab whose tags are all 0 may end and be
 * made again for objects of another size: then what starts at a place has
 * its tag elsewhere (and only two lanes claim, from one word). Each client may
 * be killed at each step of each lane; tarnd recovers it, and may be killed at
 * each of its steps and start again, or stay away for good.
 *
 *   places     0   1   2       place 1 has tag 1 in the first shape and
 *   shape 0    0   1           tag 0 in the second
 *   shape 1        0   1
 *
 * Here                   In the source
 * alloc, free            tarn_alloc(), tarn_free(): 0 to HELD and back
 * pub.1 ... pub.6        tn_hold_publish(): the record, HELD to LINK, the
 *                        word, note that it is written, LINK to POOL (or,
 *                        the word taken, to HELD), tn_lane_commit
 * claim.1 ... claim.9    tn_hold_claim(): read the word and find the tag; the
 *                        record; POOL to LINK; find again (seize()); the
 *                        word again; note it; clear the word (unlink_word());
 *                        LINK to HELD, or back to POOL; tn_lane_commit
 * rec.find ... rec.done  tn_hold_resume(), of each lane
 * rec.sweep              sweep_slot(), recover_run(): one tag (tn_tag_left())
 *
 * A store to the lane's own record is one step with the access before or
 * after it, where recovery does the same with and without it.
 *
 * The tag of an object in LINK says which client is at it, not which lane.
 * So recovery must tell from the records whose it is:
 *   the word holds the ref          the pool's: only one word ever does
 *   publish, not noted; claim, noted: and the word does not hold it
 *                                   the client's (HELD): no other lane of it
 *                                   can be at the object, as this call has
 *                                   not returned and no word names it
 *   publish, noted                  over long ago; if it is in LINK, that is
 *                                   not this lane's
 *   claim, not noted                not to be told from here
 * What is in LINK after that is the claim's that had noted nothing, perhaps
 * by way of an old ref: the sweep makes it the pool's again.
 *
 * What holds in every state:
 *   - the pool holds an object <=> one word holds its ref; free or held: none
 *     does; in LINK: one or none
 *   - a word holds the ref of nothing else
 *   - what a living client was told it holds, the tag says it holds
 *   - a tag that names a client: it lives, or is not yet recovered
 * At the end of every run nobody is stuck: nobody waits. (AWAY: nor for
 * tarnd, which is not there at all.)
 *
 * Left out: orderings weaker than sequential consistency; objects that are
 * the pool's but in no word (detach, adopt, a free of these), and free or
 * adopt of what is in a word, which is the caller's mistake; ids used again
 * and the pages touched (hand.pml); shared objects.
 *
 * RUN link
 * RUN link-shape -DRESHAPE
 * FULL link-one -DONE_CLIENT
 * FULL link-lanes -DTWO_LANES
 * RUN link-away -DAWAY
 * MUTANT 1: publish writes the word before the tag says LINK
 * MUTANT 2: claim does not look at the word again
 * MUTANT 3: claim clears the word before that is noted
 * MUTANT 4: recovery leaves LINK to the sweep, whatever the word says
 * MUTANT 5 -DTWO_LANES: a claim that noted nothing takes LINK for its own
 * MUTANT 6 -DTWO_LANES: publish does not note that the word is written
 * MUTANT 7 -DRESHAPE: claim does not find the tag again
 * MUTANT 8 -DRESHAPE: the sweep frees what is in LINK
 *
 * Mutants 6 and 8 are what pool/hold.c did before there was this model.
 *
 * States: see the table that `make model` prints.
 */
#ifndef MUTANT
#define MUTANT 0
#endif

#define FREE 0
#define HELD(c) (c)
#define LINK(c) (16 | (c))
#define POOL 112
#define FORM(t) ((t) & 112)
#define WHO(t) ((t) & 3)

#ifdef ONE_CLIENT
#define CLIENT(l) 1
#define FIRST(c) 0
#define LAST(c) 2
#elif defined(TWO_LANES)
#define CLIENT(l) ((l) < 2 -> 1 : 2)
#define FIRST(c) ((c) == 1 -> 0 : 2)
#define LAST(c) ((c) == 1 -> 1 : 2)
#else
#define CLIENT(l) ((l) + 1)
#define FIRST(c) ((c) - 1)
#define LAST(c) ((c) - 1)
#endif

byte tag[2];
byte word[2];		/* 0, or a place + 1 */
bit shape;
bool gone[4];		/* killed */
bool done[4];		/* and recovered */
byte has[4];		/* bit k: the client was told it holds tag k */

/* The lanes' records. */
#define PUBLISHES 1
#define CLAIMS 2
byte op[3];
byte op_place[3];
bit op_word[3];
bool op_noted[3];

#ifdef RESHAPE
#define claims(l) ((l) < 2)
#else
#define claims(l) true
#endif
#define up !gone[c]

/* Clients that do the same are alike: let them die in their order. */
#if defined(TWO_LANES) || defined(ONE_CLIENT)
#define may_die(c) true
#elif defined(RESHAPE)
#define may_die(c) (c != 2 || gone[1])
#else
#define may_die(c) (c == 1 || gone[c - 1])
#endif
#define found(p) ((p) >= shape && (p) - shape < 2)
#define index(p) ((p) - shape)

#define reset() o = 0; w = 0; k = 0; g = 0
#define OR_DIE :: atomic { may_die(c) -> gone[c] = true; has[c] = 0; reset(); goto dead }
#define PICK(k, cond) if :: cond(0) -> k = 0 :: cond(1) -> k = 1 fi
#define is_free(k) (tag[k] == FREE && up)
#define is_ours(k) (has[c] >> k & 1)
#define gains(k) has[c] = has[c] | (1 << k)
#define loses(k) has[c] = has[c] & ~(1 << k)

inline record(kind)
{
	op[l] = kind;
	op_place[l] = o;
	op_word[l] = w
}

inline forget(l)
{
	op[l] = 0;
	op_place[l] = 0;
	op_word[l] = 0;
	op_noted[l] = false
}

inline publish()
{
#if MUTANT == 1
	if
	:: atomic { up && word[w] == 0 -> word[w] = o + 1 }
	:: up && word[w] != 0
	OR_DIE
	fi;
#endif
	if /* pub.1, pub.2 */
	:: atomic { up -> record(PUBLISHES);
		assert(tag[k] == HELD(c)); tag[k] = LINK(c) }
	OR_DIE
	fi;
	if /* pub.3, pub.4 */
#if MUTANT == 1
	:: atomic { up && word[w] == o + 1 -> op_noted[l] = true };
#else
	:: atomic { up && word[w] == 0 -> word[w] = o + 1;
#if MUTANT != 6
		op_noted[l] = true
#endif
		};
#endif
		if /* pub.5 */
		:: atomic { up -> tag[k] = POOL }
		OR_DIE
		fi
#if MUTANT == 1
	:: up && word[w] != o + 1 ->
#else
	:: up && word[w] != 0 ->
#endif
		if
		:: atomic { up -> tag[k] = HELD(c); g = 1 }
		OR_DIE
		fi
	OR_DIE
	fi
}

/* claim.7, claim.8 */
inline unlink()
{
	if
	:: atomic { up && word[w] == o + 1 -> word[w] = 0 }
#if MUTANT == 2
	:: up && word[w] != o + 1
#endif
	OR_DIE
	fi;
#if MUTANT == 3
	if
	:: atomic { up -> op_noted[l] = true }
	OR_DIE
	fi;
#endif
	if
	:: atomic { up -> assert(found(o) && index(o) == k);
		tag[k] = HELD(c); g = 1 }
	OR_DIE
	fi
}

inline claim()
{
#ifdef RESHAPE
	if
	:: atomic { up && found(o) -> k = index(o) }
	:: up && !found(o) -> goto idle
	OR_DIE
	fi;
#else
	k = index(o);
#endif
	if /* claim.2, claim.3 */
	:: atomic { up && tag[k] == POOL -> record(CLAIMS); tag[k] = LINK(c) }
	:: up && tag[k] != POOL -> goto idle
	OR_DIE
	fi;
#if defined(RESHAPE) && MUTANT != 7
	if /* claim.4 */
	:: up && found(o) && index(o) == k
	:: up && !(found(o) && index(o) == k) -> goto back
	OR_DIE
	fi;
#endif
#if MUTANT != 2
	if /* claim.5, claim.6 */
	:: atomic { up && word[w] == o + 1 ->
#if MUTANT != 3
		op_noted[l] = true
#endif
		}
	:: up && word[w] != o + 1 -> goto back
	OR_DIE
	fi;
#endif
	unlink()
}

proctype lane(byte l)
{
	byte c, o, w, k;
	bit g;	/* what tag k names is the client's when the call returns */

	c = CLIENT(l);
idle:
	atomic { reset() };
end_idle:
	if
	OR_DIE
	/* alloc */
	:: atomic { is_free(0) -> tag[0] = HELD(c); gains(0) }
	:: atomic { is_free(1) && tag[0] != FREE -> tag[1] = HELD(c); gains(1) }
	/* free */
	:: atomic { PICK(k, is_ours); tag[k] = FREE; loses(k) }
#ifdef RESHAPE
	/* the slab ends, and another is made there */
	:: d_step { up && tag[0] == FREE && tag[1] == FREE ->
		shape = 1 - shape }
#endif
	/* publish: what, and where */
	:: atomic { PICK(k, is_ours);
		if :: w = 0 :: w = 1 fi;
		o = k + shape; loses(k) };
		publish();
		goto commit
	/* claim.1 */
	:: atomic { claims(l) && up && word[0] != 0 -> o = word[0] - 1; w = 0 };
		claim();
		goto commit
#ifndef RESHAPE /* there, one word to claim from is enough to look at */
	:: atomic { up && word[1] != 0 -> o = word[1] - 1; w = 1 };
		claim();
		goto commit
#endif
	fi;
	goto idle;
back:
	if /* claim.8, empty-handed */
	:: atomic { up -> tag[k] = POOL }
	OR_DIE
	fi;
commit:
	if /* pub.6, claim.9 */
	:: atomic { up -> forget(l); has[c] = has[c] | (g << k) }
	OR_DIE
	fi;
	goto idle;
dead:
	skip
}

#define OR_TARND_DIES :: atomic { c = 0; l = 0; k = 0; to = 0; goto again }

inline settle()
{
	if
	:: word[op_word[l]] == op_place[l] + 1 -> to = POOL
	:: else ->
		if
#if MUTANT == 4
		:: true
#elif MUTANT == 5 || MUTANT == 8
		:: op[l] == CLAIMS && !op_noted[l] -> to = POOL
#else
		:: op[l] == CLAIMS && !op_noted[l]
#endif
#if MUTANT != 6
		:: op[l] == PUBLISHES && op_noted[l]
#endif
		:: else -> to = HELD(c)
		fi
	fi
}

inline resume_lane()
{
	if /* rec.find */
	:: atomic { found(op_place[l]) -> k = index(op_place[l]) };
		if /* rec.word */
		:: atomic { settle() }
		OR_TARND_DIES
		fi;
		if /* rec.tag */
		:: d_step { to != 0 && tag[k] == LINK(c) -> tag[k] = to }
		:: !(to != 0 && tag[k] == LINK(c))
		OR_TARND_DIES
		fi
	:: !found(op_place[l])
	OR_TARND_DIES
	fi;
	if /* rec.done */
	:: atomic { to = 0; k = 0; forget(l) }
	OR_TARND_DIES
	fi
}

inline sweep(n)
{
	if /* rec.sweep */
	:: d_step { FORM(tag[n]) != POOL && WHO(tag[n]) == c ->
		if
#if MUTANT != 8
		:: FORM(tag[n]) == 16 -> tag[n] = POOL
#endif
		:: else -> tag[n] = FREE
		fi }
	:: FORM(tag[n]) == POOL || WHO(tag[n]) != c
	OR_TARND_DIES
	fi
}

proctype tarnd()
{
	byte c, l, k, to;

again:
end_idle:
	do
	:: atomic { if
		:: gone[1] && !done[1] -> c = 1
		:: gone[2] && !done[2] -> c = 2
		:: gone[3] && !done[3] -> c = 3
		fi;
		l = FIRST(c) };
		do
		:: op[l] -> resume_lane()
		:: !op[l] && l < LAST(c) -> l++
		:: !op[l] && l == LAST(c) -> break
		od;
		sweep(0);
		sweep(1);
		if
		:: atomic { done[c] = true; c = 0; l = 0 }
		OR_TARND_DIES
		fi
	od
}

#define in_words(o) ((word[0] == o + 1) + (word[1] == o + 1))
#define tied(t, o) ( \
	t == POOL -> in_words(o) == 1 : \
	(t == FREE || FORM(t) == 0 -> in_words(o) == 0 : \
	 in_words(o) <= 1))
#define not_lost(t) (t == FREE || t == POOL || !done[WHO(t)])
#define told(c, k) (!(has[c] >> k & 1) || tag[k] == HELD(c))
#define right(k) (tied(tag[k], k + shape) && not_lost(tag[k]) && \
	told(1, k) && told(2, k) && told(3, k))
#define a_ref(r) (r == 0 || found(r - 1))

proctype monitor()
{
end:	d_step { !(right(0) && right(1) && a_ref(word[0]) && a_ref(word[1])) ->
		assert(false) }
}

init
{
	atomic {
		run lane(0); run lane(1); run lane(2);
#ifndef AWAY
		run tarnd();
#endif
		run monitor()
	}
}
