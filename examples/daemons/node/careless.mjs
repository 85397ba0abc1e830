// The defects that can be put into the daemon: CARELESS=NAME chooses one.  Whatever asks for DEFECT is careless then, and
// careful without it.

export const DEFECTS = {
  "aborts": "one missing bundle ends the start",
  "deletes-record": "what cannot be restored is deleted",
  "loses-state": "counters begin anew after a restart",
  "never-repairs": "a subcluster stays set aside though its bundle is back",
  "silent": "nothing is logged of what cannot be restored",
  "bare-errno": "a bundle that is missing is told as ENOENT",
  "opens-anything": "a bundle is opened whatever it is, a pipe too",
  "half-launched": "a launch that failed stays in the list",
  "object-object": "a fatal error is told as [object Object]",
  "fatal-unlogged": "a fatal error is not logged",
  "lingers": "after a fatal error the process stays, and waits",
  "ready-too-early": "the start's client is told that the daemon is ready before it is",
  "pid-late": "the pid file is written when the start is over",
  "silent-hang": "of a daemon that hangs it is only said that it did not start in time",
  "stop-gives-up": "a forced stop does not end a daemon that hangs",
  "refuses-when-degraded": "nothing can be launched as long as something is set aside",
  "unlinks-live": "whatever stands at the socket's place is removed, a live listener too",
  "keeps-dead": "a dead socket at that place keeps the daemon from starting",
  "trusts-pid": "whatever process has the pid of the last daemon is taken for a daemon",
  "no-lock": "every start begins a daemon, and the last one takes the socket",
  "loser-gives-up": "of starts at once all but one fail, since the home is taken",
  "distrusts-clock": "a store that was written in the future is refused",
  "idle-by-clock": "how long it was idle is told by the wall clock, and after an hour it ends",
  "saves-late": "counters are written down when the daemon has stopped, after everything else",
  "limit-unnamed": "of a socket's path that is too long the limit is not told",
  "cuts-path": "a socket's path that is too long is cut off",
  "trusts-pid-file": "a pid file keeps every other daemon from starting",
  "believes-pid-file": "of a home with a pid file in it the status says that a daemon runs",
  "impatient": "a start takes a while, and whoever comes meanwhile is told that the daemon hangs",
  "acknowledges-unsaved": "what could not be written is acknowledged all the same",
  "nameless-write": "of a file that cannot be written only the system's word is told",
  "mute-log": "a log that cannot be written is passed over in silence",
};

export const DEFECT = process.env.CARELESS ?? "";
