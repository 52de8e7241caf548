/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs over two rows, taken and given back row by row, each row by a step
 * that can be told afterwards to have happened or not.
 *
 * Two rows of two bits. Lanes of three clients, each of which takes a run,
 * makes it a run or slab, gives it back, and so on, until it has begun
 * ROUNDS times; and may be killed at each step. Its run is one bit wide, in
 * both rows or in one: so two lanes may want the same bits, and one turns
 * round half-way up; or they change different bits of the same row, and one
 * overwrites the other's stamp. tarnd recovers the dead; it may be killed at
 * each of its steps, KILLS times, and starts again. What a dead client had
 * made, tarnd gives back in a lane of its own. The slot is taken by a new
 * client then, whose rounds go on, and whose steps are numbered from where
 * the last one's stopped.
 *
 *   (plain)  three clients, one of which is killed, at any step; tarnd is not
 *   PAIR     two of them (1 and 3); both may be killed, and tarnd twice; or,
 *            with two rounds each, one client, and tarnd is not
 *   AWAY     three, two of which may be killed; there is no tarnd
 *
 * Here                   In the source
 * fresh                  tn_lane_fresh()
 * row step               tn_step_begin() (number, stamp read, map read),
 *                        tn_step_try() (put_down(): done read, done changed;
 *                        the 16-byte compare-and-swap)
 * take, release          tn_run_take_at(), release_rows(); claim_row() and
 *                        release_row() in pool/row.c
 * made                   tn_run_alloc(), make_slab(): word and op in one step
 * drop                   tn_run_drop(), wipe()
 * resume                 tn_run_resume(), tn_step_was_done() (stamp, done)
 * numbers                recover_number(), tn_lane_end(), tn_lane_start()
 *
 * What holds:
 *   - a bit is claimed when it is clear, and released by who has it
 *     (asserted at the compare-and-swap)
 *   - tn_step_was_done() tells the truth (asserted)
 *   - done only grows, and is never past a step that is being asked about
 *   - in every state: a bit is set <=> somebody has it; he has made a run of
 *     it, or has it in his op; the word of a page that is free is 0
 *   - a client that is recovered has nothing
 * At the end of every run nobody is stuck: nobody waits.
 *
 * Left out: orderings weaker than sequential consistency; the search for a
 * hole (pool/fit.c) and its hints; areas; more than one lane of a client;
 * share records, which are changed by the same steps.
 *
 * RUN step -DDEATHS=1 -DKILLS=0
 * RUN step-pair -DPAIR -DTORN -DDEATHS=2 -DKILLS=2
 * RUN step-again -DPAIR -DROUNDS=2 -DDEATHS=1 -DKILLS=0
 * RUN step-away -DAWAY -DDEATHS=2 -DKILLS=0
 * MUTANT 1: nobody puts a stamp down
 * MUTANT 2: the stamp is put down after the swap
 * MUTANT 3: recovery looks at the stamp alone
 * MUTANT 4: take and drop begin with the number of the last step
 * MUTANT 5 -DPAIR -DROUNDS=2 -DDEATHS=2 -DKILLS=0: a slot's next client numbers from 0
 * MUTANT 6: recovery takes a row on the way down for one on the way up
 * MUTANT 7: a new tarnd does not end what the last one had under way
 *
 * States: see the table that `make model` prints.
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef KILLS
#define KILLS 1
#endif

#define TARND 4

/* rows: two bits of map; the stamp: who, and the step's number */
byte map[2];
byte by[2];
byte nr[2];
byte done[5];

/* the lanes' records */
bool op[5];
byte op_bit[5];		/* the run: bit ... */
byte op_from[5];	/* ... of rows from this ... */
byte op_to[5];		/* ... up to this, not with it */
bool down[5];
byte at[5];		/* row; op_to: all are ours */
byte step[5];

byte made[5];		/* a run is held: 1 + its kind */
bool gone[5];		/* killed */
bool clean[5];		/* and recovered */
byte rounds[5], kills, deaths, op_for;

