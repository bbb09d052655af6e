/* The shutdown of a process as a model in Promela, of which Spin visits every state: the
 * signals, the operators who manual drain, the sequence on main, what it waits for,
 * the watchdog, the platform.
 *
 * The words are those of service/lifecycle/. A rule is an assert with its name behind
 * it. model_test.sh runs the model, and shows with planted bugs that each rule bites.
 * tests/common/order_rules.cc has the same rules for the logs of real processes, and
 * tests/process/random_shutdowns.cc such processes. tests/architecture/words_test.py
 * compares names.
 *
 * Time is counted in ticks from the request to stop; what lasts until then lasts none,
 * and may last for ever. What is guaranteed to a phase is one tick, to kClosingResources one for
 * each entry in a row; it may use what earlier ones leave over. Whoever takes part may
 * take any time. Main and the watchdog take none: no deadline of theirs passes unseen.
 */

/* phase.h; the model begins when the process has started. */
#define kServing 1
#define kLameDuck 2
#define kDrainingConnections 3
#define kDrainingCalls 4
#define kCancellingCalls 5
#define kStoppingWorkers 6
#define kSavingState 7
#define kClosingResources 8
#define kStopped 9

/* exit_code.h; the codes left out are of a start or of a bug, not of a shutdown. */
#define kClean 0
#define kForced 3
#define kCloseFailed 4
#define kWatchdog 5
#define kThirdSignal 6

/* Who takes part. The first four are entries of the registry: the pool uses the
 * database and the channel, and each of these the files. The rest use all four. */
#define kFiles 0
#define kDatabase 1
#define kChannel 2
#define kPool 3
#define kSaver 4
#define kHandler 5
#define kWorker 6
#define Bit(who) (1 << (who))
#define Middle(who) (who == kDatabase || who == kChannel)
#define EntriesUsing(who) \
  ((who == kFiles) * (Bit(kDatabase) | Bit(kChannel)) | Middle(who) * Bit(kPool))
#define UsersOf(who) \
  (EntriesUsing(who) | (who < kSaver) * (Bit(kSaver) | Bit(kHandler) | Bit(kWorker)))
/* How many entries stand in a row from this one down to the last that it uses. */
#define Height(who) (1 + Middle(who) + 2 * (who == kPool))

/* ShutdownBudget: all shares but the reserve, then with it. */
#define kShares (6 + Height(kPool))
#define kBites (kShares + 1)
#define kGrace (kShares + 2)
#define kNever 255
/* When a phase ends at the latest: what is guaranteed to those behind it is left then. */
#define EndOf(phase) \
  ((phase) == kStopped -> kGrace : ((phase) == kClosingResources -> kShares : (phase) - kServing))
#define ShareOf(phase) (EndOf(phase) - EndOf((phase) - 1))

/* ManualDrain::State */
#define kNone 0
#define kRequested 1
#define kTakenBack 2
#define kTooLate 3

/* Sets of who takes part. */
byte open = 127;    /* Runs, or is not saved or closed yet. */
byte hung;          /* Never ends. */
byte passed_over;   /* Hung, and the shutdown goes on without it. */
byte failed;        /* Ended badly, and nobody has told it yet. */
byte started;       /* Its closer was started. */
byte done;          /* Its registry has done with it. */
bool clean = true;  /* Nobody was cut off, ended badly or hung. */

bool requested, interrupt, expedited;        /* ShutdownRequest */
byte drain = kNone;                       /* ManualDrain */
byte drains_to_come = 2;                  /* One to take back, and one more. */
byte phase;
bool healthy = true;                      /* Health says SERVING, calls are not hinted. */
bool listening = true;                    /* New connections are accepted. */
bool under_way;                           /* A request is arriving, or an answer is leaving. */
bool cancelled, workers_asked;
byte exit_code = kClean; bool abandoned;  /* ShutdownOutcome */
bool ended;                               /* The process is gone; Spin looks no further. */

byte now;               /* Ticks since the request. */
byte wait_until;        /* How long main waits at most; 0: it does not wait. */
bool stuck;             /* Main hangs where no limit reaches. */
byte close_by[5];       /* The deadline of each closer that runs. */

/* What runs under `_pid` ends, or does not: for a shutdown, what has not ended when its
 * time is over is the same as what never ends, so only that is passed over. */
#define Ends open = open & ~Bit(_pid)
#define EndsBadly d_step { true -> Ends; failed = failed | Bit(_pid); clean = false }
#define Hangs d_step { true -> hung = hung | Bit(_pid); clean = false }; false

