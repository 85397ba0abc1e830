// A small persistent daemon without a line of Python: it launches "subclusters" (counters), each from a bundle of its
// own, keeps them in a file, and answers JSON-RPC 2.0 over a Unix socket.  Node 20, no packages.
//
// It is careful.  CARELESS=NAME puts one defect into it (they are listed in DEFECTS), as proof that pytest-ocap finds
// each by the check that names it.
//
// Usage: node daemon.mjs start|stop|serve HOME [--timeout SECONDS] [--force]

import crypto from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

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
  "limit-unnamed": "of a socket's path that is too long the limit is not told",
  "distrusts-clock": "a store that was written in the future is refused",
  "saves-late": "counters are written down when the daemon has stopped, after everything else",
  "trusts-pid-file": "a pid file keeps every other daemon from starting",
  "impatient": "a start that is slow is given up, and said to hang",
};

const DEFECT = process.env.CARELESS ?? "";
const MOST_SOCKET_BYTES = 107;
const MOST_BUNDLE_BYTES = 1 << 20;
const FORMAT = { format: "node-counters", version: 1 };

class Refusal extends Error {
  constructor(code, message, where) {
    super(message);
    this.code = code;
    this.where = where;
  }
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function places(home) {
  const at = (name) => path.join(home, name);
  return { home, lock: at("lock.json"), pid: at("daemon.pid"), log: at("daemon.log"), store: at("store.json"), socket: at("sock") };
}

// --- processes: a pid alone names nobody, pid and start time do ------------------------------------------------------

function startTime(pid) {
  try {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /s, "").split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? null : fields[19];
  } catch {
    return null; // there is no such process
  }
}

function readHolder(where) {
  try {
    if (DEFECT === "trusts-pid") {
      const pid = Number(fs.readFileSync(where.pid, "utf8"));
      return startTime(pid) === null ? null : { pid, phase: "ready", started: startTime(pid) };
    }
    const holder = JSON.parse(fs.readFileSync(where.lock, "utf8"));
    return holder.started !== null && startTime(holder.pid) === holder.started ? holder : null;
  } catch {
    return null; // nobody has written who he is, or not to the end
  }
}

// --- files: whole or not at all, and on the disk before anybody is told ----------------------------------------------

function replaceFile(file, text) {
  const temporary = `${file}.${process.pid}.tmp`;
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
    throw new Refusal("not-written", `${file} cannot be written: ${error.message}`, file);
  }
  const directory = fs.openSync(path.dirname(file), "r");
  try {
    fs.fsyncSync(directory);
  } finally {
    fs.closeSync(directory);
  }
}

const digest = (text) => crypto.createHash("sha256").update(text).digest("hex");

