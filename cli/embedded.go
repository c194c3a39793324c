package cli

import (
	// A static binary in an empty image has no time zones on disk. Those of the
	// system are preferred where it has some.
	_ "time/tzdata"

	// Nor has it certificate authorities. The same holds for these.
	_ "golang.org/x/crypto/x509roots/fallback"
)
