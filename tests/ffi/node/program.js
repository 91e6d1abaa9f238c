// SPDX-License-Identifier: MIT OR Apache-2.0
// The cases in Node.js, over koffi. Handles are below 2^53, so a number holds them.
"use strict";
const fs = require("node:fs");
const koffi = require("koffi");

const [libraryPath, what, path] = process.argv.slice(2);
const library = koffi.load(libraryPath);
const numbers = (type, ...names) => Object.fromEntries(names.map((name) => [name, type]));
const Options = koffi.struct("mmg_options", {
  ...numbers("uint32_t", "struct_size", "backing", "guarantee", "lock", "lock_wait_ms", "access"),
  ...numbers("uint64_t", "flags", "offset", "length", "copy_threshold", "max_bytes", "max_snapshot_bytes"),
  ...numbers("uint32_t", "max_leases", "max_lease_wait_ms", "stream_wait_ms", "reserved"),
});
const Failure = koffi.struct("mmg_error", {
  ...numbers("uint32_t", "struct_size"),
  ...numbers("int32_t", "status", "os_code"),
  reserved: "uint32_t",
  offset: "uint64_t",
  operation: koffi.array("char", 24, "String"),
  message: koffi.array("char", 464, "String"),
});
const Info = koffi.struct("mmg_info", {
  ...numbers("uint32_t", "struct_size", "backing", "backing_reason", "guarantee", "means", "shortfall", "lock"),
  fault_cause: "int32_t",
  ...numbers("uint64_t", "size", "offset", "file_size", "device", "inode"),
  ...numbers("int64_t", "mtime_seconds", "ctime_seconds"),
  ...numbers("uint32_t", "mtime_nanoseconds", "ctime_nanoseconds"),
  ...numbers("uint64_t", "faults", "fault_offset", "pins", "mapped_bytes", "heap_bytes"),
  ...numbers("int32_t", "lock_error", "os_error"),
  page_size: "uint64_t",
  ...numbers("uint32_t", "lock_reason", "exceptions"),
  means_order: "uint64_t",
  file_system: koffi.array("char", 24, "String"),
});
koffi.struct("mmg_span", { data: "void *", size: "uint64_t", pin: "uint64_t" });

const call = (prototype) => library.func(prototype);
const open = call("int32_t mmg_open(const char *path, mmg_options *o, _Out_ uint64_t *handle, _Inout_ mmg_error *e)");
const close = call("int32_t mmg_close(uint64_t handle, uint32_t flags)");
const pin = call("int32_t mmg_pin(uint64_t handle, uint64_t offset, uint64_t length, _Out_ mmg_span *span)");
const unpin = call("int32_t mmg_unpin(_Inout_ mmg_span *span)");
const read = call("int32_t mmg_read(uint64_t handle, uint64_t offset, _Out_ uint8_t *b, uint64_t size, _Out_ uint64_t *g)");
const find = call("int32_t mmg_find(uint64_t h, uint64_t o, uint64_t l, const char *n, uint64_t s, _Out_ uint64_t *position)");
const infoGet = call("int32_t mmg_info_get(uint64_t handle, _Inout_ mmg_info *info)");
const name = call("const char *mmg_status_name(int32_t status)");
const term = call("const char *mmg_term(uint32_t vocabulary, uint32_t value)");

const TO_END = 0xffffffffffffffffn;

// Adds up the bytes in place.
function sum(span) {
  const bytes = span.size > 0 ? new Uint8Array(koffi.view(span.data, Number(span.size))) : [];
  let total = 0;
  for (const byte of bytes) total = (total + byte) >>> 0;
  return total;
}

function ready() {
  fs.writeSync(1, "ready\n");
  fs.readSync(0, Buffer.alloc(16));
}

async function run() {
  const options = { struct_size: koffi.sizeof(Options), guarantee: what === "stable" ? 2 : 0 };
  for (const member of Object.keys(Options.members ?? koffi.introspect(Options).members)) options[member] ??= 0;
  const failure = { struct_size: koffi.sizeof(Failure), status: 0, os_code: 0, reserved: 0, offset: 0, operation: "", message: "" };
  const info = { struct_size: koffi.sizeof(Info), file_system: "" };
  for (const member of Object.keys(Info.members ?? koffi.introspect(Info).members)) info[member] ??= 0;
  const [handle, count, span] = [[0], [0], {}];
  let status = open(path, options, handle, failure);
  if (status !== 0) return `error ${name(status)} ${failure.message}`;
  const file = handle[0];
  infoGet(file, info);
  switch (what) {
    case "open":
      return `ok ${info.size}`;
    case "info":
      return `ok ${info.size} ${term(1, info.backing)}`;
    case "read": {
      const buffer = Buffer.alloc(16);
      read(file, 5, buffer, 16, count);
      return `ok ${buffer.subarray(0, Number(count[0])).toString("hex")}`;
    }
    case "find":
      find(file, 0, TO_END, "NEEDLE", 6, count);
      return `ok ${count[0]}`;
    case "close":
      return `ok ${name(close(file, 0))} ${name(close(file, 0))}`;
    case "use-after-close":
      close(file, 0);
      return `error ${name(pin(file, 0, TO_END, span))}`;
  }
  pin(file, 0, TO_END, span);
  switch (what) {
    case "pin":
      return `ok ${sum(span)}`;
    case "empty":
      return `${span.data === null ? "null" : "ok"} ${span.size}`;
    case "unpin":
      return `ok ${name(unpin(span))} ${name(unpin(span))}`;
    case "stable": {
      const before = sum(span);
      ready();
      return sum(span) === before ? "ok same" : "ok other";
    }
  }
  ready();
  sum(span);
  status = unpin(span);
  infoGet(file, info);
  if (what === "truncated") return `error ${name(status)} ${info.fault_offset}`;
  const heard = new Promise((resolve) => process.once("SIGUSR2", resolve)); // USR1 is for its debugger
  const alive = setInterval(() => {}, 1000); // Node.js ends while it waits only for a signal
  fs.writeSync(1, "ready\n");
  const signal = await heard;
  clearInterval(alive);
  return signal === "SIGUSR2" ? "ok handled" : "ok unheard";
}

run().then((line) => console.log(line));
