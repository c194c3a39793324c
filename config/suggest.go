package config

import (
	"reflect"
	"slices"
	"strings"
)

// variables lists the names that Config reads.
func variables() []string {
	var names []string
	for i := range reflect.TypeFor[Config]().NumField() {
		group := reflect.TypeFor[Config]().Field(i).Type
		for j := range group.NumField() {
			names = append(names, group.Field(j).Tag.Get("env"))
		}
	}
	return names
}

// unknown warns of each PGCRM_ name that nothing asked for.
func (e *environ) unknown() []string {
	var warnings []string
	for name := range e.vars {
		base := strings.TrimSuffix(name, fileSuffix)
		if !strings.HasPrefix(name, "PGCRM_") || e.asked[name] || e.asked[base] {
			continue
		}
		line := name + ": is no variable of pgcrm and is not read"
		if near := nearest(base, variables()); near != "" {
			line += "; did you mean " + near + name[len(base):] + "?"
		}
		warnings = append(warnings, line)
	}
	slices.Sort(warnings)
	return warnings
}

// likely names a variable that is set, not read, and looks like name.
func (e *environ) likely(name string) string {
	var set []string
	for other, value := range e.vars {
		if value != "" && strings.HasPrefix(other, "HUBSPOT_") && !e.asked[strings.TrimSuffix(other, fileSuffix)] {
			set = append(set, other)
		}
	}
	slices.Sort(set)
	for _, other := range set {
		if strings.Contains(other, "TOKEN") || strings.Contains(other, "KEY") {
			return other
		}
	}
	return nearest(name, set)
}

// nearest returns the name that looks most like the given one, or "". Names
// count as alike if a third of their letters or fewer differ, underscores aside.
func nearest(name string, names []string) string {
	bare := func(s string) string {
		return strings.ReplaceAll(strings.TrimPrefix(strings.ToUpper(s), "PGCRM_"), "_", "")
	}
	best, least := "", 0
	for _, n := range names {
		a, b := bare(name), bare(n)
		d := distance(a, b)
		if 3*d <= max(len(a), len(b)) && (best == "" || d < least) {
			best, least = n, d
		}
	}
	return best
}

// distance is the least number of letters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
