// What runs in a worker: the counter of one subcluster.  It is told where it stands and answers where it stands then;
// what is kept is the daemon's affair, and so is everything in the home.

import fs from "node:fs";
import { DEFECT } from "./careless.mjs";

if (DEFECT === "worker-opens-store") fs.openSync(process.argv[2], "r");

process.on("message", ({ count }) => process.send({ count: count + 1 }));

// The pipe to the daemon ends with it, however it dies.
if (DEFECT === "worker-outlives") setInterval(() => {}, 1000);
else process.on("disconnect", () => process.exit());
