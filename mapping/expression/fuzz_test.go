package expression

import "testing"

// FuzzCompile: any text is a program that runs over rows, or a list of problems.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`lower(trim(host)) + name[1:3]`, `mrr_cents / 100 ** 2 % 7`, `any(tags, # == "a" and #index > 1) ? meta.a["b"][0] : nil ?? 1`, `let x = 1..3; sum(x, # * x[#index])`,
		`created_at.In("UTC").AddDate(1, 2, 3) - date("2026-01-31")`, `toJSON({"a": [1.5, true, born]}) matches "a+"`, `$env["in"] not in [1]`, `round(-1.5e3, -2) | string() | len()`,
		`if active { "a" } else { "b" }`, `filter(map(tags, {"k": #}), .k != nil)[0].k`,
	} {
		f.Add(seed)
	}
	full := sample()
	f.Fuzz(func(t *testing.T, src string) {
		p, problems := Compile(src, row{})
		if p == nil {
			if len(problems) == 0 {
				t.Fatal("neither a program nor a problem")
			}
			for _, problem := range problems {
				if problem.Line < 1 || problem.Column < 1 || problem.Text == "" {
					t.Errorf("%+v", problem)
				}
			}
			return
		}
		for _, r := range []row{full, {}} {
			frame := &Frame{Load: func(i int) (any, error) { return r[p.Columns[i]], nil }}
			first, err := p.Eval(frame)
			if err != nil {
				continue
			}
			if first != nil && p.Type.Kind != Any && p.Type.Kind != Null && kindOf(first) != p.Type.Kind {
				t.Errorf("typed %s, got %s", p.Type, Type{Kind: kindOf(first)})
			}
			again, err := p.Eval(frame)
			if err != nil || Text(first) != Text(again) {
				t.Errorf("%s, then %s, %v", Text(first), Text(again), err)
			}
		}
	})
}
