// The daemon: it holds its home, keeps its subclusters in a file, and answers JSON-RPC 2.0, a line each.

import crypto from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { DEFECT } from "./careless.mjs";
import { Refusal, lockOf, places, readHolder, replaceFile, sleep, startTime } from "./home.mjs";
import { clearSocket, listen } from "./sockets.mjs";

const MOST_SOCKET_BYTES = 107;
const MOST_IDLE_MILLISECONDS = 3_600_000;
const MOST_BUNDLE_BYTES = 1 << 20;
const FORMAT = { format: "node-counters", version: 1 };

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

// A failpoint: FAILPOINT="PHASE kill|hang NOTE" has the daemon die or stand still when it begins that phase, after it has
// written its pid into the file NOTE.
function strike(phase) {
  const [wanted, how, ...note] = (process.env.FAILPOINT ?? "").split(" ");
  if (phase !== wanted) return;
  fs.appendFileSync(note.join(" "), `${process.pid}\n`);
  process.kill(process.pid, how === "kill" ? "SIGKILL" : "SIGSTOP");
}

// PACE=MILLISECONDS has the daemon take so long over each phase, as on a machine with a slow disk: then whoever only
// watches its home sees each of them in time.
function dwell() {
  const pace = Number(process.env.PACE ?? 0);
  if (pace > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pace);
}

export class Daemon {
  constructor(home) {
    this.where = places(home);
    this.phase = "lock";
    this.bad = new Map();
    this.state = { next: 1, subclusters: {} };
    this.told = false;
    this.used = Date.now();
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
    const file = this.where.log;
    try {
      fs.appendFileSync(file, `${JSON.stringify({ ts: new Date().toISOString(), level, ...fields })}\n`);
    } catch (error) {
      if (DEFECT === "mute-log") return;
      throw new Refusal("log-unusable", `the log ${file} cannot be written: ${error.message}`, file);
    }
  }

  enter(phase) {
    this.phase = phase;
    replaceFile(this.where.lock, JSON.stringify({ pid: process.pid, started: startTime(process.pid), phase, since: Date.now() }));
    this.tell({ phase });
    strike(phase);
    dwell();
  }

  async lock() {
    const name = lockOf(this.where.home) + (DEFECT === "no-lock" ? `:${process.pid}` : "");
    this.holding = net.createServer((connection) => connection.destroy());
    try {
      await listen(this.holding, name);
    } catch (error) {
      if (error.code !== "EADDRINUSE") throw error;
      const holder = readHolder(this.where);
      const who = holder ? `pid ${holder.pid}, in phase ${holder.phase}` : "another process";
      throw new Refusal("held", `${this.where.home} belongs to a daemon that runs (${who})`, this.where.home);
    }
    this.enter("lock");
    if (DEFECT !== "pid-late") replaceFile(this.where.pid, `${process.pid}\n`);
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
      if (DEFECT === "acknowledges-unsaved") return;
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
    let file = this.where.socket;
    if (DEFECT === "cuts-path") file = Buffer.from(file).subarray(0, MOST_SOCKET_BYTES).toString();
    if (Buffer.byteLength(file) > MOST_SOCKET_BYTES) {
      const limit = DEFECT === "limit-unnamed" ? "" : `: at most ${MOST_SOCKET_BYTES} bytes`;
      throw new Refusal("socket-path", `the socket's path ${file} is too long${limit}`, file);
    }
    if (DEFECT === "unlinks-live" || DEFECT === "no-lock") fs.rmSync(file, { force: true, recursive: true });
    else if (DEFECT !== "keeps-dead") await clearSocket(file);
    this.server = net.createServer((connection) => this.serve(connection));
    await listen(this.server, file);
    fs.chmodSync(file, 0o600);
  }

  async run() {
    try {
      fs.mkdirSync(this.where.home, { recursive: true, mode: 0o700 });
      await this.lock();
      this.enter("log");
      this.log("info", { event: "daemon.starting", pid: process.pid });
      if (DEFECT === "ready-too-early") {
        this.tell({ ready: true, degraded: [] });
        await sleep(300); // while it has much to do
      }
      this.enter("store");
      this.openStore();
      this.enter("restore");
      this.restore();
      if (DEFECT === "impatient") await sleep(3000); // longer than a client needs on a busy machine
      this.enter("listen");
      await this.listen();
      if (DEFECT === "pid-late") replaceFile(this.where.pid, `${process.pid}\n`);
      this.log("info", { event: "daemon.ready", degraded: [...this.bad.keys()] });
      this.enter("ready");
    } catch (error) {
      await this.fatal(error);
      return;
    }
    for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => this.end(0));
    this.tell({ ready: true, degraded: [...this.bad].map(([id, error]) => `${id}: ${error.message}`) });
    this.told = true;
    fs.closeSync(3);
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

  async end(status) {
    const mine = readHolder(this.where)?.pid === process.pid;
    const listening = this.server?.listening;
    for (const file of [...(mine ? [this.where.pid, this.where.lock] : []), ...(listening ? [this.where.socket] : [])]) {
      fs.rmSync(file, { force: true });
    }
    if (DEFECT === "saves-late" && status === 0) {
      await sleep(500); // while it has much to do
      this.save();
    }
    process.exit(status);
  }

  serve(connection) {
    if (DEFECT === "idle-by-clock" && Date.now() - this.used > MOST_IDLE_MILLISECONDS) return this.end(0);
    this.used = Date.now();
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
