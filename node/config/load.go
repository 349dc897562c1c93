package config

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/viper"

	"ermine/node/config/hocon"
)

// Options say where a configuration comes from.
type Options struct {
	// File is the configuration file; empty for the defaults alone.
	File string
	// Env is the environment in the form of os.Environ; nil for none.
	Env []string
	// EtcDir is what ${ERMINE_ETC_DIR} and ${EMQX_ETC_DIR} stand for, unless
	// the environment has one of them. Empty: the file's directory, or etc.
	EtcDir string
	// ReadFile reads the file and what it includes; nil for os.ReadFile.
	ReadFile func(name string) ([]byte, error)
	// CheckFiles makes it a mistake that a certificate, key or other file
	// named by the file or the environment does not exist.
	CheckFiles bool
	// Lenient gives the configuration in spite of mistakes, which keep their
	// defaults, unless one concerns the keys of node: enough for a command to
	// find the node that runs with what the file said before.
	Lenient bool
}

// Default is the configuration that Load gives without file and environment.
func Default() *Config {
	cfg, _, err := Load(Options{})
	if err != nil {
		panic(err) // held by a test: the schema's defaults are valid
	}
	return cfg
}

// Load reads and merges a configuration and checks it. With an error there is no
// configuration; the error is an [*Invalid] with every mistake. The report is
// there in both cases.
func Load(opt Options) (*Config, *Report, error) {
	if opt.ReadFile == nil {
		opt.ReadFile = os.ReadFile
	}
	l := &loader{opt: opt, report: &Report{origin: make(map[string]string)}, effective: make(layer)}
	if dir, ok := lookupEnv(opt.Env, "ERMINE_ETC_DIR", "EMQX_ETC_DIR"); ok {
		l.opt.EtcDir = dir
	} else if opt.EtcDir == "" && opt.File != "" {
		l.opt.EtcDir = filepath.Dir(opt.File)
	}
	l.opt.EtcDir = cmp.Or(l.opt.EtcDir, "etc")

	l.file = &binder{into: make(layer), below: l.rawDefault}
	codec := &codec{name: opt.File, binder: l.file, options: hocon.Options{ReadFile: opt.ReadFile, Lookup: l.variable}}
	registry := viper.NewCodecRegistry()
	if err := registry.RegisterCodec(format, codec); err != nil {
		return nil, l.report, fmt.Errorf("register codec: %w", err)
	}
	l.viper = viper.NewWithOptions(viper.KeyDelimiter(separator), viper.WithCodecRegistry(registry))
	l.viper.SetConfigType(format)

	if err := l.readFile(codec); err != nil {
		return nil, l.report, err
	}
	l.readEnv()
	l.setDefaults()
	for _, name := range l.viper.AllKeys() {
		if s, ok := l.viper.Get(name).(*setting); ok {
			l.effective[join(s.path)] = s
		}
	}
	l.expandPaths()
	cfg := l.build()
	l.check(cfg)
	l.finishReport(cfg)

	if len(l.problems) > 0 && !(l.opt.Lenient && l.identified()) {
		slices.SortStableFunc(l.problems, func(a, b Problem) int {
			return cmp.Or(l.order(a.Pos)-l.order(b.Pos), a.Pos.Line-b.Pos.Line, a.Pos.Col-b.Pos.Col)
		})
		return nil, l.report, &Invalid{Problems: slices.Compact(l.problems)}
	}
	return cfg, l.report, nil
}

// identified tells whether no mistake concerns who the node is.
func (l *loader) identified() bool {
	return !slices.ContainsFunc(l.problems, func(p Problem) bool {
		return p.Key == "" || strings.HasPrefix(p.Key, "node.")
	})
}

// loader is the state of one Load.
type loader struct {
	opt       Options
	viper     *viper.Viper
	file      *binder
	env       *binder
	effective layer // merged, by joined path
	report    *Report
	problems  []Problem
}

// order is the rank of a position's source: files as read, then the environment.
func (l *loader) order(pos hocon.Pos) int {
	if i := slices.Index(l.report.Files, pos.File); i >= 0 {
		return i
	}
	return len(l.report.Files)
}

func (l *loader) problem(s *setting, allowed, format string, args ...any) {
	p := Problem{Msg: fmt.Sprintf(format, args...), Allowed: allowed}
	if s != nil {
		p.Pos, p.Key = s.pos, s.from
	}
	l.problems = append(l.problems, p)
}

// rawDefault is a path's default as it would be read.
func (l *loader) rawDefault(path string) *hocon.Value {
	k, _, ok := Lookup(path)
	if !ok || k.Default == "" {
		return nil
	}
	return hocon.ParseValue("default", k.Default)
}

// variable is what ${name} means in a file where no key has that name.
func (l *loader) variable(name string) (string, bool) {
	switch name {
	case "ERMINE_ETC_DIR", "EMQX_ETC_DIR":
		return l.opt.EtcDir, true
	case "ERMINE_LOG_DIR", "EMQX_LOG_DIR", "ERMINE_DATA_DIR", "EMQX_DATA_DIR":
		// Known only when everything is merged: expandPaths replaces it.
		return "${" + name + "}", true
	}
	return lookupEnv(l.opt.Env, name)
}

