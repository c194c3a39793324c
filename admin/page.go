package admin

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed assets
var files embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"bytes": showBytes, "seconds": showSeconds, "count": showCount, "percent": showPercent, "ago": showAgo, "sum": sum,
}).ParseFS(files, "assets/page.html"))

// page renders the snapshot. Its script fetches it again every two seconds and
// puts the new figures in place, so that there is one rendering of them.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, s.snapshot()); err != nil {
		http.Error(w, "the page cannot be rendered", http.StatusInternalServerError)
		s.opts.Logger.ErrorContext(r.Context(), "page_render", "error", err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(body.Bytes())
}

// assets serves the page's style and script, and nothing else that is embedded.
func assets() http.Handler {
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, ok := types[path.Ext(r.URL.Path)]
		body, err := files.ReadFile(strings.TrimPrefix(path.Clean(r.URL.Path), "/"))
		if !ok || err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(body) //nolint:gosec // an embedded file
	})
}

func showBytes(v any) string {
	n := integer(v)
	f, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 && f > -1024 {
			break
		}
		f, unit = f/1024, next
	}
	if unit == "B" || f >= 100 || f <= -100 {
		return fmt.Sprintf("%.0f %s", f, unit)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// showSeconds gives two units at most: 850 ms, 4.2 s, 3 min 5 s, 2 h 10 min.
func showSeconds(v any) string {
	var s float64
	switch v := v.(type) {
	case float64:
		s = v
	case *float64:
		s = *v
	}
	switch d := time.Duration(s * float64(time.Second)); {
	case s == 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", s)
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", s)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

// showAgo gives the time from then to now.
func showAgo(now, then time.Time) string {
	if then.IsZero() || now.IsZero() {
		return "unknown"
	}
	return showSeconds(max(0, now.Sub(then).Truncate(time.Second).Seconds()))
}

// showCount groups digits by thin spaces.
func showCount(v any) string {
	digits := strconv.FormatInt(integer(v), 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "−", digits[1:]
	}
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	return sign + strings.Join(append([]string{digits}, groups...), "\u2009")
}

func showPercent(part, whole any) int {
	p, w := integer(part), integer(whole)
	if w <= 0 {
		return 0
	}
	return int(max(0, min(100, 100*float64(p)/float64(w))))
}

func sum(counts map[string]int64) int64 {
	var n int64
	for _, c := range counts {
		n += c
	}
	return n
}

func integer(v any) int64 {
	switch v := v.(type) {
	case int:
		return int64(v)
	case int64:
		return v
	case *int64:
		return *v
	}
	return 0
}