function readBundle(url) {
  const file = fileURLToPath(url);
  try {
    if (DEFECT !== "opens-anything") {
      const found = fs.statSync(file);
      if (!found.isFile()) throw new Refusal("bundle-unreadable", `${file} is no regular file`, file);
      if (found.size > MOST_BUNDLE_BYTES) {
        throw new Refusal("bundle-too-large", `${file} has ${found.size} bytes, more than ${MOST_BUNDLE_BYTES}`, file);
      }
    }
    const descriptor = fs.openSync(file, DEFECT === "opens-anything" ? fs.constants.O_RDONLY : fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    let text;
    try {
      text = fs.readFileSync(descriptor, "utf8");
    } finally {
      fs.closeSync(descriptor);
    }
    if (JSON.parse(text).vat !== "counter") throw new SyntaxError("it names no vat that is known here");
  } catch (error) {
    if (error instanceof Refusal) throw error;
    if (error instanceof SyntaxError) throw new Refusal("bundle-corrupt", `${file} is not a bundle: ${error.message}`, file);
    if (DEFECT === "bare-errno") throw new Refusal("bundle-missing", error.code, file);
    const code = error.code === "ENOENT" ? "bundle-missing" : "bundle-unreadable";
    throw new Refusal(code, `the bundle ${file} cannot be read: ${error.message}`, file);
  }
}

// --- the daemon ------------------------------------------------------------------------------------------------------

class Daemon {
  constructor(home) {
    this.where = places(home);
    this.phase = "lock";
    this.bad = new Map();
    this.state = { next: 1, subclusters: {} };
    this.told = false;
  }

  tell(message) {
    if (this.told) return;
    try {
      fs.writeSync(3, `${JSON.stringify(message)}\n`);
    } catch {
      this.told = true; // the client has gone; the log has the rest
    }
  }

  log(level, fields) {
    fs.appendFileSync(this.where.log, `${JSON.stringify({ ts: new Date().toISOString(), level, ...fields })}\n`);
  }

  enter(phase) {
    this.phase = phase;
    replaceFile(this.where.lock, JSON.stringify({ pid: process.pid, started: startTime(process.pid), phase, since: Date.now() }));
    this.tell({ phase });
  }

  // The lock is a socket in the abstract namespace: the system releases it however its holder dies.
  async lock() {
    const { dev, ino } = fs.statSync(this.where.home);
    this.holding = net.createServer((connection) => connection.destroy());
    try {
      await listen(this.holding, `\0node-counters:${dev}:${ino}`);
    } catch (error) {
      if (error.code !== "EADDRINUSE") throw error;
      const holder = readHolder(this.where);
      const who = holder ? `pid ${holder.pid}, in phase ${holder.phase}` : "another process";
      throw new Refusal("held", `${this.where.home} belongs to a daemon that runs (${who})`, this.where.home);
    }
    this.enter("lock");
    if (DEFECT !== "pid-late") replaceFile(this.where.pid, `${process.pid}\n`);
  }

  openLog() {
    try {
      this.log("info", { event: "daemon.starting", pid: process.pid });
    } catch (error) {
      throw new Refusal("log-unusable", `the log ${this.where.log} cannot be written: ${error.message}`, this.where.log);
    }
  }

  openStore() {
    const file = this.where.store;
    let text;
    try {
      text = fs.readFileSync(file, "utf8");
    } catch (error) {
      if (error.code === "ENOENT") return this.save();
      throw new Refusal("store-unusable", `the store ${file} cannot be read: ${error.message}`, file);
    }
    if (DEFECT === "distrusts-clock" && fs.statSync(file).mtimeMs > Date.now() + 60_000) {
      throw new Refusal("store-future", `the store ${file} was written in the future`, file);
    }
    let found;
    try {
      found = JSON.parse(text);
      if (digest(JSON.stringify(found.state)) !== found.digest) throw new SyntaxError("its digest is another one");
    } catch (error) {
      throw new Refusal("store-corrupt", `the store ${file} is corrupt: ${error.message.slice(0, 60)}`, file);
    }
    if (found.format !== FORMAT.format) throw new Refusal("store-foreign", `${file} is not a store of this daemon`, file);
    if (found.version > FORMAT.version) throw new Refusal("store-newer", `${file} was written by a newer version`, file);
    this.state = found.state;
    this.saved = JSON.stringify(found.state);
  }

  // What cannot be kept has not happened: the state is again what was kept last.
  save() {
    const state = JSON.stringify(this.state);
    try {
      replaceFile(this.where.store, JSON.stringify({ ...FORMAT, digest: digest(state), state: this.state }));
    } catch (error) {
      if (this.saved) this.state = JSON.parse(this.saved);
      throw error;
    }
    this.saved = state;
  }

  restore() {
    for (const [id, subcluster] of Object.entries(this.state.subclusters)) {
      if (DEFECT === "loses-state") subcluster.count = 0;
      try {
        if (subcluster.lost) throw new Refusal("bundle-missing", "its bundle was missing once", "");
        readBundle(subcluster.url);
      } catch (error) {
        if (DEFECT === "aborts") throw error;
        this.bad.set(id, error);
        if (DEFECT === "never-repairs") subcluster.lost = true;
        if (DEFECT === "deletes-record") delete this.state.subclusters[id];
        if (DEFECT === "silent") continue;
        this.log("warning", { event: "subcluster.quarantined", subcluster: id, code: error.code, path: error.where, message: error.message });
      }
    }
    this.save();
  }

  async listen() {
    const file = this.where.socket;
    if (Buffer.byteLength(file) > MOST_SOCKET_BYTES) {
      const limit = DEFECT === "limit-unnamed" ? "" : `: at most ${MOST_SOCKET_BYTES} bytes`;
      throw new Refusal("socket-path", `the socket's path ${file} is too long${limit}`, file);
    }
    if (DEFECT === "unlinks-live") fs.rmSync(file, { force: true, recursive: true });
    else if (DEFECT !== "keeps-dead") await clearSocket(file);
    this.server = net.createServer((connection) => this.serve(connection));
    await listen(this.server, file);
    fs.chmodSync(file, 0o600);
  }

  async run() {
    try {
      fs.mkdirSync(this.where.home, { recursive: true, mode: 0o700 });
      await this.lock();
      this.openLog();
      if (DEFECT === "ready-too-early") {
        this.tell({ ready: true, degraded: [] });
        await sleep(300); // while it has much to do
      }
      this.enter("store");
      this.openStore();
      this.enter("restore");
      this.restore();
      this.enter("listen");
      await this.listen();
      if (DEFECT === "pid-late") replaceFile(this.where.pid, `${process.pid}\n`);
      this.enter("ready");
    } catch (error) {
      await this.fatal(error);
      return;
    }
    for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => this.end(0));
    this.tell({ ready: true, degraded: [...this.bad].map(([id, error]) => `${id}: ${error.message}`) });
    this.told = true;
    fs.closeSync(3);
    this.log("info", { event: "daemon.ready", degraded: [...this.bad.keys()] });
  }

  async fatal(error) {
    const message = DEFECT === "object-object" ? `${{ error }}` : error.message;
    const record = { event: "daemon.fatal", phase: this.phase, code: error.code ?? "internal", path: error.where, message };
    try {
      if (DEFECT !== "fatal-unlogged" && error.code !== "held") this.log("fatal", record);
    } catch {
      // the log is what cannot be written; the client hears it
    }
    this.tell({ fatal: record });
    if (DEFECT === "lingers") {
      fs.closeSync(3);
      await sleep(600_000);
    }
    this.end(1);
  }

  end(status) {
    const mine = readHolder(this.where)?.pid === process.pid;
    const listening = this.server?.listening;
    for (const file of [...(mine ? [this.where.pid, this.where.lock] : []), ...(listening ? [this.where.socket] : [])]) {
      fs.rmSync(file, { force: true });
    }
    if (DEFECT === "saves-late" && status === 0) setTimeout(() => { this.save(); process.exit(0); }, 200);
    else process.exit(status);
  }

  serve(connection) {
    let pending = "";
    connection.setEncoding("utf8");
    connection.on("error", () => connection.destroy());
    connection.on("data", (chunk) => {
      const lines = (pending + chunk).split("\n");
      pending = lines.pop();
      for (const line of lines) connection.write(`${JSON.stringify(this.answer(line))}\n`, () => this.ending && this.end(0));
    });
  }

  answer(line) {
    let id = null;
    try {
      const request = JSON.parse(line);
      id = request.id ?? null;
      const method = Object.hasOwn(this.methods, request.method) ? this.methods[request.method] : null;
      if (!method) return { jsonrpc: "2.0", id, error: { code: -32601, message: `there is no method ${request.method}` } };
      return { jsonrpc: "2.0", id, result: method(request.params ?? {}) };
    } catch (error) {
      const code = error instanceof SyntaxError ? -32700 : -32000;
      return { jsonrpc: "2.0", id, error: { code, message: error.message, data: { code: error.code ?? "internal", path: error.where } } };
    }
  }

  methods = {
    ping: () => "pong",
    launch: ({ url }) => {
      if (DEFECT === "refuses-when-degraded" && this.bad.size) throw new Refusal("degraded", "the daemon is degraded", "");
      const id = `s${this.state.next}`;
      if (DEFECT !== "half-launched") readBundle(url);
      this.state.subclusters[id] = { url, count: 0 };
      this.state.next += 1;
      this.save();
      if (DEFECT === "half-launched") readBundle(url);
      return { id };
    },
    list: () =>
      Object.entries(this.state.subclusters).map(([id, { url }]) => {
        const error = this.bad.get(id);
        return { id, url, state: error ? "set aside" : "running", why: error ? { code: error.code, message: error.message } : null };
      }),
    increment: ({ id }) => {
      const subcluster = this.state.subclusters[id];
      if (!subcluster) throw new Refusal("unknown", `there is no subcluster ${id}`, "");
      const error = this.bad.get(id);
      if (error) throw new Refusal(error.code, `${id} is set aside: ${error.message}`, error.where);
      subcluster.count += 1;
      if (DEFECT !== "saves-late") this.save();
      return { count: subcluster.count };
    },
    shutdown: () => {
      this.ending = true;
      return "stopping";
    },
  };
}

