# SPDX-License-Identifier: MIT OR Apache-2.0
import std/[os, posix, strutils]
import mmapguard

var handled {.volatile.}: cint

proc onSignal(number: cint) {.noconv.} =
  handled = number

proc sum(bytes: ptr UncheckedArray[uint8], size: uint64): uint32 =
  for i in 0'u64 ..< size:
    result += uint32(bytes[i])

proc ready() =
  echo "ready"
  flushFile stdout
  discard stdin.readLine

proc name(status: mmg_status): string =
  $mmg_status_name(status)

proc twin(path: string, guarded: bool) =
  let fd = posix.open(path.cstring, O_RDONLY)
  let size = getFileSize(path)
  let bytes = cast[ptr UncheckedArray[uint8]](mmap(nil, int(size), PROT_READ, MAP_SHARED, fd, 0))
  if guarded: doAssert mmg_guard_process(MMG_SCOPE_FILES, 0) == MMG_OK
  ready()
  let total = sum(bytes, uint64(size))
  var count, losses: uint64
  if guarded:
    discard mmg_losses_get(0, nil, 0, count, losses)
    echo "ok ", total, " ", losses
  else:
    echo "ok ", total

proc viewed(what: string, file: mmg_handle) =
  var
    span: mmg_span
    info = fresh(mmg_info)
  discard mmg_pin(file, 0, MMG_TO_END, span)
  case what
  of "pin": echo "ok ", sum(span.data, span.size)
  of "empty": echo (if span.data != nil: "ok " else: "null "), span.size
  of "unpin":
    let first = mmg_unpin(span)
    echo "ok ", name(first), " ", name(mmg_unpin(span))
  of "stable":
    let before = sum(span.data, span.size)
    ready()
    echo (if sum(span.data, span.size) == before: "ok same" else: "ok other")
  else:
    ready()
    discard sum(span.data, span.size)
    let status = mmg_unpin(span)
    discard mmg_info_get(file, info)
    if what == "signals":
      signal(SIGUSR1, onSignal)
      ready()
      echo (if handled == SIGUSR1: "ok handled" else: "ok unheard")
    else:
      echo "error ", name(status), " ", info.fault_offset

proc main(what, path: string) =
  var
    options = fresh(mmg_options)
    error = fresh(mmg_error)
    info = fresh(mmg_info)
    file: mmg_handle
    number: uint64
  if what == "stable":
    options.guarantee = MMG_GUARANTEE_STABLE
  let status = mmg_open(path.cstring, addr options, file, addr error)
  if status != MMG_OK:
    echo "error ", name(status), " ", cast[cstring](addr error.message)
    return
  discard mmg_info_get(file, info)
  case what
  of "open": echo "ok ", info.size
  of "info": echo "ok ", info.size, " ", mmg_term(MMG_TERM_BACKING, info.backing)
  of "read":
    var bytes: array[16, uint8]
    discard mmg_read(file, 5, addr bytes, uint64(sizeof(bytes)), number)
    var text = "ok "
    for byte in bytes: text.add toHex(byte).toLowerAscii
    echo text
  of "find":
    discard mmg_find(file, 0, MMG_TO_END, "NEEDLE".cstring, 6, number)
    echo "ok ", number
  of "close":
    let first = mmg_close(file, 0)
    echo "ok ", name(first), " ", name(mmg_close(file, 0))
  of "use-after-close":
    var span: mmg_span
    discard mmg_close(file, 0)
    echo "error ", name(mmg_pin(file, 0, MMG_TO_END, span))
  else: viewed(what, file)

if paramStr(1) in ["twin", "guarded"]: twin(paramStr(2), paramStr(1) == "guarded")
else: main(paramStr(1), paramStr(2))
