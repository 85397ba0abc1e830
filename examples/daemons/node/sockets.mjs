// Sockets, and the place of one: what is dead is removed, what is somebody's is left alone.

import fs from "node:fs";
import net from "node:net";
import { DEFECT } from "./careless.mjs";
import { Refusal, descriptors, pids } from "./home.mjs";

const MOST_BYTES = 107;

// Node cuts off a path that is too long, and listens somewhere else.
export function fitting(file) {
  if (Buffer.byteLength(file) <= MOST_BYTES) return file;
  if (DEFECT === "cuts-path") return Buffer.from(file).subarray(0, MOST_BYTES).toString();
  const limit = DEFECT === "limit-unnamed" ? "" : `: at most ${MOST_BYTES} bytes`;
  throw new Refusal("socket-path", `the socket's path ${file} is too long${limit}`, file);
}

export function listen(server, where) {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => resolve());
  });
}

export async function clearSocket(file) {
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

export function connects(file) {
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
  const found = pids().find((pid) => descriptors(pid).includes(wanted));
  return found ? `pid ${found}` : "a process of another user";
}

// Each line that is heard is answered with a line.
export function onLines(connection, answer) {
  let pending = "";
  connection.setEncoding("utf8");
  connection.on("error", () => connection.destroy());
  connection.on("data", async (chunk) => {
    const lines = (pending + chunk).split("\n");
    pending = lines.pop();
    for (const line of lines) connection.write(`${await answer(line)}\n`);
  });
}
