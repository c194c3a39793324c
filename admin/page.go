package admin

import (
	"embed"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var files embed.FS

// The page is a file as it is; what it shows comes as events, and its scripts
// put it in place as text.
func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	serve(w, "assets/page.html", "text/html; charset=utf-8")
}

// assets serves the page's styles and scripts, and nothing else that is embedded.
func assets() http.Handler {
	types := map[string]string{
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, ok := types[path.Ext(r.URL.Path)]
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		if !ok || !serve(w, name, kind) {
			http.NotFound(w, r)
		}
	})
}

// serve answers with an embedded file, and reports whether there is one.
func serve(w http.ResponseWriter, name, kind string) bool {
	body, err := files.ReadFile(name)
	if err != nil {
		return false
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body) //nolint:gosec // an embedded file
	return true
}
