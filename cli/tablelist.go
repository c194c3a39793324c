package cli

import "strings"

// tableList is the value of --table: names as SQL writes them, several with
// commas between, or the flag repeated. The double quotes of a name stay.
type tableList []string

// String implements pflag.Value.
func (n *tableList) String() string { return strings.Join(*n, ",") }

// Type implements pflag.Value.
func (n *tableList) Type() string { return "strings" }

// Set implements pflag.Value.
func (n *tableList) Set(s string) error {
	quoted := false
	for _, name := range strings.FieldsFunc(s, func(r rune) bool {
		quoted = quoted != (r == '"')
		return r == ',' && !quoted
	}) {
		*n = append(*n, strings.TrimSpace(name))
	}
	return nil
}