/* What is so, whatever the words say. */
byte owner[4];		/* of row * 2 + bit */
bool did[5];		/* the last step was done */
bool words[4];		/* page words written: of row * 2 + bit */

#define reset() r = 0; sb = 0; sn = 0; m = 0; ok = 0
#define OR_DIE :: atomic { (me == TARND -> kills < KILLS : deaths < DEATHS) -> \
	gone[me] = (me != TARND); \
	kills = kills + (me == TARND); deaths = deaths + (me != TARND); \
	reset(); goto died }

#define bit_of(l) (1 << op_bit[l])
#define page(l, r) ((r) * 2 + op_bit[l])

inline fresh(l, row)
{
#if MUTANT != 4
	step[l]++;
	did[l] = false;
#endif
	at[l] = row;
	down[l] = false
}

#if MUTANT == 1
#define to_put_down false
#else
#define to_put_down (sb != 0 && sb != l && done[sb] < sn)
#endif

inline put_down(l)
{
	if
	:: atomic { to_put_down -> done[sb] = sn }
	:: !to_put_down
	OR_DIE
	fi
}

#ifdef TORN
#define LOOK sb = by[r]; sn = nr[r]
#define LOOK_AT_MAP if :: m = map[r] OR_DIE fi;
#else
#define LOOK sb = by[r]; sn = nr[r]; m = map[r]
#define LOOK_AT_MAP
#endif

/* One step of a lane on row r; ok = 0: a claim found the bit set. */
inline row_step(l, releases)
{
	if
	:: atomic { step[l]++; did[l] = false; at[l] = r; down[l] = releases;
		LOOK }
	OR_DIE
	fi;
	do
	:: true ->
		LOOK_AT_MAP
		if
		:: !releases && (m & bit_of(l)) -> ok = 0; break
		:: releases || !(m & bit_of(l))
		fi;
		assert(!releases || (m & bit_of(l)));
#if MUTANT != 2
		put_down(l);
#endif
		if
		:: atomic { map[r] == m && by[r] == sb && nr[r] == sn ->
			assert(owner[page(l, r)] == (releases -> l : 0));
			owner[page(l, r)] = (releases -> 0 : l);
			did[l] = true;
			map[r] = m ^ bit_of(l);
			by[r] = l; nr[r] = step[l];
			ok = 1 }
#if MUTANT == 2
			put_down(l);
#endif
			break
		:: atomic { map[r] != m || by[r] != sb || nr[r] != sn -> LOOK }
		OR_DIE
		fi
	od;
	atomic { sb = 0; sn = 0; m = 0 }
}

/* Rows below r, from the top; then the op is over. */
inline release_rows(l)
{
	do
	:: r > op_from[l] -> r--; row_step(l, true)
	:: r == op_from[l] -> break
	od;
	if :: atomic { op[l] = false; at[l] = 0; down[l] = false; reset() }
	OR_DIE
	fi
}

inline wipe(l)
{
	if
	:: atomic { words[page(l, op_from[l])] = false;
		words[page(l, op_to[l] - 1)] = false;
		if
		:: l == TARND -> made[op_for] = 0
		:: else
		fi }
	OR_DIE
	fi
}

inline resume(l)
{
	if
	:: op[l] && !down[l] && at[l] == op_to[l] ->
		wipe(l);
		atomic { r = op_to[l] }
	:: op[l] && (down[l] || at[l] != op_to[l]) ->
		atomic { r = at[l] };
		/* tn_step_was_done() */
		if
		:: atomic { ok = (by[r] == l && nr[r] == step[l]) }
		OR_DIE
		fi;
#if MUTANT != 3
		if
		:: atomic { ok == 0 -> ok = (done[l] >= step[l]) }
		:: ok == 1
		OR_DIE
		fi;
#endif
		atomic { assert(ok == (did[l]));
#if MUTANT == 6
		r = r + ok;
#else
		r = r + (ok != down[l]);
#endif
		ok = 0 }
	:: !op[l] -> goto resumed
	fi;
	release_rows(l);
resumed:
	skip
}

