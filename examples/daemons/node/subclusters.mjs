// The subclusters: counters, each with a record in the store, with a worker as soon as it has something to do, and if it
// wants one with a channel: a socket on which every line is a message to it, and is answered with the count.

import fs from "node:fs";
import net from "node:net";
import { readBundle } from "./bundles.mjs";
import { DEFECT } from "./careless.mjs";
import { Refusal } from "./home.mjs";
import { clearSocket, fitting, listen, onLines } from "./sockets.mjs";
import { sql } from "./store.mjs";
import { Worker } from "./workers.mjs";

export class Subclusters {
  constructor(store, log) {
    this.store = store;
    this.log = log;
    this.all = new Map();
    this.turn = Promise.resolve();
    this.ended = false;
  }

  // One crank at a time, kept before the next begins: nobody sees a subcluster half way.
  crank(work) {
    if (this.ended) throw new Refusal("stopping", "the daemon is stopping", "");
    const done = this.turn.then(work);
    this.turn = done.catch(() => {});
    return done;
  }

  get bad() {
    return [...this.all.values()].filter((subcluster) => subcluster.error);
  }

  async restore() {
    const records = await this.store.run("SELECT id AS number, url, count, path AS channel FROM counters LEFT JOIN channels ON counter = id ORDER BY id");
    for (const record of records) {
      const subcluster = { ...record, id: `s${record.number}` };
      this.all.set(subcluster.id, subcluster);
      if (DEFECT === "loses-state") subcluster.count = 0;
      try {
        readBundle(subcluster.url);
        if (subcluster.channel && DEFECT !== "forgets-channel") await this.open(subcluster);
      } catch (error) {
        if (DEFECT === "aborts" || (DEFECT === "channel-aborts" && subcluster.channel)) throw error;
        await this.setAside(subcluster, error);
      }
    }
  }

  async setAside(subcluster, error) {
    subcluster.error = error;
    const { id, number } = subcluster;
    if (DEFECT === "never-repairs") await this.store.run(sql`UPDATE counters SET url = url || '-lost' WHERE id = ${number}`);
    if (DEFECT === "deletes-record") {
      await this.store.run(sql`DELETE FROM counters WHERE id = ${number}`);
      this.all.delete(id);
    }
    if (DEFECT === "silent") return;
    this.log("warning", { event: "subcluster.quarantined", subcluster: id, code: error.code, path: error.where, message: error.message });
  }

  async open(subcluster) {
    const file = fitting(subcluster.channel);
    if (DEFECT === "takes-channel") fs.rmSync(file, { force: true, recursive: true });
    else await clearSocket(file);
    const server = net.createServer((connection) =>
      onLines(connection, async () => {
        try {
          return (await this.crank(() => this.increment(subcluster))).count;
        } catch (error) {
          return `error: ${error.message}`;
        }
      }),
    );
    await listen(server, file);
    subcluster.server = server;
  }

  async launch({ url, channel = null }) {
    if (DEFECT === "refuses-when-degraded" && this.bad.length) throw new Refusal("degraded", "the daemon is degraded", "");
    if (DEFECT !== "half-launched") readBundle(url);
    const subcluster = { url, channel, count: 0 };
    if (channel) await this.open(subcluster);
    try {
      await this.record(subcluster);
    } catch (error) {
      this.close(subcluster);
      throw error;
    }
    if (DEFECT === "half-launched") readBundle(url);
    return { id: subcluster.id };
  }

  async record(subcluster) {
    const { url, channel } = subcluster;
    const [{ number }] = await this.store.run(
      "BEGIN IMMEDIATE",
      sql`INSERT INTO counters (url, count) VALUES (${url}, 0) RETURNING id AS number`,
      channel ? sql`INSERT INTO channels VALUES (last_insert_rowid(), ${channel})` : "",
      "COMMIT",
    );
    Object.assign(subcluster, { number, id: `s${number}` });
    this.all.set(subcluster.id, subcluster);
  }

  list() {
    return [...this.all.values()].map(({ id, url, channel, error }) => ({
      id,
      url,
      channel,
      state: error ? "set aside" : "running",
      why: error ? { code: error.code, message: error.message } : null,
    }));
  }

  find(id) {
    const found = this.all.get(id);
    if (!found) throw new Refusal("unknown", `there is no subcluster ${id}`, "");
    return found;
  }

  async increment(subcluster) {
    const { id, error } = subcluster;
    if (error) throw new Refusal(error.code, `${id} is set aside: ${error.message}`, error.where);
    if (subcluster.worker?.gone.aborted ?? true) subcluster.worker = new Worker(this.store);
    const { count } = await subcluster.worker.deliver({ count: subcluster.count });
    if (DEFECT !== "saves-late") await this.save({ ...subcluster, count });
    subcluster.count = count; // what could not be kept has not happened
    return { count };
  }

  async save({ number, count }) {
    try {
      await this.store.run(sql`UPDATE counters SET count = ${count} WHERE id = ${number}`);
    } catch (error) {
      if (DEFECT !== "acknowledges-unsaved") throw error;
    }
  }

  close({ server, channel }) {
    if (!server) return;
    server.close();
    fs.rmSync(channel, { force: true });
  }

  async end() {
    this.ended = true;
    await this.turn;
    for (const subcluster of this.all.values()) {
      this.close(subcluster);
      await subcluster.worker?.end();
      if (DEFECT === "saves-late") await this.save(subcluster);
    }
  }
}
