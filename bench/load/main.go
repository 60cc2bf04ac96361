// Load: the other side of every benchmark. It sends events over gRPC, and takes the requests that
// come of them over HTTP.
//
//	load sink   answers like Customer.io's Track API, and counts operations
//	load run    sends events as fast as they are acknowledged, or at a fixed rate
//	load noop   a gRPC server that does nothing, to find how fast `load run` itself is
//
// Each prints one line of JSON on stdout for the benchmark to read.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"
)

func main() {
	commands := map[string]func([]string) error{"sink": sink, "run": run, "noop": noop}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: load sink|run|noop [flags]")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func printJSON(value any) error {
	return json.NewEncoder(os.Stdout).Encode(value)
}

// cpuSeconds is what this process has used so far.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
