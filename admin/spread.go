package admin

import (
	"math"
	"sync/atomic"
	"time"
)

// spreadBuckets are four to each doubling, from a millisecond to some 70 days:
// a quantile read from them is off by less than a tenth.
const spreadBuckets = 132

// spread counts durations by size, from any goroutine.
type spread [spreadBuckets]atomic.Int64

// sizes is a reading of a spread, or what came between two of them.
type sizes [spreadBuckets]int64

func (s *spread) add(d time.Duration, n int) { s[bucketOf(d)].Add(int64(n)) }

func (s *spread) read() (r sizes) {
	for i := range s {
		r[i] = s[i].Load()
	}
	return r
}

func bucketOf(d time.Duration) int {
	if d < time.Millisecond {
		return 0
	}
	return min(1+int(4*math.Log2(float64(d)/float64(time.Millisecond))), spreadBuckets-1)
}

func (r sizes) minus(before sizes) sizes {
	for i := range r {
		r[i] -= before[i]
	}
	return r
}

func (r sizes) plus(other sizes) sizes {
	for i := range r {
		r[i] += other[i]
	}
	return r
}

// quantile gives seconds, nil where nothing was counted.
func (r sizes) quantile(q float64) *float64 {
	var sum int64
	for _, n := range r {
		sum += n
	}
	if sum == 0 {
		return nil
	}
	rank := int64(math.Ceil(q * float64(sum)))
	for i, n := range r {
		if rank -= n; rank <= 0 {
			// The middle of the bucket; the first holds what is under a millisecond.
			seconds := math.Exp2((float64(i)-0.5)/4) / 1000
			return &seconds
		}
	}
	return nil
}
