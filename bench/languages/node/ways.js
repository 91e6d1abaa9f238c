// SPDX-License-Identifier: MIT OR Apache-2.0
"use strict";

// The way of Node.js to read a file, for other_languages.py, which says what the requests and the answers are. Node.js itself
// maps no files.
const fs = require("node:fs");
const readline = require("node:readline");

const PAGE = 4096;
const ways = { "fs.readFileSync": (path) => fs.readFileSync(path) };
let sum = 0;

function touchPages(data) {
  for (let at = 0; at < data.length; at += PAGE) sum = (sum + data[at]) | 0;
}

function touchAll(data) {
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length >> 2);
  for (let at = 0; at < words.length; at++) sum = (sum + words[at]) | 0;
}

function run(task, open, times, path) {
  const standing = open(path);
  for (let i = 0; i < times; i++) {
    if (task === "scan") touchAll(standing);
    else touchPages(open(path));
  }
}

// Waits until standard input ends, and exits with 0 when the bytes are those at the start, and with 41 when they are not.
function survive(open, path) {
  const data = open(path);
  const before = Buffer.from(data);
  fs.writeSync(1, "ready\n");
  fs.readSync(0, Buffer.alloc(1)); // a program of one thread hears of the end in no other way
  touchPages(data);
  process.exit(before.equals(data) ? 0 : 41);
}

if (process.argv[2] === "survive") {
  survive(ways[process.argv[3]], process.argv[4]);
} else {
  console.log(JSON.stringify({ version: process.version.slice(1), ways: Object.keys(ways) }));
  readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const [way, task, times, path] = line.split("\t");
    try {
      run(task, ways[way], Number(times), path);
      console.log("done");
    } catch (failure) {
      console.log(`failed: ${failure.message}`);
    }
  });
}
