package cli

import (
	"context"

	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/mapping"
)

// offline checks the mapping alone, against the lock beside it.
func (c *checker) offline(environ []string) {
	cfg, warnings, err := config.Load(environ, config.NeedMapping)
	for _, w := range warnings {
		c.note("configuration", "", "%s", w)
	}
	if err != nil {
		c.refused("configuration", err)
		return
	}
	doc := cfg.Mapping.Document
	m, _, err := compileOffline(doc)
	if err != nil {
		c.refused("mapping", err)
		return
	}
	c.good("mapping", "%s: %s of %s suit %s", doc.Name, plural(int64(len(m.Sources())), "mapping", "mappings"),
		plural(int64(len(m.Tables())), "table", "tables"), lockPath(doc))
	for _, w := range m.Warnings() {
		c.note("mapping", "", "%s", w)
	}
}

// lock writes down what tables and properties look like now, whether or not the
// mapping suits them: it is what the mapping is to be mended against.
func (c *checker) lock(context.Context) {
	if !c.updateLock {
		return
	}
	if c.file == nil || !c.whole || c.properties == nil {
		c.wrong("lock", "mend what is wrong with mapping, tables or token first", "%s was not written", lockName)
		return
	}
	path := lockPath(c.cfg.Mapping.Document)
	changed, err := newLock(c.relations, c.usedProperties()).write(path)
	switch {
	case err != nil:
		c.refused("lock", err)
	case changed:
		c.good("lock", "%s was written; keep it in version control", path)
	default:
		c.good("lock", "%s is as it was", path)
	}
}

// usedProperties are those of the objects that the mapping writes.
func (c *checker) usedProperties() map[string][]mapping.Property {
	used := map[string][]mapping.Property{}
	for _, object := range c.file.Objects() {
		used[object] = c.properties[object]
	}
	return used
}
