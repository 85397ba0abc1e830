// A small persistent daemon without a line of Python: it launches "subclusters" (counters), each from a bundle of its
// own and in a process of its own, keeps them in an SQLite database, and answers JSON-RPC 2.0 over a Unix socket.
// Node 20 and the program sqlite3, no packages.
//
// It is careful.  CARELESS=NAME puts one defect into it (careless.mjs lists them), as proof that pytest-ocap finds each
// by the check that names it.  This file is its client: what is typed.
//
// Usage: node daemon.mjs start|stop|status|serve HOME [--timeout SECONDS] [--force]

import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { DEFECT, DEFECTS } from "./careless.mjs";
import { lockOf, places, readHolder, sleep, startTime } from "./home.mjs";
import { Daemon } from "./server.mjs";
import { connects } from "./sockets.mjs";

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
  return fail(5, `the daemon (pid ${holder.pid}) hangs in phase ${holder.phase} and has not answered for ${seconds.toFixed(1)} s; end it with: node ${self} stop HOME --force`);
}

async function start(home, seconds) {
  const where = places(home);
  if (fs.existsSync(home) && !fs.statSync(home).isDirectory()) return fail(6, `the home ${home} is not a directory`);
  if (DEFECT === "trusts-pid-file" && fs.existsSync(where.pid)) return fail(6, `a daemon runs, says ${where.pid}`);
  const deadline = performance.now() + seconds * 1000;
  const looks = DEFECT !== "no-lock" && DEFECT !== "loser-gives-up";
  for (let holder; looks && (holder = readHolder(where)); ) {
    if (holder.phase === "ready" && (await ask(where, "ping", Math.max(0.1, (deadline - performance.now()) / 1000)))) {
      return console.log(`the daemon runs already (pid ${holder.pid})`);
    }
    if (performance.now() >= deadline || DEFECT === "impatient") return hangs(holder, seconds);
    await sleep(50);
  }
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), "serve", home], {
    detached: true,
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const left = () => sleep(Math.max(0, deadline - performance.now())); // nothing is waited for longer than that
  const exits = new Promise((resolve) => child.once("exit", (status, signal) => resolve(signal ?? `exit status ${status}`)));
  const end = () => Promise.race([exits, left()]);
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
  await Promise.race([answered, left()]);
  if (answer?.ready) {
    for (const line of answer.degraded) console.log(`set aside: ${line}`);
    console.log(`the daemon is ready (pid ${child.pid})`);
    process.exit(0);
  } else if (answer?.fatal.code === "held" && DEFECT !== "loser-gives-up") {
    await end();
    while (!readHolder(where) && (await connects(lockOf(home)))) {
      if (performance.now() >= deadline) return fail(4, answer.fatal.message); // and never wrote down who that is
      await sleep(50);
    }
    await start(home, Math.max(0.1, (deadline - performance.now()) / 1000)); // another start was quicker: its daemon is ours too
    process.exit();
  } else if (answer) {
    const { fatal } = answer;
    fail(4, `the daemon could not start, in phase ${fatal.phase}: ${fatal.message} (code ${fatal.code})`);
    if (DEFECT !== "lingers") await end();
    process.exit();
  } else {
    const how = performance.now() < deadline ? await end() : undefined;
    if (how === undefined) hangs({ pid: child.pid, phase }, seconds);
    else fail(4, `the daemon (pid ${child.pid}) died in phase ${phase}: ${how}; start it again, and look into ${where.log}`);
    process.exit();
  }
}

async function status(home, seconds) {
  const where = places(home);
  if (DEFECT === "believes-pid-file" && fs.existsSync(where.pid)) return console.log("the daemon runs");
  const holder = readHolder(where);
  if (!holder) return fail(3, `no daemon runs in ${home}`);
  if (holder.phase !== "ready") return fail(5, `the daemon (pid ${holder.pid}) is starting, in phase ${holder.phase}`);
  if (!(await ask(where, "ping", seconds))) return fail(5, `the daemon (pid ${holder.pid}) does not answer`);
  console.log(`the daemon runs (pid ${holder.pid})`);
}

async function stop(home, seconds, force) {
  const where = places(home);
  const holder = readHolder(where);
  if (!holder) return fail(3, `no daemon runs in ${home}`);
  const patience = force ? 1 : seconds;
  const deadline = performance.now() + patience * 1000;
  const gone = () => startTime(holder.pid) !== holder.started;
  await ask(where, "shutdown", patience);
  while (!gone() && performance.now() < deadline) await sleep(10);
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
  status: () => status(path.resolve(home), seconds),
  serve: () => new Daemon(path.resolve(home)).run(),
};
if (DEFECT && !Object.hasOwn(DEFECTS, DEFECT)) fail(2, `CARELESS=${DEFECT} is none of ${Object.keys(DEFECTS).join(", ")}`);
else if (!home || !Object.hasOwn(commands, command)) fail(2, "usage: node daemon.mjs start|stop|status|serve HOME [--timeout SECONDS] [--force]");
else await commands[command]();
