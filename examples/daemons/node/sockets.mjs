// Sockets, and the place of one: what is dead is removed, what is somebody's is left alone.

import fs from "node:fs";
import net from "node:net";
import { Refusal } from "./home.mjs";

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
