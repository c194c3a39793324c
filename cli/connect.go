package cli

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

func databaseConfig(cfg *config.Config, log *slog.Logger) cdc.Config {
	return cdc.Config{
		URL:         cfg.Source.URL.Value,
		Slot:        cfg.Source.Slot,
		Publication: cfg.Source.Publication,
		ListColumns: cfg.Source.PublishColumns == "mapped",
		SkipOrigins: cfg.Source.Origin == "none",
		Logger:      log,
	}
}

func (r *runner) client() (*hubspot.Client, error) {
	cfg := hubspot.Config{
		BaseURL:     string(r.cfg.CRM.BaseURL),
		APIVersion:  r.cfg.CRM.APIVersion,
		Token:       r.cfg.CRM.Token.Value,
		MaxInFlight: r.cfg.Delivery.MaxInFlight,
		RateLimit:   hubspot.RateLimit{Calls: r.cfg.Delivery.RateLimit.Calls, Per: r.cfg.Delivery.RateLimit.Window},
		QuotaShare:  float64(r.cfg.Delivery.QuotaShare),
		DailyLimit:  int(r.cfg.Delivery.DailyLimit),
		Part:        r.part,
		UserAgent:   fmt.Sprintf("pgcrm/%s", version),
		Stopping:    r.stopping,
		Logger:      r.log,
		ObserveCall: r.recorder.ObserveCall,
		Now:         time.Now,
		Rand:        rand.Float64,
	}
	if r.cfg.CRM.OAuth() {
		oauth := &hubspot.OAuth{
			BaseURL: cfg.BaseURL, APIVersion: cfg.APIVersion, ClientID: r.cfg.CRM.ClientID,
			ClientSecret: secretOf(r.cfg.CRM.ClientSecret), RefreshToken: secretOf(r.cfg.CRM.RefreshToken),
		}
		cfg.Token, cfg.TokenSetting = oauth.Token, "HUBSPOT_REFRESH_TOKEN"
	}
	return hubspot.New(cfg)
}

// secretOf gives a secret's present value: from a file it is read each time.
func secretOf(s config.Secret) func() (string, error) {
	return func() (string, error) { return s.Value(context.Background()) }
}
