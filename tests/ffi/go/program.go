// SPDX-License-Identifier: MIT OR Apache-2.0

// The cases in Go, over cgo.
package main

// #include <mmapguard.h>
// #include <stdlib.h>
// static mmg_options fresh_options(void) { return (mmg_options)MMG_OPTIONS_INIT; }
// static mmg_error fresh_error(void) { return (mmg_error)MMG_ERROR_INIT; }
// static mmg_info fresh_info(void) { return (mmg_info)MMG_INFO_INIT; }
import "C"

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
	"unsafe"
)

var input = bufio.NewReader(os.Stdin)

func name(status C.mmg_status) string { return C.GoString(C.mmg_status_name(status)) }

func sum(bytes []byte) (total uint32) {
	for _, b := range bytes {
		total += uint32(b)
	}
	return
}

func ready() {
	fmt.Println("ready")
	input.ReadString('\n')
}

func twin(path string, guarded bool) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	status, _ := file.Stat()
	bytes, err := syscall.Mmap(int(file.Fd()), 0, int(status.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err.Error()
	}
	if guarded && C.mmg_guard_process(C.MMG_SCOPE_FILES, 0) != C.MMG_OK {
		return "error"
	}
	ready()
	total := sum(bytes)
	if !guarded {
		return fmt.Sprint("ok ", total)
	}
	var count, losses C.uint64_t
	C.mmg_losses_get(0, nil, 0, &count, &losses)
	return fmt.Sprintf("ok %d %d", total, uint64(losses))
}

// Checks the runtime's own use of signals after the library handled one of them: a fault of Go code is still a panic
// from which the program can recover, also a fault of another mapping, and a signal that is sent still arrives.
func signals(other string) string {
	faults := func(body func()) (happened bool) {
		defer func() { happened = recover() != nil }()
		body()
		return false
	}
	if !faults(func() {
		var nothing *int
		*nothing = 1
	}) {
		return "ok without a panic for nil"
	}
	if err := os.WriteFile(other, make([]byte, 100000), 0o600); err != nil {
		return err.Error()
	}
	file, _ := os.Open(other)
	bytes, err := syscall.Mmap(int(file.Fd()), 0, 100000, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err.Error()
	}
	os.Truncate(other, 0)
	debug.SetPanicOnFault(true)
	if !faults(func() { fmt.Fprintln(os.Stderr, sum(bytes)) }) {
		return "ok without a panic for a fault"
	}
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGUSR1)
	ready()
	select {
	case <-heard:
		return "ok handled"
	case <-time.After(30 * time.Second):
		return "ok unheard"
	}
}

func run(what, path string) string {
	if what == "twin" || what == "guarded" {
		return twin(path, what == "guarded")
	}
	options, failure, info := C.fresh_options(), C.fresh_error(), C.fresh_info()
	if what == "stable" {
		options.guarantee = C.MMG_GUARANTEE_STABLE
	}
	var file C.mmg_handle
	var span C.mmg_span
	var number C.uint64_t
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	if status := C.mmg_open(cpath, &options, &file, &failure); status != C.MMG_OK {
		return fmt.Sprint("error ", name(status), " ", C.GoString(&failure.message[0]))
	}
	C.mmg_info_get(file, &info)
	switch what {
	case "open":
		return fmt.Sprint("ok ", info.size)
	case "info":
		return fmt.Sprint("ok ", info.size, " ", C.GoString(C.mmg_term(C.MMG_TERM_BACKING, info.backing)))
	case "read":
		var buffer [16]byte
		C.mmg_read(file, 5, unsafe.Pointer(&buffer), 16, &number)
		return "ok " + hex.EncodeToString(buffer[:number])
	case "find":
		needle := []byte("NEEDLE")
		C.mmg_find(file, 0, C.MMG_TO_END, unsafe.Pointer(&needle[0]), C.uint64_t(len(needle)), &number)
		return fmt.Sprint("ok ", number)
	case "close":
		first := C.mmg_close(file, 0)
		return fmt.Sprint("ok ", name(first), " ", name(C.mmg_close(file, 0)))
	case "use-after-close":
		C.mmg_close(file, 0)
		return "error " + name(C.mmg_pin(file, 0, C.MMG_TO_END, &span))
	}
	C.mmg_pin(file, 0, C.MMG_TO_END, &span)
	bytes := unsafe.Slice((*byte)(span.data), span.size)
	switch what {
	case "pin":
		return fmt.Sprint("ok ", sum(bytes))
	case "empty":
		if span.data == nil {
			return "null"
		}
		return fmt.Sprint("ok ", len(bytes))
	case "unpin":
		first := C.mmg_unpin(&span)
		return fmt.Sprint("ok ", name(first), " ", name(C.mmg_unpin(&span)))
	case "stable":
		before := sum(bytes)
		ready()
		if sum(bytes) != before {
			return "ok other"
		}
		return "ok same"
	}
	ready()
	fmt.Fprintln(os.Stderr, sum(bytes)) // used, so that the compiler keeps it
	status := C.mmg_unpin(&span)
	C.mmg_info_get(file, &info)
	if what == "truncated" {
		return fmt.Sprint("error ", name(status), " ", info.fault_offset)
	}
	return signals(path + ".other")
}

func main() { fmt.Println(run(os.Args[1], os.Args[2])) }
