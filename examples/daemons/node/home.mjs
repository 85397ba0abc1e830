// What lies in a home, and who holds it: all that the daemon and its clients both know.

import fs from "node:fs";
import path from "node:path";
import { DEFECT } from "./careless.mjs";

export class Refusal extends Error {
  constructor(code, message, where) {
    super(message);
    this.code = code;
    this.where = where;
  }
}

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export function places(home) {
  const at = (name) => path.join(home, name);
  return { home, lock: at("lock.json"), pid: at("daemon.pid"), log: at("daemon.log"), store: at("store.sqlite"), socket: at("sock") };
}

// The lock is a socket in the abstract namespace: the system releases it however its holder dies.
export function lockOf(home) {
  const { dev, ino } = fs.statSync(home);
  return `\0node-counters:${dev}:${ino}`;
}

// --- processes: a pid alone names nobody, pid and start time do ------------------------------------------------------

export function startTime(pid) {
  try {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /s, "").split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? null : fields[19];
  } catch {
    return null; // there is no such process
  }
}

export const pids = () => fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name));

// What a process has open, as far as one may see it.
export function descriptors(pid) {
  const read = (of, path) => {
    try {
      return of(path);
    } catch {
      return []; // it has ended, has just been closed, or is another user's
    }
  };
  return read(fs.readdirSync, `/proc/${pid}/fd`).flatMap((name) => read(fs.readlinkSync, `/proc/${pid}/fd/${name}`));
}

export function readHolder(where) {
  try {
    if (DEFECT === "trusts-pid") {
      const pid = Number(fs.readFileSync(where.pid, "utf8"));
      return startTime(pid) === null ? null : { pid, phase: "ready", started: startTime(pid) };
    }
    const holder = JSON.parse(fs.readFileSync(where.lock, "utf8"));
    if (holder.started !== null && startTime(holder.pid) === holder.started) return holder;
  } catch {
    // nobody has written who he is, or not to the end
  }
  return DEFECT === "trusts-pid" ? null : unnamedHolder(where);
}

// Whoever has taken the lock and stands still before he has written who he is: the system knows him.
function unnamedHolder(where) {
  try {
    const name = lockOf(where.home).replace("\0", "@");
    const sockets = fs.readFileSync("/proc/net/unix", "utf8").split("\n").map((line) => line.trim().split(/\s+/));
    const inode = sockets.find((fields) => fields[7]?.replace(/@+$/, "") === name)?.[6]; // its name is filled up
    const pid = inode && pids().find((each) => descriptors(each).includes(`socket:[${inode}]`));
    return pid ? { pid: Number(pid), phase: "lock", started: startTime(pid) } : null;
  } catch {
    return null; // there is no such home
  }
}

// --- files: whole or not at all, and on the disk before anybody is told ----------------------------------------------

export function replaceFile(file, text) {
  // One name: what a dead daemon left half written, the next one writes anew. Where nobody holds the lock, others write too.
  const temporary = DEFECT === "no-lock" ? `${file}.${process.pid}.tmp` : `${file}.tmp`;
  try {
    const descriptor = fs.openSync(temporary, "w", 0o600);
    try {
      fs.writeFileSync(descriptor, text); // unlike writeSync it does not leave off half way
      fs.fsyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    const message = DEFECT === "nameless-write" ? error.code : `${file} cannot be written: ${error.message}`;
    throw new Refusal("not-written", message, file);
  }
  const directory = fs.openSync(path.dirname(file), "r");
  try {
    fs.fsyncSync(directory);
  } finally {
    fs.closeSync(directory);
  }
}
