package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
)

// benchTarget has ten properties, as a typical mapping does.
func benchTarget() (*change.Target, *change.Source) {
	target := &change.Target{Object: "companies", Match: "account_id"}
	source := &change.Source{Table: "public.accounts", Target: target}
	for i := range 10 {
		target.Properties = append(target.Properties, fmt.Sprintf("property_%d", i))
		source.Slots = append(source.Slots, i)
	}
	return target, source
}

func benchLedger(b testing.TB, target *change.Target) (fixture, *ledger.Ledger) {
	f := newFixture(b)
	l := f.open(b)
	if _, err := l.Begin(context.Background(), instance(), []*change.Target{target}); err != nil {
		b.Fatal(err)
	}
	return f, l
}

// deliveries makes n deliveries of records first to first+n-1.
func deliveries(source *change.Source, first, n int, lsn change.LSN) []ledger.Delivery {
	rng := rand.New(rand.NewPCG(uint64(first), uint64(lsn)))
	slots := source.Slots
	ds := make([]ledger.Delivery, n)
	for i := range ds {
		facts := make([]change.Fact, len(slots))
		for j := range facts {
			facts[j] = change.Fact{State: change.Known, Fingerprint: rng.Uint64()}
		}
		key := fmt.Sprint(1_000_000 + first + i)
		ds[i] = ledger.Delivery{Source: source, Key: key, Row: key, CRMID: fmt.Sprint(20_000_000_000 + first + i), Accounted: pos(lsn, uint32(i+1)), Facts: facts, Delivered: slots, At: at}
	}
	return ds
}

// BenchmarkSettle settles new records and known ones, in settles of several sizes.
func BenchmarkSettle(b *testing.B) {
	for _, size := range []int{100, 1000, 5000} {
		for _, kind := range []string{"new", "known"} {
			b.Run(fmt.Sprintf("%s/%d", kind, size), func(b *testing.B) {
				target, source := benchTarget()
				_, l := benchLedger(b, target)
				const records = 200_000
				if kind == "known" {
					for first := 0; first < records; first += 5000 {
						settle(b, l, ledger.Settlement{Deliveries: deliveries(source, first, 5000, 1)})
					}
				}
				var batches []ledger.Settlement
				for i := range 64 {
					first := i * size
					if kind == "known" {
						first = i * 997 * size % (records - size)
					}
					batches = append(batches, ledger.Settlement{Deliveries: deliveries(source, first, size, change.LSN(i+2))})
				}
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					s := &batches[n%len(batches)]
					if kind == "new" && n >= len(batches) {
						b.StopTimer()
						*s = ledger.Settlement{Deliveries: deliveries(source, n*size, size, change.LSN(n+2))}
						b.StartTimer()
					}
					s.Checkpoint = change.LSN(1000 + n)
					settle(b, l, *s)
					n++
				}
				b.ReportMetric(float64(n*size)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

// BenchmarkLookup looks up known records by the hundred, as a batch does.
func BenchmarkLookup(b *testing.B) {
	target, source := benchTarget()
	_, l := benchLedger(b, target)
	const records = 200_000
	for first := 0; first < records; first += 5000 {
		settle(b, l, ledger.Settlement{Deliveries: deliveries(source, first, 5000, 1)})
	}
	for _, kind := range []string{"neighbours", "scattered", "absent"} {
		b.Run(kind, func(b *testing.B) {
			var batches [][]string
			for i := range 256 {
				var keys []string
				for j := range 100 {
					n := i*100 + j
					switch kind {
					case "scattered":
						n = n * 7919 % records
					case "absent":
						n += 5_000_000
					}
					keys = append(keys, fmt.Sprint(1_000_000+n))
				}
				batches = append(batches, keys)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				lookup(b, l, target, batches[n%len(batches)]...)
				n++
			}
			b.ReportMetric(float64(n*100)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkSize says what a record costs on disk, all told, after it was
// delivered and then delivered again in part.
func BenchmarkSize(b *testing.B) {
	for _, records := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(records), func(b *testing.B) {
			target, source := benchTarget()
			f, l := benchLedger(b, target)
			for b.Loop() {
				order := rand.New(rand.NewPCG(1, 2)).Perm(records / 500)
				for round, batches := range [][]int{order, order[:len(order)/10], order[len(order)/20 : len(order)/10]} {
					for _, i := range batches {
						settle(b, l, ledger.Settlement{Deliveries: deliveries(source, i*500, 500, change.LSN(round+1))})
					}
				}
			}
			l.Close() // its sessions report what they did
			size, hot, updates := measure(b, f, 1)
			b.ReportMetric(float64(size)/float64(records), "bytes/record")
			b.ReportMetric(100*float64(hot)/float64(updates), "%hot")
		})
	}
}

// measure tells the size of the records with their indexes, and how many of the
// updates were HOT, once at least so many are known of.
func measure(t testing.TB, f fixture, atLeast int64) (size, hot, updates int64) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), f.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	const table = `'"My State".record'::regclass`
	if _, err := conn.Exec(context.Background(), `VACUUM ANALYZE "My State".record`); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		err = conn.QueryRow(context.Background(), `SELECT pg_total_relation_size(`+table+`), n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables, pg_sleep(0.1) WHERE relid = `+table).
			Scan(&size, &hot, &updates)
		if err != nil {
			t.Fatal(err)
		}
		if updates >= atLeast {
			break
		}
	}
	return size, hot, updates
}