proctype client(byte me)
{
	byte r, sb, sn, m, ok;

idle:
	atomic { reset() };
end_idle:
	if
	OR_DIE
	/* take */
	:: atomic { !made[me] && rounds[me] < ROUNDS -> rounds[me]++;
		fresh(me, op_from[me]);
		op[me] = true;
		r = op_from[me] };
		do
		:: r < op_to[me] ->
			row_step(me, false);
			if
			:: ok == 1 -> r++
			:: ok == 0 -> release_rows(me); goto idle
			fi
		:: r == op_to[me] -> break
		od;
		if
		:: atomic { fresh(me, op_to[me]);
			words[page(me, op_from[me])] = true;
			words[page(me, op_to[me] - 1)] = true }
		OR_DIE
		fi;
			if :: atomic { op[me] = false; at[me] = 0; made[me] = 1 }
		OR_DIE
		fi
	/* drop */
	:: atomic { made[me] -> fresh(me, op_to[me]); op[me] = true;
		made[me] = 0 };
		wipe(me);
		atomic { r = op_to[me] };
		release_rows(me)
	fi;
	goto idle;
died:
end_died:
	/* the slot's next client */
	atomic { clean[me] && rounds[me] < ROUNDS ->
		clean[me] = false; gone[me] = false;
#if MUTANT == 5
		step[me] = 0;
#else
		step[me] = done[me];
#endif
		did[me] = false };
	goto idle
}

/* What the dead had made, tarnd drops in its own lane. */
inline drop_made()
{
	if
	:: atomic { made[c] -> op_for = c;
		op_bit[TARND] = op_bit[c];
		op_from[TARND] = op_from[c]; op_to[TARND] = op_to[c];
		owner[page(c, op_from[c])] = TARND;
		owner[page(c, op_to[c] - 1)] = TARND;
		fresh(TARND, op_to[TARND]);
		op[TARND] = true };
		wipe(TARND);
		atomic { r = op_to[TARND] };
		release_rows(TARND)
	:: !made[c]
	OR_DIE
	fi
}

proctype tarnd()
{
	byte me = TARND;
	byte c, l, r, sb, sn, m, ok;

died:
	atomic { c = 0; l = TARND };
#if MUTANT != 7
	if
	:: op[TARND] -> goto do_resume
	:: !op[TARND]
	fi;
#endif
again:
	atomic { c = 0; l = 0 };
end_idle:
	atomic { if
		:: gone[1] && !clean[1] -> c = 1
		:: gone[2] && !clean[2] -> c = 2
		:: gone[3] && !clean[3] -> c = 3
		fi;
		assert(!op[TARND]);
		l = c };
do_resume:
	resume(l);
	if
	:: c == 0 -> goto again
	:: c != 0
	fi;
	drop_made();
	/* numbers */
	if :: atomic { assert(done[c] <= step[c]); done[c] = step[c];
		clean[c] = true }
	OR_DIE
	fi;
	goto again
}

#define has(l, x) ((op[l] || made[l]) && (x) % 2 == op_bit[l] && \
	(x) / 2 >= op_from[l] && (x) / 2 < op_to[l])
#define right(x) (((map[(x) / 2] >> ((x) % 2)) & 1) == (owner[x] != 0) && \
	(owner[x] == 0 -> !words[x] : has(owner[x], x) && !clean[owner[x]]))

proctype monitor()
{
end:	d_step { !(right(0) && right(1) && right(2) && right(3)) ->
		assert(false) }
}

init
{
	atomic {
		op_to[1] = 2;			/* bit 0 of both rows */
		op_from[2] = 1; op_to[2] = 2;	/* bit 0 of row 1 */
		op_bit[3] = 1; op_to[3] = 2;	/* bit 1 of both */
		run client(1); run client(3);
#ifndef PAIR
		run client(2);
#endif
#ifndef AWAY
		run tarnd();
#endif
		run monitor()
	}
}
