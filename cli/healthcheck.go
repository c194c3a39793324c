package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/config"
)

// newHealthcheckCommand is for container images without a shell or curl: it asks
// the process beside it. Docker, not people, calls it.
func newHealthcheckCommand(environ []string) *cobra.Command {
	var (
		ready   bool
		target  string
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:    "healthcheck",
		Short:  "Ask the pgcrm that runs here whether it is well; exit code 1 if not",
		Hidden: true,
		Args:   noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if target == "" {
				var err error
				if target, err = healthURL(environ, ready); err != nil || target == "" {
					return err
				}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return ask(ctx, target)
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "ask for readiness instead of health")
	cmd.Flags().StringVar(&target, "url", "", "ask this URL instead of the one at PGCRM_LISTEN")
	cmd.Flags().DurationVar(&timeout, "timeout", 4*time.Second, "how long to wait for the answer")
	return cmd
}

// healthURL is where health is asked for, empty where PGCRM_LISTEN is off: then
// nothing can be asked, and a running process counts as well.
func healthURL(environ []string, ready bool) (string, error) {
	if ready {
		return listenURL(environ, "/readyz")
	}
	return listenURL(environ, "/healthz")
}

// listenURL turns PGCRM_LISTEN into a URL of the instance that runs here, empty
// where it is off. Other variables are not looked at, so that nothing but health
// decides.
func listenURL(environ []string, path string) (string, error) {
	var listen []string
	for _, pair := range environ {
		if name, _, _ := strings.Cut(pair, "="); name == "PGCRM_LISTEN" || name == "PGCRM_LISTEN_FILE" {
			listen = append(listen, pair)
		}
	}
	cfg, _, err := config.Load(listen)
	if err != nil || cfg.Admin.Listen.Off() {
		return "", err
	}
	host, port, err := net.SplitHostPort(string(cfg.Admin.Listen))
	if err != nil {
		return "", err
	}
	if port == "0" {
		return "", errors.New("PGCRM_LISTEN takes any free port, so the process cannot be found; name a port")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: path}
	return u.String(), nil
}

// ask wants a 2xx, and otherwise returns what the answer said.
func ask(ctx context.Context, target string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	// No proxy: HTTP_PROXY is meant for the CRM.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return fmt.Errorf("answer cut off: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(said)))
	}
	return nil
}
