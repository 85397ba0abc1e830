// Bundles: what a subcluster is launched from, and has to be there when it is restored.

import fs from "node:fs";
import { fileURLToPath } from "node:url";
import { DEFECT } from "./careless.mjs";
import { Refusal } from "./home.mjs";

const MOST_BYTES = 1 << 20;

export function readBundle(url) {
  const file = fileURLToPath(url);
  try {
    if (DEFECT !== "opens-anything") {
      const found = fs.statSync(file);
      if (!found.isFile()) throw new Refusal("bundle-unreadable", `${file} is no regular file`, file);
      if (found.size > MOST_BYTES) {
        throw new Refusal("bundle-too-large", `${file} has ${found.size} bytes, more than ${MOST_BYTES}`, file);
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
