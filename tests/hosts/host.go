// SPDX-License-Identifier: MIT OR Apache-2.0

// Loses bytes of the library's mappings, and bytes of Go's own, for which Go's runtime has a handler. Built as a program,
// where the runtime is there first, and as a shared library that go.c loads when it likes.
package main

// #include "lose.h"
// static void lose_in_c(void) { lose_here(); }
// static const uint8_t *begin(void) { return lose_begin(); }
// static int32_t end(void) { return lose_end(); }
import "C"

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
	"unsafe"
)

const size = 1 << 20

func sum(bytes []byte) (total int) {
	for _, value := range bytes {
		total += int(value)
	}
	return total
}

// own tells whether a read of lost bytes of Go's own mapping is the panic that Go promises.
func own() (panicked bool) {
	file, err := os.CreateTemp(".", "own")
	if err != nil {
		panic(err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		panic(err)
	}
	bytes, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	defer syscall.Munmap(bytes)
	file.Truncate(0)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			panicked = true
		}
	}()
	return sum(bytes) < 0 // used, so that the compiler keeps it
}

func lose() {
	total := sum(unsafe.Slice((*byte)(unsafe.Pointer(C.begin())), size))
	if status := C.end(); status != -40 || total != 4096 {
		fmt.Fprintln(os.Stderr, "a loss ended with", status, "and the sum", total)
		os.Exit(4)
	}
}

func round(name string) {
	C.lose_in_c()
	lose()
	done := make(chan bool)
	go func() { lose(); done <- true }()
	<-done
	if !own() {
		fmt.Fprintln(os.Stderr, name, "no panic")
		os.Exit(5)
	}
}

//export HostRun
func HostRun() {
	for number := 0; number < 20; number++ {
		round("at first:")
	}
	channel := make(chan os.Signal, 1)
	signal.Notify(channel, syscall.SIGBUS)
	for number := 0; number < 5; number++ {
		round("while notified:")
		syscall.Kill(os.Getpid(), syscall.SIGBUS)
		select {
		case <-channel:
		case <-time.After(20 * time.Second):
			fmt.Fprintln(os.Stderr, "the signal did not arrive")
			os.Exit(6)
		}
	}
	signal.Reset(syscall.SIGBUS)
	round("at last:")
	fmt.Println("end")
}

func main() { HostRun() }
