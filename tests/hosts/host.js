// SPDX-License-Identifier: MIT OR Apache-2.0
// Loses bytes of the library's mappings, and has a listener for SIGBUS of its own: node host.js ORDER LIBRARY.
'use strict';
const fs = require('node:fs');
const koffi = require('koffi');

const [order, path] = process.argv.slice(2);
const library = koffi.load(path);
koffi.struct('mmg_span', { data: 'void *', size: 'uint64', pin: 'uint64' });
const open = library.func('int32_t mmg_open(str path, void *o, _Out_ uint64_t *h, void *e)');
const close = library.func('int32_t mmg_close(uint64_t h, uint32_t flags)');
const pin = library.func('int32_t mmg_pin(uint64_t h, uint64_t o, uint64_t l, _Out_ mmg_span *s)');
const unpin = library.func('int32_t mmg_unpin(_Inout_ mmg_span *s)');
const install = library.func('int32_t mmg_guard_install()');
const state = library.func('int32_t mmg_guard_state()');
const size = 1 << 20;

function lose() {
  fs.writeFileSync('lost', Buffer.alloc(size, 1));
  const handle = [0];
  const span = {};
  if (open('lost', null, handle, null) !== 0 || state() !== 1) throw new Error(`no guarded mapping: ${state()}`);
  if (pin(handle[0], 0, 0xffffffffffffffffn, span) !== 0) throw new Error('no pin');
  fs.truncateSync('lost', 4096);
  let sum = 0;
  for (const byte of new Uint8Array(koffi.view(span.data, size))) sum += byte;
  const status = unpin(span);
  close(handle[0], 0);
  if (status !== -40 || sum !== 4096) throw new Error(`a loss ended with ${status} and the sum ${sum}`);
}

let events = 0;
const listen = () => process.on('SIGBUS', () => events++);
if (order !== 'host-first') lose();
listen();
if (order === 'guard-again') {
  process.removeAllListeners('SIGBUS');
  listen();
  if (install() !== 0) throw new Error('no guard');
}
for (let round = 0; round < 10; round++) lose();
process.kill(process.pid, 'SIGBUS');
setTimeout(() => {
  if (events !== 1) throw new Error(`${events} events`);
  lose();
  console.log('end');
}, 200);
