package cli

import (
	// A static binary in an empty image has no time zones and no certificate
	// authorities on disk. Those of the system are preferred where it has some.
	_ "time/tzdata"

	_ "golang.org/x/crypto/x509roots/fallback"
)