/* The thread of a closer or a saver: returns, or fails, or hangs. */
active [5] proctype Closer() {
  started & Bit(_pid);
  if
  :: atomic { true ->
      assert(phase == (_pid == kSaver -> kSavingState : kClosingResources));  /* IN_ITS_PHASE */
      assert((open & ~passed_over & UsersOf(_pid)) == 0)        /* NOT_IN_USE */
    }
  :: Hangs  /* Before it has begun. */
  fi;
  if :: Ends :: EndsBadly :: Hangs fi
}

/* A call: ends by itself, or when it is cancelled, or never. */
active proctype Handler() {
  if :: Ends :: d_step { cancelled -> Ends; clean = false } :: Hangs fi
}

/* A background worker: ends when it is asked to, or throws, or hangs. */
active proctype Worker() {
  if :: workers_asked -> Ends :: EndsBadly :: Hangs fi
}

inline Exit(code) {
  assert(code != kClean || clean && !open);  /* CLEAN */
  ended = true
}

/* The first signal, a second and a third, each at any moment, or no more of them. A
 * SIGTERM or SIGHUP that is repeated at once counts for nothing (SignalCount): no step here. */
active proctype SignalThread() {
  atomic { if :: interrupt = true :: true fi; requested = true };
  if :: expedited = true :: true -> false fi;
  if :: atomic { true -> Exit(kThirdSignal) } :: true -> false fi  /* LeaveAtOnce() */
}

/* Ask for a drain, take it back, and ask again, each at any moment, or not. Whoever
 * takes it back, or asks meanwhile, waits until it is no longer being taken back. */
active proctype Operators() {
  do
  :: atomic { drain == kNone && drains_to_come > 0 -> drain = kRequested; drains_to_come-- }
  :: atomic { drain == kRequested && !requested -> drain = kTakenBack }
  od
}

#define TellFailure(code) exit_code = (exit_code > code -> exit_code : code)
#define PassOver(who) passed_over = passed_over | Bit(who); abandoned = true

inline Enter(next) {
  atomic {
    assert(next > phase || next == kServing && phase == kLameDuck && drain == kTakenBack);  /* FORWARD */
    phase = next;
    deadline = (noticed -> EndOf(next) : kNever);
    assert(!noticed || deadline >= now + ShareOf(next))  /* GUARANTEED */
  };
  MayHang()
}

/* Whatever main does itself may hang: on a lock, a disk, a destructor. */
inline MayHang() { if :: true :: stuck = true; false fi }

/* Patience: expediting the shutdown may end it at any moment. */
#define Over(deadline) (expedited || now >= deadline)
inline Wait(is_done, may_be_left) {
  atomic {
    wait_until = deadline;
    if
    :: (is_done) -> finished = true
    :: (may_be_left) && Over(deadline) ->
      assert(expedited || now >= EndOf(phase));  /* NOT_TOO_SOON: what earlier ones leave over is used. */
      finished = false
    fi;
    wait_until = 0
  }
}

/* ShutdownRegistry::CloseAll(); written out for what is saved and for what is closed, and each comes
 * to DoneWith() of its own entries alone. */
#define Closing(who) (Bit(who) & started & ~done)
#define Returned(who) (Closing(who) && !(Bit(who) & open))
#define Late(who) ((Closing(who) & hung) && Over(close_by[who]))
#define DoneWith(who) :: Returned(who) || Late(who) -> i = who
inline CloseAll(entries) {
  do
  :: !((entries) & ~done) -> break
  :: else -> atomic {
      wait_until = kNever;
      for (i : kFiles .. kSaver) {
        if
        :: ((entries) & Bit(i) & ~started) && !(EntriesUsing(i) & ~done) ->
          started = started | Bit(i);
          close_by[i] = deadline - (Height(i) - 1);
          assert(close_by[i] > now)  /* EACH_HAS_ITS_TURN */
        :: else
        fi;
        wait_until = (Closing(i) && close_by[i] < wait_until -> close_by[i] : wait_until)
      }
      if
      DoneWith(kFiles) DoneWith(kDatabase) DoneWith(kChannel) DoneWith(kPool) DoneWith(kSaver)
      fi;
      wait_until = 0;
      if :: Bit(i) & open -> PassOver(i) :: else fi;
      if :: Bit(i) & (failed | passed_over) -> TellFailure(kCloseFailed) :: else fi;
      failed = failed & ~Bit(i);
      done = done | Bit(i);
      close_by[i] = 0
    }
  od
}

/* Connections that carry this are waited for. The others are gone, or silent and may be ended:
 * what comes next is the same. */
#define Carried (open & Bit(kHandler) || under_way)

/* A delay: only expediting the shutdown ends it early. */
inline Exhaust() { atomic { wait_until = deadline; Over(deadline); wait_until = 0 } }

/* A manual drain waits for its end, or for callers, until there is something more urgent. */
#define Interrupted (requested || drain == kTakenBack)
inline WaitByHand() { atomic { if :: true :: true -> Interrupted fi } }

