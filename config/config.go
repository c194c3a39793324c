package config

// Config is everything that the environment says. Fields without a value in
// the environment have the default of their tag; optional ones stay zero.
type Config struct {
	Source   Source   `section:"The database"`
	CRM      CRM      `section:"The CRM"`
	Mapping  Mapping  `section:"The mapping and what it may do"`
	Delivery Delivery `section:"Delivery"`
	Process  Process  `section:"The process"`
	Admin    Admin    `section:"Status page, health and metrics"`
	Log      Log      `section:"Logs"`
}

// Source is the database that changes are read from, and where pgcrm keeps what
// it remembers.
type Source struct {
	// URL is empty where libpq's own PG* variables say where the database is.
	URL Secret `env:"PGCRM_DATABASE_URL" shown:"DATABASE_URL, then libpq's PG*" doc:"the source database, a URL or key=value list; a direct connection, not through a pooler"`
	// StateURL is URL unless it was given.
	StateURL Secret `env:"PGCRM_STATE_DATABASE_URL" shown:"the source" doc:"where the state schema lives, if not beside the data"`

	Name        string `env:"PGCRM_NAME" default:"pgcrm" doc:"name of the slot, the publication and the state schema"`
	Slot        string `env:"PGCRM_SLOT" shown:"PGCRM_NAME" doc:"name of the replication slot"`
	Publication string `env:"PGCRM_PUBLICATION" shown:"PGCRM_NAME" doc:"name of the publication"`
	Schema      string `env:"PGCRM_SCHEMA" shown:"PGCRM_NAME" doc:"name of the schema that holds pgcrm's own tables"`

	PublishColumns string `env:"PGCRM_PUBLISH_COLUMNS" default:"all" oneof:"all mapped" doc:"mapped (Postgres 15 or newer): the publication lists only the columns used; pgcrm check says what that forbids the application"`
	Origin         string `env:"PGCRM_ORIGIN" default:"any" oneof:"any none" doc:"none (Postgres 16 or newer): changes that were written under a replication origin are left out, so that what a sync applies from the CRM does not echo; loads send them"`
	OnSlotLoss     string `env:"PGCRM_ON_SLOT_LOSS" default:"stop" oneof:"stop resync" doc:"resync: recreate the slot, backfill, and treat rows that the ledger knows but the table no longer has as deleted"`
}

// CRM is the HubSpot account and how it is spoken to.
type CRM struct {
	Token        Secret `env:"HUBSPOT_ACCESS_TOKEN" doc:"private-app token or service key"`
	ClientID     string `env:"HUBSPOT_CLIENT_ID" doc:"with the two below instead of a token: OAuth"`
	ClientSecret Secret `env:"HUBSPOT_CLIENT_SECRET" doc:"OAuth client secret"`
	RefreshToken Secret `env:"HUBSPOT_REFRESH_TOKEN" doc:"OAuth refresh token"`

	BaseURL    BaseURL `env:"HUBSPOT_BASE_URL" default:"https://api.hubapi.com" doc:"where the API is; http only to loopback and private addresses"`
	APIVersion string  `env:"HUBSPOT_API_VERSION" default:"v3" doc:"v3 or a dated version YYYY-MM: which paths are called"`
}

// OAuth reports that OAuth credentials stand in for a token.
func (c CRM) OAuth() bool { return c.RefreshToken.IsSet() && !c.Token.IsSet() }

// Mapping is the mapping's text and what it may do.
type Mapping struct {
	Document Document `env:"PGCRM_MAPPING" shown:"the file pgcrm.yaml" doc:"the mapping, YAML or JSON; PGCRM_MAPPING_FILE names its file"`

	Backfill bool `env:"PGCRM_BACKFILL" default:"true" doc:"send the rows that exist when a table is first mapped, and again for a property added or changed in the mapping (only differences are sent)"`
	DryRun   bool `env:"PGCRM_DRY_RUN" default:"false" doc:"stream, map and count on a temporary slot; nothing is written to the CRM, the ledger or a lasting slot"`
	// HoldAbove is nil where nothing is ever held.
	HoldAbove *int64 `env:"PGCRM_HOLD_ABOVE" shown:"none" min:"0" doc:"one transaction or first load that would change more records than this waits for pgcrm resume"`
}

// Delivery is how changes are gathered and sent.
type Delivery struct {
	BatchSize     int      `env:"PGCRM_BATCH_SIZE" default:"100" min:"1" max:"100" doc:"records in a call"`
	FlushInterval Duration `env:"PGCRM_FLUSH_INTERVAL" default:"1s" min:"0s" max:"1h" doc:"the longest a change is held to gather company once calls get scarce, while the day's calls suffice; 0 never holds"`
	MaxInFlight   int      `env:"PGCRM_MAX_IN_FLIGHT" default:"4" min:"1" max:"100" doc:"calls at one time"`
	RateLimit     Rate     `env:"PGCRM_RATE_LIMIT" default:"auto" doc:"calls in a rolling window: auto follows the API's headers (100/10s until seen); a value such as 50/10s is used from the start, and headers only lower it"`
	QuotaShare    Share    `env:"PGCRM_QUOTA_SHARE" default:"80%" doc:"of the account's daily calls; as they run short changes are held longer, so that they last until the account's midnight"`
	// DailyLimit is 0 where there is none.
	DailyLimit     int64    `env:"PGCRM_DAILY_LIMIT" shown:"none" min:"1" doc:"calls a day that this process may use"`
	BufferBytes    Bytes    `env:"PGCRM_BUFFER_BYTES" default:"64MiB" min:"4KiB" doc:"memory that waiting changes may use; past it the stream is held back"`
	RecheckMissing Duration `env:"PGCRM_RECHECK_MISSING" default:"1h" min:"100ms" doc:"how often records parked as missing are looked up again"`
	// RecheckProperties is how often the CRM's property definitions are read again.
	RecheckProperties Duration `env:"PGCRM_RECHECK_PROPERTIES" default:"10m" min:"100ms" doc:"how often the property definitions are read again: a new option is taken, and the mapping of a property that was deleted or became read-only waits until it is put right"`
	LateWindow        Duration `env:"PGCRM_LATE_WINDOW" default:"150s" min:"100ms" doc:"how long a call that got no answer may still take effect; its records are sent once more after it"`
	// DLQRetention is 0 where parked records are kept until they are resolved.
	DLQRetention Duration `env:"PGCRM_DLQ_RETENTION" shown:"none" min:"1s" doc:"parked records older than this are removed"`
}

// Process is the life of the process.
type Process struct {
	ShutdownTimeout Duration `env:"PGCRM_SHUTDOWN_TIMEOUT" default:"20s" min:"0s" max:"24h" doc:"SIGTERM: stop reading, finish calls in flight, settle, exit 0; what waits in memory is read again from the log"`
}

// Admin is the HTTP server.
type Admin struct {
	Listen     Listen `env:"PGCRM_LISTEN" default:"127.0.0.1:9847" doc:"address of status page, health and metrics; off turns it off; the container image sets :9847"`
	Token      Secret `env:"PGCRM_ADMIN_TOKEN" shown:"none" doc:"allows retry, drop and resume on the status page"`
	ShowValues bool   `env:"PGCRM_SHOW_VALUES" default:"false" doc:"row values on the status page and in debug logs"`
}

// Log is what is logged and how.
type Log struct {
	Level  LogLevel `env:"PGCRM_LOG_LEVEL" default:"info" doc:"debug, info, warn or error"`
	Format string   `env:"PGCRM_LOG_FORMAT" default:"text" oneof:"text json" doc:"form of a log line"`
}
