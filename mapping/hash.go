package mapping

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// hashVersion changes when the formatting rules do, so that a new version of
// the program sends what it would now write differently.
const hashVersion = "mapping 1"

func digest(lines []string) string {
	sum := sha256.Sum256([]byte(hashVersion + "\n" + strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:16])
}

func hashOfPlan(p *planCompiler) string {
	head := fmt.Sprintf("%s -> %q", p.plan.table, p.spec.object.text)
	slices.Sort(p.canon)
	return digest(append([]string{head}, p.canon...))
}

func hashOf(all *plans) string {
	lines := make([]string, 0, len(all.bySource))
	for _, p := range all.bySource {
		lines = append(lines, p.hash+" "+p.policy)
	}
	slices.Sort(lines)
	return digest(lines)
}

// noteProperty notes what decides the property's values.
func (p *planCompiler) noteProperty(s *propSpec, prop *propPlan) {
	f := &prop.format
	line := []string{fmt.Sprintf("property %q %v null %d overflow %v", s.name.text, f.to, s.onNull, f.truncate)}
	if prop.constant != nil {
		line = append(line, fmt.Sprintf("const %q", prop.constant.text))
	}
	if prop.formula != nil {
		line = append(line, "expr "+prop.formula.program.Canonical)
	}
	if prop.column >= 0 {
		line = append(line, fmt.Sprintf("column %q %d %v", p.plan.columns[prop.column].name, f.from.class, f.from.array))
	}
	if f.zone != nil {
		line = append(line, "tz "+f.zone.String())
	}
	if prop.values != nil {
		line = append(line, fmt.Sprintf("other %d", s.onOther))
		for _, from := range slices.Sorted(maps.Keys(prop.values)) {
			line = append(line, fmt.Sprintf("%q=%q", from, prop.values[from].text))
		}
	}
	if f.byLabel {
		for _, label := range slices.Sorted(maps.Keys(f.options)) {
			line = append(line, fmt.Sprintf("label %q=%q", label, f.options[label]))
		}
	}
	p.note("%s", strings.Join(line, " "))
}

func compareTables(a, b TableName) int {
	return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Name, b.Name))
}