function listen(server, where) {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => resolve());
  });
}

// --- the socket's place: what is dead is removed, what is somebody's is left alone ------------------------------------

async function clearSocket(file) {
  let found;
  try {
    found = fs.lstatSync(file);
    if (found.isSymbolicLink()) found = fs.existsSync(file) ? fs.statSync(file) : null;
  } catch (error) {
    if (error.code === "ENOENT") return;
    throw error;
  }
  if (found && !found.isSocket()) throw new Refusal("socket-taken", `${file} is not a socket; move it away, then start again`, file);
  if (found && (await connects(file))) {
    throw new Refusal("socket-taken", `${file} is served by somebody else (${owner(file)}); stop that, then start again`, file);
  }
  fs.unlinkSync(file);
}

function connects(file) {
  return new Promise((resolve) => {
    const client = net.connect(file);
    client.once("connect", () => { client.destroy(); resolve(true); });
    client.once("error", () => resolve(false));
  });
}

function owner(file) {
  const sockets = fs.readFileSync("/proc/net/unix", "utf8").split("\n").map((line) => line.trim().split(/\s+/));
  // The one that listens: connections that it has accepted bear the same name.
  const wanted = `socket:[${sockets.find((each) => each[7] === file && each[3] === "00010000")?.[6]}]`;
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    if (descriptors(pid).includes(wanted)) return `pid ${pid}`;
  }
  return "a process of another user";
}