func (l *loader) readFile(c *codec) error {
	if l.opt.File == "" {
		return nil
	}
	l.report.Files = []string{l.opt.File}
	text, err := l.opt.ReadFile(l.opt.File)
	if err != nil {
		return &Invalid{Problems: []Problem{{Pos: hocon.Pos{File: l.opt.File}, Msg: "cannot be read: " + err.Error()}}}
	}
	if err := l.viper.ReadConfig(bytes.NewReader(text)); err != nil {
		return fmt.Errorf("read %s: %w", l.opt.File, err)
	}
	l.report.Files, l.report.Dialect = c.doc.Files, c.doc.Dialect
	for _, e := range c.syntax {
		l.problems = append(l.problems, Problem{Pos: e.Pos, Msg: e.Msg})
	}
	l.problems = append(l.problems, l.file.problems...)
	l.report.Warnings = append(l.report.Warnings, l.file.warnings...)
	return nil
}

func (l *loader) readEnv() {
	l.env = &binder{into: make(layer), env: true, below: func(path string) *hocon.Value {
		if s := l.file.into[path]; s != nil {
			return s.raw
		}
		return l.rawDefault(path)
	}}
	vars, unknown := environ(l.opt.Env)
	for _, v := range vars {
		l.env.unknown = false
		l.env.tree(hocon.Wrap(v.value, v.path...))
		if l.env.unknown {
			unknown = append(unknown, v.name)
		}
	}
	l.report.UnknownEnv = unknown
	l.problems = append(l.problems, l.env.problems...)
	for _, s := range l.env.into {
		l.viper.Set(viperKey(s.path), s)
	}
}

// setDefaults gives viper the default of every key, and of every listener's keys
// for the listeners that there are.
func (l *loader) setDefaults() {
	for i := range schema {
		k := &schema[i]
		switch {
		case strings.Contains(k.Path, ".$n."):
		case !strings.Contains(k.Path, "$"):
			l.setDefault(k, k.Default, nil)
		case strings.HasPrefix(k.Path, "listeners."):
			for _, name := range l.names("listeners", splitPath(k.Path)[1]) {
				text := k.Default
				if k.Required && name == "default" {
					text = defaultBinds[splitPath(k.Path)[1]]
				}
				l.setDefault(k, text, []string{name})
			}
		}
	}
}

func (l *loader) setDefault(k *Key, text string, vars []string) {
	if k.Type == TypeAny || k.Effect == NoEffect {
		return
	}
	def := *k
	def.Default = text
	value := defaultValue(&def)
	if value == nil {
		return
	}
	path := fillPath(k.Path, vars)
	l.viper.SetDefault(viperKey(path), &setting{
		key: k, path: path, value: value, from: join(path),
		raw: hocon.ParseValue("default", text), pos: hocon.Pos{File: "default"},
	})
}

// names are the names used below a path, sorted; with listeners, default is one of
// them.
func (l *loader) names(under ...string) []string {
	var found []string
	if under[0] == "listeners" {
		found = append(found, "default")
	}
	for _, from := range []layer{l.file.into, l.env.into} {
		for _, s := range from {
			if len(s.path) > len(under) && slices.Equal(s.path[:len(under)], under) {
				found = append(found, s.path[len(under)])
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// expandPaths replaces variables in the values that are paths.
func (l *loader) expandPaths() {
	dataDir, _ := l.expand(l.effective["node.data_dir"], l.effective["node.data_dir"].text(), nil)
	logDir, _ := l.expand(l.effective["log.dir"], l.effective["log.dir"].text(), map[string]string{
		"ERMINE_DATA_DIR": dataDir, "EMQX_DATA_DIR": dataDir,
	})
	dirs := map[string]string{
		"ERMINE_LOG_DIR": logDir, "EMQX_LOG_DIR": logDir,
		"ERMINE_DATA_DIR": dataDir, "EMQX_DATA_DIR": dataDir,
	}
	for name, s := range l.effective {
		switch {
		case s.value == nil:
		case s.key.Type == TypePath:
			c := *s
			c.value = nil
			if path, ok := l.expand(s, s.text(), dirs); ok {
				c.value = path
			}
			l.effective[name] = &c
		case s.key.Type == TypeObjects:
			c := *s
			elems := []map[string]any{}
			for _, e := range s.value.([]map[string]any) {
				elem := make(map[string]any, len(e))
				for _, k := range elementKeys[s.key.Path] {
					elem[k.Path] = e[k.Path]
					if k.Type == TypePath {
						text, _ := e[k.Path].(string)
						elem[k.Path] = ""
						if path, ok := l.expand(s, text, dirs); ok {
							elem[k.Path] = path
						}
					}
				}
				elems = append(elems, elem)
			}
			c.value = elems
			l.effective[name] = &c
		}
	}
}

// text is a setting's value if it is text.
func (s *setting) text() string {
	text, _ := s.value.(string)
	return text
}

// expand replaces ${NAME} in a path. dirs are known besides the etc directory and
// the environment. False tells of a mistake, already reported.
func (l *loader) expand(s *setting, text string, dirs map[string]string) (string, bool) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String(), true
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			l.problem(s, "", "%q has a ${ that is never closed", text)
			return "", false
		}
		val, ok := dirs[name]
		if !ok {
			val, ok = l.variable(name)
		}
		if !ok || strings.HasPrefix(val, "${") {
			l.problem(s, "${ERMINE_ETC_DIR}, ${ERMINE_LOG_DIR}, ${ERMINE_DATA_DIR}, a variable of the environment", "${%s} is not known here", name)
			return "", false
		}
		out.WriteString(val)
		text = after
	}
}
