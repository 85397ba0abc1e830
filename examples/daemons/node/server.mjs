// The daemon: it holds its home, restores its subclusters from the store, and answers JSON-RPC 2.0, a line each.

import fs from "node:fs";
import net from "node:net";
import { DEFECT } from "./careless.mjs";
import { Refusal, lockOf, places, readHolder, replaceFile, sleep, startTime } from "./home.mjs";
import { clearSocket, fitting, listen, onLines } from "./sockets.mjs";
import { Store } from "./store.mjs";
import { Subclusters } from "./subclusters.mjs";

const MOST_IDLE_MILLISECONDS = 3_600_000;

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
    this.store = new Store(this.where.store);
    this.subclusters = new Subclusters(this.store, (...record) => this.log(...record));
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

  async listen() {
    const file = fitting(this.where.socket);
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
      await this.store.open();
      this.enter("restore");
      await this.subclusters.restore();
      if (DEFECT === "impatient") await sleep(3000); // longer than a client needs on a busy machine
      this.enter("listen");
      await this.listen();
      if (DEFECT === "pid-late") replaceFile(this.where.pid, `${process.pid}\n`);
      this.log("info", { event: "daemon.ready", degraded: this.subclusters.bad.map(({ id }) => id) });
      this.enter("ready");
    } catch (error) {
      await this.fatal(error);
      return;
    }
    for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => this.end(0));
    this.tell({ ready: true, degraded: this.subclusters.bad.map(({ id, error }) => `${id}: ${error.message}`) });
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
    if (this.server?.listening) fs.rmSync(this.where.socket, { force: true });
    if (DEFECT === "saves-late") await sleep(500); // while it has much to do
    await this.subclusters.end();
    const mine = readHolder(this.where)?.pid === process.pid;
    for (const file of mine ? [this.where.pid, this.where.lock] : []) fs.rmSync(file, { force: true });
    process.exit(status);
  }

  serve(connection) {
    if (DEFECT === "idle-by-clock" && Date.now() - this.used > MOST_IDLE_MILLISECONDS) return this.end(0);
    this.used = Date.now();
    onLines(connection, async (line) => JSON.stringify({ jsonrpc: "2.0", ...(await this.answer(line)) }));
  }

  async answer(line) {
    let id = null;
    try {
      const request = JSON.parse(line);
      id = request.id ?? null;
      const method = Object.hasOwn(this.methods, request.method) ? this.methods[request.method] : null;
      if (!method) return { id, error: { code: -32601, message: `there is no method ${request.method}` } };
      return { id, result: await method(request.params ?? {}) };
    } catch (error) {
      const code = error instanceof SyntaxError ? -32700 : -32000;
      return { id, error: { code, message: error.message, data: { code: error.code ?? "internal", path: error.where } } };
    }
  }

  methods = {
    ping: () => "pong",
    list: () => this.subclusters.list(),
    launch: (params) => this.subclusters.crank(() => this.subclusters.launch(params)),
    increment: ({ id }) => this.subclusters.crank(() => this.subclusters.increment(this.subclusters.find(id))),
    shutdown: () => {
      setImmediate(() => this.end(0)); // when the answer is on its way
      return "stopping";
    },
  };
}
