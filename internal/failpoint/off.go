//go:build !failpoints

package failpoint

// At does nothing.
func At(string) error { return nil }

// Around does op.
func Around(_ string, op func() error) error { return op() }
