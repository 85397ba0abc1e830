// A worker: a process for one subcluster.  All that it has of the daemon is the pipe on which they talk.

import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { DEFECT } from "./careless.mjs";
import { Refusal } from "./home.mjs";

const PROGRAM = fileURLToPath(new URL("counter.mjs", import.meta.url));
const MOST_MILLISECONDS = 5000;

export class Worker {
  constructor(store) {
    const words = DEFECT === "worker-opens-store" ? [store.file] : [];
    this.process = fork(PROGRAM, words, { stdio: ["ignore", "ignore", "ignore", "ipc"] });
    const gone = new AbortController();
    this.gone = gone.signal;
    for (const event of ["exit", "error"]) this.process.on(event, () => gone.abort());
  }

  // One message at a time: the next is sent when what came of the last is kept.
  async deliver(message) {
    const patience = AbortSignal.timeout(MOST_MILLISECONDS);
    try {
      const answer = once(this.process, "message", { signal: AbortSignal.any([this.gone, patience]) });
      this.process.send(message, () => {}); // what cannot be sent is not answered
      return (await answer)[0];
    } catch {
      await this.end();
      throw new Refusal("worker-lost", patience.aborted ? `the worker did not answer within ${MOST_MILLISECONDS} ms` : "the worker has ended", "");
    }
  }

  async end() {
    if (this.gone.aborted) return;
    this.process.kill("SIGKILL");
    await once(this.process, "exit");
  }
}
