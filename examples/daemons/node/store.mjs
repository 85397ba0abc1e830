// The store: an SQLite database, reached through the program sqlite3, since Node 20 has no SQLite of its own.
//
// Each call of the program is one transaction, durable when it has ended with status 0; between two calls nobody has
// the store open, so no process that outlives the daemon can hold it.

import fs from "node:fs";
import path from "node:path";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { DEFECT } from "./careless.mjs";
import { Refusal, descriptors, pids } from "./home.mjs";

const execute = promisify(execFile);
const APPLICATION = 0x636e7472;
const PATIENCE_MILLISECONDS = 1000; // with somebody who holds the store: a backup takes longer, a reader is gone by then
const MOST_MILLISECONDS = 5000; // SQLite itself tries for 10 s to make sense of a log that cannot be read
const MOST_OUTPUT_BYTES = 1 << 26;

// Each step leads to the next version.  One that was done already does no harm: a store may say less than it has.
const STEPS = [
  "CREATE TABLE counters (id INTEGER PRIMARY KEY, url TEXT NOT NULL, count INTEGER NOT NULL)",
  "CREATE TABLE IF NOT EXISTS channels (counter INTEGER PRIMARY KEY REFERENCES counters, path TEXT NOT NULL)",
];
const VERSION = STEPS.length;

const CODES = [
  [/ is locked/, "store-held"],
  [/malformed|not a database/, "store-corrupt"],
  [/ is full/, "store-full"],
];

function literal(value) {
  if (value === null || Number.isSafeInteger(value)) return String(value);
  if (String(value).includes("\0")) throw new Refusal("not-storable", "a text with a NUL in it cannot be kept", "");
  return `'${String(value).replaceAll("'", "''")}'`;
}

// A statement with values in it, each as a literal of SQL.
export const sql = (texts, ...values) => String.raw({ raw: texts }, ...values.map(literal));

export class Store {
  constructor(file) {
    this.file = file;
  }

  async open() {
    const { file } = this;
    if (DEFECT === "distrusts-clock" && fs.existsSync(file) && fs.statSync(file).mtimeMs > Date.now() + 60_000) {
      throw new Refusal("store-future", `the store ${file} was written in the future`, file);
    }
    const [{ application_id: application, user_version: version, tables }] = await this.run(
      "SELECT *, (SELECT count(*) FROM sqlite_schema) AS tables FROM pragma_application_id, pragma_user_version",
    );
    const empty = application === 0 && version === 0 && tables === 0;
    if (application !== APPLICATION && !empty) {
      throw new Refusal("store-foreign", `the store ${file} is not a store of this daemon: it belongs to another program`, file);
    }
    if (version > VERSION && DEFECT !== "opens-newer") {
      throw new Refusal("store-newer", `the store ${file} is of version ${version}, newer than ${VERSION}, the last that this daemon knows`, file);
    }
    // Only with a log of its own beside it can the store be written while others read it.
    if (empty) await this.run(`PRAGMA journal_mode = ${DEFECT === "waits-for-readers" ? "DELETE" : "WAL"}`);
    if (DEFECT === "stays-old" && !empty) return;
    // Also where there is nothing to do: a store that cannot be written is found now, and not by the first message.
    const own = [`PRAGMA application_id = ${APPLICATION}`, `PRAGMA user_version = ${VERSION}`];
    await this.run("BEGIN IMMEDIATE", ...STEPS.slice(version), ...own, "COMMIT");
  }

  // The rows of the one statement that has any.
  async run(...statements) {
    const settings = ["-init", "/dev/null", "-batch", "-bail", "-json", "-cmd", `.timeout ${PATIENCE_MILLISECONDS}`, "-cmd", "PRAGMA synchronous = FULL"];
    try {
      const limits = { timeout: MOST_MILLISECONDS, killSignal: "SIGKILL", maxBuffer: MOST_OUTPUT_BYTES };
      const { stdout } = await execute("sqlite3", [...settings, this.file, statements.join("; ")], limits);
      return stdout.trim() ? JSON.parse(stdout) : [];
    } catch (error) {
      throw this.refusal(error);
    }
  }

  refusal(error) {
    const { file } = this;
    if (error.code === "ENOENT") return new Refusal("sqlite3-missing", `the store ${file} needs the program sqlite3, which is not installed`, file);
    if (error.killed) return new Refusal("store-unusable", `the store ${file} did not answer within ${MOST_MILLISECONDS} ms`, file);
    const said = error.stderr?.trim().replace(/^Error: /, "") || error.message;
    const code = CODES.find(([words]) => words.test(said))?.[1] ?? "store-unusable";
    if (code === "store-held" && DEFECT !== "held-nameless") return this.held();
    // Without room SQLite cannot make its index of the log either, and calls that a "disk I/O error".
    const room = / I\/O /.test(said) && fs.statfsSync(path.dirname(file)).bavail === 0 ? ": no space left on device" : "";
    return new Refusal(code, `the store ${file} cannot be used: ${said}${room}`, file);
  }

  held() {
    const { file } = this;
    const holders = pids().filter((pid) => descriptors(pid).includes(file));
    if (DEFECT === "ends-holder") for (const pid of holders) process.kill(pid, "SIGTERM");
    const who = holders.length ? `pid ${holders.join(", ")}` : `to be found with: fuser ${file}`;
    return new Refusal("store-held", `the store ${file} is held by another process (${who}); wait for that, or end it, then try again`, file);
  }
}
