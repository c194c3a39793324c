package hubspotsim

import (
	"strings"
)

// version is the API version in a path, "v3" or "2026-09".
type version string

// known says whether the simulator serves the version.
func (v version) known() bool {
	if v == "v3" {
		return true
	}
	year, month, _ := strings.Cut(strings.TrimSuffix(string(v), "-beta"), "-")
	return len(year) == 4 && digitsOnly([]byte(year)) && year >= "2026" && (month == "03" || month == "09")
}

// normalises says whether moments are cut to dates with a warning rather than
// refused.
func (v version) normalises() bool { return v != "v3" && v >= "2026-09" }

// enforcesRules says whether an administrator's validation rules bind writes.
func (v version) enforcesRules() bool { return v.normalises() }

// route is what a path asks for.
type route struct {
	op      string // see the ops in portal.go; empty if the path leads nowhere
	version version
	object  string // as written in the path
	id      string
}

// parsePath knows both shapes: /crm/v3/objects/companies/... and
// /crm/objects/2026-03/companies/...
func parsePath(method, path string) route {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	var r route
	switch {
	case len(parts) >= 3 && parts[0] == "crm" && parts[1] == "v3":
		r.version = "v3"
		r.crm(method, parts[2], parts[3:])
	case len(parts) >= 3 && parts[0] == "crm" && parts[2] != "v3":
		r.version = version(parts[2])
		r.crm(method, parts[1], parts[3:])
	case len(parts) >= 3 && parts[0] == "account-info":
		r.version = version(parts[1])
		switch strings.Join(parts[2:], "/") {
		case "details":
			r.op = only(method, "GET", "account")
		case "api-usage/daily/private-apps":
			r.op = only(method, "GET", "usage")
		}
	case len(parts) >= 3 && parts[0] == "oauth":
		r.version = version(parts[1])
		if r.version == "v1" {
			r.version = "v3"
		}
		switch strings.Join(parts[2:], "/") {
		case "token":
			r.op = only(method, "POST", "token")
		case "token/introspect":
			r.op = only(method, "POST", "introspect")
		}
	}
	if !r.version.known() {
		r.op = ""
	}
	return r
}

func only(method, want, op string) string {
	if method != want {
		return "method"
	}
	return op
}

func (r *route) crm(method, family string, rest []string) {
	if len(rest) == 0 || rest[0] == "" {
		return
	}
	r.object = rest[0]
	tail := strings.Join(rest[1:], "/")
	switch family {
	case "objects":
		r.objects(method, tail)
	case "properties":
		r.properties(method, tail)
	}
}

func (r *route) objects(method, tail string) {
	switch tail {
	case "batch/update", "batch/upsert", "batch/create", "batch/read", "batch/archive":
		r.op = only(method, "POST", strings.TrimPrefix(tail, "batch/"))
	case "merge", "search":
		r.op = only(method, "POST", tail)
	case "":
		switch method {
		case "GET":
			r.op = "list"
		case "POST":
			r.op = "post"
		default:
			r.op = "method"
		}
	default:
		if strings.Contains(tail, "/") {
			return
		}
		r.id = tail
		r.op = byMethod(method, "get", "patch", "delete")
	}
}

func (r *route) properties(method, tail string) {
	switch tail {
	case "":
		switch method {
		case "GET":
			r.op = "properties.list"
		case "POST":
			r.op = "properties.create"
		default:
			r.op = "method"
		}
	case "batch/create", "batch/read", "batch/archive":
		r.op = only(method, "POST", "properties.batch."+strings.TrimPrefix(tail, "batch/"))
	case "groups":
		r.op = only(method, "GET", "properties.groups")
	default:
		if strings.Contains(tail, "/") {
			return
		}
		r.id = tail
		r.op = byMethod(method, "properties.get", "properties.patch", "properties.archive")
	}
}

func byMethod(method, get, patch, del string) string {
	switch method {
	case "GET":
		return get
	case "PATCH":
		return patch
	case "DELETE":
		return del
	}
	return "method"
}