function descriptors(pid) {
  const read = (of, path) => {
    try {
      return of(path);
    } catch {
      return []; // it has ended, has just been closed, or is another user's
    }
  };
  return read(fs.readdirSync, `/proc/${pid}/fd`).flatMap((name) => read(fs.readlinkSync, `/proc/${pid}/fd/${name}`));
}

// --- the client --------------------------------------------------------------------------------------------------------

function fail(status, message) {
  console.error(`Error: ${message}`);
  process.exitCode = status;
}

function ask(where, method, seconds) {
  return new Promise((resolve) => {
    const client = net.connect(where.socket);
    let heard = "";
    const done = (answer) => { client.destroy(); resolve(answer); };
    client.setTimeout(seconds * 1000, () => done(null));
    client.once("error", () => done(null));
    client.once("close", () => done(null));
    client.once("connect", () => client.write(`${JSON.stringify({ jsonrpc: "2.0", id: 1, method })}\n`));
    client.on("data", (chunk) => {
      heard += chunk;
      if (!heard.includes("\n")) return;
      try {
        done(JSON.parse(heard).result ?? null);
      } catch {
        done(null); // whoever answers is no daemon of ours
      }
    });
  });
}

function hangs(holder, seconds) {
  if (DEFECT === "silent-hang") return fail(5, "the daemon did not start in time");
  const self = path.basename(fileURLToPath(import.meta.url));
  return fail(5, `the daemon (pid ${holder.pid}) hangs in phase ${holder.phase} and has not answered for ${seconds} s; end it with: node ${self} stop HOME --force`);
}

