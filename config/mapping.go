package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
)

// DefaultMappingFile is read where neither PGCRM_MAPPING nor its file is given.
const DefaultMappingFile = "pgcrm.yaml"

// inlineName stands for the file in messages about an inline mapping.
const inlineName = "PGCRM_MAPPING"

// Document is the text of a mapping and where it came from.
type Document struct {
	// Name stands before line and column in messages: the file as it was given,
	// or PGCRM_MAPPING.
	Name string
	// Path is the file, or empty for an inline mapping. The lock file and the
	// fixtures lie beside it.
	Path string
	Text string
}

// Dir is where the lock file and the fixtures are looked for.
func (d Document) Dir() string {
	if d.Path == "" {
		return "."
	}
	return filepath.Dir(d.Path)
}

// EnvDecode takes the text as it is, but refuses a lone file name.
func (d *Document) EnvDecode(value string) error {
	lone := !strings.ContainsAny(value, "\n:{")
	if lone && strings.TrimSpace(value) != "" {
		return &fault{"holds no mapping", "put YAML or JSON into it, or name a file with PGCRM_MAPPING_FILE"}
	}
	d.Name, d.Text = inlineName, value
	return nil
}

// locate completes the document: names the file it was read from, or reads the
// default file. It returns the problem of a default file that cannot be read,
// os.ErrNotExist if there is none.
func (d *Document) locate(e *environ) error {
	if path, ok := e.files[inlineName]; ok {
		d.Name, d.Path = path, path
		return nil
	}
	if e.given(inlineName) {
		return nil
	}
	text, err := readFile(DefaultMappingFile)
	if err != nil {
		return err
	}
	d.Name, d.Path, d.Text = DefaultMappingFile, DefaultMappingFile, text
	return nil
}

// require reports a mapping that cannot be had.
func (d Document) require(err error, p *problems) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.add(inlineName, "is not set and there is no "+DefaultMappingFile+" in the working directory",
			"write one with pgcrm init, or name the file with PGCRM_MAPPING_FILE")
	case err != nil:
		p.add(inlineName, "is not set and "+DefaultMappingFile+" cannot be read: "+cause(err),
			"make it readable, or name another with PGCRM_MAPPING_FILE")
	case d.Name != "" && strings.TrimSpace(d.Text) == "":
		p.add(inlineName, "holds an empty mapping", "write one with pgcrm init")
	}
}