/* From the request on there is a deadline, for the phase that is under way, too. */
inline NoticeShutdown() {
  atomic {
    if
    :: requested && !noticed -> noticed = true; drain = kTooLate; deadline = EndOf(phase)
    :: else
    fi
  }
}

/* ManualDrain::ServesAgain() */
inline ServesAgain() {
  atomic {
    if
    :: drain == kTakenBack ->
      assert(phase == kServing && healthy && listening);  /* AS_BEFORE */
      drain = kNone
    :: else
    fi
  }
}

inline Serve() {
  Enter(kServing);
  ServesAgain();
  requested || drain != kNone;
  NoticeShutdown()
}

/* Unless it is `finished`, the drain was undone. */
inline LameDuck() {
  Enter(kLameDuck);
  healthy = false;
  if :: noticed -> Exhaust() :: else -> WaitByHand() fi;
  atomic {  /* ManualDrain::EndLameDuck() */
    finished = !(drain == kTakenBack && !requested);
    if :: finished -> drain = kTooLate :: else fi
  };
  if
  :: !finished -> healthy = true
  :: finished && noticed -> assert(expedited || now >= EndOf(kLameDuck))  /* NOT_TOO_SOON */
  :: finished && !noticed ->
    NoticeShutdown();
    /* Its own end is not after that of a lame duck which the shutdown had begun with. */
    if :: true :: noticed && !interrupt -> Exhaust() fi
  fi
}

/* What is under way on connections ends at once or not in time; in between makes no difference. */
inline DrainConnections() {
  Enter(kDrainingConnections);
  listening = false;
  if :: true :: under_way = true fi;
  if
  :: noticed
  :: else -> WaitByHand(); requested; NoticeShutdown()  /* StayDrained() */
  fi;
  Wait(!Carried, true);
  /* Nobody asks any more: so much less to visit. */
  atomic { interrupt = false; healthy = false; drains_to_come = 0 }
}

inline DrainCalls() {
  Enter(kDrainingCalls);
  assert(!listening);  /* LISTENER_FIRST: gRPC kills the calls that come from now on. */
  assert(!Carried || Over(EndOf(kDrainingConnections)));  /* CONNECTIONS_FIRST: and cuts what is under way. */
  if :: under_way = false :: clean = clean && !under_way fi;
  Wait(!Carried, true);
  if :: finished :: else -> TellFailure(kForced) fi
}

inline CancelCalls() {
  Enter(kCancellingCalls);
  atomic { cancelled = true; under_way = false };
  Wait(!(open & Bit(kHandler)), hung & Bit(kHandler));
  if :: finished :: else -> PassOver(kHandler); TellFailure(kForced) fi
}

inline StopWorkers() {
  Enter(kStoppingWorkers);
  workers_asked = true;
  Wait(!(open & Bit(kWorker)), hung & Bit(kWorker));
  if :: finished :: else -> PassOver(kWorker) fi;
  if :: (failed | passed_over) & Bit(kWorker) -> TellFailure(kForced) :: else fi
}

inline SaveState() { Enter(kSavingState); CloseAll(Bit(kSaver)) }

inline CloseResources() {
  Enter(kClosingResources);
  assert(drain != kTakenBack);  /* ANSWERED: or an operator would wait for ever. */
  CloseAll(Bit(kFiles) | Bit(kDatabase) | Bit(kChannel) | Bit(kPool))
}

/* Process::ServeUntilShutdown(), ShutdownSequence::Run() */
active proctype Main() {
  byte deadline, i; bool finished, noticed;
  do
  :: Serve();
    if
    :: noticed && interrupt -> break
    :: else ->
      LameDuck();
      if :: finished -> break :: else fi
    fi
  od;
  DrainConnections(); DrainCalls(); CancelCalls(); StopWorkers(); SaveState(); CloseResources();
  Enter(kStopped);
  if
  :: abandoned  /* Nothing is destroyed. */
  :: else ->
    assert(!open);  /* DESTROYS_NOTHING_IN_USE: main's destructors run. */
    MayHang()
  fi;
  atomic {
    if  /* One line each: Spin tells of a line that no run comes to. */
    :: exit_code == kClean -> Exit(kClean)
    :: exit_code == kForced -> Exit(kForced)
    :: exit_code == kCloseFailed -> Exit(kCloseFailed)
    fi
  }
}

active proctype Watchdog() {
  atomic {
    requested && now >= kBites ->
    assert(stuck || wait_until < kBites);  /* BITES_NO_PATIENCE */
    Exit(kWatchdog)
  }
}

active proctype Time() {
  do
  :: d_step {
      requested && now < kBites && (stuck || now < wait_until) ->
      now++;
      assert(now < kGrace)  /* WITHIN_GRACE: the platform never has to kill. */
    }
  od
}

ltl every_run_ends { <> ended }