async function start(home, seconds) {
  const where = places(home);
  if (fs.existsSync(home) && !fs.statSync(home).isDirectory()) return fail(6, `the home ${home} is not a directory`);
  if (DEFECT === "trusts-pid-file" && fs.existsSync(where.pid)) return fail(6, `a daemon runs, says ${where.pid}`);
  if (DEFECT === "impatient" && fs.existsSync(where.store)) seconds = 0.4;
  const deadline = Date.now() + seconds * 1000;
  for (let holder; (holder = readHolder(where)); ) {
    if (holder.phase === "ready" && (await ask(where, "ping", Math.max(0.1, (deadline - Date.now()) / 1000)))) {
      return console.log(`the daemon runs already (pid ${holder.pid})`);
    }
    if (Date.now() >= deadline) return hangs(holder, seconds);
    await sleep(50);
  }
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), "serve", home], {
    detached: true,
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const ended = new Promise((resolve) => child.once("exit", (status, signal) => resolve(signal ?? `exit status ${status}`)));
  let phase = "lock";
  let answer = null;
  const answered = new Promise((resolve) => {
    let pending = "";
    child.stdio[3].on("data", (chunk) => {
      const lines = (pending + chunk).split("\n");
      pending = lines.pop();
      for (const message of lines.map((line) => JSON.parse(line))) {
        phase = message.phase ?? phase;
        answer ??= message.fatal || message.ready ? message : null;
        if (answer) resolve();
      }
    });
    child.stdio[3].once("close", resolve);
  });
  await Promise.race([answered, sleep(Math.max(0, deadline - Date.now()))]);
  if (answer?.ready) {
    for (const line of answer.degraded) console.log(`set aside: ${line}`);
    console.log(`the daemon is ready (pid ${child.pid})`);
    process.exit(0);
  } else if (answer?.fatal.code === "held") {
    await ended;
    await start(home, Math.max(0.1, (deadline - Date.now()) / 1000)); // another start was quicker: its daemon is ours too
    process.exit();
  } else if (answer) {
    const { fatal } = answer;
    fail(4, `the daemon could not start, in phase ${fatal.phase}: ${fatal.message} (code ${fatal.code})`);
    if (DEFECT !== "lingers") await ended;
    process.exit();
  } else if (Date.now() >= deadline) {
    hangs({ pid: child.pid, phase }, seconds);
    process.exit();
  } else {
    fail(4, `the daemon (pid ${child.pid}) died in phase ${phase}: ${await ended}; start it again, and look into ${where.log}`);
    process.exit();
  }
}

async function stop(home, seconds, force) {
  const where = places(home);
  const holder = readHolder(where);
  if (!holder) return fail(3, `no daemon runs in ${home}`);
  const patience = force ? 1 : seconds;
  const deadline = Date.now() + patience * 1000;
  const gone = () => startTime(holder.pid) !== holder.started;
  await ask(where, "shutdown", patience);
  while (!gone() && Date.now() < deadline) await sleep(10);
  if (force && !gone() && DEFECT !== "stop-gives-up") {
    process.kill(holder.pid, "SIGKILL");
    while (!gone()) await sleep(10);
  }
  if (!gone()) return fail(5, `the daemon (pid ${holder.pid}) does not stop; end it with --force`);
  console.log(`stopped (pid ${holder.pid})`);
}

const [command, home, ...options] = process.argv.slice(2);
const seconds = Number(options.includes("--timeout") ? options[options.indexOf("--timeout") + 1] : 10);
const commands = {
  start: () => start(path.resolve(home), seconds),
  stop: () => stop(path.resolve(home), seconds, options.includes("--force")),
  serve: () => new Daemon(path.resolve(home)).run(),
};
if (DEFECT && !Object.hasOwn(DEFECTS, DEFECT)) fail(2, `CARELESS=${DEFECT} is none of ${Object.keys(DEFECTS).join(", ")}`);
else if (!home || !Object.hasOwn(commands, command)) fail(2, "usage: node daemon.mjs start|stop|serve HOME [--timeout SECONDS] [--force]");
else await commands[command]();
