// Command bench measures pgcrm beside references that do less, on the same work
// and in the same run: see README.md.
//
// Every repetition has a Postgres of its own and, for each of the consumers, a
// slot that was made before the work was written. Each consumer is a process of
// its own and reads the same log, one after the other; its CPU time and memory
// are the kernel's figures, so nothing is measured from inside.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing to undo
	}
}

// options are what the command line says.
type options struct {
	workloads   string
	repetitions int
	scale       float64
	pgcrm       string
	pgBin       string
	results     string
	page        string
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == bareCommand {
		return bare(ctx, args[1:])
	}
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.workloads, "workloads", "a,b,c,d,e,f,g", "which to run; empty for none, only the page")
	f.IntVar(&o.repetitions, "reps", 5, "repetitions of each")
	f.Float64Var(&o.scale, "scale", 1, "of the rows of each")
	f.StringVar(&o.pgcrm, "pgcrm", "bin/pgcrm", "the program to measure")
	f.StringVar(&o.pgBin, "pg-bin", "", "directory of initdb, postgres and pg_recvlogical; empty for what is installed")
	f.StringVar(&o.results, "results", "bench/results", "where JSON is kept, one file a repetition")
	f.StringVar(&o.page, "page", "docs/benchmarks.md", "the page to write, its plots beside it; empty for none")
	if err := f.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(o.workloads)
	if err != nil {
		return err
	}
	if o.pgcrm, err = filepath.Abs(o.pgcrm); err != nil {
		return err
	}
	// What was measured is shown even where something fails later.
	err = measureAll(ctx, o, chosen)
	if o.page == "" {
		return err
	}
	all, readErr := readResults(o.results)
	if readErr != nil || len(all) == 0 {
		return errors.Join(err, readErr)
	}
	return errors.Join(err, writePage(o.page, all))
}

// choose finds workloads by their letters.
func choose(letters string) ([]workload, error) {
	var chosen []workload
	for _, l := range strings.FieldsFunc(letters, func(r rune) bool { return r == ',' || r == ' ' }) {
		i := slices.IndexFunc(workloads(), func(w workload) bool { return w.letter == l })
		if i < 0 {
			return nil, fmt.Errorf("there is no workload %q; WORKLOADS is a list of a to g", l)
		}
		chosen = append(chosen, workloads()[i])
	}
	return chosen, nil
}

func measureAll(ctx context.Context, o options, chosen []workload) error {
	for rep := 1; rep <= o.repetitions; rep++ {
		for _, w := range chosen {
			fmt.Printf("workload %s, repetition %d of %d: %s\n", w.letter, rep, o.repetitions, w.title)
			r, err := measure(ctx, o, w)
			if err != nil {
				return fmt.Errorf("workload %s: %w", w.letter, err)
			}
			r.Repetition = rep
			for _, m := range r.Consumers {
				fmt.Println("  " + m.String())
			}
			if err := r.write(o.results); err != nil {
				return err
			}
		}
	}
	return nil
}
